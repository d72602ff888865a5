/**
 * How values are said: ages, times, states, signs. Pure; text in, text out.
 *
 * @module
 */

export const NOTHING = '—';
export const ARROWS = { up: '▲', down: '▼', same: '' };

/** @typedef {'up' | 'down' | 'same'} Direction */

/**
 * Say an age in at most six characters: "0.3 s", "12 s", "4 min", "3 h", "2 d".
 *
 * @param {number | null} ms
 * @param {boolean} tenths show tenths of a second below ten seconds
 * @returns {string}
 */
export function age(ms, tenths = false) {
  if (ms === null) return NOTHING;
  const seconds = ms / 1000;
  if (seconds < 10 && tenths) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}

/**
 * Say a moment in the viewer's own time, to the tenth of a second.
 *
 * @param {number | null | undefined} ms since the epoch
 * @returns {string}
 */
export function moment(ms) {
  if (typeof ms !== 'number') return NOTHING;
  const date = new Date(ms);
  const two = (/** @type {number} */ n) => String(n).padStart(2, '0');
  const tenth = Math.floor(date.getMilliseconds() / 100);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${tenth}`;
}

/**
 * Give a number's text a plus where it has no sign; zero gets none, not even after rounding ("-0.00").
 *
 * @param {string} text
 * @returns {string}
 */
export function signed(text) {
  if (!/[1-9]/.test(text)) return text.replace(/^[-+]/, '');
  return /^[-+]/.test(text) ? text : `+${text}`;
}

/**
 * Cut a number's text where nothing but four or more zeros follow: some venues always write eight digits. Head and tail together are the text, exactly.
 *
 * @param {string} text
 * @returns {[string, string]}
 */
export function split(text) {
  const [, head = text, zeros = ''] = /^([-+]?\d*\.\d{2}\d*?)(0{4,})$/.exec(text) ?? [];
  return [head, zeros];
}

/**
 * Tell the direction of a signed number's text.
 *
 * @param {string | null | undefined} text
 * @returns {Direction}
 */
export function direction(text) {
  if (!text || !/[1-9]/.test(text)) return 'same';
  return text.startsWith('-') ? 'down' : 'up';
}

/** What each state of the page's own connection is called and means. */
export const LINKS = {
  connecting: ['Connecting', 'Connecting to the server.'],
  live: ['Live', ''],
  silent: ['No news', 'The server has sent nothing for more than 6 seconds.'],
  nothing: ['Nothing live', 'No source is live: the engine is not running, or every venue is lost.'],
  reconnecting: ['Reconnecting', 'The connection to the server was lost; trying again.'],
  refused: ['Refused', 'The server refused to serve this page.'],
  offline: ['Offline', 'This device is offline.'],
};
