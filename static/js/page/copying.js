/**
 * Copying yields exact numbers without thousands separators. Loaded when something is selected.
 *
 * @module
 */

import { exact } from './paint.js';

addEventListener('copy', (event) => {
  const selection = getSelection();
  let text = selection?.toString() ?? '';
  let at = 0;
  for (const one of document.querySelectorAll('[data-number]')) {
    const [read, meant] = [one.textContent ?? '', exact.get(one)];
    const found = selection?.containsNode(one, true) ? text.indexOf(read, at) : -1;
    if (found < 0 || !meant) continue;
    text = text.slice(0, found) + meant + text.slice(found + read.length);
    at = found + meant.length;
  }
  if (!at) return;
  event.clipboardData?.setData('text/plain', text);
  event.preventDefault();
});
