/**
 * The time zone of all pages: UTC or this viewer's own, chosen in the footer and named wherever times are shown.
 *
 * @module
 */

const KEY = 'zone';
const NOTHING = '—';
const local = read() === 'local';

function read() {
  try {
    return localStorage.getItem(KEY);
  } catch {
    // storage may be disabled
    return null;
  }
}

/** @param {number} ms @returns {string} like toISOString, but in the chosen zone */
function iso(ms) {
  return new Date(local ? ms - new Date(ms).getTimezoneOffset() * 60_000 : ms).toISOString();
}

/** @returns {string} "UTC", "UTC+2", "UTC-3:30": the current name of the zone */
export function zone() {
  if (!local) return 'UTC';
  const parts = new Intl.DateTimeFormat('en', { timeZoneName: 'shortOffset' }).formatToParts();
  return parts.at(-1)?.value.replace('GMT', 'UTC') ?? '';
}

/** @param {number | null | undefined} ms since the epoch @returns {string} the time of day to the tenth of a second */
export function moment(ms) {
  return typeof ms === 'number' ? iso(ms).slice(11, 21) : NOTHING;
}

/** @param {number} ms @returns {string} day and time: "2026-01-31 12:00:00" */
export function stamp(ms) {
  return iso(ms).slice(0, 19).replace('T', ' ');
}

/** @param {number | null} ms @returns {string} the time of day, with the date unless it is today */
export function when(ms) {
  if (ms === null) return NOTHING;
  const text = stamp(ms);
  return text.slice(0, 10) === stamp(Date.now()).slice(0, 10) ? text.slice(11) : text;
}

for (const place of document.querySelectorAll('[data-zone]')) place.textContent = zone();
const choice = document.getElementById('zone');
if (choice) choice.hidden = false;
choice?.addEventListener('click', async () => (await import('./page/zonechoice.js')).keepZone(KEY, local ? 'utc' : 'local'));
