"use strict";
// Clusters of two servers over Redis: two of the program, and the program with the official server. Every operation
// is tested in both directions.

const assert = require("node:assert/strict");
const { load } = require("../lib/modules.js");
const { RedisServer, isInstalled } = require("../lib/redis.js");
const { next, sleep } = require("../lib/wait.js");

const ADAPTERS = ["classic", "sharded"];
const PEERS = ["itself", "Node.js"];

/** Time for subscriptions to rooms to take effect, in ms: joining a room does not wait for them. */
const SUBSCRIPTION = 200;

const clusters = new Map();

/** Returns the two servers of a cluster. All tests share it, unless it is fresh. */
async function cluster(c, adapter, peer, fresh = false) {
  if (!isInstalled && process.env.UPTICK_REQUIRE_REDIS) throw new Error("redis-server is not installed");
  if (!isInstalled) c.skip("redis-server is not installed");
  if (c.isReference && peer === "itself") c.skip("the program is the official server");
  const key = `${adapter} ${peer}`;
  const start = async () => {
    const redis = await RedisServer.start();
    const env = { SIO_REDIS: redis.url, SIO_ADAPTER: adapter };
    const one = await c.server(env);
    const two = peer === "itself" ? await c.server({ ...env, SIO_SECOND: "1" }) : await c.server(env, { reference: true });
    const servers = [one, two];
    const sizes = [c.isReference ? 1 : c.workers, peer === "itself" ? c.workers : 1];
    return { redis, servers, sizes, count: sizes[0] + sizes[1] };
  };
  if (fresh) return start();
  if (!clusters.has(key)) clusters.set(key, start());
  return clusters.get(key);
}

/** Returns connected clients of the two servers, for both directions. */
async function directions(c, { servers, sizes, count }, nsp, run) {
  for (const [from, to] of [[0, 1], [1, 0]]) {
    const at = (index) => ({ base: c.secure ? servers[index].tlsBase : servers[index].base });
    const connect = (index, options) => c.connect(nsp, { ...at(index), ...options });
    await run({
      connect,
      from,
      to,
      here: await connect(from),
      there: await connect(to),
      other: servers[to].port,
      hereCount: sizes[from],
      thereCount: sizes[to],
      count,
    });
  }
}

/** Repeats an action until a log has an item: a volatile event is dropped while the connection is busy. */
async function until(log, action) {
  for (let attempt = 0; log.items.length === 0; attempt++) {
    assert.ok(attempt < 100, "no event arrived");
    await action();
    await sleep(100);
  }
}

const cast = (options) => ({ scope: "nsp", event: "e", args: [], ...options });

