/**
 * The page of instruments: adding pairs, and removing them.
 *
 * @module
 */

import { Admin } from './admin/admin.js';
import { BoardStatus } from './live/boardstatus.js';
import { Filter } from './page/filter.js';
import { asSentence } from './text/format.js';
import { Live } from './live/live.js';
import { PairList } from './admin/pairlist.js';
import { mark, node, painter, write } from './page/paint.js';

/** @typedef {{add: string[], remove: string[]}} Change */

/** So many names are written out. */
const MOST_NAMES = 12;

const form = /** @type {HTMLFormElement} */ (node('add'));
const field = /** @type {HTMLInputElement} */ (node('words'));
const answered = node('changed');
const boardStatus = new BoardStatus();
/** @type {Change} the newest one, which is sent again with another token */
let wanted = { add: [], remove: [] };
let busy = false;

/** @param {string} text @param {'busy' | 'done' | 'refused'} kind */
function say(text, kind) {
  write(answered, text);
  mark(answered, 'kind', kind);
}

/** @param {string} what @param {string[] | undefined} symbols @returns {string} empty if there are none */
function listed(what, symbols) {
  if (!symbols?.length) return '';
  const more = symbols.length - MOST_NAMES;
  return `${what} ${symbols.length}: ${symbols.slice(0, MOST_NAMES).join(', ')}${more > 0 ? ` and ${more} more` : ''}.`;
}

/** @param {{added: string[], removed: string[], left_out: string[]}} done @returns {string} */
function outcome({ added, removed, left_out: without }) {
  const come = listed('Added', added);
  const room = listed('No source has room for', without);
  const parts = [
    come && `${come} The board shows prices as soon as a source sends them.`,
    listed('Removed', removed),
    room && `${room} Remove others first, or connect more sources.`,
  ];
  return parts.filter(Boolean).join(' ') || 'All of them were there already.';
}

/** @param {import('./admin/admin.js').Outcome} said @returns {string} */
function failure({ refused, code, why }) {
  if (!refused) return `${asSentence(why)} It may have been done: see the list below before you try again.`;
  const misspelt = code === 'unknown_instrument' && wanted.add.length;
  return `Refused, nothing was changed. ${asSentence(why)}${misspelt ? ' Write it as the exchanges do, as in SOL-USDT.' : ''}`;
}

/** @param {string} text @returns {string[]} the names and patterns in it */
function words(text) {
  return text.split(/[\s,;]+/).filter(Boolean);
}

/** Send a change; nothing is shown as done before the server has said so. @param {Change} change */
async function send(change) {
  if (busy) {
    say('Wait: the previous change has not been answered yet.', 'busy');
    return;
  }
  busy = true;
  wanted = change;
  mark(document.body, 'busy', '');
  say(change.remove.length ? `Removing ${change.remove.join(', ')} …` : `Adding ${change.add.join(', ')} …`, 'busy');
  const said = await admin.post('./instruments', change);
  busy = false;
  mark(document.body, 'busy', null);
  if (!said.ok || !Array.isArray(said.answer.added)) {
    say(failure(said), 'refused');
    return;
  }
  say(outcome(said.answer), said.answer.left_out?.length ? 'refused' : 'done');
  list.change(said.answer.added, said.answer.removed);
  if (words(field.value).join() === change.add.join()) field.value = ''; // else something was typed meanwhile
}

const admin = new Admin(() => send(wanted));
const list = new PairList(node('pairs'), (node('others').dataset.symbols ?? '').split(' '), {
  remove: (symbol) => send({ add: [], remove: [symbol] }),
  changed: () => {
    node('empty').hidden = list.size > 0;
    filter.apply();
    repaint();
  },
});
const filter = new Filter(/** @type {HTMLElement} */ (node('pairs').parentElement));

form.addEventListener('submit', (event) => {
  event.preventDefault();
  send({ add: words(field.value), remove: [] });
});
node('examples').addEventListener('click', ({ target }) => {
  const example = target instanceof Element && target.closest('button')?.dataset.words;
  if (!example) return;
  field.value = example;
  field.focus();
});

const repaint = painter(() => list.paint(live.quotes, live.receiving));
const live = new Live(
  { symbols: 'all', interval_ms: 2_000, delta: true, candles: null, venues: false },
  {
    quotes: repaint,
    replaced: repaint,
    link(_, reason) {
      boardStatus.link(live, reason);
      repaint();
    },
    hello({ epoch, symbols, sources }) {
      boardStatus.showNames(sources);
      if (epoch) list.show(symbols);
    },
    status: (states) => boardStatus.update(states),
  },
);
