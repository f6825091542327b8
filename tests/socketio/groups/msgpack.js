"use strict";
// MessagePack packets, with npm's socket.io-msgpack-parser in both peers.

const assert = require("node:assert/strict");
const { load } = require("../lib/modules.js");

const parser = load("socket.io-msgpack-parser");

exports.env = { SIO_PARSER: "msgpack" };

const connect = (c, nsp = "/", options = {}) => c.connect(nsp, { parser, ...options });

exports.tests = {
  async "values of all kinds are returned unchanged"(c) {
    const socket = await connect(c);
    const values = [
      [],
      [1, -1, 0.5, 2 ** 40, true, null, "grüezi", "x".repeat(70000)],
      [{ a: [{ b: {} }] }, [[]], []],
      [Buffer.from([0, 1, 255]), { nested: [Buffer.alloc(300, 7)] }],
    ];
    for (const args of values) assert.deepEqual(await c.callAll(socket, "echo-ack", ...args), args);
    const log = c.log(socket, "echoed");
    socket.emit("echo", "event", Buffer.from("bytes"));
    assert.deepEqual(await log.take(1), [["echoed", "event", Buffer.from("bytes")]]);
  },

  async "acknowledgements by the client and bursts in order work"(c) {
    const socket = await connect(c, c.namespace());
    socket.on("question", (value, ack) => ack(value));
    assert.deepEqual(await c.call(socket, "ask", 5000, { a: 1 }), { ok: true, value: { a: 1 } });
    const log = c.log(socket, "burst");
    assert.equal(await c.call(socket, "burst", 100), 100);
    assert.deepEqual(log.items.map(([, i]) => i), Array.from({ length: 100 }, (_, i) => i));
  },

  async "rooms, broadcasts and broadcast acknowledgements work"(c) {
    const nsp = c.namespace();
    const [one, two] = await Promise.all([connect(c, nsp), connect(c, nsp)]);
    const log = c.log(two, "news");
    await c.call(two, "join", "room");
    await c.call(one, "cast", { to: ["room"], scope: "nsp", event: "news", args: [1, Buffer.from([2])] });
    assert.deepEqual(await log.take(1), [["news", 1, Buffer.from([2])]]);
    for (const socket of [one, two]) socket.on("vote", (ack) => ack(socket.id));
    const votes = await c.call(one, "cast-ack", { to: [], timeout: 5000, event: "vote", args: [] });
    assert.deepEqual([votes.ok, votes.values.sort()], [true, [one.id, two.id].sort()]);
  },

  async "authentication succeeds and fails with data"(c) {
    const refused = c.client("/admin", { parser, auth: { token: "wrong" } });
    const error = await new Promise((resolve) => refused.once("connect_error", resolve));
    assert.equal(error.message, "not authorized");
    assert.deepEqual(error.data, { code: 401, hint: ["bring", { a: "token" }] });
    const admin = await connect(c, "/admin", { auth: { token: "letmein" } });
    assert.deepEqual((await c.call(admin, "whoami")).auth, { token: "letmein" });
  },

  async "disconnections are received"(c) {
    const socket = await connect(c, c.namespace());
    const gone = new Promise((resolve) => socket.once("disconnect", resolve));
    socket.emit("bye", false);
    assert.equal(await gone, "io server disconnect");
  },

  async "text instead of a binary packet closes the connection"(c) {
    const session = await c.websocket();
    session.send("40");
    await session.close();
    assert.equal((await c.call(await connect(c), "echo-ack", 1)), 1);
  },
};
