/**
 * A field with a list of instruments to pick from; the combobox is loaded when the field is first used.
 *
 * @module
 */

import { make } from './paint.js';

/** Keys handled by the list; they are queued until it is loaded. */
const KEYS = new Set(['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Enter', 'Escape']);
const FAULT = 'The list cannot be loaded now. Try again in a moment; the board has all instruments, too.';

/**
 * Make the field a combobox when it first gets the focus. If that fails it says so, and the next use tries again.
 *
 * @param {HTMLInputElement} field
 * @param {HTMLElement} list
 * @param {(option: HTMLElement) => void} choose
 * @param {() => Promise<void>} [fill] fills the list, if it is not in the page
 */
export function startPicker(field, list, choose, fill) {
  const loaded = new AbortController();
  const fault = make('p', { class: 'picker-fault', role: 'status' });
  list.after(fault);
  /** @type {Event[]} events before the combobox was loaded */
  let early = [];
  let loading = false;

  const load = async () => {
    loading = true;
    let combobox;
    try {
      [combobox] = await Promise.all([import('./combobox.js'), fill?.()]);
    } catch {
      early = [];
      loading = false;
      if (document.activeElement === field) fault.textContent = FAULT;
      return;
    }
    loaded.abort();
    fault.remove();
    combobox.startCombobox(field, list, choose);
    if (document.activeElement !== field) return;
    for (const { type, key } of /** @type {KeyboardEvent[]} */ (early)) {
      field.dispatchEvent(new KeyboardEvent(type, { key, cancelable: true }));
    }
  };

  const use = (/** @type {Event} */ event) => {
    if (event instanceof KeyboardEvent) {
      if (!KEYS.has(event.key)) return;
      event.preventDefault();
    }
    if (event.type !== 'focus') early.push(event);
    if (!loading) load();
  };
  for (const kind of ['focus', 'click', 'input', 'keydown']) field.addEventListener(kind, use, loaded);
  field.addEventListener('blur', () => (fault.textContent = ''), loaded);
}
