/**
 * The board, in one of two views: all instruments, or the real pairs with each venue's quotes.
 *
 * @module
 */

const { view } = document.documentElement.dataset;
for (const link of document.querySelectorAll('#views a')) {
  if (link.getAttribute('data-view') === view) link.setAttribute('aria-current', 'page');
}
// Load only the requested view.
if (view === 'venues') (await import('./board/venueview.js')).startVenueView();
else (await import('./board/boardtable.js')).startTable();
