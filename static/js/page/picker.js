/**
 * A field with a list of instruments to pick from; the combobox is loaded when the field is first used.
 *
 * @module
 */

/** Keys handled by the list; they are queued until it is loaded. */
const KEYS = new Set(['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Enter', 'Escape']);

/**
 * Make the field a combobox when it first gets the focus.
 *
 * @param {HTMLInputElement} field
 * @param {HTMLElement} list
 * @param {(option: HTMLElement) => void} choose
 */
export function startPicker(field, list, choose) {
  /** @type {Event[]} events before the combobox was loaded */
  const early = [];
  const keep = (/** @type {Event} */ event) => {
    if (event instanceof KeyboardEvent) {
      if (!KEYS.has(event.key)) return;
      event.preventDefault();
    }
    early.push(event);
  };
  const begin = async () => {
    const came = new AbortController();
    for (const kind of ['click', 'input', 'keydown']) field.addEventListener(kind, keep, came);
    const { startCombobox } = await import('./combobox.js');
    came.abort();
    startCombobox(field, list, choose);
    if (document.activeElement !== field) return;
    for (const { type, key } of /** @type {KeyboardEvent[]} */ (early)) {
      field.dispatchEvent(new KeyboardEvent(type, { key, cancelable: true }));
    }
  };
  field.addEventListener('focus', begin, { once: true });
}
