/**
 * Reading the Prometheus text of /metrics: only what the status page shows. Pure.
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
 * @param {string[]} names without the common beginning
 * @returns {Map<string, Sample[]>} each name is in it
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
 * Sum up what each gateway says of its viewers; a gateway that is alone has no name there.
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
