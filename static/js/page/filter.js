/**
 * The board's filter by text and by group; the group is kept in the URL.
 *
 * @module
 */

import { getParam, setParams } from './urlstate.js';
import { mark, write } from './paint.js';
import { fold, matches } from '../text/search.js';

/** @param {HTMLElement} group @returns {HTMLElement[]} */
function contained(group) {
  return [...group.querySelectorAll('[data-find]')].map((one) => /** @type {HTMLElement} */ (one));
}

/** @param {HTMLElement} place @returns {Element | null} */
function firstMatch(place) {
  return place.querySelector('[data-group]:not([hidden]) [data-find]:not([hidden])');
}

export class Filter {
  #field = /** @type {HTMLInputElement} */ (document.getElementById('search'));
  #found = /** @type {HTMLElement} */ (document.getElementById('found'));
  #none = /** @type {HTMLElement} */ (document.getElementById('none'));
  #why = /** @type {HTMLElement} */ (document.getElementById('none-why'));
  #chips = /** @type {HTMLElement[]} */ ([...document.querySelectorAll('#groups button[data-group]')]);
  #group = getParam('group');
  #place;
  #members;
  #applied;
  #first;

  /**
   * "/" moves the focus to the field, Enter opens the first match, Escape clears it.
   *
   * @param {HTMLElement} place contains groups (`data-group`) of searchable elements (`data-find`)
   * @param {(group: HTMLElement) => HTMLElement[]} members lists those of a group, in the document or not
   * @param {() => void} applied called after what matches has changed
   * @param {() => Element | null | undefined} first finds the first match, in the document or not
   */
  constructor(place, members = contained, applied = () => {}, first = () => firstMatch(place)) {
    this.#place = place;
    this.#members = members;
    this.#applied = applied;
    this.#first = first;
    if (!this.#chips.some((chip) => chip.dataset.group === this.#group)) this.#group = '';
    this.#field.addEventListener('input', () => this.apply());
    this.#field.addEventListener('keydown', (event) => this.#press(event));
    document.getElementById('clear')?.addEventListener('click', () => this.#clear());
    for (const chip of this.#chips) chip.addEventListener('click', () => this.#choose(chip.dataset.group ?? ''));
    addEventListener('keydown', (event) => {
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target instanceof Element && event.target.closest('input, textarea, select')) return;
      event.preventDefault();
      this.#field.focus();
    });
    // the browser may have restored an earlier input
    this.apply();
  }

  /** Hide what does not match, and show the count. */
  apply() {
    const typed = fold(this.#field.value);
    mark(this.#place, 'filtered', typed || this.#group ? '' : null);
    let visible = 0;
    let all = 0;
    for (const group of /** @type {NodeListOf<HTMLElement>} */ (this.#place.querySelectorAll('[data-group]'))) {
      const chosen = !this.#group || group.dataset.group === this.#group;
      const members = this.#members(group);
      let here = 0;
      for (const one of members) {
        one.hidden = !chosen || !matches(one, typed);
        here += Number(!one.hidden);
      }
      group.hidden = here === 0;
      const count = group.querySelector('.count');
      if (count) write(count, String(members.length));
      visible += here;
      all += members.length;
    }
    for (const chip of this.#chips) chip.setAttribute('aria-pressed', String(chip.dataset.group === this.#group));
    const { noun = 'instruments' } = this.#found.dataset;
    write(this.#found, visible < all ? `${visible} of ${all} ${noun}` : `${all} ${noun}`);
    this.#none.hidden = visible > 0 || all === 0;
    const unmarked = this.#group === 'favourites' && !typed;
    write(this.#why, unmarked ? 'No favourites yet. Click a star to add one.' : 'No matches.');
    this.#applied();
  }

  /** @param {string} group empty: all */
  #choose(group) {
    this.#group = group;
    setParams({ group });
    this.apply();
  }

  #clear() {
    this.#field.value = '';
    this.#choose('');
    this.#field.focus();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.key === 'Enter' && this.#field.value) {
      const link = this.#first()?.querySelector('a');
      if (link) location.assign(link.href);
    } else if (event.key === 'Escape') {
      this.#field.value = '';
      this.apply();
    }
  }
}
