/**
 * The bars of one series: pages of history merged with live bars, without holes or duplicates. Pure.
 *
 * @module
 */

/**
 * @typedef {import('../live/live.js').Bar} Bar
 * @typedef {import('../live/live.js').Gap} Gap
 * @typedef {import('../live/live.js').Candles} Candles
 * @typedef {{symbol: string, interval: string, interval_ms: number, epoch: string, seq: number,
 *   older: number | null, newer: number | null, bars: Bar[], gaps: Gap[]}} HistoryPage
 */

/** Maximum width of a gap on the chart in bars: a night without data must not push everything else aside. */
const WIDEST_GAP = 20;
/** Live bars kept besides those loaded by scrolling back; older ones can be fetched again. */
const MAX_LIVE = 20_000;
/** Live bars older than those held by this many ms mean that the server's clock was set back. */
const SET_BACK_MS = 60_000;

export class Bars {
  /** @type {Bar[]} oldest first */
  bars = [];
  /** @type {Gap[]} oldest first */
  gaps = [];
  /** @type {number | null} where the next older page ends; null: there are no older bars */
  older = null;
  interval = '';
  /** ms of one bar */
  length = 0;
  /** Counts the changes that need a full redraw: a gap began or ended, old bars were added or removed. */
  shape = 0;
  #epoch = '';
  #seq = -1;
  #most = MAX_LIVE;

  /** Forget everything: the next page is of another series. */
  clear() {
    this.bars = [];
    this.gaps = [];
    this.older = null;
    this.interval = '';
    this.shape += 1;
  }

  /**
   * Start with the newest page; older bars that it follows are kept, because closed bars never change.
   *
   * @param {HistoryPage} page
   */
  begin(page) {
    const first = page.bars[0]?.time ?? Infinity;
    const last = this.bars.at(-1)?.time ?? -Infinity;
    const follows = page.interval === this.interval && (this.bars[0]?.time ?? Infinity) < first && first <= last;
    const kept = follows ? this.bars.filter((bar) => bar.time < first) : [];
    this.gaps = merged(follows ? this.gaps.filter((gap) => gap.from < first) : [], page.gaps);
    this.bars = [...kept, ...page.bars];
    if (!follows) {
      this.older = page.older;
      this.#most = MAX_LIVE;
    }
    this.interval = page.interval;
    this.length = page.interval_ms;
    this.#epoch = page.epoch;
    this.#seq = page.seq;
    this.#endPassedGaps();
    this.shape += 1;
  }

  /** Add an older page. @param {HistoryPage} page */
  prepend(page) {
    const first = this.bars[0]?.time ?? Infinity;
    const older = page.bars.filter((bar) => bar.time < first);
    this.bars = [...older, ...this.bars];
    this.gaps = merged(page.gaps, this.gaps);
    this.older = page.older;
    this.#most += older.length;
    this.#endPassedGaps();
    this.shape += 1;
  }

  /**
   * Merge live bars.
   *
   * @param {Candles} live
   * @returns {Bar[] | null} the new bars, oldest first; null: something is missing, start with a new page
   */
  merge(live) {
    if (live.interval !== this.interval) return [];
    if (live.epoch !== this.#epoch) return null;
    // the page was newer
    if (live.seq < this.#seq) return [];
    const last = this.bars.at(-1);
    const first = live.bars[0]?.time;
    // The new bars must follow those held, of which the last must be complete; a killed engine may lose one.
    const follows = first === undefined || (last && (first <= last.time || (live.previous === last.time && last.closed)));
    if (!follows || (live.previous && first && (this.bars[before(this.bars, first - 1)]?.time ?? 0) > live.previous)) return null;
    const newest = live.bars.at(-1)?.time ?? Infinity;
    if (last && last.time - newest > Math.max(SET_BACK_MS, this.length)) return null;
    this.#seq = live.seq;
    const fresh = last ? live.bars.filter((bar) => bar.time > last.time || (bar.time === last.time && !last.closed)) : [];
    const known = this.#setOpenGap(live.gap);
    if (fresh[0]?.time === last?.time) this.bars.pop();
    this.bars.push(...fresh);
    const grew = last && (fresh.at(-1)?.time ?? 0) > last.time;
    if (grew && this.gaps.length && (this.gaps.at(-1)?.to ?? Infinity) > last.time) this.#endPassedGaps();
    this.#forget();
    return known ? fresh : null;
  }

  /** @param {number} time ms @returns {Bar | undefined} the bar that begins at this time */
  at(time) {
    const found = this.bars[before(this.bars, time)];
    return found?.time === time ? found : undefined;
  }

  /** List the gaps that overlap a bar. @param {number} time ms @returns {Gap[]} oldest first */
  gapsAt(time) {
    return this.gaps.filter((gap) => gap.from < time + this.length && (gap.to ?? Infinity) > time);
  }

  /**
   * List the times of the empty bars that represent the gaps, at most WIDEST_GAP for each.
   *
   * @returns {number[]} ms, ascending
   */
  emptyPlaces() {
    const first = this.bars[0]?.time ?? Infinity;
    const last = this.bars.at(-1)?.time ?? -Infinity;
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

  /**
   * Set the gap that is open now.
   *
   * @param {Gap | null} gap
   * @returns {boolean} false: a gap has ended, and only the history knows when
   */
  #setOpenGap(gap) {
    const held = this.gaps.at(-1);
    const open = held?.to === null ? held : undefined;
    if (gap?.from === open?.from) return true;
    this.shape += 1;
    if (gap) this.gaps = merged(this.gaps, [gap]);
    return !open;
  }

  /** A gap that is followed by bars has ended. */
  #endPassedGaps() {
    this.shape += 1;
    for (const [n, gap] of this.gaps.entries()) {
      if (gap.to !== null) continue;
      const next = this.bars[before(this.bars, gap.from) + 1];
      if (next) this.gaps[n] = { ...gap, to: next.time };
    }
  }

  #forget() {
    if (this.bars.length <= this.#most) return;
    this.bars.splice(0, this.#most >> 1);
    this.older = this.bars[0].time;
    this.gaps = this.gaps.filter((gap) => (gap.to ?? Infinity) > this.bars[0].time);
    this.#most = MAX_LIVE;
    this.shape += 1;
  }
}

/**
 * Find the last element that is not after a time.
 *
 * @param {{time: number}[]} sorted ascending
 * @param {number} time
 * @returns {number} its index, -1 if there is none
 */
export function before(sorted, time) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle].time <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Merge two lists of gaps; for a gap in both, the second list is newer.
 *
 * @param {Gap[]} older
 * @param {Gap[]} newer
 * @returns {Gap[]} oldest first
 */
function merged(older, newer) {
  const found = new Map([...older, ...newer].map((gap) => [gap.from, gap]));
  return [...found.values()].sort((a, b) => a.from - b.from);
}

/** List the switches between sources. @param {Bar[]} bars oldest first @returns {{time: number, to: string}[]} */
export function switches(bars) {
  let before = (bars[0]?.source ?? '').split('+');
  return bars.flatMap(({ time, source = '' }) => {
    if (source === before.join('+')) return [];
    const parts = source.split('+');
    const to = parts.find((one) => !before.includes(one));
    before = parts;
    return to && time > bars[0].time ? [{ time, to }] : [];
  });
}
