/**
 * The instruments to pick from. They are loaded when the field is first used: a page names only its own instrument and its
 * neighbours, because there may be thousands.
 *
 * @module
 */

import { make } from '../page/paint.js';

/** A list that has not come after this will not come. */
const LONGEST_MS = 10_000;

/** @typedef {{symbol: string, base: string | null, quote: string | null, synthetic: boolean, coin: string}} Listed */

/**
 * Fill the list with all instruments, in their order; throws if they cannot be loaded.
 *
 * @param {HTMLElement} list
 * @param {string} current symbol of the page's own
 */
export async function fillChoices(list, current) {
  const response = await fetch('./instruments', {
    headers: { Accept: 'application/json' },
    signal: AbortSignal.timeout(LONGEST_MS),
  });
  if (!response.ok) throw new Error(response.statusText);
  const { instruments } = /** @type {{instruments: Listed[]}} */ (await response.json());
  if (!instruments.length) throw new Error('the gateway knows no instrument yet');
  list.replaceChildren(...instruments.map((one, at) => option(one, at + 1, one.symbol === current)));
}

/**
 * @param {Listed} one
 * @param {number} number
 * @param {boolean} current
 */
function option({ symbol, base, quote, synthetic, coin }, number, current) {
  const made = make(
    'li',
    {
      role: 'option',
      id: `choice-${number}`,
      'data-symbol': symbol,
      'data-find': `${symbol} ${base ?? ''}/${quote ?? ''} ${coin}`,
      'aria-selected': 'false',
    },
    make('span', {}, base ? `${base}/${quote}` : symbol),
  );
  if (synthetic) made.append(make('small', {}, 'synthetic'));
  if (current) made.setAttribute('aria-current', 'page');
  return made;
}
