"use strict";
// Many clients: no message is lost, duplicated or reordered.

const assert = require("node:assert/strict");
const { event, Socket, Polling } = require("../lib/raw.js");
const { withTimeout } = require("../lib/wait.js");

/** The number of clients. It is lower with TLS, because handshakes take most of the time. */
const clientsOf = (c) => Number(process.env.UPTICK_LOAD_CLIENTS || (c.secure ? 300 : 1000));
const MESSAGES = Number(process.env.UPTICK_LOAD_MESSAGES || 100);

exports.jobs = 1;

/** Opens clients, a limited number at a time. */
async function open(n, one) {
  const clients = [];
  let next = 0;
  const worker = async () => {
    while (next < n) clients.push(await one(next++));
  };
  await Promise.all(Array.from({ length: 50 }, worker));
  return clients;
}

/** Counts numbered events. Resolves after the last one, and fails at the first event that is out of order. */
function counted(ws, prefix, n) {
  return new Promise((resolve, reject) => {
    let expected = 0;
    ws.ws.on("message", (data) => {
      const text = data.toString();
      if (text === "2") return ws.send("3");
      if (!text.startsWith(prefix)) return;
      const i = Number.parseInt(text.slice(prefix.length), 10);
      if (i !== expected) return reject(new Error(`received ${i} instead of ${expected}`));
      if (++expected === n) resolve();
    });
    ws.ws.on("close", () => reject(new Error(`closed after ${expected}`)));
  });
}

exports.tests = {
  async "every client of a room receives every message in order, over WebSocket"(c) {
    const nsp = c.namespace();
    const clients = await open(clientsOf(c), async () => {
      const ws = await Socket.open(c.base);
      c.onEnd(() => ws.ws.terminate());
      await ws.connect(nsp);
      ws.send(event(nsp, 1, "join", "everyone"));
      assert.equal(await ws.message(), `43${nsp},1[["everyone"]]`);
      return ws;
    });
    const done = clients.map((ws) => counted(ws, `42${nsp},["news",`, MESSAGES));
    const cast = { to: ["everyone"], scope: "nsp", event: "news" };
    for (let i = 0; i < MESSAGES; i++) clients[0].send(event(nsp, undefined, "cast", { ...cast, args: [i] }));
    await withTimeout(Promise.all(done), "all messages", 50000);
    const fans = clients.map((ws) => counted(ws, `42${nsp},["tick",`, MESSAGES));
    clients.at(-1).send(event(nsp, undefined, "fanout", MESSAGES, "twenty bytes of load"));
    await withTimeout(Promise.all(fans), "all ticks", 50000);
  },

  async "every client of a room receives every message in order, over polling"(c) {
    const nsp = c.namespace();
    const n = Math.ceil(clientsOf(c) / 10);
    const clients = await open(n, async () => {
      const session = await Polling.open(c.base);
      await session.connect(nsp);
      return session;
    });
    const caster = await c.connect(nsp, { transports: ["websocket"] });
    const received = clients.map((session) => session.messages(MESSAGES));
    for (let i = 0; i < MESSAGES; i++) caster.emit("cast", { scope: "nsp", event: "news", args: [i] });
    const expected = Array.from({ length: MESSAGES }, (_, i) => event(nsp, undefined, "news", i));
    for (const messages of await Promise.all(received)) assert.deepEqual(messages, expected);
    await Promise.all(clients.map((session) => session.post("1")));
  },

  async "clients that send at the same time receive all their echoes in order"(c) {
    const n = Math.ceil(clientsOf(c) / 20);
    await open(n, async (k) => {
      const socket = await c.connect(c.namespace());
      const received = [];
      const done = new Promise((resolve) => {
        socket.on("echoed", (i) => received.push(i) === MESSAGES && resolve());
      });
      for (let i = 0; i < MESSAGES; i++) socket.emit("echo", i, k % 2 ? Buffer.from([i]) : "text");
      await withTimeout(done, "all echoes");
      assert.deepEqual(received, Array.from({ length: MESSAGES }, (_, i) => i));
      socket.disconnect();
    });
  },

  async "disconnected sockets are removed"(c) {
    const nsp = c.namespace();
    const watcher = await c.connect(nsp, { transports: ["websocket"] });
    const observer = await c.observe();
    for (let round = 0; round < 3; round++) {
      const clients = await open(Math.ceil(clientsOf(c) / 10), async () => {
        const ws = await Socket.open(c.base);
        ws.id = (await ws.connect(nsp)).sid;
        return ws;
      });
      for (const ws of clients) ws.ws.terminate();
      for (const ws of clients) await observer.gone(ws.id);
    }
    const { sockets } = await c.call(watcher, "cluster", { op: "fetch" });
    assert.deepEqual(sockets.map(({ id }) => id), [watcher.id]);
  },
};
