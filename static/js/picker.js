/**
 * A field with a list of instruments to pick from. Its workings are loaded when it is first used.
 *
 * @module
 */

/** What the list answers to, and what is not typed into the field: kept until it can. */
const KEYS = new Set(['ArrowDown', 'ArrowUp', 'PageDown', 'PageUp', 'Enter', 'Escape']);

/**
 * Make the field a combobox as soon as somebody comes to it.
 *
 * @param {HTMLInputElement} field
 * @param {HTMLElement} list
 * @param {(option: HTMLElement) => void} choose
 */
export function startPicker(field, list, choose) {
  /** @type {Event[]} what came before the list could hear it */
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
