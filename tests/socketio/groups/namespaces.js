"use strict";
// Namespaces: open, protected, created on demand, and unknown; several over one connection.

const assert = require("node:assert/strict");
const { Log, next } = require("../lib/wait.js");

/** Waits for the error of a refused connection. */
async function refusal(socket) {
  const [error] = await next(socket, "connect_error");
  return error;
}

exports.tests = {
  async "the main namespace is open to all clients"(c) {
    const socket = await c.connect("/");
    const whoami = await c.call(socket, "whoami");
    assert.deepEqual([whoami.nsp, whoami.id], ["/", socket.id]);
  },

  async "the admin namespace accepts clients with the token"(c) {
    const socket = await c.connect("/admin", { auth: { token: "letmein" } });
    const whoami = await c.call(socket, "whoami");
    assert.deepEqual([whoami.nsp, whoami.auth], ["/admin", { token: "letmein" }]);
    assert.deepEqual(await c.callAll(socket, "echo-ack", 1, "x"), [1, "x"]);
  },

  async "the admin namespace refuses all others, with data"(c) {
    for (const auth of [undefined, {}, { token: "guess" }, { token: null }, { token: ["letmein"] }, { Token: "letmein" }]) {
      const error = await refusal(c.client("/admin", { auth }));
      assert.equal(error.message, "not authorized");
      assert.deepEqual(error.data, { code: 401, hint: ["bring", { a: "token" }] });
    }
  },

  async "a refused socket may retry with other data over the same connection"(c) {
    const manager = c.manager();
    // The client closes a connection that no socket uses.
    await c.connected(c.client(c.namespace(), { manager }));
    const socket = c.client("/admin", { manager, auth: {} });
    await refusal(socket);
    const engine = manager.engine.id;
    socket.auth = { token: "letmein" };
    socket.connect();
    await c.connected(socket);
    assert.equal(manager.engine.id, engine);
    assert.deepEqual((await c.call(socket, "whoami")).auth, { token: "letmein" });
  },

  async "authentication data from a function is sent"(c) {
    const socket = await c.connect("/admin", { auth: (done) => setImmediate(done, { token: "letmein" }) });
    assert.ok(socket.connected);
  },

  async "namespaces that match the pattern are created on demand"(c) {
    for (const nsp of ["/dyn-0", "/dyn-00123", `/dyn-${"9".repeat(30)}`, c.namespace()]) {
      const socket = await c.connect(nsp);
      assert.equal((await c.call(socket, "whoami")).nsp, nsp);
    }
  },

  async "other namespaces are invalid"(c) {
    const names = ["/nowhere", "/dyn-", "/dyn-x", "/dyn-1x", "/xdyn-1", "/dyn-1/", "/dyn--1", "/DYN-1", "/admin2", "/admin/", "/dyn-\u0661", "/é"];
    for (const nsp of names) {
      const error = await refusal(c.client(nsp));
      assert.equal(error.message, "Invalid namespace", nsp);
      assert.equal(error.data, undefined, nsp);
    }
  },

  async "an invalid namespace does not end the connection"(c) {
    const manager = c.manager();
    const good = c.client(c.namespace(), { manager });
    await c.connected(good);
    await refusal(c.client("/nowhere", { manager }));
    assert.equal(await c.call(good, "echo-ack", 1), 1);
  },

  async "the packets of refused CONNECTs contain only message and data"(c) {
    const ws = await c.websocket();
    ws.send('40/admin,{"token":"x"}', "40/nowhere,", "40/nowhere?token=letmein,", '40/nowhere,{"a":1}');
    const received = (await ws.messages(4)).sort();
    assert.deepEqual(received, [
      '44/admin,{"message":"not authorized","data":{"code":401,"hint":["bring",{"a":"token"}]}}',
      '44/nowhere,{"message":"Invalid namespace"}',
      '44/nowhere,{"message":"Invalid namespace"}',
      '44/nowhere?token=letmein,{"message":"Invalid namespace"}',
    ]);
  },

  async "the packets of accepted CONNECTs contain only the socket id"(c) {
    const ws = await c.websocket();
    const nsp = c.namespace();
    ws.send("40", `40${nsp},{"a":1}`, "40/obs");
    const ids = (await ws.messages(3)).map((packet) => {
      const [, name, json] = packet.match(/^40(?:(\/[^,]*),)?(.*)$/);
      const data = JSON.parse(json);
      assert.deepEqual(Object.keys(data), ["sid"]);
      assert.match(data.sid, /^[A-Za-z0-9_-]{20}$/);
      return [name ?? "/", data.sid];
    });
    assert.deepEqual(ids.map(([name]) => name).sort(), ["/", nsp, "/obs"].sort());
    assert.equal(new Set([...ids.map(([, id]) => id), ws.sid]).size, 4);
  },

  async "many namespaces share one connection, each with its own id, rooms and data"(c) {
    const manager = c.manager();
    const names = ["/", "/admin", ...Array.from({ length: 10 }, () => c.namespace())];
    const sockets = names.map((nsp) => c.client(nsp, { manager, auth: { token: "letmein", nsp } }));
    await Promise.all(sockets.map((socket) => c.connected(socket)));
    assert.equal(new Set(sockets.map(({ id }) => id)).size, names.length);
    const room = c.room();
    for (const [i, socket] of sockets.entries()) {
      await c.call(socket, "join", [room, `only-${i}`]);
      await c.callAll(socket, "stash", i);
    }
    for (const [i, socket] of sockets.entries()) {
      const { nsp, rooms, auth } = await c.call(socket, "whoami");
      assert.deepEqual([nsp, rooms, auth.nsp], [names[i], [room, `only-${i}`].sort(), names[i]]);
      assert.deepEqual(await c.call(socket, "members", room), [socket.id]);
    }
  },

  async "leaving one namespace does not affect the others"(c) {
    const manager = c.manager();
    const [a, b] = [c.client(c.namespace(), { manager }), c.client(c.namespace(), { manager })];
    await Promise.all([c.connected(a), c.connected(b)]);
    a.disconnect();
    assert.equal(await c.call(b, "echo-ack", "still here"), "still here");
    a.connect();
    await c.connected(a);
    assert.equal(await c.call(a, "echo-ack", "again"), "again");
  },

  async "a broadcast stays in its namespace"(c) {
    const manager = c.manager();
    const [a, b] = [c.client(c.namespace(), { manager }), c.client(c.namespace(), { manager })];
    await Promise.all([c.connected(a), c.connected(b)]);
    const log = c.log(b);
    const own = c.log(a);
    await c.call(a, "cast", { scope: "nsp", event: "news", args: [1] });
    await own.find(([name]) => name === "news", "news");
    await c.call(b, "echo-ack", 1);
    assert.deepEqual(log.items, []);
  },

  async "events sent before the connection are received in order after it"(c) {
    const socket = c.client(c.namespace());
    const log = c.log(socket, "echoed");
    for (let i = 0; i < 30; i++) socket.emit("echo", i, Buffer.from([i]));
    const received = await log.take(30);
    assert.deepEqual(received.map(([, i]) => i), Array.from({ length: 30 }, (_, i) => i));
  },

  async "observers are notified of sockets in all other namespaces, but not in their own"(c) {
    const observer = await c.observe();
    const second = await c.observe();
    const nsp = c.namespace();
    const socket = await c.connect(nsp);
    assert.deepEqual(await observer.joined(socket.id), { nsp, id: socket.id });
    assert.deepEqual(await second.joined(socket.id), { nsp, id: socket.id });
    const main = await c.connect("/");
    assert.deepEqual(await observer.joined(main.id), { nsp: "/", id: main.id });
    const admin = await c.connect("/admin", { auth: { token: "letmein" } });
    assert.deepEqual(await observer.joined(admin.id), { nsp: "/admin", id: admin.id });
    const { id } = socket;
    socket.disconnect();
    assert.deepEqual(await observer.gone(id), { nsp, id, reason: "client namespace disconnect" });
    const others = new Log();
    observer.socket.onAny((name, data) => others.push(data));
    await c.connect(c.namespace()).then((last) => observer.joined(last.id));
    assert.ok(others.items.every(({ nsp: from }) => from !== "/obs"));
  },

  async "a refused socket is in no room and is not reported to observers"(c) {
    const observer = await c.observe();
    await refusal(c.client("/admin", { auth: {} }));
    const good = await c.connect("/admin", { auth: { token: "letmein" } });
    await observer.joined(good.id);
    const log = c.log(good, "fan");
    await c.call(good, "cast", { scope: "nsp", event: "fan", args: [] });
    await log.take(1);
    const { sockets } = await c.call(good, "cluster", { op: "fetch" });
    for (const { handshake } of sockets) assert.equal(handshake.auth.token, "letmein");
  },
};
