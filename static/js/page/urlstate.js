/**
 * Page state kept in the query of its own URL, so that a reload or a link restores it.
 *
 * @module
 */

/**
 * Read one parameter; empty if it is missing.
 *
 * @param {string} name
 * @returns {string}
 */
export function getParam(name) {
  return new URLSearchParams(location.search).get(name) ?? '';
}

/**
 * Set parameters of the URL, or remove empty ones, without a new entry in the browser's history.
 *
 * @param {{[name: string]: string}} values
 */
export function setParams(values) {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const query = parameters.size ? `?${parameters}` : '';
  history.replaceState(history.state, '', `${location.pathname}${query}${location.hash}`);
}
