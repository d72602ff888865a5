/**
 * Why the server refuses this page's connections; the browser reports only that they failed.
 *
 * @module
 */

/** @returns {Promise<string>} a sentence that says what to change, empty if unknown */
export async function whyRefused() {
  try {
    const query = new URLSearchParams({ origin: location.origin });
    const answer = await fetch(`./connect?${query}`, { headers: { Accept: 'application/json' } });
    if (answer.ok) return '';
    return String((await answer.json()).detail ?? '');
  } catch {
    return ''; // the server is unreachable, which the page already says
  }
}
