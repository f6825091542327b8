"use strict";
// The public test suite of the Socket.IO protocol against `SIO_SUITE=socket`, over WebSocket and over polling.

const assert = require("node:assert/strict");
const { Polling, Socket, statusOf, SEPARATOR } = require("../lib/raw.js");

exports.env = { SIO_SUITE: "socket" };
// The client has 200 ms for each pong and may miss some on a busy machine.
exports.jobs = 2;
exports.attempts = 3;

const placeholder = (num) => `{"_placeholder":true,"num":${num}}`;
const buffers = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];

/** Transports with a common interface. Binary messages are buffers in both directions. */
const TRANSPORTS = {
  async websocket(c) {
    const ws = await Socket.open(c.program.base);
    c.onEnd(() => ws.ws.terminate());
    return {
      send: (...packets) => ws.send(...packets.map((packet) => (Buffer.isBuffer(packet) ? packet : `4${packet}`))),
      raw: (packet) => ws.send(packet),
      messages: async (n) => (await ws.messages(n)).map((one) => (Buffer.isBuffer(one) ? one : one.slice(1))),
      async answerPings() {
        ws.ws.on("message", (data) => data.toString() === "2" && ws.send("3"));
        await ws.close();
        assert.ok(ws.log.items.slice(1).every((packet) => packet === "2"));
      },
      closed: () => ws.close(),
    };
  },
  async polling(c) {
    const session = await Polling.open(c.program.base);
    const encode = (one) => (Buffer.isBuffer(one) ? `b${one.toString("base64")}` : `4${one}`);
    return {
      send: (...packets) => session.post(...packets.map(encode)),
      raw: (packet) => statusOf(session.send(packet)),
      async messages(n) {
        const received = await session.messages(n);
        return received.map((one) => (one[0] === "b" ? Buffer.from(one.slice(1), "base64") : one.slice(1)));
      },
      async answerPings() {
        for (;;) {
          const [packet] = await session.poll();
          if (packet === "1") break;
          if (packet === "6") continue;
          assert.equal(packet, "2");
          await session.post("3");
        }
        assert.equal((await session.get()).status, 400);
      },
      async closed() {
        const { packets } = await session.end();
        assert.ok(packets.every((packet) => ["1", "2", "6"].includes(packet)), packets.join(SEPARATOR));
      },
    };
  },
};

/** Opens a connection that has joined a namespace. */
async function connected(open, c, nsp = "/") {
  const peer = await open(c);
  const prefix = nsp === "/" ? "" : `${nsp},`;
  await peer.send(`0${prefix}`);
  const [connect, auth] = await peer.messages(2);
  assert.match(connect, nsp === "/" ? /^0\{"sid":/ : /^0\/custom,\{"sid":/);
  assert.equal(auth, `2${prefix}["auth",{}]`);
  return peer;
}

const tests = (open) => ({
  async "connects to a namespace, with and without a payload"(c) {
    for (const [packet, prefix, payload] of [
      ["0", "", "{}"],
      ['0{"token":"123"}', "", '{"token":"123"}'],
      ["0/custom,", "/custom,", "{}"],
      ['0/custom,{"token":"abc"}', "/custom,", '{"token":"abc"}'],
    ]) {
      const peer = await open(c);
      await peer.send(packet);
      const [connect, auth] = await peer.messages(2);
      assert.ok(connect.startsWith(`0${prefix}{`));
      const handshake = JSON.parse(connect.slice(1 + prefix.length));
      assert.deepEqual(Object.keys(handshake), ["sid"]);
      assert.equal(auth, `2${prefix}["auth",${payload}]`);
    }
  },

  async "refuses an unknown namespace"(c) {
    const peer = await open(c);
    await peer.send("0/random", '0/random,{"token":"abc"}');
    const refused = '4/random,{"message":"Invalid namespace"}';
    assert.deepEqual(await peer.messages(2), [refused, refused]);
  },

  async "closes the connection after an invalid handshake"(c) {
    const peer = await open(c);
    await peer.raw("4abc");
    await peer.closed();
  },

  async "closes the connection if no namespace is joined before the connect timeout"(c) {
    const begin = performance.now();
    const peer = await open(c);
    await peer.answerPings();
    assert.ok(performance.now() - begin >= 1000 - 2);
  },

  async "disconnects from a namespace and keeps the session"(c) {
    const main = await connected(open, c);
    await main.send("1", "0/custom,");
    const [custom] = await main.messages(2);
    assert.match(custom, /^0\/custom,/);
    const peer = await connected(open, c);
    await peer.send("0/custom,");
    await peer.messages(2);
    await peer.send("1/custom,", '2["message","message to main namespace"]');
    assert.deepEqual(await peer.messages(1), ['2["message-back","message to main namespace"]']);
  },

  async "answers messages"(c) {
    const peer = await connected(open, c);
    await peer.send('2["message",1,"2",{"3":[true]}]');
    assert.deepEqual(await peer.messages(1), ['2["message-back",1,"2",{"3":[true]}]']);
    await peer.send(`52-["message",${placeholder(0)},${placeholder(1)}]`, ...buffers);
    assert.deepEqual(await peer.messages(3), [`52-["message-back",${placeholder(0)},${placeholder(1)}]`, ...buffers]);
  },

  async "acknowledges messages"(c) {
    const peer = await connected(open, c);
    await peer.send('2456["message-with-ack",1,"2",{"3":[false]}]');
    assert.deepEqual(await peer.messages(1), ['3456[1,"2",{"3":[false]}]']);
    await peer.send(`52-789["message-with-ack",${placeholder(0)},${placeholder(1)}]`, ...buffers);
    assert.deepEqual(await peer.messages(3), [`62-789[${placeholder(0)},${placeholder(1)}]`, ...buffers]);
  },

  async "closes the connection after an invalid packet"(c) {
    for (const packet of ["4abc", "42{}", "42abc[\"message-with-ack\",1,\"2\",{}]"]) {
      const peer = await connected(open, c);
      await peer.raw(packet);
      await peer.closed();
    }
  },

  async "keeps the order of many messages"(c) {
    const peer = await connected(open, c);
    const n = 300;
    await peer.send(...Array.from({ length: n }, (_, i) => `2${i % 3 ? "" : i}["message${i % 3 ? "" : "-with-ack"}",${i}]`));
    const received = await peer.messages(n);
    assert.deepEqual(received, Array.from({ length: n }, (_, i) => (i % 3 ? `2["message-back",${i}]` : `3${i}[${i}]`)));
  },
});

exports.tests = {};
for (const [name, open] of Object.entries(TRANSPORTS)) {
  for (const [sentence, test] of Object.entries(tests(open))) exports.tests[`the server ${sentence} (${name})`] = test;
}
