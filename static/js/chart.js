/**
 * The chart of an instrument: history from its first moment, joined by the live bars.
 * Numbers are turned into binary floats for drawing only; what is written is the venue's text.
 *
 * @module
 */

import {
  CandlestickSeries,
  createChart,
  HistogramSeries,
  LineSeries,
} from '../vendor/lightweight-charts.standalone.production.mjs';
import { Bars } from './bars.js';
import { write } from './paint.js';

export const INTERVALS = ['1s', '5s', '15s', '1m', '5m', '15m', '1h', '4h', '1d'];
const TYPES = ['candles', 'line'];
/** Bars of a page, and how near to its oldest bar a viewer comes before the next one is asked for. */
const PAGE = 500;
const NEAR = 40;
const RETRY_MS = 3_000;

/** @param {string} name of a custom property @returns {string} the colour it has now */
function colour(name) {
  const probe = document.createElement('i');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

export class PriceChart {
  #symbol;
  #box;
  #legend;
  #note;
  #chart;
  #candles;
  #line;
  #gaps;
  #bars = new Bars();
  #asked = 0;
  #loading = false;
  #wished;
  interval;
  type;

  /**
   * Draw into the figure of the page.
   *
   * @param {string} symbol
   * @param {HTMLElement} figure holds `.plot`, `.legend`, `.gap-note` and the buttons
   * @param {(interval: string) => void} wished called when live bars of another interval are wanted
   */
  constructor(symbol, figure, wished) {
    this.#symbol = symbol;
    this.#wished = wished;
    this.#box = /** @type {HTMLElement} */ (figure.querySelector('.plot'));
    this.#legend = /** @type {HTMLElement} */ (figure.querySelector('.legend'));
    this.#note = /** @type {HTMLElement} */ (figure.querySelector('.gap-note'));
    const asked = new URLSearchParams(location.search);
    this.interval = pick(asked.get('interval'), INTERVALS, symbol.startsWith('ticker_') ? '1s' : '1m');
    this.type = pick(asked.get('type'), TYPES, symbol.startsWith('ticker_') ? 'line' : 'candles');
    this.#chart = createChart(this.#box, { autoSize: true });
    this.#gaps = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: '',
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#gaps.priceScale().applyOptions({ scaleMargins: { top: 0, bottom: 0 } });
    this.#candles = this.#chart.addSeries(CandlestickSeries, {});
    this.#line = this.#chart.addSeries(LineSeries, { lineWidth: 2 });
    this.#chart.subscribeCrosshairMove((/** @type {any} */ at) => this.#point(at.time));
    this.#chart.timeScale().subscribeVisibleLogicalRangeChange((/** @type {any} */ range) => {
      if (range && range.from < NEAR) this.#more();
    });
    this.#listen(figure);
    this.#paintTheme();
    this.#load();
  }

  /** Join live bars. @param {import('./bars.js').Candles} live */
  take(live) {
    if (live.symbol !== this.#symbol || this.#loading) return;
    const fresh = this.#bars.join(live);
    if (fresh === null) {
      this.#load();
      return;
    }
    for (const bar of fresh) this.#active().update(this.#point_of(bar));
    this.#point(undefined);
    this.#say();
  }

  /** Fetch anew what is shown: after a sleep, a new life of the engine, another interval. */
  async #load() {
    this.#loading = true;
    const page = await this.#fetch('');
    this.#loading = false;
    if (page === undefined) return;
    if (page === null) {
      setTimeout(() => this.#load(), RETRY_MS);
      return;
    }
    const same = this.#bars.interval === page.interval;
    this.#bars.begin(page);
    this.#paint();
    if (!same) this.#chart.timeScale().scrollToRealTime();
  }

  async #more() {
    const { older } = this.#bars;
    if (older === null || this.#loading) return;
    this.#loading = true;
    const page = await this.#fetch(`&to=${older}`);
    this.#loading = false;
    if (!page) return;
    this.#bars.precede(page);
    this.#paint();
  }

  /**
   * @param {string} more of the query
   * @returns {Promise<import('./bars.js').HistoryPage | null | undefined>} null: it failed; undefined: another
   *   interval is wanted by now
   */
  async #fetch(more) {
    const turn = ++this.#asked;
    try {
      const response = await fetch(`/history/${this.#symbol}?interval=${this.interval}&limit=${PAGE}${more}`, {
        headers: { Accept: 'application/json' },
      });
      const page = response.ok ? await response.json() : null;
      if (turn !== this.#asked) return undefined;
      write(this.#note, page ? '' : 'The history cannot be read now; trying again.');
      return page;
    } catch {
      return turn === this.#asked ? null : undefined;
    }
  }

  #active() {
    return this.type === 'line' ? this.#line : this.#candles;
  }

  /** @param {import('./bars.js').Bar} bar @returns {any} */
  #point_of(bar) {
    const time = bar.time / 1000;
    if (this.type === 'line') return { time, value: Number(bar.close) };
    const { open, high, low, close } = bar;
    return { time, open: Number(open), high: Number(high), low: Number(low), close: Number(close) };
  }

  #paint() {
    const digits = Math.max(0, ...this.#bars.bars.slice(-50).map((bar) => decimals(bar.close)));
    const format = { type: 'price', precision: digits, minMove: 10 ** -digits };
    const empty = this.#bars.emptyPlaces();
    const points = [...this.#bars.bars.map((bar) => this.#point_of(bar)), ...empty.map((at) => ({ time: at / 1000 }))];
    points.sort((a, b) => a.time - b.time);
    for (const series of [this.#candles, this.#line]) {
      series.applyOptions({ priceFormat: format });
      series.setData(series === this.#active() ? points : []);
    }
    this.#gaps.setData(empty.map((at) => ({ time: at / 1000, value: 1 })));
    this.#chart.timeScale().applyOptions({ timeVisible: this.#bars.length < 86_400_000, secondsVisible: this.#bars.length < 60_000 });
    this.#point(undefined);
    this.#say();
  }

  /** Write the values at the crosshair, or of the newest bar. @param {number | undefined} time in seconds */
  #point(time) {
    const at = time === undefined ? undefined : time * 1000;
    const bar = at === undefined ? this.#bars.bars.at(-1) : this.#bars.at(at);
    const gap = at !== undefined && !bar ? this.#bars.gapAt(at) : undefined;
    let words = gap ? `No bars: ${gap.reason}` : '';
    if (bar) {
      const volume = bar.volume === null ? '' : `  Volume ${bar.volume}`;
      words = `${clock(bar.time)}  O ${bar.open}  H ${bar.high}  L ${bar.low}  C ${bar.close}${volume}  ${bar.source}`;
    }
    write(this.#legend, words || 'No bar yet.');
  }

  /** Say in words what the picture shows, for those who cannot see it. */
  #say() {
    const { bars, gaps } = this.#bars;
    const open = gaps.at(-1)?.to === null ? gaps.at(-1) : undefined;
    write(this.#note, open ? `No bars now: ${open.reason}` : '');
    const last = bars.at(-1);
    const words = last ? `${bars.length} bars of ${this.interval}, the last one closed at ${last.close}.` : 'No bar yet.';
    this.#box.setAttribute('aria-label', `Price chart. ${words}`);
  }

  /** @param {HTMLElement} figure */
  #listen(figure) {
    const buttons = [...figure.querySelectorAll('button[data-interval], button[data-type]')];
    const show = () => {
      for (const button of buttons) {
        const chosen = button.getAttribute('data-interval') ?? button.getAttribute('data-type');
        button.setAttribute('aria-pressed', String(chosen === this.interval || chosen === this.type));
      }
    };
    for (const button of buttons) {
      button.addEventListener('click', () => {
        this.#choose(button.getAttribute('data-interval') ?? this.interval, button.getAttribute('data-type') ?? this.type);
        show();
      });
    }
    show();
    const themed = () => this.#paintTheme();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', themed);
    new MutationObserver(themed).observe(document.documentElement, { attributeFilter: ['data-theme'] });
  }

  /**
   * @param {string} interval
   * @param {string} type
   */
  #choose(interval, type) {
    const other = interval !== this.interval;
    this.interval = interval;
    this.type = type;
    const query = new URLSearchParams(location.search);
    query.set('interval', interval);
    query.set('type', type);
    history.replaceState(history.state, '', `?${query}`);
    if (!other) {
      this.#paint();
      return;
    }
    this.#wished(interval);
    this.#load();
  }

  #paintTheme() {
    const [ink, line, up, down, accent, gap] = ['--soft', '--line', '--up', '--down', '--accent', '--warn-stripe'].map(colour);
    this.#chart.applyOptions({
      layout: { background: { color: 'transparent' }, textColor: ink, fontFamily: getComputedStyle(document.body).fontFamily },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      rightPriceScale: { borderColor: line },
      timeScale: { borderColor: line },
      localization: { timeFormatter: (/** @type {number} */ time) => clock(time * 1000) },
    });
    this.#candles.applyOptions({ upColor: up, borderUpColor: up, wickUpColor: up, downColor: down, borderDownColor: down, wickDownColor: down });
    this.#line.applyOptions({ color: accent });
    this.#gaps.applyOptions({ color: gap });
  }
}

/**
 * @param {string | null} wanted
 * @param {string[]} known
 * @param {string} usual
 */
function pick(wanted, known, usual) {
  return wanted !== null && known.includes(wanted) ? wanted : usual;
}

/** @param {string} text of a number @returns {number} digits after its point, zeros at the end not counted */
function decimals(text) {
  return /\.(\d*?)0*$/.exec(text)?.[1].length ?? 0;
}

/** @param {number} ms @returns {string} the moment in UTC, as the time scale shows it */
function clock(ms) {
  return new Date(ms).toISOString().slice(0, 19).replace('T', ' ');
}