const operations = {
  async "broadcasts reach all clients once, in order"(c, set) {
    await directions(c, set, "/", async ({ here, there }) => {
      const event = c.room("event");
      const logs = [c.log(here, event), c.log(there, event)];
      const args = [1, -70000, 1.5, "é\u{1f600}", null, true, { a: [{}, []], "": "" }];
      for (let i = 0; i < 20; i++) await c.call(here, "cast", cast({ event, args: [i, ...args] }));
      for (const log of logs) assert.deepEqual(await log.take(20), Array.from({ length: 20 }, (_, i) => [event, i, ...args]));
      await sleep(50);
      for (const log of logs) assert.equal(log.items.length, 20);
    });
  },

  async "binary data reaches clients of the other server"(c, set) {
    await directions(c, set, "/", async ({ here, there }) => {
      const event = c.room("event");
      const received = next(there, event);
      await c.call(here, "cast", cast({ event, args: [Buffer.from([1, 2, 255]), { nested: [Buffer.alloc(70000, 7)] }, 5] }));
      const [first, second, third] = await received;
      assert.deepEqual(Buffer.from(first), Buffer.from([1, 2, 255]));
      assert.deepEqual(Buffer.from(second.nested[0]), Buffer.alloc(70000, 7));
      assert.equal(third, 5);
    });
  },

  async "rooms and excluded rooms select clients of the other server"(c, set) {
    await directions(c, set, "/", async ({ here, there, connect, to }) => {
      const third = await connect(to);
      const [a, b, event] = [c.room("a"), c.room("b"), c.room("event")];
      await c.call(there, "join", [a, b]);
      await c.call(third, "join", b);
      await sleep(SUBSCRIPTION);
      const logs = [here, there, third].map((socket) => c.log(socket, event));
      const send = (args, options) => c.call(here, "cast", cast({ event, args: [args], ...options }));
      await send("one room", { to: [a] });
      await send("two rooms", { to: [a, b] });
      await send("excluded", { to: [b], except: [a] });
      await send("own room", { to: [there.id] });
      await send("excluded id", { except: [there.id] });
      await send("unknown", { to: [c.room("unknown")] });
      await send("others", { scope: "socket" });
      await send("end");
      const names = async (log, n) => (await log.take(n)).map(([, name]) => name).join();
      assert.equal(await names(logs[0], 2), "excluded id,end");
      assert.equal(await names(logs[1], 5), "one room,two rooms,own room,others,end");
      assert.equal(await names(logs[2], 5), "two rooms,excluded,excluded id,others,end");
    });
  },

  async "local broadcasts stay on their server, and volatile ones do not"(c, set) {
    await directions(c, set, "/", async ({ here, connect, to }) => {
      const there = await connect(to, { transports: ["websocket"] });
      const event = c.room("event");
      const logs = [c.log(here, event), c.log(there, event)];
      await c.call(here, "cast", cast({ event, args: ["local"], local: true }));
      await until(logs[1], () => c.call(here, "cast", cast({ event, args: ["volatile"], volatile: true })));
      assert.deepEqual(await logs[1].take(1), [[event, "volatile"]]);
      assert.deepEqual(await logs[0].take(1), [[event, "local"]]);
    });
  },

  async "namespaces are separate"(c, set) {
    const nsp = c.namespace();
    await directions(c, set, nsp, async ({ here, there }) => {
      await sleep(SUBSCRIPTION);
      const main = await c.connect("/", { base: there.io.uri });
      const event = c.room("event");
      const logs = [c.log(there, event), c.log(main, event)];
      await c.call(here, "cast", cast({ event, args: ["namespace"] }));
      assert.deepEqual(await logs[0].take(1), [[event, "namespace"]]);
      await c.call(main, "cast", cast({ event, args: ["main"] }));
      assert.deepEqual(await logs[1].take(1), [[event, "main"]]);
      assert.equal(logs[0].items.length, 1);
    });
  },

  async "sockets of the other server are fetched"(c, set) {
    await directions(c, set, "/", async ({ here, connect, to }) => {
      const options = { auth: { name: "x" }, extraHeaders: { "x-test": "t" }, query: { q: "1" } };
      const there = await connect(to, options);
      const [room, stranger] = [c.room("a"), c.room("b")];
      await c.call(there, "join", [room, stranger]);
      await c.call(here, "join", room);
      await c.callAll(there, "stash", { i: 7 });
      const fetch = async (more) => {
        const { ok, sockets } = await c.call(here, "cluster", { op: "fetch", in: [room], ...more });
        assert.equal(ok, true);
        return sockets;
      };
      const ids = (sockets) => sockets.map(({ id }) => id);
      const sockets = await fetch();
      assert.deepEqual(ids(sockets), [here.id, there.id].sort());
      const remote = sockets.find(({ id }) => id === there.id);
      assert.deepEqual(remote.rooms, [room, stranger, there.id].sort());
      assert.deepEqual(remote.data?.value ?? remote.data, { i: 7 });
      const { handshake } = remote;
      const keys = ["address", "auth", "headers", "issued", "query", "secure", "time", "url", "xdomain"];
      assert.deepEqual(Object.keys(handshake).sort(), keys);
      assert.deepEqual(handshake.auth, { name: "x" });
      assert.equal(handshake.headers["x-test"], "t");
      assert.equal(handshake.query.q, "1");
      assert.deepEqual(ids(await fetch({ except: [stranger] })), [here.id]);
      assert.deepEqual(ids(await fetch({ local: true })), [here.id]);
      assert.deepEqual(ids(await fetch({ in: [there.id] })), [there.id]);
      assert.deepEqual(await fetch({ in: [c.room("none")] }), []);
    });
  },

  async "sockets of the other server join and leave rooms"(c, set) {
    await directions(c, set, "/", async ({ here, there }) => {
      const [a, b] = [c.room("a"), c.room("b")];
      await c.call(there, "join", a);
      const rooms = async (expected) => {
        for (let attempt = 0; ; attempt++) {
          const { rooms: now } = await c.call(there, "whoami");
          if (JSON.stringify(now) === JSON.stringify(expected)) return;
          assert.ok(attempt < 200, `${now} instead of ${expected}`);
          await sleep(10);
        }
      };
      await c.call(here, "remote", { in: a, op: "join", room: b });
      await rooms([a, b].sort());
      await c.call(here, "remote", { in: b, op: "leave", room: a });
      await rooms([b]);
    });
  },

  async "sockets of the other server are disconnected"(c, set) {
    await directions(c, set, "/", async ({ here, there, connect, to }) => {
      const room = c.room();
      await c.call(there, "join", room);
      const ended = next(there, "disconnect");
      await c.call(here, "remote", { in: room, op: "kick", close: false });
      assert.equal((await ended)[0], "io server disconnect");
      const second = await connect(to);
      await c.call(second, "join", room);
      const closed = next(second.io, "close");
      await c.call(here, "remote", { in: room, op: "kick", close: true });
      await closed;
    });
  },

  async "events between servers reach the other server"(c, set) {
    await directions(c, set, "/", async ({ here, there, hereCount }) => {
      const marker = c.room("sse");
      const logs = [c.log(here, "sse"), c.log(there, "sse")];
      assert.equal(await c.call(here, "cluster", { op: "sse", args: [marker, { a: "é" }, 1.5] }), "sent");
      const event = await logs[1].find(([, name]) => name === marker, "sse");
      assert.deepEqual(event, ["sse", marker, { a: "é" }, 1.5]);
      if (hereCount === 1) assert.ok(!logs[0].items.some(([, name]) => name === marker));
    });
  },

  async "events between servers are acknowledged"(c, set) {
    await directions(c, set, "/", async ({ here, other, count }) => {
      const args = ["x", [2], { y: null }];
      const { ok, values } = await c.call(here, "cluster", { op: "sse-ack", args });
      assert.equal(ok, true);
      assert.equal(values.length, count - 1);
      for (const value of values) assert.deepEqual(value.args, args);
      assert.ok(values.some(({ server }) => server === other));
    });
  },

  async "acknowledgements of clients of both servers are collected"(c, set) {
    await directions(c, set, "/", async ({ here, there, connect, to }) => {
      const [room, event] = [c.room(), c.room("question")];
      const silent = await connect(to);
      for (const socket of [here, there]) await c.call(socket, "join", room);
      here.on(event, (value, ack) => ack({ from: "here", value }, "ignored"));
      there.on(event, (value, ack) => ack({ from: "there", value, binary: Buffer.from([9]) }));
      const ask = (timeout) => c.call(here, "cast-ack", { to: [room], timeout, event, args: [7] });
      const all = await ask(10000);
      assert.equal(all.ok, true);
      assert.deepEqual(all.values.map(({ from, value }) => [from, value]).sort(), [["here", 7], ["there", 7]]);
      const { binary } = all.values.find(({ from }) => from === "there");
      assert.deepEqual(Buffer.from(binary), Buffer.from([9]));
      await c.call(silent, "join", room);
      const some = await ask(2000);
      assert.equal(some.ok, false);
      assert.deepEqual(some.values.map(({ from }) => from).sort(), ["here", "there"]);
    });
  },

  async "observers see clients of the other server"(c, set) {
    await directions(c, set, "/", async ({ from, connect }) => {
      const observer = await c.observe({ base: set.servers[from === 0 ? 1 : 0].base });
      await sleep(SUBSCRIPTION);
      const socket = await connect(from);
      const { id } = socket;
      await observer.joined(id);
      socket.disconnect();
      assert.equal(await observer.reason(id), "client namespace disconnect");
    });
  },
};

