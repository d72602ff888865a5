/**
 * The chart and what surrounds it: fetches the history, merges the live bars, describes the chart in words.
 *
 * @module
 */

import { Bars } from './bars.js';
import { Chart } from './chart.js';
import { compare } from '../text/decimal.js';
import { mark, node, write, writeNumber } from '../page/paint.js';
import { ownWords } from './trades.js';
import { NOTHING } from '../text/format.js';
import { stamp, zone } from '../zone.js';

/** @typedef {import('./bars.js').Candles} Candles */
/** @typedef {import('./bars.js').HistoryPage} HistoryPage */

const PAGE = 500;
const DEADLINE_MS = 10_000;
const RETRY_MS = 3_000;
/** The history is fetched again at most this often. */
const PAUSE_MS = 1_000;
/** A venue's older candles may arrive only some seconds after the server's start. */
const BACKFILL_MS = 10_000;
/** Live bars buffered while a page is being fetched; if one is lost, the hole causes another fetch. */
const MAX_BUFFERED = 200;
const STEPS = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity };
const ZOOMS = { '+': 1.25, '=': 1.25, '-': 0.8 };
const LOADING = 'Loading history …';
const VALUES = /** @type {const} */ (['open', 'high', 'low', 'close', 'volume']);

export class ChartPanel {
  #symbol;
  /** the series that is shown: the symbol, or index:SYMBOL */
  #series;
  #digits;
  #choice;
  #box;
  #bars = new Bars();
  #chart;
  /** @type {Candles[] | null} received while a page is being fetched; null: none is */
  #buffer = [];
  #turn = 0;
  #timer = 0;
  #began = -Infinity;
  #fetching = false;
  /** whether the view is close to the oldest bar held */
  #near = false;
  #backfilled = false;
  #trouble = LOADING;
  #reason = '';
  /** how many trades of the viewer's own there are */
  #own = 0;
  /** @type {number | undefined} the time under the cursor */
  #pointed;

