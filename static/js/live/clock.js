/**
 * An estimate of the server's clock, so that ages do not depend on this machine's clock.
 *
 * @module
 */

const WINDOW_MS = 30_000;

export class ServerClock {
  /** The largest offset in this window and in the one before: that of the message with the least delay. */
  #now = -Infinity;
  #before = -Infinity;
  #began = 0;

  /**
   * Learn from a timestamp that the server sent.
   *
   * @param {number} stamp ms since the epoch, server's clock
   * @param {number} arrived ms since the epoch, this machine's clock
   */
  learn(stamp, arrived = Date.now()) {
    if (!Number.isFinite(stamp)) return;
    if (Math.abs(arrived - this.#began) > WINDOW_MS) {
      // With two windows, a clock change (or sleep) is corrected within a minute.
      this.#before = this.#now;
      this.#now = -Infinity;
      this.#began = arrived;
    }
    this.#now = Math.max(this.#now, stamp - arrived);
  }

  /** Start again: another server may have another clock. */
  reset() {
    this.#now = this.#before = -Infinity;
    this.#began = 0;
  }

  /** @returns {number} the server's time in ms; this machine's own until it is known */
  now() {
    const offset = Math.max(this.#now, this.#before);
    return Date.now() + (Number.isFinite(offset) ? offset : 0);
  }

  /**
   * Return the age of a server's timestamp, at least 0; null for null.
   *
   * @param {number | null | undefined} stamp
   * @returns {number | null} ms
   */
  age(stamp) {
    return typeof stamp === 'number' ? Math.max(0, this.now() - stamp) : null;
  }
}
