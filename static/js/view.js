/** The view of the board that the URL requests. Not a module, so that it runs before the first paint. */
document.documentElement.dataset.view = new URLSearchParams(location.search).get('view') === 'venues' ? 'venues' : 'all';