  /**
   * Draw into the page's figure.
   *
   * @param {string} symbol
   * @param {import('./choice.js').Choice} choice
   * @param {import('../text/numbers.js').Digits} digits
   */
  constructor(symbol, choice, digits) {
    this.#symbol = symbol;
    this.#series = symbol;
    this.#digits = digits;
    this.#choice = choice;
    this.#box = node('plot');
    this.#chart = new Chart(this.#box, this.#bars, {
      pointed: (time) => this.#point(time),
      moved: (left, following) => {
        node('latest').hidden = following;
        this.#near = left < 0;
        this.#older();
      },
    });
    node('latest').addEventListener('click', () => this.#chart.follow());
    this.#box.addEventListener('keydown', (event) => this.#key(event));
    this.#box.addEventListener('blur', () => this.#leave());
    const themed = () => this.#chart.paintTheme();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', themed);
    new MutationObserver(themed).observe(document.documentElement, { attributeFilter: ['data-theme'] });
    this.choose();
  }

  /** Apply the choice of interval, type and series. */
  choose() {
    const { interval, type, of } = this.#choice;
    const series = of ? `${of}:${this.#symbol}` : this.#symbol;
    const other = series !== this.#series;
    this.#series = series;
    this.#chart.type = type;
    node('csv').setAttribute('href', `./history/${series}?interval=${interval}&format=csv`);
    if (other) {
      const drawn = this.#bars.bars.length > 0;
      this.#bars.clear();
      if (drawn) this.#chart.draw();
      this.#trouble = LOADING;
    }
    if (interval !== this.#bars.interval || this.#buffer) this.#load();
    else this.#chart.draw();
    this.#say();
  }

  /** Merge live bars. @param {Candles} live */
  take(live) {
    if (live.symbol !== this.#series || live.interval !== this.#choice.interval) return;
    if (this.#buffer) {
      this.#buffer.push(live);
      if (this.#buffer.length > MAX_BUFFERED) this.#buffer.shift();
      return;
    }
    const fresh = this.#bars.merge(live);
    if (fresh === null) this.repair();
    this.#chart.update(fresh ?? []);
    this.#say();
  }

  /** Schedule fetching the newest page again. @param {number} after ms */
  repair(after = 0) {
    if (this.#timer) return;
    const pause = this.#began + PAUSE_MS - performance.now();
    this.#timer = setTimeout(() => this.#load(), Math.max(after, pause));
  }

  /** Mark the viewer's own trades. @param {import('./trades.js').Trade[]} trades oldest first */
  own(trades) {
    this.#own = trades.length;
    this.#chart.trades = trades;
    this.#say();
  }

  /** Set why the price is not live. @param {string} reason empty: it is live */
  stale(reason) {
    if (reason === this.#reason) return;
    this.#reason = reason;
    this.#say();
  }

  async #load() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#began = performance.now();
    this.#buffer = [];
    const turn = ++this.#turn;
    const page = await this.#fetch('');
    if (turn !== this.#turn) return;
    if (page === undefined) {
      this.#buffer = null;
      this.#trouble = 'There are no bars of its index: too few sources carry it.';
    } else {
      this.#trouble = page ? '' : 'History is unavailable. Trying again …';
      if (page) this.#begin(page);
      else this.repair(RETRY_MS);
    }
    this.#say();
  }

  /** @param {HistoryPage} page */
  #begin(page) {
    const other = page.interval !== this.#bars.interval;
    const first = !this.#bars.interval;
    this.#bars.begin(page);
    const buffered = this.#buffer ?? [];
    this.#buffer = null;
    if (!buffered.every((live) => this.#bars.merge(live))) this.repair();
    this.#chart.draw();
    if (first) this.#chart.spread();
    if (other) this.#chart.follow();
    if (page.older !== null || this.#backfilled) return;
    this.#backfilled = true;
    this.repair(BACKFILL_MS);
  }

  async #older() {
    const { older } = this.#bars;
    if (older === null || !this.#near || this.#fetching || this.#buffer) return;
    this.#fetching = true;
    const turn = this.#turn;
    const page = await this.#fetch(`&to=${older}`);
    this.#fetching = false;
    if (!page) setTimeout(() => this.#older(), RETRY_MS);
    if (!page || turn !== this.#turn) return;
    this.#bars.prepend(page);
    this.#chart.draw();
    this.#say();
  }

  /** @param {string} more further query parameters @returns {Promise<HistoryPage | null | undefined>} null: it failed; undefined: there is none */
  async #fetch(more) {
    const query = `interval=${this.#choice.interval}&limit=${PAGE}${more}`;
    try {
      const answer = await fetch(`./history/${this.#series}?${query}`, { signal: AbortSignal.timeout(DEADLINE_MS) });
      if (answer.status === 404 && this.#series !== this.#symbol) return undefined;
      return answer.ok ? await answer.json() : null;
    } catch {
      // no network, or a timeout
      return null;
    }
  }

  /** @param {number | undefined} time */
  #point(time) {
    this.#pointed = time;
    this.#say();
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    const step = STEPS[/** @type {keyof typeof STEPS} */ (event.key)];
    const zoom = ZOOMS[/** @type {keyof typeof ZOOMS} */ (event.key)];
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (step) {
      this.#point(this.#chart.step(event.shiftKey ? step * 10 : step));
      write(node('chart-said'), node('legend').textContent ?? '');
    } else if (zoom) this.#chart.zoom(zoom);
    else if (event.key === 'Escape') this.#leave();
    else return;
    event.preventDefault();
  }

  #leave() {
    this.#chart.leave();
    this.#point(undefined);
  }

  #say() {
    this.#sayBar();
    const { bars, interval } = this.#bars;
    const first = bars[0];
    const words = first ? `${bars.length} bar${bars.length === 1 ? '' : 's'} of ${interval} since ${stamp(first.time)} ${zone()}.` : 'No bars yet.';
    const own = this.#own ? ` ${this.#own} of your trades.` : '';
    const what = this.#choice.of ? 'Index. ' : '';
    write(node('chart-words'), `${what}${this.#choice.type === 'line' ? 'Line of closing prices' : 'Candles'}: ${words}${own}`);
    write(node('chart-note'), this.#note() || words);
  }

  /** Show the values of the bar under the cursor, or of the newest. */
  #sayBar() {
    const time = this.#pointed ?? this.#bars.bars.at(-1)?.time;
    const bar = time === undefined ? undefined : this.#bars.at(time);
    const gaps = time === undefined ? [] : this.#bars.gapsAt(time);
    write(node('bar-time'), time === undefined ? NOTHING : `${stamp(time)} ${zone()}`);
    for (const name of VALUES) writeNumber(node(`bar-${name}`), bar?.[name], name === 'volume' ? 0 : this.#digits.prices(bar?.[name]));
    write(node('bar-source'), bar?.source ?? '');
    write(node('bar-gap'), gaps.length ? `gap: ${gaps.map((gap) => gap.reason).join('; ')}` : '');
    write(node('bar-own'), ownWords(this.#chart.ownAt(time)));
    const order = compare(bar?.close, bar?.open);
    mark(node('legend'), 'way', order ? (order > 0 ? 'up' : 'down') : null);
  }

  #note() {
    if (this.#trouble) return this.#trouble;
    if (this.#reason && !this.#choice.of) return `Not live: ${this.#reason}`;
    const { gaps } = this.#bars;
    const gap = gaps.at(-1);
    if (!gap) return '';
    if (gap.to === null) return `No bars since ${stamp(gap.from)} ${zone()}: ${gap.reason}.`;
    const count = gaps.length === 1 ? 'A gap' : `${gaps.length} gaps, the newest`;
    return `${count} from ${stamp(gap.from)} to ${stamp(gap.to)} ${zone()}: ${gap.reason}.`;
  }
}
