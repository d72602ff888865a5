/**
 * Reloading a page whose server-rendered rows are outdated.
 *
 * @module
 */

/**
 * Reload the page if the server has other instruments now, at most once a minute.
 *
 * @param {Set<string>} shown
 * @param {string[]} symbols
 */
export function reloadIfOthers(shown, symbols) {
  const same = symbols.length === shown.size && symbols.every((symbol) => shown.has(symbol));
  const last = Number(history.state?.reloaded ?? 0);
  if (same || !symbols.length || Date.now() - last < 60_000) return;
  history.replaceState({ reloaded: Date.now() }, '');
  location.reload();
}
