/**
 * The instruments this viewer has marked, kept in this browser only.
 *
 * @module
 */

const KEY = 'favourites';

/** @returns {string[]} what is kept; nothing where the storage is switched off or holds something else */
function stored() {
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(kept) ? kept.filter((one) => typeof one === 'string') : [];
  } catch {
    return [];
  }
}

export class Favourites {
  #marked = new Set(stored());

  /** @param {() => void} changed called when another tab has marked something */
  constructor(changed) {
    addEventListener('storage', (event) => {
      if (event.key !== KEY && event.key !== null) return;
      this.#marked = new Set(stored());
      changed();
    });
  }

  /** @param {string} symbol */
  has(symbol) {
    return this.#marked.has(symbol);
  }

  /** Mark it, or no longer. @param {string} symbol */
  toggle(symbol) {
    if (!this.#marked.delete(symbol)) this.#marked.add(symbol);
    try {
      localStorage.setItem(KEY, JSON.stringify([...this.#marked]));
    } catch {
      // nothing to keep it in: it lasts as long as this page
    }
  }
}
