"use strict";
// The program as a process: it stops on a signal, and clients come back to the next one.

const assert = require("node:assert/strict");
const { next } = require("../lib/wait.js");

exports.jobs = 1;

exports.tests = {
  async "SIGTERM disconnects every client at once and ends the program with 0"(c) {
    const program = await c.server({}, { fresh: true });
    program.expectedEnd = true;
    const base = c.secure ? program.tlsBase : program.base;
    const sockets = await Promise.all(
      Array.from({ length: 20 }, (_, i) => c.settled(i % 2 ? "/" : c.namespace(), { base })),
    );
    const idle = await c.polling({ base });
    const raw = await c.websocket({ base });
    const pending = idle.get().catch(() => undefined);
    const ends = sockets.map((socket) => next(socket, "disconnect"));
    const begin = performance.now();
    const ended = program.kill("SIGTERM");
    for (const [reason] of await Promise.all(ends)) assert.match(reason, /^(io server disconnect|transport (close|error))$/);
    await raw.close();
    assert.ok(performance.now() - begin < 3000, "at once");
    assert.deepEqual(await ended, { code: 0, signal: null });
    assert.ok(performance.now() - begin < 3000, "within 3 s");
    await pending;
  },

  async "all clients come back after a crash and a restart on the same port"(c) {
    const n = Number(process.env.UPTICK_STORM_CLIENTS || (c.secure ? 40 : 100));
    const program = await c.server({}, { fresh: true });
    program.expectedEnd = true;
    const base = c.secure ? program.tlsBase : program.base;
    const options = { base, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 300 };
    const nsp = c.namespace();
    // In the middle of an upgrade, the client notices the end of the server by its heartbeat only.
    const sockets = await Promise.all(Array.from({ length: n }, () => c.settled(nsp, options)));
    const ends = sockets.map((socket) => next(socket, "disconnect"));
    // A supervisor that is killed leaves workers behind.
    await program.kill(c.workers > 1 ? "SIGTERM" : "SIGKILL");
    await Promise.all(ends);
    const again = await c.server({}, { fresh: true, port: program.port, tlsPort: c.secure && Number(new URL(base).port) });
    await Promise.all(sockets.map((socket) => (socket.connected ? undefined : next(socket, "connect"))));
    const answers = await Promise.all(sockets.map((socket, i) => c.call(socket, "echo-ack", i)));
    assert.deepEqual(answers, sockets.map((_, i) => i));
    const { sockets: fetched } = await c.call(sockets[0], "cluster", { op: "fetch" });
    assert.deepEqual(new Set(fetched.map(({ id }) => id)), new Set(sockets.map(({ id }) => id)));
    for (const socket of sockets) socket.io.reconnection(false);
    assert.equal(again.child.exitCode, null);
  },
};
