/**
 * The bars of one series as a page holds them: pages of the history, joined by the live ones without hole or double.
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
const WIDEST_GAP = 20;
/** Live bars kept beside those that were scrolled back to; older ones can be asked for again. */
const MOST_LIVE = 20_000;
/** Live bars so much older than those held, in ms: the server's clock was set back, and they go on there. */
const WENT_BACK = 60_000;

export class Bars {
  /** @type {Bar[]} oldest first */
  bars = [];
  /** @type {Gap[]} oldest first */
  gaps = [];
  /** @type {number | null} where the next older page ends; null: there is none */
  older = null;
  interval = '';
  /** ms of one bar */
  length = 0;
  /** Grows when more changed than the newest bars: a gap began or ended, old bars came or went. */
  shape = 0;
  #epoch = '';
  #seq = -1;
  #most = MOST_LIVE;

  /**
   * Begin with the newest page; older bars that it follows on are kept, as closed ones never change.
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
      this.#most = MOST_LIVE;
    }
    this.interval = page.interval;
    this.length = page.interval_ms;
    this.#epoch = page.epoch;
    this.#seq = page.seq;
    this.#endPassedGaps();
    this.shape += 1;
  }

  /** Put an older page before what is held. @param {HistoryPage} page */
  precede(page) {
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
   * Join live bars.
   *
   * @param {Candles} live
   * @returns {Bar[] | null} what is new, oldest first; null: something is missing, begin with a new page
   */
  join(live) {
    if (live.interval !== this.interval) return [];
    if (live.epoch !== this.#epoch) return null;
    // the page was newer
    if (live.seq < this.#seq) return [];
    const last = this.bars.at(-1);
    const first = live.bars[0]?.time;
    // What is held must lead up to the new bars, and its last one must be whole.
    const leads = first === undefined || (last && (first <= last.time || (live.previous === last.time && last.closed)));
    if (!leads) return null;
    const newest = live.bars.at(-1)?.time ?? Infinity;
    if (last && last.time - newest > Math.max(WENT_BACK, this.length)) return null;
    this.#seq = live.seq;
    const fresh = last ? live.bars.filter((bar) => bar.time > last.time || (bar.time === last.time && !last.closed)) : [];
    const known = this.#tell(live.gap);
    if (fresh[0]?.time === last?.time) this.bars.pop();
    this.bars.push(...fresh);
    const grew = last && (fresh.at(-1)?.time ?? 0) > last.time;
    if (grew && this.gaps.length && (this.gaps.at(-1)?.to ?? Infinity) > last.time) this.#endPassedGaps();
    this.#forget();
    return known ? fresh : null;
  }

  /** @param {number} time ms @returns {Bar | undefined} the bar that begins then */
  at(time) {
    const found = this.bars[before(this.bars, time)];
    return found?.time === time ? found : undefined;
  }

  /** List the gaps that touch a place of the chart. @param {number} time ms @returns {Gap[]} oldest first */
  gapsAt(time) {
    return this.gaps.filter((gap) => gap.from < time + this.length && (gap.to ?? Infinity) > time);
  }

  /**
   * List the empty places that show the gaps: times between bars, at most WIDEST_GAP of each gap.
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
   * Note the gap that is open now.
   *
   * @param {Gap | null} gap
   * @returns {boolean} false: a gap has ended, and only the history knows when
   */
  #tell(gap) {
    const held = this.gaps.at(-1);
    const open = held?.to === null ? held : undefined;
    if (gap?.from === open?.from) return true;
    this.shape += 1;
    if (gap) this.gaps = merged(this.gaps, [gap]);
    return !open;
  }

  /** A gap that bars have followed on cannot be open, whatever was heard of it. */
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
    this.#most = MOST_LIVE;
    this.shape += 1;
  }
}

/**
 * Find the last of ascending things that is not after a moment.
 *
 * @param {{time: number}[]} sorted
 * @param {number} time
 * @returns {number} its index, -1 where none is
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
 * Join two lists of gaps; of one that is in both the second is newer.
 *
 * @param {Gap[]} older
 * @param {Gap[]} newer
 * @returns {Gap[]} oldest first
 */
function merged(older, newer) {
  const found = new Map([...older, ...newer].map((gap) => [gap.from, gap]));
  return [...found.values()].sort((a, b) => a.from - b.from);
}

/** List where another source began to serve. @param {Bar[]} bars oldest first @returns {{time: number, to: string}[]} */
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
