/**
 * The one time zone of all pages: UTC, or this viewer's own, chosen in the footer and named where times stand.
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
    return null; // storage may be switched off
  }
}

/** @param {number} ms @returns {string} as toISOString, but in the zone that was chosen */
function iso(ms) {
  return new Date(local ? ms - new Date(ms).getTimezoneOffset() * 60_000 : ms).toISOString();
}

/** @returns {string} "UTC", "UTC+2", "UTC-3:30": the zone's own name now */
export function zone() {
  const minutes = local ? -new Date().getTimezoneOffset() : 0;
  if (!minutes) return 'UTC';
  const rest = Math.abs(minutes) % 60;
  return `UTC${minutes < 0 ? '-' : '+'}${Math.floor(Math.abs(minutes) / 60)}${rest ? `:${String(rest).padStart(2, '0')}` : ''}`;
}

/** @param {number | null | undefined} ms since the epoch @returns {string} the time of day to the tenth of a second */
export function moment(ms) {
  return typeof ms === 'number' ? iso(ms).slice(11, 21) : NOTHING;
}

/** @param {number} ms @returns {string} day and time: "2026-01-31 12:00:00" */
export function stamp(ms) {
  return iso(ms).slice(0, 19).replace('T', ' ');
}

/** @param {number | null} ms @returns {string} the time of day, with the date where that is not today's */
export function when(ms) {
  if (ms === null) return NOTHING;
  const text = stamp(ms);
  return text.slice(0, 10) === stamp(Date.now()).slice(0, 10) ? text.slice(11) : text;
}

for (const place of document.querySelectorAll('[data-zone]')) place.textContent = zone();
const choice = document.getElementById('zone');
if (choice) {
  choice.title = local ? 'Show times in UTC' : 'Show times in your own time zone';
  choice.hidden = false;
  choice.addEventListener('click', () => {
    try {
      localStorage.setItem(KEY, local ? 'utc' : 'local');
    } catch {
      return;
    }
    location.reload(); // what is on the page was written in the other zone
  });
}
