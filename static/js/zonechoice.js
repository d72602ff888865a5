/**
 * Choosing another time zone for all pages. Loaded when it is asked for.
 *
 * @module
 */

/**
 * Keep the choice and show the page in it.
 *
 * @param {string} key of the storage
 * @param {'utc' | 'local'} zone
 */
export function keepZone(key, zone) {
  try {
    localStorage.setItem(key, zone);
  } catch {
    // Storage is switched off: it stays as it is.
    return;
  }
  // What is on the page was written in the other zone.
  location.reload();
}
