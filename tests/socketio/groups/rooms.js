"use strict";
// Rooms and broadcasts: receivers, and the number of deliveries.

const assert = require("node:assert/strict");
const { event } = require("../lib/raw.js");

/** Connects named sockets in one namespace, with their logs. Each joins the rooms that `plan` lists for its name. */
async function connectNamed(c, plan) {
  const nsp = c.namespace();
  const all = {};
  await Promise.all(
    Object.entries(plan).map(async ([name, rooms]) => {
      const socket = await c.connect(nsp);
      await c.call(socket, "join", rooms);
      all[name] = { socket, log: c.log(socket) };
    }),
  );
  return all;
}

/** Broadcasts an event, and then a marker to all. Checks the arguments, and returns the names of the receivers. */
async function cast(c, all, from, options) {
  assert.equal(await c.call(all[from].socket, "cast", { scope: "nsp", event: "cast", args: [1, "x"], ...options }), "sent");
  const mark = c.room("marker");
  await c.call(all[from].socket, "cast", { scope: "nsp", event: mark, args: [] });
  const names = [];
  for (const [name, { log }] of Object.entries(all)) {
    await log.find(([event]) => event === mark, `the marker for ${name}`);
    const received = log.items.filter(([event]) => event !== mark);
    log.items.length = 0;
    for (const one of received) assert.deepEqual(one, ["cast", ...(options.args ?? [1, "x"])], name);
    names.push(...received.map(() => name));
  }
  return names.sort().join();
}

const PLAN = { ann: ["a"], bob: ["a", "b"], cid: ["b"], dan: [], eve: ["c", "a"] };

