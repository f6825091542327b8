"use strict";
// Operations on all servers: fetching sockets, and events between servers.

const assert = require("node:assert/strict");

const stashed = (data) => (data && typeof data === "object" && "value" in data ? data.value : data);

exports.tests = {
  async "fetch describes the sockets, sorted by id"(c) {
    await c.requires("remote-ops");
    const nsp = c.namespace();
    const sockets = await Promise.all(
      ["a", "b", "c"].map((name) => c.settled(nsp, { auth: { name }, extraHeaders: { "x-test": name }, query: { q: name } })),
    );
    for (const [i, socket] of sockets.entries()) {
      await c.call(socket, "join", ["z", `r${i}`]);
      await c.callAll(socket, "stash", { i });
    }
    const fetched = await c.call(sockets[0], "cluster", { op: "fetch" });
    assert.equal(fetched.ok, true);
    assert.deepEqual(fetched.sockets.map(({ id }) => id), sockets.map(({ id }) => id).sort());
    for (const { id, rooms, data, handshake } of fetched.sockets) {
      const i = sockets.findIndex((socket) => socket.id === id);
      const name = "abc"[i];
      assert.deepEqual(rooms, ["z", `r${i}`, id].sort());
      assert.deepEqual(stashed(data), { i });
      const fields = ["address", "auth", "headers", "issued", "query", "secure", "time", "url", "xdomain"];
      assert.deepEqual(Object.keys(handshake).sort(), fields);
      assert.deepEqual(handshake.auth, { name });
      assert.equal(handshake.headers["x-test"], name);
      assert.match(handshake.headers.host, /^127\.0\.0\.1:\d+$/);
      assert.match(handshake.address, /^(::ffff:)?127\.0\.0\.1$/);
      assert.equal(handshake.secure, c.secure);
      assert.equal(handshake.xdomain, false);
      assert.match(handshake.url, /^\/socket\.io\/\?/);
      assert.equal(handshake.query.q, name);
      assert.equal(handshake.query.EIO, "4");
      assert.ok(Math.abs(handshake.issued - Date.now()) < 60000, `issued ${handshake.issued}`);
      assert.ok(Math.abs(Date.parse(handshake.time) - Date.now()) < 60000, `time ${handshake.time}`);
    }
  },

  async "fetch of a socket with an origin has xdomain"(c) {
    const headers = { Origin: "http://allowed.test" };
    const ws = await c.websocket({ headers });
    const nsp = c.namespace();
    await ws.connect(nsp);
    ws.send(`42${nsp},1["cluster",{"op":"fetch"}]`);
    const [{ sockets }] = JSON.parse((await ws.message()).replace(/^[^[]*/, ""));
    assert.equal(sockets[0].handshake.xdomain, true);
    assert.equal(sockets[0].handshake.headers.origin, "http://allowed.test");
    assert.deepEqual(sockets[0].handshake.auth, {});
    assert.equal(stashed(sockets[0].data) ?? null, null);
  },

  async "fetch selects by rooms and excluded rooms"(c) {
    await c.requires("remote-ops");
    const nsp = c.namespace();
    const plan = { ann: ["a"], bob: ["a", "b"], cid: ["b"], dan: [] };
    const all = {};
    for (const [name, rooms] of Object.entries(plan)) {
      all[name] = await c.connect(nsp);
      await c.call(all[name], "join", rooms);
    }
    const fetch = async (options) => {
      const { ok, sockets } = await c.call(all.dan, "cluster", { op: "fetch", ...options });
      assert.equal(ok, true);
      return sockets.map(({ id }) => Object.keys(all).find((name) => all[name].id === id)).sort().join();
    };
    assert.equal(await fetch({}), "ann,bob,cid,dan");
    assert.equal(await fetch({ in: [] }), "ann,bob,cid,dan");
    assert.equal(await fetch({ in: ["a"] }), "ann,bob");
    assert.equal(await fetch({ in: ["a", "b"] }), "ann,bob,cid");
    assert.equal(await fetch({ in: ["a"], except: ["b"] }), "ann");
    assert.equal(await fetch({ except: ["a"] }), "cid,dan");
    assert.equal(await fetch({ in: ["none"] }), "");
    assert.equal(await fetch({ in: [all.cid.id] }), "cid");
    const local = (await fetch({ local: true })).split(",");
    assert.ok(local.includes("dan"));
    if (c.workers === 1) assert.equal(local.length, 4);
  },

  async "sse reaches the sockets of the other servers"(c) {
    await c.requires("remote-ops");
    const nsp = c.namespace();
    const sockets = await c.many(c.workers > 1 ? 12 : 2, nsp);
    const logs = sockets.map((socket) => c.log(socket, "sse"));
    const { sockets: mine } = await c.call(sockets[0], "cluster", { op: "fetch", local: true });
    assert.equal(await c.call(sockets[0], "cluster", { op: "sse", args: [1, { a: "é" }] }), "sent");
    const own = new Set(mine.map(({ id }) => id));
    for (const [i, socket] of sockets.entries()) {
      if (!own.has(socket.id)) assert.deepEqual(await logs[i].take(1), [["sse", 1, { a: "é" }]]);
    }
    await c.call(sockets[0], "fanout", 1, "end");
    for (const [i, socket] of sockets.entries()) {
      await c.call(socket, "echo-ack", 1);
      assert.equal(logs[i].items.length, own.has(socket.id) ? 0 : 1);
    }
  },

  async "sse-ack collects the responses of the other servers"(c) {
    await c.requires("remote-ops");
    const nsp = c.namespace();
    const sockets = await c.many(c.workers > 1 ? 12 : 2, nsp);
    const { ok, values } = await c.call(sockets[0], "cluster", { op: "sse-ack", args: ["x", [2]] });
    assert.equal(ok, true);
    // A worker without a socket in the namespace may not have created it.
    assert.ok(values.length <= c.workers - 1, `${values.length} responses`);
    const main = await c.connect("/");
    const all = await c.call(main, "cluster", { op: "sse-ack", args: ["x", [2]] });
    assert.equal(all.ok, true);
    assert.equal(all.values.length, c.workers - 1);
    for (const value of all.values) assert.deepEqual(value, { server: c.program.port, args: ["x", [2]] });
  },
};
