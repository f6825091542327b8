"use strict";
// Clusters over a Redis stream: recovery on another server, and interruptions of Redis. The other operations are tested
// by the group `redis`.

const assert = require("node:assert/strict");
const { mkdtempSync, rmSync } = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { RedisServer, isInstalled } = require("../lib/redis.js");
const { Log, next, sleep } = require("../lib/wait.js");

/** Time for which the state of a client is kept, in ms. */
const RECOVERY = 60000;

/** Starts a Redis server that keeps its data when it is killed, and two servers; the second may be the official one. */
async function cluster(c, peer, { env = {} } = {}) {
  if (!isInstalled && process.env.UPTICK_REQUIRE_REDIS) throw new Error("redis-server is not installed");
  if (!isInstalled) c.skip("redis-server is not installed");
  if (c.isReference && peer === "itself") c.skip("the program is the official server");
  const directory = mkdtempSync(path.join(os.tmpdir(), "streams-"));
  const redis = await RedisServer.start(["--appendonly", "yes", "--dir", directory]);
  c.onEnd(async () => {
    await redis.kill();
    rmSync(directory, { recursive: true, force: true });
  });
  const all = { SIO_REDIS: redis.url, SIO_ADAPTER: "streams", SIO_RECOVERY_MS: String(RECOVERY), ...env };
  const one = await c.server(all, { fresh: true });
  const two = await c.server(all, { fresh: true, reference: peer === "Node.js" });
  c.onEnd(async () => {
    for (const program of [one, two]) {
      program.expectedEnd = true;
      assert.equal((await program.stop()).code, 0, program.output);
    }
  });
  const bases = [one, two].map((program) => (c.secure ? program.tlsBase : program.base));
  return { redis, servers: [one, two], bases };
}

/** Connects a client that can move between servers. */
async function movable(c, nsp, base) {
  const socket = await c.settled(nsp, { base });
  const log = new Log();
  socket.onAny((...args) => log.push(args));
  // The first event carries an offset.
  socket.emit("echo", "first");
  await log.find(([name, text]) => name === "echoed" && text === "first", "the first event");
  let cuts = 0;
  return {
    socket,
    log,
    /** Closes the connection, and waits until the server has noticed. The observer has seen all previous calls. */
    async cut(observer) {
      const { id } = socket;
      const gone = next(socket, "disconnect");
      socket.io.engine.close();
      await gone;
      cuts++;
      const count = () => observer.all.items.filter((item) => item.id === id).length;
      await observer.all.find(() => count() >= cuts, `gone of ${id}`);
    },
    async connect(to) {
      socket.io.uri = to;
      socket.connect();
      await c.connected(socket);
    },
  };
}

const cast = (options) => ({ scope: "nsp", event: "e", ...options });

exports.jobs = 2;
exports.tests = {};

for (const [peer, from, to] of [["itself", 0, 1], ["Node.js", 0, 1], ["Node.js", 1, 0], ["Node.js", 0, 0]]) {
  exports.tests[`with ${peer}: a client recovers on server ${to} after it was on server ${from}`] = async (c) => {
    const { bases } = await cluster(c, peer);
    for (const nsp of ["/", c.namespace()]) {
      const { socket, log, cut, connect } = await movable(c, nsp, bases[from]);
      const senders = [await c.connect(nsp, { base: bases[0] }), await c.connect(nsp, { base: bases[1] })];
      const observer = await c.observe({ base: bases[from] });
      await c.call(socket, "join", ["room", "out"]);
      await c.callAll(socket, "stash", { kept: [1] });
      const { id } = socket;
      await cut(observer);
      const expected = [];
      for (const [index, sender] of senders.entries()) {
        const send = (options) => c.call(sender, "cast", cast(options));
        const last = c.log(senders[1 - index], "e");
        await send({ args: [index, 1] });
        await send({ args: [index, 2], to: ["room"] });
        await send({ args: ["no"], to: ["elsewhere"] });
        await send({ args: ["no"], except: ["out"] });
        await send({ args: [index, 3], to: ["elsewhere", id] });
        await send({ args: [index, 4, Buffer.from([1, 2])] });
        await last.find(([, server, i]) => server === index && i === 4, "the last event");
        expected.push([index, 1], [index, 2], [index, 3], [index, 4, [1, 2]]);
      }
      await connect(bases[to]);
      assert.deepEqual([socket.recovered, socket.id], [true, id]);
      const whoami = await c.call(socket, "whoami");
      assert.deepEqual([whoami.recovered, whoami.id, whoami.rooms], [true, id, ["out", "room"]]);
      assert.deepEqual(whoami.data?.value ?? whoami.data, { kept: [1] });
      await log.find(([name, server, i]) => name === "e" && server === 1 && i === 4, "the last missed event");
      // The offset is the last argument.
      const missed = log.items.filter(([name]) => name === "e").map(([, ...args]) => args.slice(0, -1));
      assert.deepEqual(missed.map(([server, i, ...binary]) => [server, i, ...binary.map((one) => [...Buffer.from(one)])]), expected);
      for (const sender of senders) await c.call(sender, "cast", cast({ args: ["after"], to: ["room"] }));
      await log.find(() => log.items.filter(([name, text]) => name === "e" && text === "after").length === 2, "further events");
      // The state was used.
      const stranger = c.client(nsp, { base: bases[to], auth: { pid: socket._pid, offset: socket._lastOffset } });
      await c.connected(stranger);
      assert.notEqual(stranger.id, id);
      socket.disconnect();
    }
  };
}