exports.tests = {
  async "a broadcast to rooms reaches each socket in any of them once, except the excluded"(c) {
    const all = await connectNamed(c, PLAN);
    const cases = [
      [{}, "ann,bob,cid,dan,eve"],
      [{ scope: "socket" }, "bob,cid,dan,eve"],
      [{ to: ["a"] }, "ann,bob,eve"],
      [{ to: ["a"], scope: "socket" }, "bob,eve"],
      [{ to: ["a", "b"] }, "ann,bob,cid,eve"],
      [{ to: ["b", "a", "c", "b"] }, "ann,bob,cid,eve"],
      [{ to: ["a"], except: ["b"] }, "ann,eve"],
      [{ except: ["a"] }, "cid,dan"],
      [{ except: ["a", "b"] }, "dan"],
      [{ except: ["a"], scope: "socket" }, "cid,dan"],
      [{ to: ["none"] }, ""],
      [{ except: ["none"] }, "ann,bob,cid,dan,eve"],
      [{ to: ["a"], except: ["a"] }, ""],
      [{ to: [all.cid.socket.id] }, "cid"],
      [{ to: ["a", all.dan.socket.id] }, "ann,bob,dan,eve"],
      [{ except: [all.bob.socket.id] }, "ann,cid,dan,eve"],
      [{ to: [all.ann.socket.id], scope: "socket" }, ""],
      [{ to: [], except: [] }, "ann,bob,cid,dan,eve"],
      [{ args: [] }, "ann,bob,cid,dan,eve"],
    ];
    for (const [options, expected] of cases) {
      assert.equal(await cast(c, all, "ann", options), expected, JSON.stringify(options));
    }
  },

  async "a broadcast may contain binary data"(c) {
    const all = await connectNamed(c, { ann: ["a"], bob: ["a"] });
    const args = [{ deep: [Buffer.from([1, 2, 3])] }, "x"];
    const both = Promise.all([all.ann.log.take(1), all.bob.log.take(1)]);
    await c.call(all.ann.socket, "cast", { to: ["a"], scope: "nsp", event: "cast", args });
    for (const [[name, { deep }, text]] of await both) {
      assert.deepEqual([name, Buffer.from(deep[0]), text], ["cast", Buffer.from([1, 2, 3]), "x"]);
    }
  },

  async "members lists the sorted ids of a room"(c) {
    const all = await connectNamed(c, PLAN);
    const { socket } = all.dan;
    const ids = (...names) => names.map((name) => all[name].socket.id).sort();
    assert.deepEqual(await c.call(socket, "members", "a"), ids("ann", "bob", "eve"));
    assert.deepEqual(await c.call(socket, "members", "none"), []);
    assert.deepEqual(await c.call(socket, "members", all.bob.socket.id), ids("bob"));
    await c.call(all.ann.socket, "leave", "a");
    assert.deepEqual(await c.call(all.ann.socket, "members", "a"), ids("bob", "eve"));
  },

  async "a disconnected socket is removed from its rooms"(c) {
    const observer = await c.observe();
    const all = await connectNamed(c, PLAN);
    const { id } = all.bob.socket;
    all.bob.socket.disconnect();
    await observer.gone(id);
    const left = Object.fromEntries(Object.entries(all).filter(([name]) => name !== "bob"));
    assert.equal(await cast(c, left, "ann", { to: ["a", "b"] }), "ann,cid,eve");
    assert.deepEqual(await c.call(all.cid.socket, "members", "b"), [all.cid.socket.id]);
    assert.deepEqual(await c.call(all.cid.socket, "members", id), []);
  },

  async "rooms with the same name in two namespaces are separate"(c) {
      const [one, two] = [await connectNamed(c, { ann: ["a"] }), await connectNamed(c, { bob: ["a"] })];
    await c.call(one.ann.socket, "cast", { to: ["a"], scope: "nsp", event: "cast", args: [] });
    await one.ann.log.take(1);
    await c.call(two.bob.socket, "echo-ack", 1);
    assert.deepEqual(two.bob.log.items, []);
    assert.deepEqual(await c.call(two.bob.socket, "members", "a"), [two.bob.socket.id]);
  },

  async "a local broadcast reaches only the sockets of its server"(c) {
    const all = await connectNamed(c, PLAN);
    const received = (await cast(c, all, "ann", { local: true })).split(",");
    assert.ok(received.includes("ann"), "the sender's server does not receive the broadcast");
    if (c.workers === 1) assert.equal(received.join(), "ann,bob,cid,dan,eve");
  },

  async "a volatile broadcast reaches writable clients"(c) {
    await c.requires("volatile");
    const nsp = c.namespace();
    const sockets = await Promise.all([0, 1, 2].map(() => c.connect(nsp, { transports: ["websocket"] })));
    const logs = sockets.map((socket) => c.log(socket));
    // An earlier message to one of them might still be in progress.
    await Promise.all(sockets.map((socket) => c.call(socket, "echo-ack", 1)));
    const options = { scope: "nsp", volatile: true, event: "v", args: [1] };
    await c.call(sockets[0], "cast", options);
    for (const log of logs) assert.deepEqual(await log.take(1), [["v", 1]]);
  },

  async "events to a room and direct events keep their order"(c) {
    const ws = await c.websocket();
    const nsp = c.namespace();
    await ws.connect(nsp);
    ws.send(event(nsp, undefined, "join", "a"));
    const cast = { to: ["a"], scope: "nsp", event: "e" };
    for (let i = 0; i < 40; i++) {
      if (i % 2) ws.send(event(nsp, undefined, "echo", i));
      else ws.send(event(nsp, undefined, "cast", { ...cast, args: [i] }));
    }
    const numbers = (await ws.messages(40)).map((packet) => Number(packet.match(/,(\d+)\]$/)[1]));
    assert.deepEqual(numbers, Array.from({ length: 40 }, (_, i) => i));
  },

  async "broadcasts of one socket are received by all others in order"(c) {
    const all = await connectNamed(c, { ann: ["a"], bob: ["a"], cid: ["a"] });
    const n = 100;
    for (let i = 0; i < n; i++) {
      all.ann.socket.emit("cast", { to: i % 2 ? ["a"] : [], scope: "nsp", event: "e", args: [i] });
    }
    for (const { log } of Object.values(all)) {
      assert.deepEqual(await log.take(n), Array.from({ length: n }, (_, i) => ["e", i]));
    }
  },

  async "cast-ack collects the first value of each acknowledgement"(c) {
    await c.requires("broadcast-ack");
    const all = await connectNamed(c, PLAN);
    for (const [name, { socket }] of Object.entries(all)) socket.on("q", (...args) => args.pop()({ name, args }, "more"));
    const names = ({ values }) => values.map(({ name }) => name).sort().join();
    const ask = (options) => c.call(all.ann.socket, "cast-ack", { timeout: 15000, event: "q", args: [1], ...options });
    const everyone = await ask({ to: [] });
    assert.equal(everyone.ok, true);
    assert.equal(names(everyone), "ann,bob,cid,dan,eve");
    assert.deepEqual(everyone.values[0].args, [1]);
    assert.equal(names(await ask({ to: ["b"] })), "bob,cid");
    assert.equal(names(await ask({ to: ["a", "b"] })), "ann,bob,cid,eve");
    assert.equal(names(await ask({})), "ann,bob,cid,dan,eve");
    assert.deepEqual(await ask({ to: ["none"] }), { ok: true, values: [] });
  },

  async "cast-ack sends binary data in both directions"(c) {
    await c.requires("broadcast-ack");
    const all = await connectNamed(c, { ann: [], bob: [] });
    for (const { socket } of Object.values(all)) socket.on("q", (binary, ack) => ack(Buffer.concat([Buffer.from(binary), Buffer.from([9])])));
    const args = [Buffer.from([1, 2])];
    const { ok, values } = await c.call(all.ann.socket, "cast-ack", { timeout: 15000, event: "q", args });
    assert.equal(ok, true);
    assert.deepEqual(values.map((value) => [...Buffer.from(value)]), [[1, 2, 9], [1, 2, 9]]);
  },

  async "cast-ack returns the acknowledgements received before its timeout"(c) {
    await c.requires("broadcast-ack");
    const all = await connectNamed(c, { ann: [], bob: [], cid: [] });
    all.ann.socket.on("q", (ack) => ack("ann"));
    all.bob.socket.on("q", (ack) => ack("bob"));
    const begin = performance.now();
    const { ok, values } = await c.call(all.ann.socket, "cast-ack", { to: [], timeout: 500, event: "q", args: [] });
    assert.ok(performance.now() - begin >= 495, "the timeout must not expire early");
    assert.equal(ok, false);
    assert.deepEqual(values.sort(), ["ann", "bob"]);
  },

  async "remote join and leave change the rooms of all members"(c) {
    await c.requires("remote-ops");
    const all = await connectNamed(c, PLAN);
    const { socket } = all.dan;
    assert.equal(await c.call(socket, "remote", { in: "a", op: "join", room: "new" }), "done");
    await eventually(c, socket, "new", ["ann", "bob", "eve"].map((name) => all[name].socket.id));
    assert.equal(await cast(c, all, "dan", { to: ["new"] }), "ann,bob,eve");
    assert.equal(await c.call(socket, "remote", { in: "b", op: "leave", room: "new" }), "done");
    await eventually(c, socket, "new", ["ann", "eve"].map((name) => all[name].socket.id));
    assert.deepEqual((await c.call(all.eve.socket, "whoami")).rooms, ["a", "c", "new"]);
    assert.equal(await c.call(socket, "remote", { in: all.cid.socket.id, op: "join", room: "own" }), "done");
    await eventually(c, socket, "own", [all.cid.socket.id]);
  },

  async "remote kick disconnects the members, and their connections if requested"(c) {
    await c.requires("remote-ops");
    const observer = await c.observe();
    const nsp = c.namespace();
    for (const close of [false, true]) {
      const manager = c.manager();
      const [socket, neighbour] = [c.client(nsp, { manager }), c.client(c.namespace(), { manager })];
      await Promise.all([c.connected(socket), c.connected(neighbour)]);
      await c.call(socket, "join", "out");
      const { id } = socket;
      const other = await c.connect(nsp);
      const gone = new Promise((resolve) => socket.once("disconnect", resolve));
      assert.equal(await c.call(other, "remote", { in: "out", op: "kick", close }), "done");
      assert.equal(await gone, "io server disconnect");
      assert.equal(await observer.reason(id), "server namespace disconnect");
      if (close) await new Promise((resolve) => (manager.engine?.readyState === "closed" ? resolve() : manager.once("close", resolve)));
      else assert.equal(await c.call(neighbour, "echo-ack", 1), 1);
      assert.equal(await c.call(other, "echo-ack", 2), 2);
    }
  },

  async "many rooms are joined and left"(c) {
    const socket = await c.connect(c.namespace());
    const rooms = Array.from({ length: 1000 }, (_, i) => `room-${i}`);
    assert.deepEqual(await c.call(socket, "join", rooms), [...rooms].sort());
    assert.deepEqual(await c.call(socket, "leave", rooms.slice(1)), ["room-0"]);
  },
};

/** Waits until a room has exactly these members. Operations on other servers may take effect after their acknowledgement. */
async function eventually(c, socket, room, ids) {
  const expected = [...ids].sort();
  const end = performance.now() + 10000;
  for (;;) {
    const members = await c.call(socket, "members", room);
    if (JSON.stringify(members) === JSON.stringify(expected)) return;
    if (performance.now() > end || c.workers === 1) assert.deepEqual(members, expected);
  }
}
