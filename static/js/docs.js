/**
 * The API documentation, rendered from /openapi.json.
 *
 * @module
 */

import { make, write } from './page/paint.js';

const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

/** @typedef {{[name: string]: any}} Json */

/**
 * Resolve a `$ref` within the document; anything else is returned as it is.
 *
 * @param {Json} document_
 * @param {Json} thing
 * @returns {Json}
 */
function resolve(document_, thing) {
  let found = thing;
  for (let hops = 0; found?.$ref && hops < 8; hops += 1) {
    found = found.$ref.slice(2).split('/').reduce((/** @type {Json} */ at, /** @type {string} */ key) => at?.[key], document_);
  }
  return found ?? {};
}

/** @param {Json} schema @returns {string} */
function typeOf(schema) {
  if (!schema) return '';
  if (schema.$ref) return schema.$ref.split('/').pop();
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants) return variants.map(typeOf).join(' or ');
  if (schema.type === 'array') return `array of ${typeOf(schema.items ?? {}) || 'anything'}`;
  return [schema.type ?? ''].flat().join(' or ');
}

/**
 * @param {string} caption
 * @param {string[]} head
 * @param {(string | Node)[][]} rows
 */
function table(caption, head, rows) {
  const cell = (/** @type {string} */ tag, /** @type {string | Node} */ content) => make(tag, {}, content);
  return make(
    'div',
    { class: 'scroll' },
    make(
      'table',
      {},
      make('caption', {}, caption),
      make('thead', {}, make('tr', {}, ...head.map((text) => cell('th', text)))),
      make('tbody', {}, ...rows.map((row) => make('tr', {}, ...row.map((content) => cell('td', content))))),
    ),
  );
}

/**
 * @param {Json} document_
 * @param {Json} operation
 * @returns {Node[]}
 */
function details(document_, operation) {
  const parts = [];
  const parameters = (operation.parameters ?? []).map((/** @type {Json} */ one) => resolve(document_, one));
  if (parameters.length) {
    const rows = parameters.map((/** @type {Json} */ one) => [
      make('code', {}, one.name),
      `${one.in}${one.required ? ', required' : ''}`,
      typeOf(one.schema),
      one.description ?? '',
    ]);
    parts.push(table('Parameters', ['Name', 'In', 'Type', 'Description'], rows));
  }
  const responses = Object.entries(operation.responses ?? {}).map(([status, given]) => {
    const response = resolve(document_, given);
    const kinds = Object.entries(response.content ?? {}).map(([kind, { schema }]) => `${kind} ${typeOf(schema)}`.trim());
    return [make('code', {}, status), response.description ?? '', kinds.join(', ')];
  });
  if (responses.length) parts.push(table('Responses', ['Status', 'Description', 'Content'], responses));
  return parts;
}

/**
 * @param {Json} document_
 * @returns {[Node[], Node[]]} the links, the sections
 */
function build(document_) {
  /** @type {Node[]} */
  const links = [];
  const sections = [];
  for (const [path, item] of Object.entries(document_.paths ?? {})) {
    for (const method of METHODS.filter((one) => item[one])) {
      const operation = item[method];
      const id = `${method}${path}`.replace(/[^a-z0-9]+/gi, '-');
      const title = [make('b', { class: `method ${method}` }, method.toUpperCase()), ' ', make('code', {}, path)];
      links.push(make('a', { href: `#${id}` }, ...title.map((part) => (part instanceof Node ? part.cloneNode(true) : part))));
      const heading = make('h2', { id: `${id}-title` }, ...title);
      const words = [operation.summary, operation.description].filter(Boolean).map((text) => make('p', {}, text));
      const attributes = { class: 'card', id, 'aria-labelledby': `${id}-title` };
      sections.push(make('section', attributes, heading, ...words, ...details(document_, operation)));
    }
  }
  for (const [name, schema] of Object.entries(document_.components?.schemas ?? {})) {
    const rows = Object.entries(schema.properties ?? {}).map(([field, one]) => [
      make('code', {}, field),
      typeOf(one),
      one.description ?? '',
    ]);
    const heading = make('h2', {}, name);
    const words = schema.description ? [make('p', {}, schema.description)] : [];
    sections.push(make('section', { class: 'card' }, heading, ...words, table('Fields', ['Name', 'Type', 'Description'], rows)));
  }
  return [links, sections];
}

async function show() {
  const place = /** @type {HTMLElement} */ (document.getElementById('paths'));
  try {
    const response = await fetch('./openapi.json');
    if (!response.ok) throw new Error(`HTTP ${response.status}`);
    const [links, sections] = build(await response.json());
    document.getElementById('contents')?.replaceChildren(...links);
    place.replaceChildren(...sections);
  } catch (error) {
    write(place, `The API description could not be loaded: ${error instanceof Error ? error.message : error}`);
  }
  place.removeAttribute('aria-busy');
}

show();
