"use strict";
// Connection state recovery: id, rooms, data and missed packets after a disconnection.

const assert = require("node:assert/strict");
const { event } = require("../lib/raw.js");
const { Log, next, sleep } = require("../lib/wait.js");

exports.env = { SIO_RECOVERY_MS: "60000" };

/** Connects a client whose test disconnects it with `cut` and reconnects it with `back`. */
async function breakable(c, nsp = c.namespace(), options = {}) {
  await c.requires("recovery");
  const observer = await c.observe(options.base ? { base: options.base } : {});
  const socket = await c.settled(nsp, options);
  const log = new Log();
  socket.onAny((...args) => log.push(args));
  // The first event carries an offset.
  assert.equal(await c.call(socket, "burst", 1), 1);
  return {
    socket,
    log,
    async cut() {
      const gone = next(socket, "disconnect");
      const { id } = socket;
      const before = observer.all.items.filter((item) => item.id === id).length;
      socket.io.engine.close();
      await gone;
      // A client that reconnects before the server has detected the disconnection is not recovered.
      const count = () => observer.all.items.filter((item) => item.id === id).length;
      await observer.all.find(() => count() > before, `gone of ${id}`);
    },
    async back() {
      socket.connect();
      await c.connected(socket);
    },
  };
}

exports.tests = {
  async "CONNECT contains a secret pid, and every recoverable event an offset"(c) {
    const ws = await c.websocket();
    const nsp = c.namespace();
    const data = await ws.connect(nsp);
    assert.deepEqual(Object.keys(data), ["sid", "pid"]);
    assert.match(data.pid, /^[A-Za-z0-9_-]+$/);
    assert.notEqual(data.pid, data.sid);
    ws.send(event(nsp, undefined, "echo", 1, { a: 2 }), event(nsp, 1, "echo-ack", 1), event(nsp, undefined, "echo", 2));
    const [first, ack, second] = await ws.messages(3);
    const args = [first, second].map((packet) => JSON.parse(packet.replace(`42${nsp},`, "")));
    assert.deepEqual(args.map((one) => one.slice(0, -1)), [["echoed", 1, { a: 2 }], ["echoed", 2]]);
    for (const one of args) assert.equal(typeof one.at(-1), "string");
    assert.notEqual(args[0].at(-1), args[1].at(-1));
    assert.equal(ack, `43${nsp},1[1]`);
  },

  async "events with acknowledgements and volatile events carry no offset"(c) {
    const ws = await c.websocket();
    const nsp = c.namespace();
    await ws.connect(nsp);
    ws.send(event(nsp, undefined, "volatile", 1, 1));
    const volatile = await ws.message();
    if (volatile.includes('["v",')) {
      assert.equal(volatile, `42${nsp},["v",0,"v"]`);
      await ws.message();
    }
    ws.send(event(nsp, 5, "ask", 10000, "x"));
    assert.match(await ws.message(), /^42\/dyn-\d+,\d+\["question","x"\]$/);
  },

  async "a client that reconnects in time recovers its id, rooms, data and missed events"(c) {
    const nsp = c.namespace();
    const { socket, log, cut, back } = await breakable(c, nsp);
    const other = await c.connect(nsp);
    await c.call(socket, "join", ["room", "out"]);
    await c.callAll(socket, "stash", { kept: [1] });
    const { id } = socket;
    log.items.length = 0;
    await cut();
    const cast = (options) => c.call(other, "cast", { scope: "nsp", event: "missed", ...options });
    await cast({ args: [1] });
    await cast({ args: [2], to: ["room"] });
    await cast({ args: ["no"], to: ["elsewhere"] });
    await cast({ args: ["no"], except: ["out"] });
    await cast({ args: ["no"], volatile: true });
    await cast({ args: [3], to: ["elsewhere", id] });
    await cast({ args: [4, Buffer.from([1, 2])] });
    await back();
    assert.equal(socket.recovered, true);
    assert.equal(socket.id, id);
    const whoami = await c.call(socket, "whoami");
    assert.equal(whoami.recovered, true);
    assert.equal(whoami.id, id);
    assert.deepEqual(whoami.rooms, ["out", "room"]);
    const data = whoami.data?.value ?? whoami.data;
    assert.deepEqual(data, { kept: [1] });
    // The offset is the last argument.
    const missed = log.items.filter(([name]) => name === "missed").map(([, ...args]) => args.slice(0, -1));
    assert.deepEqual(missed.map(([i, binary]) => [i, binary && [...Buffer.from(binary)]]), [
      [1, undefined],
      [2, undefined],
      [3, undefined],
      [4, [1, 2]],
    ]);
    assert.deepEqual(await c.call(other, "members", "room"), [id]);
    await cast({ args: [5], to: ["room"] });
    await log.find(([name, i]) => name === "missed" && i === 5, "the next event");
  },

  async "received events are not sent again"(c) {
    const { socket, log, cut, back } = await breakable(c);
    for (let round = 0; round < 4; round++) {
      await c.call(socket, "burst", 5);
      await cut();
      await back();
      assert.equal(socket.recovered, true, `round ${round}`);
    }
    await c.call(socket, "echo-ack", 1);
    assert.equal(log.items.filter(([name]) => name === "burst").length, 1 + 4 * 5);
  },

  async "a client whose connection the server closed recovers"(c) {
    const { socket, back } = await breakable(c);
    const { id } = socket;
    const observer = await c.observe();
    const gone = next(socket, "disconnect");
    socket.emit("drop");
    await gone;
    await observer.gone(id);
    await back();
    assert.deepEqual([socket.recovered, socket.id], [true, id]);
  },

  async "a client that left or was disconnected is not recovered"(c) {
    const { socket, back } = await breakable(c);
    for (const leave of [() => socket.disconnect(), () => socket.emit("bye")]) {
      const { id } = socket;
      const gone = next(socket, "disconnect");
      leave();
      await gone;
      await back();
      assert.equal(socket.recovered, false);
      assert.notEqual(socket.id, id);
      assert.deepEqual((await c.call(socket, "whoami")).rooms, []);
      await c.call(socket, "burst", 1);
    }
  },

  async "a client that reconnects too late is not recovered"(c) {
    const program = await c.server({ SIO_RECOVERY_MS: "500" });
    const base = c.secure ? program.tlsBase : program.base;
    const { socket, cut, back } = await breakable(c, c.namespace(), { base });
    const { id } = socket;
    await c.call(socket, "join", "room");
    await cut();
    await sleep(800);
    await back();
    assert.equal(socket.recovered, false);
    assert.notEqual(socket.id, id);
    assert.deepEqual((await c.call(socket, "whoami")).rooms, []);
  },

  async "a session is recovered only once and only with its pid"(c) {
    const nsp = c.namespace();
    const ws = await c.websocket();
    const { sid, pid } = await ws.connect(nsp);
    ws.send(event(nsp, undefined, "echo", 1));
    const offset = JSON.parse((await ws.message()).replace(`42${nsp},`, "")).at(-1);
    const observer = await c.observe();
    ws.ws.terminate();
    await observer.gone(sid);
    const attempt = async (auth) => {
      const again = await c.websocket();
      return (await again.connect(nsp, auth)).sid;
    };
    assert.notEqual(await attempt({ pid: sid, offset }), sid);
    assert.notEqual(await attempt({ pid: "x", offset }), sid);
    assert.notEqual(await attempt({ pid, offset: "x" }), sid);
    assert.notEqual(await attempt({ pid: 5, offset: {} }), sid);
    assert.notEqual(await attempt({ offset }), sid);
    assert.equal(await attempt({ pid, offset }), sid);
  },

  async "a session of one namespace is not recovered in another"(c) {
    const [nsp, elsewhere] = [c.namespace(), c.namespace()];
    const ws = await c.websocket();
    const { sid, pid } = await ws.connect(nsp);
    ws.send(event(nsp, undefined, "echo", 1));
    const offset = JSON.parse((await ws.message()).replace(`42${nsp},`, "")).at(-1);
    const observer = await c.observe();
    ws.ws.terminate();
    await observer.gone(sid);
    const again = await c.websocket();
    assert.notEqual((await again.connect(elsewhere, { pid, offset })).sid, sid);
  },

  async "recovery skips the middleware"(c) {
    const { socket, cut, back } = await breakable(c, "/admin", { auth: { token: "letmein" } });
    const { id } = socket;
    socket.auth = { token: "expired" };
    await cut();
    await back();
    assert.deepEqual([socket.recovered, socket.id], [true, id]);
  },

  async "a client that reconnects automatically during a stream misses no event"(c) {
    if (c.workers > 1) c.skip("an event that is published while a client moves between workers may be missed or doubled");
    const nsp = c.namespace();
    const options = { reconnection: true, reconnectionDelay: 100, reconnectionDelayMax: 200 };
    const { socket, log } = await breakable(c, nsp, options);
    const other = await c.connect(nsp);
    const states = new Log();
    socket.on("connect", () => states.push(socket.recovered));
    const n = 60;
    for (let i = 0; i < n; i++) {
      if (i % 20 === 0) await states.take(i / 20, "reconnections");
      await c.call(other, "cast", { scope: "nsp", event: "e", args: [i] });
      if (i % 20 === 10) socket.io.engine.close();
    }
    await states.take(3, "reconnections");
    await log.find(([name, i]) => name === "e" && i === n - 1, "the last event");
    assert.ok(states.items.every((recovered) => recovered));
    const received = log.items.filter(([name]) => name === "e").map(([, i]) => i);
    assert.deepEqual(received, Array.from({ length: n }, (_, i) => i));
  },
};
