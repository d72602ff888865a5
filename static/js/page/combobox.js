/**
 * A combobox, by the ARIA pattern "editable combobox with list autocomplete".
 *
 * @module
 */

import { fold, matches } from '../text/search.js';

/**
 * Make a combobox of a field and its list.
 *
 * @param {HTMLInputElement} field `data-chosen` is the name of the current choice, if the field shows it
 * @param {HTMLElement} list contains `role=option` elements with an id and `data-find`
 * @param {(option: HTMLElement) => void} choose
 */
export function startCombobox(field, list, choose) {
  const options = /** @type {HTMLElement[]} */ ([...list.querySelectorAll('[role=option]')]);
  /** @type {HTMLElement | null} */
  let active = null;

  const visible = () => options.filter((option) => !option.hidden);

  /** @param {HTMLElement | null} option */
  const point = (option) => {
    active?.setAttribute('aria-selected', 'false');
    active = option;
    if (option) {
      option.setAttribute('aria-selected', 'true');
      field.setAttribute('aria-activedescendant', option.id);
      option.scrollIntoView({ block: 'nearest' });
    } else {
      field.removeAttribute('aria-activedescendant');
    }
  };

  const close = () => {
    list.hidden = true;
    field.setAttribute('aria-expanded', 'false');
    point(null);
  };

  const open = () => {
    // The name of the current choice is not a search.
    const typed = field.value === field.dataset.chosen ? '' : fold(field.value);
    for (const option of options) option.hidden = !matches(option, typed);
    const shown = visible();
    list.hidden = shown.length === 0;
    field.setAttribute('aria-expanded', String(!list.hidden));
    const here = typed ? null : shown.find((option) => option.hasAttribute('aria-current'));
    const begins = shown.find((option) => fold(option.dataset.find ?? '').startsWith(typed));
    point(typed ? (begins ?? shown[0] ?? null) : null);
    here?.scrollIntoView({ block: 'nearest' });
  };

  /** @param {HTMLElement} option */
  const pick = (option) => {
    close();
    choose(option);
  };

  /** @param {number} step */
  const move = (step) => {
    if (list.hidden) open();
    const shown = visible();
    if (!shown.length) return;
    const from = active ? shown.indexOf(active) : step > 0 ? -1 : 0;
    point(shown[(from + step + shown.length) % shown.length]);
  };

  const keys = {
    ArrowDown: () => move(1),
    ArrowUp: () => move(-1),
    PageDown: () => move(Math.min(10, Math.max(1, visible().length - 1))),
    PageUp: () => move(-Math.min(10, Math.max(1, visible().length - 1))),
    Enter: () => active && pick(active),
    Escape: () => {
      if (list.hidden) field.value = '';
      close();
    },
  };

  field.addEventListener('input', open);
  field.addEventListener('click', () => (list.hidden ? open() : undefined));
  field.addEventListener('blur', close);
  field.addEventListener('keydown', (event) => {
    const act = keys[/** @type {keyof typeof keys} */ (event.key)];
    if (!act || event.ctrlKey || event.metaKey || (event.key === 'Enter' && !active)) return;
    event.preventDefault();
    act();
  });
  // Pressing the mouse on the list must not blur the field, which would close the list.
  list.addEventListener('mousedown', (event) => event.preventDefault());
  list.addEventListener('click', (event) => {
    const option = event.target instanceof Element ? event.target.closest('[role=option]') : null;
    if (option) pick(/** @type {HTMLElement} */ (option));
  });
}
