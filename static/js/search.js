/**
 * Finding instruments by what a person types, in any usual spelling; and the board's filter made of it.
 *
 * @module
 */

import { write } from './paint.js';

/**
 * Bring text to the form in which it is compared: BTC-USDT, btc/usdt and btc_usdt are one.
 *
 * @param {string} text
 * @returns {string}
 */
export function fold(text) {
  return text.toLowerCase().replace(/[-/_\s]/g, '');
}

/**
 * Say whether an element's `data-find` text holds what was typed.
 *
 * @param {Element} element
 * @param {string} typed already folded
 * @returns {boolean}
 */
export function matches(element, typed) {
  return fold(element.getAttribute('data-find') ?? '').includes(typed);
}

/** Let the board's field filter its rows; "/" goes to it, Enter opens the first row, Escape clears it. */
export function startSearch() {
  const field = /** @type {HTMLInputElement} */ (document.getElementById('search'));
  const found = /** @type {HTMLElement} */ (document.getElementById('found'));
  const none = /** @type {HTMLElement} */ (document.getElementById('none'));
  const groups = [...document.querySelectorAll('.board tbody')];

  const filter = () => {
    const typed = fold(field.value);
    let visible = 0;
    let all = 0;
    for (const group of groups) {
      let here = 0;
      for (const row of group.querySelectorAll('tr[data-symbol]')) {
        const fits = matches(row, typed);
        /** @type {HTMLElement} */ (row).hidden = !fits;
        here += Number(fits);
        all += 1;
      }
      /** @type {HTMLElement} */ (group).hidden = here === 0;
      visible += here;
    }
    write(found, typed ? `${visible} of ${all} instruments` : `${all} instruments`);
    none.hidden = visible > 0 || all === 0;
  };

  field.addEventListener('input', filter);
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && field.value) {
      const first = document.querySelector('tbody:not([hidden]) tr[data-symbol]:not([hidden]) a');
      if (first instanceof HTMLAnchorElement) location.assign(first.href);
    } else if (event.key === 'Escape') {
      field.value = '';
      filter();
    }
  });
  document.getElementById('clear')?.addEventListener('click', () => {
    field.value = '';
    filter();
    field.focus();
  });
  addEventListener('keydown', (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target instanceof Element && event.target.closest('input, textarea, select')) return;
    event.preventDefault();
    field.focus();
  });
  filter(); // a browser may bring back what was typed before
}
