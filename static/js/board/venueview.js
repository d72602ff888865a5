/**
 * The board's other view: the quotes of each real pair by source, with the best live bid and ask marked.
 *
 * @module
 */

import { subtract } from '../text/decimal.js';
import { Filter } from '../page/filter.js';
import { Live } from '../live/live.js';
import { Digits, shown } from '../text/numbers.js';
import { mark, painter, write } from '../page/paint.js';
import { reloadIfOthers } from '../page/reload.js';
import { BoardStatus } from '../live/boardstatus.js';
import { VenueTable } from '../live/venues.js';
import { ARROWS, direction, NOTHING, signed } from '../text/format.js';

/** @typedef {import('../live/live.js').Venues} Venues */

/** One pair: its card and the table in it. */
class Pair {
  /** @type {Venues | null} */
  venues = null;
  #element;
  #table;
  #digits;

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
    this.symbol = element.dataset.symbol ?? '';
    this.#digits = new Digits(element.dataset);
    this.#table = new VenueTable(this.#cell('tbody'), this.#cell('.best-words'), this.#digits);
  }

  /** @param {string} name */
  #cell(name) {
    return /** @type {HTMLElement} */ (this.#element.querySelector(name));
  }

  /** @param {Venues} venues */
  update(venues) {
    this.venues = venues;
    this.#table.update(venues);
  }

  /**
   * @param {import('../live/live.js').Quote | undefined} quote the served one
   * @param {boolean} receiving whether the server is sending
   */
  paint(quote, receiving) {
    const { venues } = this;
    const share = quote?.change_24h ?? null;
    const change = share ?? quote?.change_abs_24h ?? null;
    const way = direction(change);
    mark(this.#cell('.change'), 'way', change === null ? null : way);
    write(this.#cell('.change'), change === null ? NOTHING : `${ARROWS[way]} ${signed(change)}${share === null ? '' : ' %'} in 24 h`.trim());
    write(this.#cell('.between'), receiving ? between(venues, this.#digits.price) : '');
    const stale = Boolean(venues?.stale) || !receiving;
    mark(this.#element, 'stale', stale && venues ? '' : null);
    write(this.#cell('.why'), venues && stale ? `STALE${receiving && venues.reason ? `: ${venues.reason}` : ''}` : '');
    this.#table.paint(receiving);
  }

  paintAges() {
    this.#table.paintAges();
  }
}

/**
 * Describe the spread between the best bid and the best ask; across venues the market may be crossed.
 *
 * @param {Venues | null} venues
 * @param {number} digits
 * @returns {string}
 */
function between(venues, digits) {
  const spread = subtract(venues?.best_ask, venues?.best_bid);
  if (spread === null) return '';
  const size = shown(spread.replace('-', ''), digits);
  const crossed = direction(spread) === 'down';
  return crossed ? `Crossed: the bid is ${size} above the ask.` : `Spread: ${size}.`;
}

/** Start the live view. */
export function startVenueView() {
  const place = /** @type {HTMLElement} */ (document.getElementById('per-venue'));
  const elements = /** @type {HTMLElement[]} */ ([...place.querySelectorAll('.pair')]);
  const pairs = new Map(elements.map((element) => [element.dataset.symbol ?? '', new Pair(element)]));
  /** @type {Set<string>} */
  const changed = new Set();
  const boardStatus = new BoardStatus();
  const all = new Set((place.dataset.symbols ?? '').split(' ').filter(Boolean));
  new Filter(place);

  const repaint = painter(() => {
    for (const symbol of changed) pairs.get(symbol)?.paint(live.quotes.get(symbol), live.receiving);
    changed.clear();
    for (const pair of pairs.values()) pair.paintAges();
  });
  const everything = () => {
    for (const symbol of pairs.keys()) changed.add(symbol);
    repaint();
  };
  const live = new Live(
    { symbols: [...pairs.keys()], interval_ms: 250, delta: true, candles: null, venues: pairs.size > 0 },
    {
      quotes(symbols) {
        for (const symbol of symbols) changed.add(symbol);
        repaint();
      },
      replaced: everything,
      link(_, reason) {
        boardStatus.link(live, reason);
        everything();
      },
      hello({ symbols, sources }) {
        boardStatus.showNames(sources);
        reloadIfOthers(all, symbols);
      },
      status: (states) => boardStatus.update(states),
      venues(venues) {
        pairs.get(venues.symbol)?.update(venues);
        changed.add(venues.symbol);
        repaint();
      },
    },
  );
  setInterval(repaint, 100);
}
