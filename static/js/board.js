/**
 * The board, in one of its two views: every instrument's row, or every venue's own quote of the real pairs.
 *
 * @module
 */

import { startTable } from './boardtable.js';
import { startVenueView } from './venueview.js';

const { view } = document.documentElement.dataset;
for (const link of document.querySelectorAll('#views a')) {
  if (link.getAttribute('data-view') === view) link.setAttribute('aria-current', 'page');
}
if (view === 'venues') startVenueView();
else startTable();
