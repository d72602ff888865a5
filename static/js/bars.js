/**
 * The bars of one series as a page holds them: pages of the history, joined by the live ones without a hole.
 * Pure; knows no page and no network.
 *
 * @module
 */

/**
 * @typedef {{time: number, open: string, high: string, low: string, close: string, volume: string | null,
 *   trades: number | null, source: string, closed: boolean}} Bar
 * @typedef {{from: number, to: number | null, reason: string}} Gap
 * @typedef {{symbol: string, interval: string, interval_ms: number, epoch: string, seq: number,
 *   older: number | null, newer: number | null, bars: Bar[], gaps: Gap[]}} HistoryPage
 * @typedef {{symbol: string, interval: string, epoch: string, seq: number, previous: number | null,
 *   bars: Bar[], gap: Gap | null}} Candles
 */

/** Places a gap takes on the chart at most: a night without data must not push all else aside. */
const WIDEST_GAP = 30;

export class Bars {
  /** @type {Bar[]} oldest first */
  bars = [];
  /** @type {Gap[]} oldest first */
  gaps = [];
  /** @type {number | null} where the next older page ends; null: there is none */
  older = null;
  interval = '';
  length = 0;
  #epoch = '';
  #seq = -1;

  /** Begin with the newest page. @param {HistoryPage} page */
  begin(page) {
    this.bars = page.bars;
    this.gaps = page.gaps;
    this.older = page.older;
    this.interval = page.interval;
    this.length = page.interval_ms;
    this.#epoch = page.epoch;
    this.#seq = page.seq;
  }

  /** Put an older page before what is held. @param {HistoryPage} page */
  precede(page) {
    const first = this.bars[0]?.time ?? Infinity;
    this.bars = [...page.bars.filter((bar) => bar.time < first), ...this.bars];
    const begins = new Set(this.gaps.map((gap) => gap.from));
    this.gaps = [...page.gaps.filter((gap) => !begins.has(gap.from)), ...this.gaps];
    this.older = page.older;
  }

  /**
   * Join live bars.
   *
   * @param {Candles} live
   * @returns {Bar[] | null} what is new, oldest first; null: something is missing, begin anew
   */
  join(live) {
    if (live.interval !== this.interval) return [];
    if (live.epoch !== this.#epoch) return null;
    if (live.seq < this.#seq) return []; // the page was newer
    this.#seq = live.seq;
    this.#tell(live.gap);
    const last = this.bars.at(-1)?.time ?? -Infinity;
    const first = live.bars[0]?.time;
    if (first === undefined) return [];
    const holds = first <= last || live.previous === null || live.previous <= last;
    if (!holds) return null;
    const fresh = live.bars.filter((bar) => bar.time >= last);
    while (this.bars.length && this.bars.at(-1).time >= (fresh[0]?.time ?? Infinity)) this.bars.pop();
    this.bars.push(...fresh);
    return fresh;
  }

  /** @param {number} time ms @returns {Bar | undefined} the bar that begins then */
  at(time) {
    let low = 0;
    let high = this.bars.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const found = this.bars[middle].time;
      if (found === time) return this.bars[middle];
      if (found < time) low = middle + 1;
      else high = middle - 1;
    }
    return undefined;
  }

  /** @param {number} time ms @returns {Gap | undefined} the gap that holds this place */
  gapAt(time) {
    return this.gaps.find((gap) => gap.from < time + this.length && (gap.to === null || gap.to > time));
  }

  /**
   * List the empty places that show the gaps: times between bars, at most WIDEST_GAP of each gap.
   *
   * @returns {number[]} ms, ascending
   */
  emptyPlaces() {
    const first = this.bars[0]?.time;
    const last = this.bars.at(-1)?.time;
    if (first === undefined || last === undefined) return [];
    const taken = new Set(this.bars.map((bar) => bar.time));
    /** @type {Set<number>} */
    const places = new Set();
    for (const gap of this.gaps) {
      const begin = Math.max(first, gap.from - (gap.from % this.length));
      const end = Math.min(gap.to ?? last, last);
      const step = Math.max(1, Math.ceil((end - begin) / this.length / WIDEST_GAP)) * this.length;
      for (let time = begin; time < end; time += step) if (!taken.has(time)) places.add(time);
    }
    return [...places].sort((a, b) => a - b);
  }

  /** @param {Gap | null} gap the gap that is open now */
  #tell(gap) {
    const last = this.gaps.at(-1);
    if (gap && last?.from !== gap.from) this.gaps.push(gap);
    if (!gap && last?.to === null) last.to = Date.now();
  }
}
