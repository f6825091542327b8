"use strict";
// The public test suite of the Engine.IO protocol, with its deadlines, against `SIO_SUITE=engine`.

const assert = require("node:assert/strict");
const { request, statusOf, Polling, address, SEPARATOR } = require("../lib/raw.js");
const { load } = require("../lib/modules.js");
const { Log, sleepUntil } = require("../lib/wait.js");
const { Socket } = load("engine.io-client");

exports.env = { SIO_SUITE: "engine" };
// The client has 200 ms for each pong and may miss some on a busy machine.
exports.jobs = 2;
exports.attempts = 3;

const path = "/engine.io/";
const INTERVAL = 300;
const TIMEOUT = 200;
/** Extra time for the official server, whose timers run late on a busy machine. */
const slack = (c) => (c.isReference ? 100 : 0);

const url = (c, parameters) => address(c.program.base, parameters, path);
const polling = (c) => c.polling({ base: c.program.base, path });
const websocket = (c) => c.websocket({ base: c.program.base, path });
const attempt = (c, query) => c.attempt(query, { base: c.program.base, path });

exports.tests = {
  async "HTTP opens a session"(c) {
    const { status, body } = await request(url(c, { transport: "polling" }));
    assert.equal(status, 200);
    assert.equal(body[0], "0");
    const value = JSON.parse(body.slice(1));
    assert.deepEqual(Object.keys(value).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
    assert.deepEqual(value.upgrades, ["websocket"]);
    assert.deepEqual([value.pingInterval, value.pingTimeout, value.maxPayload], [300, 200, 1000000]);
  },

  async "HTTP fails with an invalid EIO or transport parameter, or another method"(c) {
    for (const parameters of [{ EIO: undefined, transport: "polling" }, { EIO: "abc", transport: "polling" }, {}, { transport: "abc" }]) {
      assert.equal((await request(url(c, parameters))).status, 400);
    }
    for (const method of ["POST", "PUT"]) {
      assert.equal((await request(url(c, { transport: "polling" }), { method })).status, 400);
    }
  },

  async "WebSocket opens a session"(c) {
    const ws = await websocket(c);
    assert.deepEqual(Object.keys(ws.handshake).sort(), ["maxPayload", "pingInterval", "pingTimeout", "sid", "upgrades"]);
    assert.deepEqual(ws.handshake.upgrades, []);
    assert.equal(ws.ws.extensions, "");
  },

  async "WebSocket fails with an invalid EIO or transport parameter"(c) {
    for (const query of [{ EIO: undefined }, { EIO: "abc" }, { transport: undefined }, { transport: "abc" }]) {
      const ws = attempt(c, query);
      await ws.close();
      assert.deepEqual(ws.log.items, []);
    }
  },

  async "HTTP sends and receives one packet"(c) {
    const session = await polling(c);
    await session.post("4hello");
    assert.deepEqual(await session.poll(), ["4hello"]);
  },

  async "HTTP sends and receives several packets"(c) {
    const session = await polling(c);
    await session.post("4test1", "4test2", "4test3");
    assert.deepEqual(await session.poll(), ["4test1", "4test2", "4test3"]);
  },

  async "HTTP sends and receives text and binary"(c) {
    const session = await polling(c);
    await session.post("4hello", "bAQIDBA==");
    assert.deepEqual(await session.poll(), ["4hello", "bAQIDBA=="]);
  },

  async "packets caused by a POST are queued before its response"(c) {
    const session = await polling(c);
    for (let i = 0; i < 3; i++) await session.post(`4${i}`);
    const packets = (await session.poll()).filter((packet) => packet !== "2");
    assert.deepEqual(packets, Array.from({ length: 3 }, (_, i) => `4${i}`));
  },

  async "an invalid packet over HTTP closes the session"(c) {
    const session = await polling(c);
    // The official server answers the request before it checks the packets.
    await statusOf(session.send("abc"));
    assert.equal((await session.get()).status, 400);
  },

  async "overlapping polls close the session"(c) {
    const session = await polling(c);
    const responses = await Promise.all([session.get(), session.get()]);
    // The responses may arrive in either order.
    const [first, second] = responses.sort((a, b) => a.status - b.status);
    assert.deepEqual([first.status, first.body], [200, "1"]);
    assert.ok([400, 500].includes(second.status));
    assert.equal((await session.get()).status, 400);
  },

  async "a cancelled poll closes the session"(c) {
    const session = await polling(c);
    const poll = session.get();
    await new Promise((done) => setTimeout(done, 5));
    poll.request.destroy();
    // The server detects the cancellation with a delay.
    while ((await statusOf(session.send("6"))) !== 400) assert.ok(performance.now() - session.opened < 20000);
  },

  async "a POST over the limit closes the session"(c) {
    const session = await polling(c);
    assert.equal(await statusOf(session.send("4".repeat(1000001))), 413);
    assert.equal((await session.get()).status, 400);
    const fine = await polling(c);
    await fine.post("4".repeat(1000000));
    assert.equal((await fine.poll())[0].length, 1000000);
  },

  async "WebSocket sends and receives text and binary"(c) {
    const ws = await websocket(c);
    ws.send("4hello", Buffer.from([1, 2, 3, 4]), "4again");
    assert.deepEqual(await ws.messages(3), ["4hello", Buffer.from([1, 2, 3, 4]), "4again"]);
  },

  async "an invalid packet over WebSocket closes the session"(c) {
    const ws = await websocket(c);
    ws.send("abc");
    await ws.close();
  },

  async "HTTP has a heartbeat"(c) {
    const session = await polling(c);
    for (let i = 0; i < 3; i++) {
      assert.deepEqual(await session.poll(), ["2"]);
      await session.post("3");
    }
  },

  async "WebSocket has a heartbeat"(c) {
    const ws = await websocket(c);
    for (let i = 0; i < 3; i++) {
      assert.equal(await ws.packet(), "2");
      ws.send("3");
    }
  },

  async "the first ping is sent after exactly one interval"(c) {
    const begin = performance.now();
    const [ws, session] = await Promise.all([websocket(c), polling(c)]);
    assert.deepEqual([await ws.packet(), await session.poll()], ["2", ["2"]]);
    assert.ok(performance.now() - begin >= INTERVAL - 2);
  },

  async "a silent polling session has ended after interval and timeout"(c) {
    const sessions = await Promise.all(Array.from({ length: 10 }, () => polling(c)));
    await Promise.all(
      sessions.map(async (session) => {
        await sleepUntil(session.opened + INTERVAL + TIMEOUT + slack(c));
        const { status, body } = await session.get();
        assert.equal(status, 400, body);
      }),
    );
  },

  async "a silent polling session stays open until interval and timeout have passed"(c) {
    const begin = performance.now();
    const session = await polling(c);
    await sleepUntil(begin + INTERVAL + TIMEOUT - 150);
    const { status } = await session.send("6");
    // This process may have been delayed in the meantime.
    if (performance.now() - begin < INTERVAL + TIMEOUT) assert.equal(status, 200);
  },

  async "a WebSocket session without pongs is closed"(c) {
    const begin = performance.now();
    const ws = await websocket(c);
    await ws.close();
    assert.ok(performance.now() - begin >= INTERVAL + TIMEOUT - 2);
    assert.deepEqual(ws.log.items.slice(1), ["2"]);
  },

  async "a close packet over HTTP closes the session"(c) {
    const session = await polling(c);
    const poll = session.get();
    await new Promise((done) => setTimeout(done, 5));
    await session.post("1");
    const { status, body } = await poll;
    assert.deepEqual([status, body], [200, "6"]);
    assert.equal((await session.get()).status, 400);
  },

  async "a close packet over WebSocket closes the session"(c) {
    const ws = await websocket(c);
    ws.send("1");
    await ws.close();
  },

  async "polling is upgraded to WebSocket"(c) {
    const session = await polling(c);
    const ws = attempt(c, { sid: session.sid });
    await ws.connected;
    ws.send("2probe");
    assert.equal(await ws.packet(), "3probe");
    ws.send("5", "4hello");
    assert.equal(await ws.message(), "4hello");
  },

  async "HTTP requests after the upgrade are refused"(c) {
    const session = await polling(c);
    const ws = attempt(c, { sid: session.sid });
    await ws.connected;
    ws.send("2probe");
    await ws.packet();
    ws.send("5", "4first");
    await ws.message();
    assert.equal((await session.get()).status, 400);
    ws.send("4hello");
    assert.equal(await ws.message(), "4hello");
  },

  async "a second WebSocket after the upgrade is refused"(c) {
    const session = await polling(c);
    const ws = attempt(c, { sid: session.sid });
    await ws.connected;
    ws.send("2probe");
    await ws.packet();
    ws.send("5", "4first");
    await ws.message();
    await attempt(c, { sid: session.sid }).close();
    ws.send("4hello");
    assert.equal(await ws.message(), "4hello");
  },

  async "many messages are echoed in order during the upgrade"(c) {
    const session = await polling(c);
    const n = 300;
    const ws = attempt(c, { sid: session.sid });
    await session.post(...Array.from({ length: n }, (_, i) => `4${i}`));
    await ws.connected;
    ws.send("2probe");
    await ws.packet();
    ws.send("5");
    for (let i = n; i < 2 * n; i++) ws.send(i % 2 ? `4${i}` : Buffer.from(String(i)));
    const numbers = (await ws.messages(2 * n)).map((one) => Number(Buffer.isBuffer(one) ? one : one.slice(1)));
    assert.deepEqual(numbers, Array.from({ length: 2 * n }, (_, i) => i));
  },

  async "messages of official clients are not lost, duplicated or reordered during the upgrade"(c) {
    const n = 100;
    await Promise.all(
      Array.from({ length: 10 }, async (_, k) => {
        const socket = new Socket(c.program.base, { path });
        c.onEnd(() => socket.close());
        const received = new Log();
        socket.on("message", (data) => received.push(Number(Buffer.from(data).toString())));
        socket.on("close", (reason) => received.push(reason));
        for (let i = 0; i < n; i++) {
          socket.send(i % 3 ? String(i) : Buffer.from(String(i)));
          // The upgrade happens at a different moment for each client.
          if (i % (5 + k) === 0) await new Promise((done) => setTimeout(done, 1));
        }
        assert.deepEqual(await received.take(n), Array.from({ length: n }, (_, i) => i));
      }),
    );
  },

  async "every origin is allowed"(c) {
    for (const method of ["GET", "OPTIONS"]) {
      const headers = { Origin: "http://any.test", "Access-Control-Request-Method": "GET" };
      const response = await request(url(c, { transport: "polling" }), { method, headers });
      assert.ok(response.status < 300);
      assert.equal(response.headers["access-control-allow-origin"], "*");
    }
  },

  async "other paths are not found"(c) {
    const { status } = await request(new URL("/socket.io/?EIO=4&transport=polling", c.program.base).href);
    assert.equal(status, 404);
  },

  async "responses are not compressed"(c) {
    const session = await polling(c);
    await session.post(`4${"x".repeat(5000)}`);
    const { headers, body } = await session.get({ headers: { "Accept-Encoding": "gzip, deflate, br" } });
    assert.equal(headers["content-encoding"], undefined);
    assert.equal(body, `4${"x".repeat(5000)}`);
  },

  async "empty packets between separators are invalid"(c) {
    const session = await Polling.open(c.program.base, { path });
    await statusOf(session.send(`4a${SEPARATOR}${SEPARATOR}4b`));
    assert.equal((await session.get()).status, 400);
  },
};
