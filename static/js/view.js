/** Which view of the board the address asks for. Runs before the first paint, so that the other one is never seen; no module. */
document.documentElement.dataset.view = new URLSearchParams(location.search).get('view') === 'venues' ? 'venues' : 'all';
