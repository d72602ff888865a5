/**
 * Reloading a page whose server-rendered rows are outdated.
 *
 * @module
 */

const MOST_OFTEN_MS = 60_000;

let planned = 0;

/**
 * Reload the page if the server has other instruments now, at most once a minute; unless it has the same ones again by then.
 *
 * @param {Set<string>} shown
 * @param {string[]} symbols
 */
export function reloadIfOthers(shown, symbols) {
  clearTimeout(planned);
  const same = symbols.length === shown.size && symbols.every((symbol) => shown.has(symbol));
  if (same || !symbols.length) return;
  const last = Number(history.state?.reloaded ?? 0);
  const wait = Math.max(0, last + MOST_OFTEN_MS - Date.now());
  planned = window.setTimeout(() => {
    history.replaceState({ reloaded: Date.now() }, '');
    location.reload();
  }, wait);
}
