"use strict";
// Waiting for events with timeouts.

/** Timeout for each awaited event, in ms. It expires only if something is broken. */
const EVENT_TIMEOUT = Number(process.env.UPTICK_EVENT_TIMEOUT || 20000);

/** Waits for a promise, with a timeout. The error of the timeout names the awaited event. */
function withTimeout(promise, what, ms = EVENT_TIMEOUT) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out after ${ms} ms waiting for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Returns the arguments of the next event of an emitter. */
function next(emitter, event, ms) {
  return withTimeout(
    new Promise((resolve) => emitter.once(event, (...args) => resolve(args))),
    `the event ${event}`,
    ms,
  );
}

/** Waits until a time of `performance.now()`, and never less. */
async function sleepUntil(time) {
  for (;;) {
    const rest = time - performance.now();
    if (rest <= 0) return;
    await new Promise((resolve) => setTimeout(resolve, Math.ceil(rest)));
  }
}

const sleep = (ms) => sleepUntil(performance.now() + ms);

/** A list to which items are appended, and that can be awaited. */
class Log {
  constructor() {
    this.items = [];
    this.waiting = new Set();
  }

  push(item) {
    this.items.push(item);
    for (const check of [...this.waiting]) check();
  }

  /** Waits for an item that fulfils a condition. */
  find(condition, what, ms) {
    return withTimeout(
      new Promise((resolve) => {
        const check = () => {
          const found = this.items.find(condition);
          if (found === undefined) return;
          this.waiting.delete(check);
          resolve(found);
        };
        this.waiting.add(check);
        check();
      }),
      what,
      ms,
    ).catch((error) => {
      const last = JSON.stringify(this.items.slice(-3)).slice(0, 500);
      throw new Error(`${error.message}; the last of ${this.items.length} items: ${last}`);
    });
  }

  /** Waits until there are `n` items, and returns them. */
  async take(n, what = "items", ms) {
    if (n > 0) await this.find((item, i) => i + 1 >= n, `${n} ${what}`, ms);
    return this.items.slice(0, n);
  }
}

module.exports = { EVENT_TIMEOUT, withTimeout, next, sleep, sleepUntil, Log };
