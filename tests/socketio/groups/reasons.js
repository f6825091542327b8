"use strict";
// Disconnect reasons, as reported to observers in /obs.

const assert = require("node:assert/strict");
const { statusOf, event } = require("../lib/raw.js");

exports.env = { SIO_PING_INTERVAL: "1000", SIO_PING_TIMEOUT: "1000", SIO_MAX_PAYLOAD: "20000" };

/** Connects a socket in a separate namespace, ends it with `end`, and checks the reported reason. */
async function watch(c, end, reason) {
  const observer = await c.observe();
  const socket = await c.settled(c.namespace());
  const { id, nsp } = socket;
  assert.deepEqual(await observer.joined(id), { nsp, id });
  await end(socket);
  assert.deepEqual(await observer.gone(id), { nsp, id, reason });
  // The end must be reported only once.
  const other = await c.connect(c.namespace());
  await observer.joined(other.id);
  assert.equal(observer.all.items.filter((item) => item.id === id).length, 1);
  return socket;
}

/** Returns the transport of a client. */
const transport = (socket) => socket.io.engine.transport;

exports.tests = {
  "a socket that leaves its namespace": (c) => watch(c, (socket) => socket.disconnect(), "client namespace disconnect"),

  async "a client that leaves a namespace and keeps its connection"(c) {
    const observer = await c.observe();
    const manager = c.manager();
    const [a, b] = [c.client(c.namespace(), { manager }), c.client(c.namespace(), { manager })];
    await Promise.all([c.connected(a), c.connected(b)]);
    const { id } = a;
    a.disconnect();
    assert.equal(await observer.reason(id), "client namespace disconnect");
    assert.ok(b.connected);
  },

  "a socket that the server disconnects": (c) =>
    watch(c, (socket) => socket.emit("bye"), "server namespace disconnect"),

  "a socket that the server disconnects with its connection": (c) =>
    watch(c, (socket) => socket.emit("bye", true), "server namespace disconnect"),

  async "all sockets of a connection that the server closes with bye"(c) {
    const observer = await c.observe();
    const manager = c.manager();
    const sockets = [c.client(c.namespace(), { manager }), c.client("/", { manager })];
    await Promise.all(sockets.map((socket) => c.connected(socket)));
    const ids = sockets.map(({ id }) => id);
    sockets[0].emit("bye", true);
    for (const id of ids) assert.equal(await observer.reason(id), "server namespace disconnect");
  },

  "a client that closes its connection": (c) => watch(c, (socket) => socket.io.engine.close(), "transport close"),

  async "a client whose connection is lost"(c) {
    if (c.transports.at(-1) === "polling") c.skip("polling has no connection to lose");
    await watch(c, (socket) => transport(socket).ws.terminate(), "transport close");
  },

  async "all sockets of a connection that is lost"(c) {
    const observer = await c.observe();
    const ws = await c.websocket();
    const ids = [];
    for (let i = 0; i < 3; i++) ids.push((await ws.connect(c.namespace())).sid);
    ws.ws.terminate();
    for (const id of ids) assert.equal(await observer.reason(id), "transport close");
  },

  async "a client that sends more than the limit"(c) {
    await watch(c, (socket) => socket.emit("echo", "x".repeat(20001)), "transport error");
  },

  async "a client that sends a broken frame"(c) {
    if (c.transports.at(-1) === "polling") c.skip("polling has no frames");
    await watch(c, (socket) => transport(socket).ws._socket.write(Buffer.from([0x83, 0x80, 0, 0, 0, 0])), "transport error");
  },

  async "a client whose polls overlap"(c) {
    const observer = await c.observe();
    const session = await c.polling();
    const { sid } = await session.connect(c.namespace());
    await Promise.all([session.get(), session.get()].map(statusOf));
    assert.equal(await observer.reason(sid), "transport error");
  },

  async "a client that aborts a poll"(c) {
    const observer = await c.observe();
    const session = await c.polling();
    const { sid } = await session.connect(c.namespace());
    const poll = session.get();
    await session.post("6");
    poll.request.destroy();
    assert.equal(await observer.reason(sid), "transport error");
  },

  async "a client that does not answer pings"(c) {
    const observer = await c.observe();
    const silent = await (c.transport === "polling" ? c.polling() : c.websocket());
    const { sid } = await silent.connect(c.namespace());
    assert.equal(await observer.reason(sid), "ping timeout");
  },

  "a connection that the server closes": (c) => watch(c, (socket) => socket.emit("drop"), "forced close"),

  "a client that sends an invalid Socket.IO packet": (c) =>
    watch(c, (socket) => socket.io.engine.write("9"), "forced close"),

  "a client that sends an unexpected attachment": (c) =>
    watch(c, (socket) => socket.io.engine.write(Buffer.from([1])), "forced close"),

  async "a client that sends an invalid Engine.IO packet"(c) {
    const observer = await c.observe();
    const ws = await c.websocket();
    const first = await ws.connect(c.namespace());
    ws.send("x");
    assert.equal(await observer.reason(first.sid), "parse error");
    const session = await c.polling();
    const second = await session.connect(c.namespace());
    await statusOf(session.send("x"));
    assert.equal(await observer.reason(second.sid), "parse error");
  },

  async "sockets of one connection are disconnected in the order in which they joined"(c) {
    const observer = await c.observe();
    const ws = await c.websocket();
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push((await ws.connect(c.namespace())).sid);
    ws.send("1x", event("/", undefined, "echo", 1));
    for (const id of ids) await observer.gone(id);
    const order = observer.all.items.map(({ id }) => id).filter((id) => ids.includes(id));
    assert.deepEqual(order, ids);
  },
};
