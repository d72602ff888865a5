/**
 * The drawing of the bars. Numbers become binary floats for drawing only; displayed values are the venue's text.
 *
 * @module
 */

import { CandlestickSeries, createChart, createSeriesMarkers, HistogramSeries, LineSeries } from '../../vendor/lightweight-charts.standalone.production.mjs';
import { digitsOf, priceFormat, tick } from './axis.js';
import { Bands } from './bands.js';
import { before, switches } from './bars.js';
import { marksOf } from './trades.js';
import { stamp } from '../zone.js';

/** @typedef {import('./bars.js').Bar} Bar */
/** @typedef {import('./bars.js').Bars} Bars */

/** Empty space right of the newest bar, in bars. */
const RIGHT = 5;
/** Bars that always stay visible. */
const KEPT = 5;
/** Older bars are requested when fewer than these are left of the view. */
const NEAR = 60;
const HIDDEN = 'transparent';

export class Chart {
  #box;
  #bars;
  #chart;
  #candles;
  #line;
  #volumes;
  #marks;
  /** @type {import('./trades.js').Trade[]} */
  #trades = [];
  #bands = new Bands();
  /** @type {{time: number}[]} the positions on the time scale: bars, and the empty bars of gaps */
  #places = [];
  #shape = -1;
  #digits = -1;
  #colours = { up: '', down: '', switched: '' };
  /** @type {number | undefined} the time at the keyboard cursor */
  #cursor;
  type = 'line';

