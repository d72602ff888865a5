/**
 * The shaded bands of a chart that show gaps, with the reason if there is room.
 *
 * @module
 */

/** @typedef {{from: number, to: number, words: string}} Band `from`, `to`: positions on the time scale */

/** A gap narrower than this is drawn as a tick at the bottom, where it hides no candle. */
const NARROWEST = 3;
const TICK = 8;
const STRIPE = 6;
const MARGIN = 8;

/** A pane primitive of lightweight-charts. */
export class Bands {
  /** @type {Band[]} */
  #bands = [];
  #colour = '';
  #font = '';
  /** @type {any} passed by the chart when this is attached */
  #host;
  #views = [{ zOrder: () => 'bottom', renderer: () => ({ draw: (/** @type {any} */ target) => this.#draw(target) }) }];

  /** @param {any} host */
  attached(host) {
    this.#host = host;
  }

  paneViews() {
    return this.#views;
  }

  /** @param {Band[]} bands */
  set(bands) {
    this.#bands = bands;
    this.#host?.requestUpdate();
  }

  /**
   * @param {string} colour
   * @param {string} font
   */
  paint(colour, font) {
    this.#colour = colour;
    this.#font = font;
    this.#host?.requestUpdate();
  }

  /** @param {any} target a canvas of the chart */
  #draw(target) {
    const scale = this.#host.chart.timeScale();
    // The chart converts whole positions only; bands begin and end between them.
    const origin = scale.logicalToCoordinate(0) ?? 0;
    const width = (scale.logicalToCoordinate(1) ?? 0) - origin;
    target.useMediaCoordinateSpace((/** @type {any} */ { context, mediaSize }) => {
      context.font = this.#font;
      context.textBaseline = 'top';
      for (const band of this.#bands) {
        // Whole pixels give sharp edges.
        const begin = Math.round(origin + band.from * width);
        const from = Math.max(-STRIPE, begin);
        const to = Math.min(mediaSize.width + STRIPE, Math.round(origin + band.to * width));
        if (to - from >= NARROWEST) this.#hatch(context, from, to, mediaSize.height, band.words);
        else if (to >= 0 && from <= mediaSize.width) {
          context.fillStyle = this.#colour;
          context.fillRect(begin - 1, mediaSize.height - TICK, 2, TICK);
        }
      }
    });
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number} from
   * @param {number} to
   * @param {number} height
   * @param {string} words
   */
  #hatch(context, from, to, height, words) {
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, height);
    context.clip();
    context.globalAlpha = 0.1;
    context.fillStyle = context.strokeStyle = this.#colour;
    context.fill();
    context.globalAlpha = 0.3;
    context.lineWidth = STRIPE / 2;
    context.beginPath();
    for (let x = from - height; x < to; x += STRIPE * 2) {
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
    }
    context.stroke();
    context.globalAlpha = 1;
    for (const edge of [from, to - 1]) context.fillRect(edge, 0, 1, height);
    const begin = Math.max(0, from) + MARGIN;
    if (context.measureText(words).width + MARGIN <= to - begin) {
      context.fillText(words, begin, MARGIN);
    }
    context.restore();
  }
}
