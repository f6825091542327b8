"use strict";
// The public test suite of the Socket.IO protocol against `SIO_SUITE=socket`, by WebSocket and by polling.

const assert = require("node:assert/strict");
const { Polling, Socket, statusOf, SEPARATOR } = require("../lib/raw.js");

exports.env = { SIO_SUITE: "socket" };
// The client has 200 ms for each pong; on a busy machine it misses some.
exports.jobs = 2;
exports.attempts = 3;

const placeholder = (num) => `{"_placeholder":true,"num":${num}}`;
const buffers = [Buffer.from([1, 2, 3]), Buffer.from([4, 5, 6])];

/** One way to send and receive messages; binary is a buffer both ways. */
const WAYS = {
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
        const got = await session.messages(n);
        return got.map((one) => (one[0] === "b" ? Buffer.from(one.slice(1), "base64") : one.slice(1)));
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

/** A connection that has joined the main namespace. */
async function connected(open, c, nsp = "/") {
  const way = await open(c);
  const prefix = nsp === "/" ? "" : `${nsp},`;
  await way.send(`0${prefix}`);
  const [connect, auth] = await way.messages(2);
  assert.match(connect, nsp === "/" ? /^0\{"sid":/ : /^0\/custom,\{"sid":/);
  assert.equal(auth, `2${prefix}["auth",{}]`);
  return way;
}

const tests = (open) => ({
  async "connects to a namespace, with and without a payload"(c) {
    for (const [packet, prefix, payload] of [
      ["0", "", "{}"],
      ['0{"token":"123"}', "", '{"token":"123"}'],
      ["0/custom,", "/custom,", "{}"],
      ['0/custom,{"token":"abc"}', "/custom,", '{"token":"abc"}'],
    ]) {
      const way = await open(c);
      await way.send(packet);
      const [connect, auth] = await way.messages(2);
      assert.ok(connect.startsWith(`0${prefix}{`));
      const handshake = JSON.parse(connect.slice(1 + prefix.length));
      assert.deepEqual(Object.keys(handshake), ["sid"]);
      assert.equal(auth, `2${prefix}["auth",${payload}]`);
    }
  },

  async "refuses an unknown namespace"(c) {
    const way = await open(c);
    await way.send("0/random", '0/random,{"token":"abc"}');
    const refused = '4/random,{"message":"Invalid namespace"}';
    assert.deepEqual(await way.messages(2), [refused, refused]);
  },

  async "closes upon an invalid handshake"(c) {
    const way = await open(c);
    await way.raw("4abc");
    await way.closed();
  },

  async "closes if no namespace is joined, and not before the connect timeout"(c) {
    const begin = performance.now();
    const way = await open(c);
    await way.answerPings();
    assert.ok(performance.now() - begin >= 1000 - 2);
  },

  async "disconnects from a namespace, and the session lives"(c) {
    const main = await connected(open, c);
    await main.send("1", "0/custom,");
    const [custom] = await main.messages(2);
    assert.match(custom, /^0\/custom,/);
    const way = await connected(open, c);
    await way.send("0/custom,");
    await way.messages(2);
    await way.send("1/custom,", '2["message","message to main namespace"]');
    assert.deepEqual(await way.messages(1), ['2["message-back","message to main namespace"]']);
  },

  async "answers messages"(c) {
    const way = await connected(open, c);
    await way.send('2["message",1,"2",{"3":[true]}]');
    assert.deepEqual(await way.messages(1), ['2["message-back",1,"2",{"3":[true]}]']);
    await way.send(`52-["message",${placeholder(0)},${placeholder(1)}]`, ...buffers);
    assert.deepEqual(await way.messages(3), [`52-["message-back",${placeholder(0)},${placeholder(1)}]`, ...buffers]);
  },

  async "acknowledges messages"(c) {
    const way = await connected(open, c);
    await way.send('2456["message-with-ack",1,"2",{"3":[false]}]');
    assert.deepEqual(await way.messages(1), ['3456[1,"2",{"3":[false]}]']);
    await way.send(`52-789["message-with-ack",${placeholder(0)},${placeholder(1)}]`, ...buffers);
    assert.deepEqual(await way.messages(3), [`62-789[${placeholder(0)},${placeholder(1)}]`, ...buffers]);
  },

  async "closes upon an invalid format"(c) {
    for (const packet of ["4abc", "42{}", "42abc[\"message-with-ack\",1,\"2\",{}]"]) {
      const way = await connected(open, c);
      await way.raw(packet);
      await way.closed();
    }
  },

  async "keeps the order of many messages"(c) {
    const way = await connected(open, c);
    const n = 300;
    await way.send(...Array.from({ length: n }, (_, i) => `2${i % 3 ? "" : i}["message${i % 3 ? "" : "-with-ack"}",${i}]`));
    const got = await way.messages(n);
    assert.deepEqual(got, Array.from({ length: n }, (_, i) => (i % 3 ? `2["message-back",${i}]` : `3${i}[${i}]`)));
  },
});

exports.tests = {};
for (const [name, open] of Object.entries(WAYS)) {
  for (const [sentence, test] of Object.entries(tests(open))) exports.tests[`the server ${sentence} (${name})`] = test;
}
