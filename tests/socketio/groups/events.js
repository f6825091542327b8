"use strict";
// All commands of the conformance program, with the official client.

const assert = require("node:assert/strict");
const { Log } = require("../lib/wait.js");

/** JSON values, including edge cases. */
const VALUES = [
  null, true, false, 0, -1, 1.5, -0.1, 1e-7, 5e-324, 1.7976931348623157e308, 2 ** 53, -(2 ** 53), 1e21, 123456789012345680000,
  "", "text", 'quotes " and \\ and /', "\u0000\u001f\u007f\u2028\u2029", "é ü ß 你好 \u{1f469}\u200d\u{1f680}", "\u001e", "b64", "42[]",
  [], [[]], [1, [2, [3, [4]]]], {}, { a: { b: { c: [1, { d: null }] } } }, { "": 1, " ": 2, "é": 3, "\u001e": 4 },
  { _placeholder: false, num: 0 }, [null, null], { __proto__: null, toString: 1 },
];

const buffers = () => [Buffer.alloc(0), Buffer.from([0, 255, 30, 128]), Buffer.alloc(70000, 0x5a)];

/** Converts binary data of any type to comparable values. */
function plain(value) {
  if (Buffer.isBuffer(value) || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) {
    return `binary ${Buffer.from(value.buffer ?? value, value.byteOffset, value.byteLength).toString("hex")}`;
  }
  if (Array.isArray(value)) return value.map(plain);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
  }
  return value;
}

/** Returns the stashed value. The contract allows both the value itself and the data object that contains it. */
const stashed = (data) => (data && typeof data === "object" && "value" in data ? data.value : data);

async function joined(c, options) {
  return c.settled(c.namespace(), options);
}

