"use strict";
// Waiting for events, always for a limited time.

/** How long a test waits for anything, in ms; it only counts when something is broken. */
const PATIENCE = Number(process.env.UPTICK_PATIENCE || 20000);

/** The outcome of a promise, or an error that names what did not happen. */
function withPatience(promise, what, ms = PATIENCE) {
  let timer;
  const late = new Promise((resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`waited ${ms} ms for ${what}`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** The arguments of the next event of an emitter. */
function next(emitter, event, ms) {
  return withPatience(
    new Promise((resolve) => emitter.once(event, (...args) => resolve(args))),
    `the event ${event}`,
    ms,
  );
}

/** Waits until a time of `performance.now()`, never shorter. */
async function sleepUntil(time) {
  for (;;) {
    const rest = time - performance.now();
    if (rest <= 0) return;
    await new Promise((resolve) => setTimeout(resolve, Math.ceil(rest)));
  }
}

const sleep = (ms) => sleepUntil(performance.now() + ms);

/** A list that others append to, and that can be awaited. */
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
    return withPatience(
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

  /** Waits until there are that many items, and returns them. */
  async take(n, what = "items", ms) {
    if (n > 0) await this.find((item, i) => i + 1 >= n, `${n} ${what}`, ms);
    return this.items.slice(0, n);
  }
}

module.exports = { PATIENCE, withPatience, next, sleep, sleepUntil, Log };
