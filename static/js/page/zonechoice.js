/**
 * Choosing the time zone of all pages. Loaded on demand.
 *
 * @module
 */

/**
 * Store the choice and reload the page.
 *
 * @param {string} key of the storage
 * @param {'utc' | 'local'} zone
 */
export function keepZone(key, zone) {
  try {
    localStorage.setItem(key, zone);
  } catch {
    // storage is disabled: nothing changes
    return;
  }
  // Times on the page were formatted in the old zone.
  location.reload();
}