exports.tests = {};
for (const adapter of ADAPTERS) {
  for (const peer of PEERS) {
    for (const [name, test] of Object.entries(operations)) {
      exports.tests[`${adapter} with ${peer}: ${name}`] = async (c) => test(c, await cluster(c, adapter, peer));
    }
  }
}

/** Stops a server, and returns a function that continues it. */
function pause(program) {
  program.child.kill("SIGSTOP");
  return () => program.child.kill("SIGCONT");
}

for (const adapter of ADAPTERS) {
  exports.tests[`${adapter}: a request ends with the received responses if a server is stopped`] = async (c) => {
    if (c.isReference) c.skip("the official server reports an error without the responses");
    if (c.workers > 1) c.skip("the signal stops only the master");
    const { servers } = await cluster(c, adapter, "Node.js", true);
    const [here, there] = [await c.connect("/", { base: servers[0].base }), await c.connect("/", { base: servers[1].base })];
    here.on("question", (ack) => ack("here"));
    const resume = pause(servers[1]);
    c.onEnd(resume);
    const [fetched, acknowledged, values] = await Promise.all([
      c.call(here, "cluster", { op: "fetch" }),
      c.call(here, "cast-ack", { to: [], timeout: 1000, event: "question", args: [] }),
      c.call(here, "cluster", { op: "sse-ack", args: [] }),
    ]);
    assert.equal(fetched.ok, false);
    assert.deepEqual(fetched.sockets.map(({ id }) => id), [here.id]);
    assert.deepEqual(acknowledged, { ok: false, values: ["here"] });
    assert.deepEqual(values, { ok: false, values: [] });
    resume();
    assert.equal((await c.call(here, "cluster", { op: "fetch" })).ok, true);
    void there;
  };

  exports.tests[`${adapter}: the servers continue after Redis was restarted`] = async (c) => {
    const { servers, redis } = await cluster(c, adapter, "Node.js", true);
    const sockets = [];
    for (const { base } of servers) sockets.push(await c.connect("/", { base }));
    await redis.kill();
    const event = c.room("event");
    // The official server waits for Redis before it sends the event to its own clients.
    const own = c.isReference ? undefined : next(sockets[0], event);
    await c.call(sockets[0], "cast", cast({ event, args: ["while Redis is away"] }));
    await own;
    await redis.launch();
    for (const [here, there] of [sockets, [...sockets].reverse()]) {
      await until(c.log(there, event), () => c.call(here, "cast", cast({ event })));
    }
    const { ok, sockets: all } = await c.call(sockets[0], "cluster", { op: "fetch" });
    assert.equal(ok, true);
    assert.equal(all.length, 2);
  };
}