exports.tests = {
  async "echo returns the same arguments"(c) {
    const socket = await c.connect(c.namespace());
    const log = c.log(socket, "echoed");
    const all = [[], ...VALUES.map((value) => [value]), VALUES, [VALUES, { VALUES }]];
    for (const args of all) socket.emit("echo", ...args);
    const received = await log.take(all.length);
    received.forEach(([, ...args], i) => assert.deepEqual(plain(args), plain(all[i])));
  },

  async "echo returns binary data at any position in the arguments"(c) {
    const socket = await c.connect(c.namespace());
    const log = c.log(socket, "echoed");
    const [empty, small, big] = buffers();
    const all = [
      [small], [empty], [big], [1, small, "x"], [{ a: small, b: [empty, { c: big }] }, small],
      [new Uint8Array([1, 2, 3]).buffer], [[small, small]], [small, small, small, small, small, small, small, small, small, small],
    ];
    for (const args of all) socket.emit("echo", ...args);
    const received = await log.take(all.length);
    received.forEach(([, ...args], i) => assert.deepEqual(plain(args), plain(all[i])));
  },

  async "echo-ack acknowledges the same arguments, text and binary"(c) {
    const socket = await c.connect(c.namespace());
    const all = [[], ...VALUES.map((value) => [value]), VALUES, buffers(), [{ a: buffers() }, 1]];
    const acknowledged = await Promise.all(all.map((args) => c.callAll(socket, "echo-ack", ...args)));
    acknowledged.forEach((args, i) => assert.deepEqual(plain(args), plain(all[i])));
  },

  async "text with a lone surrogate does not affect other clients"(c) {
    const socket = await c.connect(c.namespace());
    const other = await c.connect(c.namespace());
    socket.emit("echo", "\ud800 x");
    assert.equal(await c.call(other, "echo-ack", 1), 1);
  },

  async "events with and without binary keep their order"(c) {
    const socket = await c.connect(c.namespace());
    const log = c.log(socket, "echoed");
    const n = 200;
    for (let i = 0; i < n; i++) socket.emit("echo", i, i % 3 ? "text" : Buffer.alloc(i));
    const received = await log.take(n);
    assert.deepEqual(received.map(([, i]) => i), Array.from({ length: n }, (_, i) => i));
  },

  async "silent never acknowledges"(c) {
    const socket = await c.connect(c.namespace());
    let acknowledged = false;
    socket.emit("silent", 1, 2, () => (acknowledged = true));
    await assert.rejects(socket.timeout(100).emitWithAck("silent", "x"), /timed out/);
    assert.equal(acknowledged, false);
  },

  async "burst sends its events before the acknowledgement"(c) {
    const socket = await c.connect(c.namespace());
    for (const n of [0, 1, 1000]) {
      const events = [];
      socket.off("burst").on("burst", (i) => events.push(i));
      assert.equal(await c.call(socket, "burst", n), n);
      assert.deepEqual(events, Array.from({ length: n }, (_, i) => i));
    }
  },

  async "stream sends its events at intervals"(c) {
    const socket = await c.connect(c.namespace());
    const log = c.log(socket, "stream");
    const begin = performance.now();
    socket.emit("stream", 10, 20);
    const received = await log.take(10);
    assert.deepEqual(received.map(([, i]) => i), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert.ok(performance.now() - begin >= 9 * 20 - 10, "the events must not be sent all at once");
  },

  async "whoami describes the socket"(c) {
    const nsp = c.namespace();
    const auth = { token: "é", deep: [{ a: 1 }] };
    const options = { auth, query: { name: "a b&c", x: "1" }, extraHeaders: { "X-Test": "seen" } };
    const socket = await c.settled(nsp, options);
    const whoami = await c.call(socket, "whoami");
    const { id, query, data, ...rest } = whoami;
    assert.equal(id, socket.id);
    assert.match(id, /^[A-Za-z0-9_-]{20}$/);
    assert.notEqual(id, socket.io.engine.id);
    assert.equal(data, null);
    assert.deepEqual(rest, {
      nsp,
      rooms: [],
      auth,
      header: "seen",
      transport: c.transports.at(-1),
      secure: c.secure,
      recovered: false,
    });
    assert.equal(query.name, "a b&c");
    assert.equal(query.x, "1");
    assert.equal(query.EIO, "4");
    assert.equal(query.transport, c.transports[0]);
  },

  async "whoami of a socket without data has empty fields"(c) {
    const whoami = await c.call(await c.connect(c.namespace()), "whoami");
    assert.deepEqual(whoami.auth, {});
    assert.equal(whoami.header, null);
    assert.equal(whoami.data, null);
    assert.deepEqual(whoami.rooms, []);
  },

  async "whoami returns the new transport after the upgrade"(c) {
    if (c.transport !== "upgrade") c.skip("the run has no upgrade");
    const socket = await c.connect(c.namespace());
    const upgraded = new Promise((resolve) => socket.io.engine.once("upgrade", resolve));
    if (socket.io.engine.transport.name === "polling") await upgraded;
    assert.equal((await c.call(socket, "whoami")).transport, "websocket");
  },

  async "features lists the supported features"(c) {
    const known = "volatile dynamic-namespaces broadcast-ack remote-ops tls cors recovery".split(" ");
    const features = await c.call(await c.connect(), "features");
    for (const feature of features) assert.ok(known.includes(feature), feature);
    for (const feature of known) assert.ok(features.includes(feature), `${feature} is missing`);
  },

  async "stash stores a value as the socket's data"(c) {
    const nsp = c.namespace();
    const [socket, other] = await c.many(2, nsp);
    for (const value of ["x", 0, { a: [1] }, "last"]) {
      assert.deepEqual(await c.callAll(socket, "stash", value), []);
      assert.deepEqual(stashed((await c.call(socket, "whoami")).data), value);
    }
    assert.equal((await c.call(other, "whoami")).data, null);
  },

  async "join and leave acknowledge the sorted rooms"(c) {
    const socket = await joined(c);
    assert.deepEqual(await c.call(socket, "join", "b"), ["b"]);
    assert.deepEqual(await c.call(socket, "join", ["c", "a", "b"]), ["a", "b", "c"]);
    assert.deepEqual((await c.call(socket, "whoami")).rooms, ["a", "b", "c"]);
    assert.deepEqual(await c.call(socket, "leave", "b"), ["a", "c"]);
    assert.deepEqual(await c.call(socket, "leave", "unknown"), ["a", "c"]);
    assert.deepEqual(await c.call(socket, "leave", ["a", "c"]), []);
    assert.deepEqual(await c.call(socket, "join", []), []);
    assert.deepEqual(await c.call(socket, "join", ["é \u{1f600}", ""]), ["", "é \u{1f600}"]);
  },

  async "fanout reaches all sockets of the namespace, in order"(c) {
    const sockets = await c.many(3, c.namespace());
    const outside = await c.connect(c.namespace());
    const stray = c.log(outside, "tick");
    const logs = sockets.map((socket) => c.log(socket, "tick"));
    assert.equal(await c.call(sockets[0], "fanout", 50, { p: "load" }), 50);
    for (const log of logs) {
      const received = await log.take(50);
      assert.deepEqual(received, Array.from({ length: 50 }, (_, i) => ["tick", i, { p: "load" }]));
    }
    await c.call(outside, "echo-ack", 1);
    assert.deepEqual(stray.items, []);
  },

  async "volatile events may be lost but not reordered, and reliable events are received"(c) {
    await c.requires("volatile");
    const socket = await joined(c);
    const log = c.log(socket);
    socket.emit("volatile", 20, 10);
    const end = await log.find(([name]) => name === "v-end", "v-end");
    assert.deepEqual(end, ["v-end", 20]);
    const received = log.items.filter(([name]) => name === "v");
    assert.deepEqual(received.map(([, i]) => i), received.map(([, i]) => i).sort((a, b) => a - b));
    for (const [, , text] of received) assert.equal(text, "v".repeat(10));
    assert.equal(log.items.at(-1)[0], "v-end");
  },

  async "volatile events to a client that does not read are dropped"(c) {
    await c.requires("volatile");
    if (c.workers > 1) c.skip("the acknowledgement of another worker does not show that this one has sent all events");
    const socket = await joined(c, { transports: ["websocket"] });
    const log = c.log(socket);
    const stream = socket.io.engine.transport.ws._socket;
    stream.pause();
    socket.emit("volatile", 400, 100000);
    // The dropped events do not fit into any buffer: 40 MB are more than the kernel holds.
    const other = await c.connect(c.namespace(), { transports: ["websocket"] });
    await c.call(other, "echo-ack", 1);
    stream.resume();
    await log.find(([name]) => name === "v-end", "v-end");
    const received = log.items.filter(([name]) => name === "v").length;
    assert.ok(received < 400, `${received} of 400 were received`);
  },

  async "download acknowledges text or binary of any size"(c) {
    const socket = await c.connect(c.namespace());
    for (const bytes of [0, 1, 70000, 2500000]) {
      const text = await c.call(socket, "download", bytes);
      assert.equal(text.length, bytes);
      assert.ok(text === "d".repeat(bytes));
      const binary = Buffer.from(await c.call(socket, "download", bytes, true));
      assert.ok(binary.equals(Buffer.alloc(bytes, 0xa5)), `${bytes} bytes of binary`);
    }
  },

  async "bye disconnects the socket only from its namespace"(c) {
    const manager = c.manager();
    const [a, b] = [c.client(c.namespace(), { manager }), c.client(c.namespace(), { manager })];
    await Promise.all([c.connected(a), c.connected(b)]);
    const gone = new Promise((resolve) => a.once("disconnect", resolve));
    a.emit("bye");
    assert.equal(await gone, "io server disconnect");
    assert.equal(await c.call(b, "echo-ack", 1), 1);
    // The socket may connect again over the same connection.
    const id = a.id;
    a.connect();
    await c.connected(a);
    assert.notEqual(a.id, id);
  },

  async "bye with close disconnects all sockets of the connection"(c) {
    const manager = c.manager();
    const sockets = [c.client(c.namespace(), { manager }), c.client(c.namespace(), { manager })];
    await Promise.all(sockets.map((socket) => c.connected(socket)));
    const gone = sockets.map((socket) => new Promise((resolve) => socket.once("disconnect", resolve)));
    sockets[0].emit("bye", true);
    for (const reason of await Promise.all(gone)) assert.equal(reason, "io server disconnect");
  },

  async "drop closes the connection without a disconnect packet"(c) {
    const socket = await joined(c);
    const gone = new Promise((resolve) => socket.once("disconnect", resolve));
    socket.emit("drop");
    assert.equal(await gone, "transport close");
  },

  async "a client that reconnects automatically has a new socket"(c) {
    const socket = await joined(c, { reconnection: true, reconnectionDelay: 10, reconnectionDelayMax: 50 });
    const log = new Log();
    socket.on("connect", () => log.push(socket.id));
    const id = socket.id;
    socket.emit("drop");
    const [again] = await log.take(1, "reconnections");
    assert.notEqual(again, id);
    assert.equal(await c.call(socket, "echo-ack", "back"), "back");
    assert.deepEqual((await c.call(socket, "whoami")).rooms, []);
  },

  async "unusual event names work"(c) {
    const socket = await c.connect(c.namespace());
    const log = c.log(socket);
    for (const name of ["", "é", "a b", "message", "error", "ping", "\u{1f600}"]) {
      await c.call(socket, "cast", { scope: "nsp", event: name, args: [name] });
      await log.find(([received, value]) => received === name && value === name, `the event ${JSON.stringify(name)}`);
    }
  },
};
