/**
 * The server's clock as seen from this page, so that an age does not depend on the viewer's clock.
 *
 * @module
 */

const WINDOW_MS = 30_000;

export class ServerClock {
  /** The largest difference seen in this window and in the one before: what came with the least delay. */
  #now = -Infinity;
  #before = -Infinity;
  #began = 0;

  /**
   * Learn from one stamp the server made before sending; late ones teach nothing.
   *
   * @param {number} stamp ms since the epoch, server's clock
   * @param {number} arrived ms since the epoch, this machine's clock
   */
  learn(stamp, arrived = Date.now()) {
    if (!Number.isFinite(stamp)) return;
    if (Math.abs(arrived - this.#began) > WINDOW_MS) {
      // Two windows, so that a clock that was set (or a machine that slept) is followed within a minute.
      this.#before = this.#now;
      this.#now = -Infinity;
      this.#began = arrived;
    }
    this.#now = Math.max(this.#now, stamp - arrived);
  }

  /** Forget everything: another server may have another clock. */
  reset() {
    this.#now = this.#before = -Infinity;
    this.#began = 0;
  }

  /** @returns {number} the server's time in ms; this machine's own while nothing is known */
  now() {
    const offset = Math.max(this.#now, this.#before);
    return Date.now() + (Number.isFinite(offset) ? offset : 0);
  }

  /**
   * Say how old a server's stamp is, never less than 0; null for null.
   *
   * @param {number | null | undefined} stamp
   * @returns {number | null} ms
   */
  age(stamp) {
    return typeof stamp === 'number' ? Math.max(0, this.now() - stamp) : null;
  }
}