exports.tests["classic: all messages of the official emitter are handled"] = async (c) => {
  const { servers, redis } = await cluster(c, "classic", "Node.js");
  const client = await load("redis").createClient({ url: redis.url }).connect();
  c.onEnd(() => client.close());
  const emitter = new (load("@socket.io/redis-emitter").Emitter)(client);
  for (const { base } of servers) {
    const socket = await c.connect("/", { base, transports: ["websocket"] });
    const [room, added, event] = [c.room(), c.room("added"), c.room("event")];
    await c.call(socket, "join", room);
    const log = c.log(socket);
    emitter.to(room).emit(event, 1, Buffer.from([1]));
    emitter.emit(event, "all");
    emitter.to([room, "x"]).except(room).emit(event, "excluded");
    emitter.in(room).socketsJoin([added]);
    emitter.in(added).socketsLeave(room);
    emitter.serverSideEmit("sse", event);
    const items = await log.take(3);
    assert.deepEqual(items[0].slice(0, 2), [event, 1]);
    assert.deepEqual(Buffer.from(items[0][2]), Buffer.from([1]));
    assert.deepEqual(items.slice(1).map(String).sort(), [[event, "all"], ["sse", event]].map(String).sort());
    assert.deepEqual((await c.call(socket, "whoami")).rooms, [added]);
    const volatile = c.log(socket, `${event}-volatile`);
    await until(volatile, () => emitter.volatile.compress(false).to(added).emit(`${event}-volatile`));
    const closed = next(socket.io, "close");
    emitter.in(added).disconnectSockets(true);
    await closed;
  }
};

exports.tests["classic: the official server lists the rooms of all servers"] = async (c) => {
  const { servers, redis, count } = await cluster(c, "classic", "Node.js", true);
  const publisher = await load("redis").createClient({ url: redis.url }).connect();
  const subscriber = await publisher.duplicate().connect();
  const io = new (load("socket.io").Server)();
  io.adapter(load("@socket.io/redis-adapter").createAdapter(publisher, subscriber));
  c.onEnd(async () => {
    io.of("/").adapter.close();
    for (const client of [subscriber, publisher]) await client.close();
  });
  const rooms = [];
  for (const { base } of servers) {
    const socket = await c.connect("/", { base });
    rooms.push(socket.id, c.room());
    await c.call(socket, "join", rooms.at(-1));
  }
  await sleep(SUBSCRIPTION);
  assert.equal(await io.of("/").adapter.serverCount(), count + 1);
  assert.deepEqual([...(await io.of("/").adapter.allRooms())].sort(), rooms.sort());
};