  /**
   * Make an empty chart.
   *
   * @param {HTMLElement} box
   * @param {Bars} bars what is drawn
   * @param {object} on
   * @param {(time: number | undefined) => void} on.pointed the time under the mouse; undefined: none
   * @param {(left: number, following: boolean) => void} on.moved called with the number of bars left of the view, less
   *   NEAR, and whether the newest bar is visible
   */
  constructor(box, bars, { pointed, moved }) {
    this.#box = box;
    this.#bars = bars;
    this.#chart = createChart(box, {
      autoSize: true,
      // a vertical swipe must scroll the page
      handleScroll: { vertTouchDrag: false },
      rightPriceScale: { scaleMargins: { top: 0.12, bottom: 0.2 } },
      timeScale: { rightOffset: RIGHT, minBarSpacing: 0.5, maxBarSpacing: 60, tickMarkFormatter: tick },
      localization: { timeFormatter: (/** @type {number} */ time) => stamp(time * 1000) },
    });
    this.#volumes = this.#chart.addSeries(HistogramSeries, {
      priceScaleId: '',
      priceFormat: { type: 'volume' },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    this.#volumes.priceScale().applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    this.#candles = this.#chart.addSeries(CandlestickSeries);
    this.#line = this.#chart.addSeries(LineSeries, { lineWidth: 2 });
    this.#marks = [this.#candles, this.#line].map((series) => createSeriesMarkers(series, []));
    this.#chart.panes()[0].attachPrimitive(this.#bands);
    this.#chart.subscribeCrosshairMove((/** @type {any} */ at) => {
      if (at.sourceEvent) this.#cursor = undefined;
      if (this.#cursor === undefined) pointed(at.time === undefined ? undefined : at.time * 1000);
    });
    const scale = this.#chart.timeScale();
    scale.subscribeVisibleLogicalRangeChange((/** @type {any} */ range) => {
      const following = scale.scrollPosition() > -1;
      // Otherwise the label on the axis would be that of the last visible bar, but the dotted line at the newest price.
      if (following !== this.#candles.options().lastValueVisible)
        for (const series of [this.#candles, this.#line]) series.applyOptions({ lastValueVisible: following });
      if (!range || !this.#places.length || this.#hold(range)) return;
      moved(range.from - NEAR, following);
    });
    this.paintTheme();
  }

  /**
   * Keep some bars visible, however far the chart is dragged.
   *
   * @param {{from: number, to: number}} range the view
   * @returns {boolean} whether it was moved back
   */
  #hold({ from, to }) {
    const scale = this.#chart.timeScale();
    const at = scale.scrollPosition();
    const { length } = this.#places;
    const held = Math.max(Math.min(0, KEPT - length), Math.min(at, Math.max(RIGHT, to - from - KEPT)));
    if (Math.abs(held - at) < 0.01) return false;
    scale.scrollToPosition(held, false);
    return true;
  }

  /** Draw new bars. @param {Bar[]} fresh */
  update(fresh) {
    if (this.#shape !== this.#bars.shape || digitsOf(fresh) > this.#digits) {
      this.draw();
      return;
    }
    const places = this.#places.length;
    for (const bar of fresh) {
      this.#active.update(this.#point(bar, false));
      if (bar.volume !== null) this.#volumes.update(this.#volume(bar));
      if (bar.time > (this.#places.at(-1)?.time ?? 0)) this.#places.push(bar);
    }
    if (this.#places.length > places) this.#own();
    this.#mark();
  }

  /** Redraw everything without moving the view. */
  draw() {
    const { bars } = this.#bars;
    const scale = this.#chart.timeScale();
    const offset = scale.scrollPosition();
    const base = this.#places.length - 1;
    const seen = Math.min(base, Math.max(0, Math.round(base + offset)));
    const anchor = this.#places[seen]?.time;
    this.#shape = this.#bars.shape;
    this.#scale(bars);
    const empty = this.#bars.emptyPlaces();
    const holes = new Set(empty);
    this.#places = [...bars, ...empty.map((time) => ({ time }))].sort((a, b) => a.time - b.time);
    const points = this.#places.map((place, n) =>
      holes.has(place.time)
        ? { time: place.time / 1000 }
        : this.#point(/** @type {Bar} */ (place), holes.has(this.#places[n + 1]?.time)),
    );
    this.#active.setData(points);
    (this.#active === this.#line ? this.#candles : this.#line).setData([]);
    this.#volumes.setData(bars.filter((bar) => bar.volume !== null).map((bar) => this.#volume(bar)));
    this.#band();
    this.#own();
    const now = base < 0 || offset > -1 ? -1 : before(this.#places, anchor);
    if (now >= 0) scale.scrollToPosition(offset + now - seen - (this.#places.length - 1 - base), false);
    // the bars in view were removed
    else if (offset < -1) this.follow();
    this.#mark();
  }

  /** Mark the viewer's own trades. @param {import('./trades.js').Trade[]} trades oldest first */
  set trades(trades) {
    this.#trades = trades;
    this.#own();
  }

  /** @param {number | undefined} time of a bar @returns {import('./trades.js').Trade[]} the viewer's own trades in it */
  ownAt(time) {
    const places = this.#places;
    return this.#trades.filter((one) => time !== undefined && places[before(places, one.time)]?.time === time);
  }

  /** Show the newest bars. */
  follow() {
    this.#chart.timeScale().scrollToPosition(RIGHT, false);
  }

  /** Make bars wider if there are few. */
  spread() {
    const scale = this.#chart.timeScale();
    const usual = (8 / 12) * Number.parseFloat(getComputedStyle(this.#box).fontSize);
    const room = scale.width() / (this.#places.length + 4 * RIGHT);
    scale.applyOptions({ barSpacing: Math.min(Math.max(room, usual), 2 * usual) });
  }

  /** @param {number} times */
  zoom(times) {
    const scale = this.#chart.timeScale();
    scale.applyOptions({ barSpacing: scale.options().barSpacing * times });
  }

  /**
   * Move the keyboard cursor.
   *
   * @param {number} steps to the right; Infinity: to the newest bar
   * @returns {number | undefined} its time; undefined if there are no bars
   */
  step(steps) {
    const last = this.#places.length - 1;
    const from = this.#cursor === undefined ? last + (steps < 0 ? 1 : 0) : before(this.#places, this.#cursor);
    const to = Math.max(0, Math.min(last, from + steps));
    this.#cursor = this.#places[to]?.time;
    if (this.#cursor === undefined) return undefined;
    const scale = this.#chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    const beyond = Math.min(0, to - range.from - 1) + Math.max(0, to - range.to + 1);
    if (beyond) scale.scrollToPosition(scale.scrollPosition() + beyond, false);
    this.#mark();
    return this.#cursor;
  }

  /** Remove the keyboard cursor. */
  leave() {
    this.#cursor = undefined;
    this.#chart.clearCrosshairPosition();
  }

  /** Apply the page's current colours and font. */
  paintTheme() {
    const [soft, line, up, down, accent, warn, edge] = coloursOf('soft', 'line', 'up', 'down', 'accent', 'warn', 'edge');
    const { fontFamily, fontSize } = getComputedStyle(this.#box);
    const size = Math.round(Number.parseFloat(fontSize));
    const crosshair = { color: edge, labelBackgroundColor: accent };
    this.#colours = { up, down, switched: accent };
    this.#chart.applyOptions({
      layout: { background: { color: HIDDEN }, textColor: soft, fontFamily, fontSize: size },
      grid: { vertLines: { color: line }, horzLines: { color: line } },
      crosshair: { mode: 0, vertLine: crosshair, horzLine: crosshair },
      rightPriceScale: { borderColor: line, minimumWidth: 7 * size },
      timeScale: { borderColor: line },
    });
    this.#candles.applyOptions({ upColor: up, wickUpColor: up, borderUpColor: up, downColor: down, wickDownColor: down, borderDownColor: down });
    this.#line.applyOptions({ color: accent });
    this.#bands.paint(warn, `${size}px ${fontFamily}`);
    if (this.#places.length) this.draw();
  }

  get #active() {
    return this.type === 'line' ? this.#line : this.#candles;
  }

  /**
   * @param {Bar} bar
   * @param {boolean} breaks whether the line ends here, before a gap
   * @returns {any}
   */
  #point(bar, breaks) {
    const time = bar.time / 1000;
    if (this.type === 'line') return { time, value: Number(bar.close), ...(breaks && { color: HIDDEN }) };
    const { open, high, low, close } = bar;
    return { time, open: Number(open), high: Number(high), low: Number(low), close: Number(close) };
  }

  /** @param {Bar} bar @returns {any} */
  #volume(bar) {
    const way = Number(bar.close) < Number(bar.open) ? 'down' : 'up';
    const color = this.#colours[way].replace('rgb(', 'rgba(').replace(')', ', 0.3)');
    return { time: bar.time / 1000, value: Number(bar.volume), color };
  }

  /** Show as many decimal places as the bars have. @param {Bar[]} bars */
  #scale(bars) {
    this.#digits = digitsOf(bars);
    for (const series of [this.#candles, this.#line]) series.applyOptions({ priceFormat: priceFormat(this.#digits) });
    const { length } = this.#bars;
    this.#chart.timeScale().applyOptions({ timeVisible: length < 86_400_000, secondsVisible: length < 60_000 });
  }

  /** Shade the gaps. */
  #band() {
    const bands = this.#bars.gaps.map(({ from, to, reason }) => {
      return { from: this.#logical(from), to: to === null ? Infinity : this.#logical(to), words: reason };
    });
    this.#bands.set(bands);
  }

  /** Mark the viewer's trades, one arrow per bar and side, and the switches between sources. */
  #own() {
    const own = marksOf(this.#trades, this.#places).map(({ time, side, text }) => {
      const [position, shape, color] = side === 1 ? ['belowBar', 'arrowUp', this.#colours.up] : ['aboveBar', 'arrowDown', this.#colours.down];
      return { time: time / 1000, position, shape, color, text };
    });
    const moved = switches(this.#bars.bars).map(({ time, to }) => {
      return { time: time / 1000, position: 'aboveBar', shape: 'square', color: this.#colours.switched, text: `→ ${to}`, size: 0.5 };
    });
    const marks = [...own, ...moved].sort((a, b) => a.time - b.time);
    const active = this.#active === this.#line ? 1 : 0;
    this.#marks.forEach((one, n) => one.setMarkers(n === active ? marks : []));
  }

  /** @param {number} time ms @returns {number} its fractional position on the time scale */
  #logical(time) {
    const places = this.#places;
    const at = before(places, time);
    if (at < 0) return -0.5;
    const span = (places[at + 1]?.time ?? places[at].time + this.#bars.length) - places[at].time;
    return at - 0.5 + Math.min(1, (time - places[at].time) / span);
  }

  /** Keep the keyboard cursor on its bar. */
  #mark() {
    if (this.#cursor === undefined) return;
    const at = before(this.#places, this.#cursor);
    const bar = this.#bars.bars[before(this.#bars.bars, this.#cursor)];
    if (at >= 0 && bar) this.#chart.setCrosshairPosition(Number(bar.close), this.#places[at].time / 1000, this.#active);
  }
}

/** @param {string[]} names of custom properties @returns {string[]} their current colours */
function coloursOf(...names) {
  const probe = document.createElement('i');
  document.body.append(probe);
  const found = names.map((name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return found;
}