exports.tests["a session of one namespace is not recovered in another"] = async (c) => {
  if (c.isReference) c.skip("the official adapter does not store the namespace of a session");
  const { bases } = await cluster(c, "Node.js");
  for (const from of bases) {
    const { socket, cut } = await movable(c, "/", from);
    const { id } = socket;
    await cut(await c.observe({ base: from }));
    const auth = { pid: socket._pid, offset: socket._lastOffset };
    const admin = c.client("/admin", { base: bases[0], auth });
    // The middleware is not skipped, although it is skipped for recovered clients of the namespace.
    const [error] = await next(admin, "connect_error");
    assert.equal(error.message, "not authorized");
    if (from === bases[0]) {
      const other = await c.connect(c.namespace(), { base: bases[0], auth });
      assert.notEqual(other.id, id);
    }
  }
};

exports.tests["a client that moves between servers during a stream of events receives each once, in order"] = async (c) => {
  const { bases } = await cluster(c, "itself");
  const nsp = c.namespace();
  const { socket, log, cut, connect } = await movable(c, nsp, bases[0]);
  const observers = [await c.observe({ base: bases[0] }), await c.observe({ base: bases[1] })];
  const senders = [await c.connect(nsp, { base: bases[0] }), await c.connect(nsp, { base: bases[1] })];
  let isSending = true;
  const send = async (sender, index) => {
    let i = 0;
    for (; isSending; i++) {
      sender.emit("cast", cast({ args: [index, i] }), () => {});
      if (i % 5 === 0) await sleep(5);
    }
    return i;
  };
  const counts = senders.map(send);
  for (let round = 1; round <= 10; round++) {
    await sleep(50);
    await cut(observers[(round + 1) % 2]);
    await sleep(20);
    await connect(bases[round % 2]);
    assert.equal(socket.recovered, true, `round ${round}`);
  }
  isSending = false;
  for (const [index, count] of (await Promise.all(counts)).entries()) {
    await log.find(([name, server, i]) => name === "e" && server === index && i === count - 1, `event ${count - 1}`);
    const numbers = log.items.filter(([name, server]) => name === "e" && server === index).map(([, , i]) => i);
    assert.deepEqual(numbers, Array.from({ length: count }, (_, i) => i));
  }
};

/** Interrupts Redis while events are sent. All clients must receive each event of the program once, in order. */
function interruption(interrupt, peer, env) {
  return async (c) => {
    const { redis, bases } = await cluster(c, peer, { env });
    const nsp = c.namespace();
    const [sender, here, there] = await Promise.all([0, 0, 1].map((index) => c.connect(nsp, { base: bases[index] })));
    const logs = [c.log(here, "e"), c.log(there, "e")];
    let isSending = true;
    const send = async () => {
      let i = 0;
      for (; isSending; i++) {
        sender.emit("cast", cast({ args: [i] }), () => {});
        if (i % 10 === 0) await sleep(2);
      }
      return i;
    };
    const sent = send();
    await sleep(200);
    await interrupt(redis);
    await sleep(200);
    isSending = false;
    const count = await sent;
    for (const log of logs) {
      await log.find(([, i]) => i === count - 1, `event ${count - 1}`);
      await sleep(100);
      assert.deepEqual(log.items.map(([, i]) => i), Array.from({ length: count }, (_, i) => i));
    }
  };
}

const interruptions = {
  async "killed and restarted"(redis) {
    await redis.kill();
    await sleep(200);
    await redis.launch();
  },
  async "killed and restarted twice"(redis) {
    for (let i = 0; i < 2; i++) {
      await redis.kill();
      await redis.launch();
      await sleep(300);
    }
  },
  async "paused"(redis) {
    redis.child.kill("SIGSTOP");
    await sleep(1000);
    redis.child.kill("SIGCONT");
  },
};

for (const [name, interrupt] of Object.entries(interruptions)) {
  for (const [recovery, env] of [["with recovery", {}], ["without recovery", { SIO_RECOVERY_MS: "0" }]]) {
    for (const peer of ["itself", "Node.js"]) {
      exports.tests[`${recovery}, with ${peer}: no event is lost while Redis is ${name}`] = async (c) => {
        if (c.isReference) c.skip("the official server loses events that it sends meanwhile");
        await interruption(interrupt, peer, env)(c);
      };
    }
  }
}
