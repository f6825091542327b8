"use strict";
// Acknowledgements in both directions, with timeouts and in order.

const assert = require("node:assert/strict");
const { event } = require("../lib/raw.js");

const placeholder = '{"_placeholder":true,"num":0}';

exports.tests = {
  async "the server receives the first value of the client's acknowledgement"(c) {
    const socket = await c.connect(c.namespace());
    socket.on("question", (...args) => args.pop()(args, "ignored"));
    for (const args of [[], ["x"], [1, { a: [null] }, "é"]]) {
      assert.deepEqual(await c.call(socket, "ask", 10000, ...args), { ok: true, value: args });
    }
  },

  async "binary data is sent to the client and returned in its acknowledgement"(c) {
    const socket = await c.connect(c.namespace());
    socket.on("question", (binary, ack) => ack({ first: Buffer.from(binary), more: [Buffer.from([9])] }));
    const { ok, value } = await c.call(socket, "ask", 10000, Buffer.from([1, 2, 3]));
    assert.equal(ok, true);
    assert.deepEqual(Buffer.from(value.first), Buffer.from([1, 2, 3]));
    assert.deepEqual(Buffer.from(value.more[0]), Buffer.from([9]));
  },

  async "the acknowledgement of a client times out"(c) {
    const socket = await c.connect(c.namespace());
    const begin = performance.now();
    assert.deepEqual(await c.call(socket, "ask", 100, "x"), { ok: false, error: "timeout" });
    assert.ok(performance.now() - begin >= 95, "the timeout must not expire early");
  },

  async "late and duplicate acknowledgements are ignored"(c) {
    const socket = await c.connect(c.namespace());
    let late;
    socket.once("question", (ack) => (late = ack));
    assert.deepEqual(await c.call(socket, "ask", 50), { ok: false, error: "timeout" });
    late("too late");
    socket.once("question", (ack) => {
      ack("first");
      ack("second");
    });
    assert.deepEqual(await c.call(socket, "ask", 10000), { ok: true, value: "first" });
    assert.equal(await c.call(socket, "echo-ack", 1), 1);
  },

  async "acknowledgements are matched by their id, in any order"(c) {
    const ws = await c.websocket();
    const nsp = c.namespace();
    await ws.connect(nsp);
    ws.send(event(nsp, 1, "ask", 10000, "a"), event(nsp, 2, "ask", 10000, "b"), event(nsp, 3, "ask", 10000, "c"));
    const questions = (await ws.messages(3)).map((packet) => {
      const [, id, json] = packet.replace(`42${nsp},`, "").match(/^(\d+)(\[.*)$/);
      return { id, word: JSON.parse(json)[1] };
    });
    assert.deepEqual(questions.map(({ word }) => word), ["a", "b", "c"]);
    assert.equal(new Set(questions.map(({ id }) => id)).size, 3);
    const [a, b, last] = questions;
    ws.send(`43${nsp},${last.id}["C"]`, `43${nsp},${a.id}[]`, `461-${nsp},${b.id}[${placeholder}]`, Buffer.from([7]));
    const received = await ws.messages(4);
    assert.deepEqual(received, [
      `43${nsp},3[{"ok":true,"value":"C"}]`,
      `43${nsp},1[{"ok":true}]`,
      `461-${nsp},2[{"ok":true,"value":${placeholder}}]`,
      Buffer.from([7]),
    ]);
  },

  async "acknowledgement ids are numbers of any size"(c) {
    const ws = await c.websocket();
    const nsp = c.namespace();
    await ws.connect(nsp);
    for (const id of ["0", "7", "00012", "4294967296", "9007199254740991"]) {
      ws.send(`42${nsp},${id}["echo-ack",1]`);
      assert.equal(await ws.message(), `43${nsp},${Number(id)}[1]`);
    }
  },

  async "acknowledgements are sent in the order of the events"(c) {
    const socket = await c.connect(c.namespace());
    const order = [];
    const n = 200;
    const calls = Array.from({ length: n }, async (_, i) => {
      order.push((await c.callAll(socket, "echo-ack", i))[0]);
    });
    await Promise.all(calls);
    assert.deepEqual(order, Array.from({ length: n }, (_, i) => i));
  },

  async "pending acknowledgements do not block other events"(c) {
    const socket = await c.connect(c.namespace());
    const acks = [];
    socket.on("question", (i, ack) => acks.push([i, ack]));
    const pending = Array.from({ length: 20 }, (_, i) => c.call(socket, "ask", 15000, i));
    assert.equal(await c.call(socket, "burst", 5), 5);
    assert.equal(acks.length, 20);
    for (const [i, ack] of acks.reverse()) ack(i * 2);
    const results = await Promise.all(pending);
    assert.deepEqual(results, Array.from({ length: 20 }, (_, i) => ({ ok: true, value: i * 2 })));
  },

  async "events without an acknowledgement are handled"(c) {
    const socket = await c.connect(c.namespace());
    const log = c.log(socket);
    socket.emit("echo-ack", 1);
    socket.emit("whoami");
    socket.emit("burst", 3);
    socket.emit("join", "room");
    socket.emit("echo", "end");
    await log.find(([name]) => name === "echoed", "echoed");
    assert.deepEqual(log.items, [["burst", 0], ["burst", 1], ["burst", 2], ["echoed", "end"]]);
    assert.deepEqual((await c.call(socket, "whoami")).rooms, ["room"]);
  },

  async "a client with retries receives one acknowledgement per event"(c) {
    const manager = c.manager();
    const socket = manager.socket(c.namespace(), { retries: 3, ackTimeout: 10000 });
    await c.connected(socket);
    const results = await Promise.all([1, 2, 3].map((i) => socket.emitWithAck("echo-ack", i)));
    assert.deepEqual(results, [1, 2, 3]);
  },

  async "a broadcast does not wait longer than its timeout for a disconnected socket"(c) {
    const nsp = c.namespace();
    const [caller, leaver, responder] = await c.many(3, nsp);
    leaver.on("q", () => leaver.disconnect());
    responder.on("q", (ack) => ack("here"));
    caller.on("q", (ack) => ack("me"));
    const { values } = await c.call(caller, "cast-ack", { to: [], timeout: 700, event: "q", args: [] });
    assert.deepEqual(values.sort(), ["here", "me"]);
  },
};
