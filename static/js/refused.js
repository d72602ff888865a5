/**
 * Why the server takes no connection of this page: a browser tells a page only that it failed.
 *
 * @module
 */

/** @returns {Promise<string>} a sentence that says what to change, empty where nothing is known */
export async function whyRefused() {
  try {
    const query = new URLSearchParams({ origin: location.origin });
    const answer = await fetch(`./connect?${query}`, { headers: { Accept: 'application/json' } });
    if (answer.ok) return '';
    return String((await answer.json()).detail ?? '');
  } catch {
    return ''; // the server cannot be reached, which the page says already
  }
}
