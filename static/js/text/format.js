/**
 * Formatting of ages, signs and states as text. Pure.
 *
 * @module
 */

export const NOTHING = '—';
export const ARROWS = { up: '▲', down: '▼', same: '' };

/** @typedef {'up' | 'down' | 'same'} Direction */

/**
 * Format an age in at most six characters: "0.3 s", "12 s", "4 min", "3 h", "2 d".
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
 * Add a plus to a number without a sign; zero gets no sign, not even after rounding ("-0.00").
 *
 * @param {string} text
 * @returns {string}
 */
export function signed(text) {
  if (!/[1-9]/.test(text)) return text.replace(/^[-+]/, '');
  return /^[-+]/.test(text) ? text : `+${text}`;
}

/**
 * Return the direction of a signed number.
 *
 * @param {string | null | undefined} text
 * @returns {Direction}
 */
export function direction(text) {
  if (!text || !/[1-9]/.test(text)) return 'same';
  return text.startsWith('-') ? 'down' : 'up';
}

/** Badge and sentence for each state of the page's own connection. */
const LINKS = {
  connecting: ['Connecting', 'Connecting to the server.'],
  live: ['Live', ''],
  silent: ['No data', 'Nothing was received for more than 6 seconds.'],
  nothing: ['Nothing live', 'The engine cannot be reached.'],
  reconnecting: ['Reconnecting', 'The connection to the server was lost. Reconnecting.'],
  refused: ['Refused', 'The server refused the connection.'],
  offline: ['Offline', 'This device is offline.'],
};

/**
 * Describe in a word or two whether prices are live, and in a sentence why they are not.
 *
 * @param {import('../live/live.js').Link} link
 * @param {import('../live/live.js').Verdict | null | undefined} verdict
 * @returns {[string, string]} the sentence is empty while everything is live
 */
export function describeLink(link, verdict) {
  const [word, sentence] = LINKS[link];
  if (!verdict || verdict.state === 'unreachable') return [word, sentence];
  const { live, total, real, dark, pinned } = verdict;
  const kind = real ? 'real pair' : 'instrument';
  if (link === 'nothing') {
    const why = pinned ? `${pinned} is pinned and delivers none` : 'every source is silent or disconnected';
    return [real ? 'No live pairs' : word, `No ${kind} has a live price: ${why}.`];
  }
  if (link !== 'live' || live === total) return [word, sentence];
  const more = total - live - dark.length;
  return [`${live} of ${total} live`, `No live price for ${dark.join(', ')}${more ? ` and ${more} more` : ''}.`];
}

/** @param {string} text @returns {string} with a capital letter and a full stop */
export function asSentence(text) {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
}
