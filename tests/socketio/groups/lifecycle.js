"use strict";
// The program as a process: it stops on a signal, and clients reconnect after a restart.

const assert = require("node:assert/strict");
const { next } = require("../lib/wait.js");

exports.jobs = 1;

exports.tests = {
  async "SIGTERM immediately disconnects all clients and ends the program with exit code 0"(c) {
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
    assert.ok(performance.now() - begin < 3000, "the clients must be disconnected within 3 s");
    assert.deepEqual(await ended, { code: 0, signal: null });
    assert.ok(performance.now() - begin < 3000, "the program must exit within 3 s");
    await pending;
  },

  async "all clients reconnect after a crash and a restart on the same port"(c) {
    const n = Number(process.env.UPTICK_STORM_CLIENTS || (c.secure ? 40 : 100));
    const program = await c.server({}, { fresh: true });
    program.expectedEnd = true;
    const base = c.secure ? program.tlsBase : program.base;
    const options = { base, reconnection: true, reconnectionDelay: 50, reconnectionDelayMax: 300 };
    const nsp = c.namespace();
    // During an upgrade, the client would detect the end of the server only by its heartbeat.
    const sockets = await Promise.all(Array.from({ length: n }, () => c.settled(nsp, options)));
    const ends = sockets.map((socket) => next(socket, "disconnect"));
    // A killed supervisor would leave its workers running.
    await program.kill(c.workers > 1 ? "SIGTERM" : "SIGKILL");
    await Promise.all(ends);
    const again = await c.server({}, { fresh: true, port: program.port, tlsPort: c.secure && Number(new URL(base).port) });
    await Promise.all(sockets.map((socket) => (socket.connected ? undefined : next(socket, "connect"))));
    const echoed = await Promise.all(sockets.map((socket, i) => c.call(socket, "echo-ack", i)));
    assert.deepEqual(echoed, sockets.map((_, i) => i));
    const { sockets: fetched } = await c.call(sockets[0], "cluster", { op: "fetch" });
    assert.deepEqual(new Set(fetched.map(({ id }) => id)), new Set(sockets.map(({ id }) => id)));
    for (const socket of sockets) socket.io.reconnection(false);
    assert.equal(again.child.exitCode, null);
  },
};
