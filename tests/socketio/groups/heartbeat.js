"use strict";
// Pings, pongs, and timeouts without them.

const assert = require("node:assert/strict");
const { event, statusOf } = require("../lib/raw.js");
const { next, sleep, sleepUntil } = require("../lib/wait.js");

const INTERVAL = 300;
const TIMEOUT = 200;
/** Maximum difference between the clocks of two processes, in ms. */
const GRAIN = 5;
// The client has 200 ms for each pong and may miss some on a busy machine.
exports.attempts = 3;
exports.env = { SIO_PING_INTERVAL: String(INTERVAL), SIO_PING_TIMEOUT: String(TIMEOUT) };

exports.tests = {
  async "the first ping over WebSocket is sent one interval after the handshake"(c) {
    const begin = performance.now();
    const ws = await c.websocket();
    assert.equal(await ws.packet(), "2");
    assert.ok(performance.now() - begin >= INTERVAL - GRAIN, "the ping must not be sent early");
  },

  async "the first ping over polling is sent one interval after the handshake"(c) {
    const begin = performance.now();
    const session = await c.polling();
    assert.deepEqual(await session.poll(), ["2"]);
    assert.ok(performance.now() - begin >= INTERVAL - GRAIN, "the ping must not be sent early");
  },

  async "the next ping is sent one interval after the pong"(c) {
    const ws = await c.websocket();
    for (let i = 0; i < 4; i++) {
      assert.equal(await ws.packet(), "2");
      const answered = performance.now();
      ws.send("3");
      await ws.log.take(ws.read + 1, "packets");
      assert.ok(performance.now() - answered >= INTERVAL - GRAIN, "the ping must not be sent early");
    }
  },

  async "a polling session stays open with pongs, and times out without them"(c) {
    const observer = await c.observe();
    const session = await c.polling();
    const { sid } = await session.connect();
    let answered;
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await session.poll(), ["2"]);
      answered = performance.now();
      await session.post("3");
    }
    assert.equal(await observer.reason(sid), "ping timeout");
    assert.ok(performance.now() - answered >= INTERVAL + TIMEOUT - 2 * GRAIN, "the session must not time out early");
    assert.equal((await session.get()).status, 400);
  },

  async "a WebSocket session without pongs is closed and reports ping timeout"(c) {
    const observer = await c.observe();
    const begin = performance.now();
    const ws = await c.websocket();
    const { sid } = await ws.connect();
    assert.equal(await observer.reason(sid), "ping timeout");
    assert.ok(performance.now() - begin >= INTERVAL + TIMEOUT - 2 * GRAIN, "the session must not time out early");
    await ws.close();
  },

  async "a client that sends events but no pongs is closed"(c) {
    const observer = await c.observe();
    const ws = await c.websocket();
    const { sid } = await ws.connect();
    const timer = setInterval(() => ws.send(event("/", undefined, "silent")), 50);
    c.onEnd(() => clearInterval(timer));
    assert.equal(await observer.reason(sid), "ping timeout");
  },

  async "a session that stops polling ends"(c) {
    const observer = await c.observe();
    const session = await c.polling();
    await session.post("40");
    await sleepUntil(session.opened + INTERVAL + TIMEOUT);
    const begin = performance.now();
    while ((await statusOf(session.send("6"))) !== 400) {
      assert.ok(performance.now() - begin < 10000, "the session does not end");
      await sleep(20);
    }
    await observer.all.find(({ reason }) => reason === "ping timeout", "the session to end");
  },

  async "official clients stay connected over many heartbeats"(c) {
    // On a busy machine, a client may need more than 200 ms for a pong.
    const program = await c.server({ SIO_PING_TIMEOUT: "10000" });
    const base = c.secure ? program.tlsBase : program.base;
    for (const transports of [["polling"], ["websocket"], ["polling", "websocket"]]) {
      const socket = await c.connect("/", { transports, base });
      const ends = [];
      socket.on("disconnect", (reason) => ends.push(reason));
      let pings = 0;
      socket.io.on("ping", () => pings++);
      while (pings < 4) await next(socket.io, "ping");
      assert.deepEqual(ends, []);
      assert.equal((await c.call(socket, "whoami")).id, socket.id);
    }
  },

  async "an official client detects a stopped server"(c) {
    if (c.workers > 1) c.skip("the test would have to stop every worker");
    const program = await c.server({}, { fresh: true });
    const socket = await c.connect("/", { base: c.secure ? program.tlsBase : program.base, reconnection: false });
    program.child.kill("SIGSTOP");
    c.onEnd(() => program.child.kill("SIGCONT"));
    const [reason] = await next(socket, "disconnect");
    assert.equal(reason, "ping timeout");
  },
};
