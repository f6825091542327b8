"use strict";
// The upgrade from polling to WebSocket: no packet is lost, duplicated or reordered.

const assert = require("node:assert/strict");
const { event, statusOf } = require("../lib/raw.js");
const { Log, withTimeout } = require("../lib/wait.js");

async function joined(c, options) {
  const session = await c.polling(options);
  session.nsp = c.namespace();
  session.id = (await session.connect(session.nsp)).sid;
  return session;
}

/** Opens a WebSocket for a session, and waits for the answer to its probe. */
async function probe(c, session, options) {
  const ws = c.attempt({ sid: session.sid }, options);
  await withTimeout(ws.connected, "the WebSocket");
  ws.send("2probe");
  assert.equal(await ws.packet(), "3probe");
  return ws;
}

const echo = (session, i) => event(session.nsp, undefined, "echo", i);
const echoes = (session, n) => Array.from({ length: n }, (_, i) => event(session.nsp, undefined, "echoed", i));

async function alive(session) {
  await session.post(event(session.nsp, 77, "echo-ack", "alive"));
  assert.deepEqual(await session.messages(1), [`43${session.nsp},77["alive"]`]);
}

exports.tests = {
  async "a probe is answered, and a pending poll receives noop"(c) {
    const session = await joined(c);
    const poll = session.poll();
    const ws = await probe(c, session);
    assert.deepEqual(await poll, ["6"]);
    ws.send("5", event(session.nsp, 1, "whoami"));
    const whoami = JSON.parse((await ws.message()).replace(/^[^[]*/, ""))[0];
    assert.deepEqual([whoami.id, whoami.transport], [session.id, "websocket"]);
  },

  async "a poll after the probe is answered with noop"(c) {
    const session = await joined(c);
    const ws = await probe(c, session);
    assert.deepEqual(await session.poll(), ["6"]);
    ws.send("5", echo(session, 0));
    assert.deepEqual(await ws.messages(1), echoes(session, 1));
  },

  async "packets that no poll has fetched are sent over the WebSocket in order"(c) {
    const session = await joined(c);
    await session.post(...[0, 1, 2].map((i) => echo(session, i)));
    const ws = await probe(c, session);
    await session.post(echo(session, 3), echo(session, 4));
    ws.send("5", echo(session, 5), echo(session, 6));
    assert.deepEqual(await ws.messages(7), echoes(session, 7));
  },

  async "packets between the probe and the upgrade are still sent over polling"(c) {
    const session = await joined(c);
    const ws = await probe(c, session);
    await session.post(echo(session, 0));
    assert.deepEqual(await session.messages(1), echoes(session, 1));
    assert.equal(ws.log.items.length, 1);
    ws.send("5", echo(session, 1));
    assert.deepEqual(await ws.messages(1), echoes(session, 2).slice(1));
  },

  async "a burst during the upgrade is complete and in order"(c) {
    const session = await joined(c);
    const ws = await probe(c, session);
    const post = session.post(event(session.nsp, 9, "burst", 500));
    const poll = session.get();
    await post;
    ws.send("5");
    // The poll may have fetched a part of the burst.
    const polled = (await poll.catch(() => ({ body: "" }))).body.split("\x1e").filter((packet) => packet[0] === "4");
    const rest = await ws.messages(501 - polled.length);
    const expected = Array.from({ length: 500 }, (_, i) => event(session.nsp, undefined, "burst", i));
    assert.deepEqual([...polled, ...rest], [...expected, `43${session.nsp},9[500]`]);
  },

  async "polling requests after the upgrade are refused with code 3, and the session stays open"(c) {
    const session = await joined(c);
    const ws = await probe(c, session);
    ws.send("5", echo(session, 0));
    await ws.messages(1);
    for (const response of [await session.get(), await session.send(echo(session, 7))]) {
      assert.equal(response.status, 400);
      assert.equal(JSON.parse(response.body).code, 3);
    }
    ws.send(echo(session, 1));
    assert.deepEqual(await ws.messages(1), echoes(session, 2).slice(1));
  },

  async "a second WebSocket during the probe is closed, and the upgrade continues"(c) {
    const session = await joined(c);
    const ws = await probe(c, session);
    const second = c.attempt({ sid: session.sid });
    await second.close();
    assert.deepEqual(second.log.items, []);
    ws.send("5", echo(session, 0));
    assert.deepEqual(await ws.messages(1), echoes(session, 1));
  },

  async "a second WebSocket after the upgrade is closed, and the session stays open"(c) {
    const session = await joined(c);
    const ws = await probe(c, session);
    ws.send("5", echo(session, 0));
    await ws.messages(1);
    const second = c.attempt({ sid: session.sid });
    await second.close();
    ws.send(echo(session, 1));
    assert.deepEqual(await ws.messages(1), echoes(session, 2).slice(1));
  },

  async "a second WebSocket for a WebSocket session receives no packets"(c) {
    const first = await c.websocket();
    const second = c.attempt({ sid: first.sid });
    await Promise.race([second.connected, second.close()]);
    assert.ok((await first.connect()).sid);
    assert.deepEqual(second.log.items, []);
  },

  async "a WebSocket whose first packet is not a probe is closed, and polling continues"(c) {
    const session = await joined(c);
    for (const packet of ["4hello", "2", "2probes", "3probe", "6", "x", Buffer.from([1])]) {
      const ws = c.attempt({ sid: session.sid });
      await withTimeout(ws.connected, "the WebSocket");
      ws.send(packet);
      await ws.close();
      await alive(session);
    }
  },

  async "after a WebSocket fails, polling continues and another upgrade works"(c) {
    const session = await joined(c);
    for (const end of ["close", "terminate"]) {
      const ws = await probe(c, session);
      ws.ws[end]();
      await ws.close();
      await alive(session);
    }
    const broken = await probe(c, session);
    broken.send("4".repeat(1000001));
    assert.equal(await broken.close(), 1009);
    await alive(session);
    const ws = await probe(c, session);
    ws.send("5", echo(session, 0));
    assert.deepEqual(await ws.messages(1), echoes(session, 1));
  },

  async "closing the session during the probe closes the WebSocket"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const ws = await probe(c, session);
    await session.post("1");
    assert.equal(await observer.reason(session.id), "transport close");
    await ws.close();
    assert.equal((await session.get()).status, 400);
  },

  async "a session that the server closes during the probe sends all its packets"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const ws = await probe(c, session);
    await session.post(echo(session, 0), event(session.nsp, undefined, "bye", true));
    assert.equal(await observer.reason(session.id), "server namespace disconnect");
    ws.send("5");
    await ws.close();
    const packets = ws.log.items.slice(1);
    assert.deepEqual(packets, [...echoes(session, 1), `41${session.nsp},`]);
    assert.equal((await session.get()).status, 400);
  },

  async "a ping timeout during the probe closes the WebSocket"(c) {
    const program = await c.server({ SIO_PING_INTERVAL: "2000", SIO_PING_TIMEOUT: "2000" });
    const base = c.secure ? program.tlsBase : program.base;
    const observer = await c.observe({ base });
    const session = await joined(c, { base });
    const ws = await probe(c, session, { base });
    assert.equal(await observer.reason(session.id), "ping timeout");
    await ws.close();
  },

  async "a ping before the upgrade may be answered after it"(c) {
    const program = await c.server({ SIO_PING_INTERVAL: "300", SIO_PING_TIMEOUT: "5000" });
    const base = c.secure ? program.tlsBase : program.base;
    const session = await joined(c, { base });
    const ws = await probe(c, session, { base });
    while (!(await session.poll()).includes("2"));
    ws.send("5", "3", echo(session, 0));
    const isEcho = (packet) => packet === echoes(session, 1)[0];
    await ws.log.find(isEcho, "the echo");
    await ws.log.find((packet) => packet === "2", "the next ping");
  },

  async "an upgrade of a closed session is refused"(c) {
    const session = await joined(c);
    await session.post("1");
    const ws = c.attempt({ sid: session.sid });
    await ws.close();
    assert.match(ws.error?.message ?? "", /Unexpected server response: 400/);
  },

  async "polls that are pending at the upgrade are answered"(c) {
    const session = await joined(c);
    const ws = await probe(c, session);
    const poll = session.get();
    ws.send("5", echo(session, 0));
    assert.deepEqual(await ws.messages(1), echoes(session, 1));
    assert.ok([0, 200, 400].includes(await statusOf(poll)));
  },

  async "events of official clients are not lost, duplicated or reordered during the upgrade"(c) {
    const options = { transports: ["polling", "websocket"] };
    const n = 150;
    await Promise.all(
      Array.from({ length: 10 }, async (_, k) => {
        const nsp = c.namespace();
        const socket = c.client(nsp, options);
        const echoed = new Log();
        const streamed = new Log();
        socket.on("echoed", (i, binary) => echoed.push([i, Buffer.from(binary).length]));
        socket.on("stream", (i) => streamed.push(i));
        await c.connected(socket);
        socket.emit("stream", n, 1);
        for (let i = 0; i < n; i++) {
          socket.emit("echo", i, Buffer.alloc(i + k));
          if (i % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
        }
        const expected = Array.from({ length: n }, (_, i) => i);
        assert.deepEqual(await echoed.take(n), expected.map((i) => [i, i + k]));
        assert.deepEqual(await streamed.take(n), expected);
        const last = await c.call(socket, "whoami");
        if (socket.io.engine.transport.name === "websocket") assert.equal(last.transport, "websocket");
        assert.equal(echoed.items.length, n);
        assert.equal(streamed.items.length, n);
      }),
    );
  },

  async "the heartbeat of official clients continues during the upgrade"(c) {
    const program = await c.server({ SIO_PING_INTERVAL: "40", SIO_PING_TIMEOUT: "10000" });
    const base = c.secure ? program.tlsBase : program.base;
    const options = { transports: ["polling", "websocket"], base };
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        const socket = await c.connect("/", options);
        const streamed = new Log();
        socket.on("stream", (i) => streamed.push(i));
        socket.on("disconnect", (reason) => streamed.push(reason));
        socket.emit("stream", 100, 2);
        assert.deepEqual(await streamed.take(100), Array.from({ length: 100 }, (_, i) => i));
      }),
    );
  },
};
