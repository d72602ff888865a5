/**
 * The viewer's favourite instruments, stored in this browser only.
 *
 * @module
 */

const KEY = 'favourites';

/** @returns {string[]} the stored ones; empty if storage is disabled or contains something else */
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

  /** @param {() => void} changed called after a change in another tab */
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

  /** @param {string} symbol */
  toggle(symbol) {
    if (!this.#marked.delete(symbol)) this.#marked.add(symbol);
    try {
      localStorage.setItem(KEY, JSON.stringify([...this.#marked]));
    } catch {
      // storage is disabled: it lasts until the page is closed
    }
  }
}
