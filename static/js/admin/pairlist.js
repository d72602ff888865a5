/**
 * The list of real pairs, each with a button that removes it once that is confirmed.
 *
 * @module
 */

import { make, mark, write } from '../page/paint.js';

/** A list that the server has not brought up to date yet is fetched again after this. */
const RETRY_MS = 2_000;

/** @typedef {{symbol: string, base: string | null, quote: string | null, synthetic: boolean}} Instrument */

export class PairList {
  #place;
  #on;
  /** @type {Map<string, HTMLElement>} the rows by symbol */
  #rows;
  /** @type {Set<string>} symbols that are no real pairs */
  #others;
  /** @type {string[]} what the server carries, as far as it has told */
  #symbols;
  /** @type {{[currency: string]: string}} the names of currencies */
  #coins;
  #waiting = 0;
  #sure = make('div', { class: 'confirm', role: 'group', 'aria-label': 'Remove it?' });
  #what = make('span');
  #yes = make('button', { class: 'button danger', type: 'button' }, 'Yes, remove it');
  #no = make('button', { class: 'button', type: 'button' }, 'Cancel');

  /**
   * @param {HTMLElement} place
   * @param {string[]} others symbols that are no real pairs, as far as they are known
   * @param {{remove: (symbol: string) => void, changed: () => void}} on remove: it was confirmed; changed: rows came or went
   */
  constructor(place, others, on) {
    this.#place = place;
    this.#on = on;
    this.#others = new Set(others);
    const rows = /** @type {HTMLElement[]} */ ([...place.children]);
    this.#rows = new Map(rows.map((row) => [row.dataset.symbol ?? '', row]));
    this.#symbols = [...this.#rows.keys()];
    this.#coins = JSON.parse(place.dataset.coins ?? '{}');
    this.#sure.append(this.#what, this.#yes, this.#no);
    this.#yes.addEventListener('click', () => {
      const row = this.#asked;
      this.#close();
      this.#on.remove(row?.dataset.symbol ?? '');
    });
    this.#no.addEventListener('click', () => this.#close());
    place.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape' && this.#asked) this.#close();
    });
    place.addEventListener('click', ({ target }) => {
      const button = target instanceof Element ? target.closest('li > button') : null;
      if (button) this.#ask(/** @type {HTMLElement} */ (button.parentElement));
    });
  }

  get size() {
    return this.#rows.size;
  }

  /** The row whose removal is to be confirmed. */
  get #asked() {
    return /** @type {HTMLElement | null} */ (this.#sure.parentElement);
  }

  /** Show what came and went. @param {string[]} added @param {string[]} removed */
  change(added, removed) {
    const kept = this.#symbols.filter((symbol) => !removed.includes(symbol));
    this.show([...new Set([...kept, ...added])]);
  }

  /** Show the real ones among these. @param {string[]} symbols all that the server carries */
  show(symbols) {
    this.#symbols = symbols;
    const known = new Set(symbols);
    const gone = [...this.#rows.keys()].filter((symbol) => !known.has(symbol));
    for (const symbol of gone) this.#drop(symbol);
    if (gone.length) this.#on.changed();
    if (symbols.some((symbol) => !this.#rows.has(symbol) && !this.#others.has(symbol))) this.#fetch();
  }

  /**
   * Show who serves each pair.
   *
   * @param {Map<string, import('../live/live.js').Quote>} quotes
   * @param {boolean} receiving whether the server is sending, so that they are current
   */
  paint(quotes, receiving) {
    for (const [symbol, row] of this.#rows) {
      const quote = quotes.get(symbol);
      const stale = !receiving || !quote || quote.stale;
      mark(row, 'stale', stale ? '' : null);
      write(/** @type {Element} */ (row.children[1]), !receiving ? 'unknown' : !quote ? '…' : stale ? 'no live price' : quote.source ?? '');
    }
  }

  /** Ask whether a pair is to be removed. @param {HTMLElement} row */
  #ask(row) {
    write(this.#what, `Remove ${row.dataset.name} for all viewers?`);
    row.append(this.#sure);
    this.#no.focus();
  }

  #close() {
    const button = this.#asked?.querySelector('button');
    this.#sure.remove();
    button?.focus();
  }

  /** Take a row out; the keyboard's place is the next one. @param {string} symbol */
  #drop(symbol) {
    const row = /** @type {HTMLElement} */ (this.#rows.get(symbol));
    const focused = row.contains(document.activeElement);
    const visible = [...this.#rows.values()].filter((one) => one === row || !one.hidden);
    const at = visible.indexOf(row);
    const near = visible[at + 1] ?? visible[at - 1];
    this.#rows.delete(symbol);
    if (this.#asked === row) this.#sure.remove();
    row.remove();
    if (focused) /** @type {HTMLElement} */ (near?.querySelector('button') ?? document.getElementById('words')).focus();
  }

  /** Fetch what the symbols stand for, and add rows for those that are new. */
  async #fetch() {
    clearTimeout(this.#waiting);
    try {
      const response = await fetch('./instruments', { headers: { Accept: 'application/json' } });
      if (!response.ok) throw new Error(response.statusText);
      this.#add((await response.json()).instruments);
    } catch {
      // the connection's badge says what is wrong
    }
    const missing = this.#symbols.some((symbol) => !this.#rows.has(symbol) && !this.#others.has(symbol));
    if (missing) this.#waiting = window.setTimeout(() => this.#fetch(), RETRY_MS);
  }

  /** @param {Instrument[]} instruments */
  #add(instruments) {
    const carried = new Set(this.#symbols);
    const before = this.#rows.size;
    for (const one of instruments) {
      if (one.synthetic) this.#others.add(one.symbol);
      else if (carried.has(one.symbol) && !this.#rows.has(one.symbol)) {
        const row = build(one, this.#coins[one.base ?? ''] ?? '');
        this.#rows.set(one.symbol, row);
        this.#place.append(row);
      }
    }
    if (this.#rows.size > before) this.#on.changed();
  }
}

/** Build a row as the template does. @param {Instrument} one @param {string} coin the name of its base */
function build({ symbol, base, quote }, coin) {
  const name = base ? `${base}/${quote}` : symbol;
  return make(
    'li',
    { 'data-symbol': symbol, 'data-name': name, 'data-find': `${symbol} ${name} ${coin}` },
    make('a', { href: `./${symbol}` }, name),
    ' ',
    make('span', { class: 'source' }, '…'),
    ' ',
    make('button', { type: 'button', class: 'button', 'aria-label': `Remove ${name}` }, 'Remove'),
  );
}
