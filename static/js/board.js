/**
 * The board, in one of its two views: every instrument's row, or every venue's own quote of the real pairs.
 *
 * @module
 */

const { view } = document.documentElement.dataset;
for (const link of document.querySelectorAll('#views a')) {
  if (link.getAttribute('data-view') === view) link.setAttribute('aria-current', 'page');
}
// Only the view that is asked for is loaded.
if (view === 'venues') (await import('./venueview.js')).startVenueView();
else (await import('./boardtable.js')).startTable();
