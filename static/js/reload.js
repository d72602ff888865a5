/**
 * What of a page was made by the server, and must be made anew.
 *
 * @module
 */

/**
 * The rows were made by the server: ask for them anew when it has other instruments now, at most once a minute.
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
