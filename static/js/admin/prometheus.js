/**
 * Parsing of the Prometheus text of /metrics, as far as the status page needs it. Pure.
 *
 * @module
 */

const LINE = /^crypto_stream_(\w+?)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

/** @typedef {{labels: {[name: string]: string}, value: number}} Sample */
/** @typedef {{name: string, viewers: number, behind: number, frames: number}} Gateway */

/**
 * Read the samples of these families.
 *
 * @param {string} text
 * @param {string[]} names without the prefix
 * @returns {Map<string, Sample[]>} contains each of the names
 */
export function samples(text, names) {
  const found = new Map(names.map((name) => [name, /** @type {Sample[]} */ ([])]));
  for (const line of text.split('\n')) {
    const [, name = '', labels = '', value = ''] = LINE.exec(line) ?? [];
    const known = Object.fromEntries([...labels.matchAll(LABEL)].map(([, label, said]) => [label, said]));
    found.get(name)?.push({ labels: known, value: Number(value) });
  }
  return found;
}

/**
 * Sum up the viewers of each gateway; a single gateway has no label.
 *
 * @param {Map<string, Sample[]>} found `viewers`, `viewers_behind`, `viewer_frames_total`
 * @returns {Gateway[]}
 */
export function gateways(found) {
  /** @type {Map<string, Gateway>} */
  const known = new Map();
  for (const [family, field] of /** @type {const} */ ([
    ['viewers', 'viewers'],
    ['viewers_behind', 'behind'],
    ['viewer_frames_total', 'frames'],
  ])) {
    for (const { labels, value } of found.get(family) ?? []) {
      const name = labels.gateway ?? 'gateway';
      const gateway = known.get(name) ?? { name, viewers: 0, behind: 0, frames: 0 };
      gateway[field] += value;
      known.set(name, gateway);
    }
  }
  return [...known.values()];
}
