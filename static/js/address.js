/**
 * What a page keeps in its own address, so that a reload or a link brings it back.
 *
 * @module
 */

/**
 * Read one parameter; empty where it is not given.
 *
 * @param {string} name
 * @returns {string}
 */
export function recall(name) {
  return new URLSearchParams(location.search).get(name) ?? '';
}

/**
 * Put parameters into the address in place of what was there; empty ones are left out. No step in the history.
 *
 * @param {{[name: string]: string}} values
 */
export function keep(values) {
  const parameters = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) parameters.set(name, value);
    else parameters.delete(name);
  }
  const query = parameters.size ? `?${parameters}` : '';
  history.replaceState(history.state, '', `${location.pathname}${query}${location.hash}`);
}
