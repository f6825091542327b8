"use strict";
// The conformance program on the official server, which is the reference for the tests. It is configured by the
// same environment variables as `examples/93-socketio-conformance.rs`, except for SIO_WORKERS.

const http = require("node:http");
const https = require("node:https");
const { readFileSync } = require("node:fs");
const { load } = require("../lib/modules.js");
const { Server } = load("socket.io");

const number = (name, preset) => Number(process.env[name] || preset);
const host = process.env.SIO_HOST || "127.0.0.1";
const port = number("SIO_PORT", 3000);
const tlsPort = number("SIO_TLS_PORT", 0);
const recovery = number("SIO_RECOVERY_MS", 0);
const redis = process.env.SIO_REDIS;

const io = new Server({
  serveClient: false,
  pingInterval: number("SIO_PING_INTERVAL", 25000),
  pingTimeout: number("SIO_PING_TIMEOUT", 20000),
  connectTimeout: number("SIO_CONNECT_TIMEOUT", 45000),
  maxHttpBufferSize: number("SIO_MAX_PAYLOAD", 1000000),
  cors: { origin: "http://allowed.test", credentials: true },
  ...(process.env.SIO_PARSER === "msgpack" && { parser: load("socket.io-msgpack-parser") }),
  ...(recovery > 0 && { connectionStateRecovery: { maxDisconnectionDuration: recovery } }),
});

const observers = io.of("/obs");
const isText = (value) => typeof value === "string";
const isCount = (value) => Number.isInteger(value) && value >= 0;
const isTexts = (value) => Array.isArray(value) && value.every(isText);
const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const sortById = (sockets) => sockets.sort((a, b) => (a.id < b.id ? -1 : 1));
const own = (socket) => [...socket.rooms].filter((room) => room !== socket.id).sort();

/** Returns the sockets that `to` and `except` select, or `undefined` for arguments of other types. */
function select(operator, to = [], except = []) {
  if (!isTexts(to) || !isTexts(except)) return undefined;
  if (to.length > 0) operator = operator.to(to);
  return except.length > 0 ? operator.except(except) : operator;
}

/** The commands. Each is called with the socket, the acknowledgement and the arguments. */
const commands = {
  echo: (socket, ack, ...args) => socket.emit("echoed", ...args),
  "echo-ack": (socket, ack, ...args) => ack(...args),
  silent() {},
  ask(socket, ack, ms, ...args) {
    if (!isCount(ms)) return;
    socket.timeout(ms).emit("question", ...args, (error, value) => {
      ack(error ? { ok: false, error: "timeout" } : { ok: true, value });
    });
  },
  burst(socket, ack, n) {
    if (!isCount(n)) return;
    for (let i = 0; i < n; i++) socket.emit("burst", i);
    ack(n);
  },
  stream(socket, ack, n, ms) {
    if (!isCount(n) || !isCount(ms)) return;
    let i = 0;
    const timer = setInterval(() => {
      if (i >= n || !socket.connected) return clearInterval(timer);
      socket.emit("stream", i++);
    }, ms);
  },
  whoami(socket, ack) {
    const { auth, query, headers, secure } = socket.handshake;
    ack({
      id: socket.id,
      nsp: socket.nsp.name,
      rooms: own(socket),
      data: "value" in socket.data ? socket.data : null,
      auth,
      query,
      header: headers["x-test"] ?? null,
      transport: socket.conn.transport.name,
      secure,
      recovered: socket.recovered,
    });
  },
  features: (socket, ack) =>
    ack("volatile dynamic-namespaces broadcast-ack remote-ops tls cors recovery".split(" ")),
  stash(socket, ack, value) {
    socket.data = { value };
    ack();
  },
  join(socket, ack, rooms) {
    if (!isText(rooms) && !isTexts(rooms)) return;
    socket.join(rooms);
    ack(own(socket));
  },
  leave(socket, ack, rooms) {
    if (!isText(rooms) && !isTexts(rooms)) return;
    for (const room of [rooms].flat()) socket.leave(room);
    ack(own(socket));
  },
  async members(socket, ack, room) {
    if (!isText(room)) return;
    const sockets = await socket.nsp.in(room).fetchSockets();
    ack(sockets.map(({ id }) => id).sort());
  },
  cast(socket, ack, options) {
    if (!isObject(options) || !isText(options.event)) return;
    const { to, except, scope, volatile, local, event, args = [] } = options;
    let operator = scope === "socket" ? socket.broadcast : socket.nsp.except([]);
    operator = select(operator, to, except);
    if (!operator || !["socket", "nsp"].includes(scope) || !Array.isArray(args)) return;
    if (volatile) operator = operator.volatile;
    if (local) operator = operator.local;
    operator.emit(event, ...args);
    ack("sent");
  },
  "cast-ack"(socket, ack, options) {
    if (!isObject(options) || !isText(options.event) || !isCount(options.timeout)) return;
    const { to, timeout, event, args = [] } = options;
    const operator = select(socket.nsp.except([]), to);
    if (!operator || !Array.isArray(args)) return;
    operator.timeout(timeout).emit(event, ...args, (error, values) => ack({ ok: !error, values }));
  },
  async remote(socket, ack, options) {
    if (!isObject(options) || !isText(options.in)) return;
    const { op, room, close } = options;
    const operator = socket.nsp.in(options.in);
    if (op === "join" && isText(room)) operator.socketsJoin(room);
    else if (op === "leave" && isText(room)) operator.socketsLeave(room);
    else if (op === "kick") operator.disconnectSockets(Boolean(close));
    else return;
    ack("done");
  },
  async cluster(socket, ack, options) {
    if (!isObject(options)) return;
    const { op, except, local, args = [] } = options;
    if (op === "fetch") {
      const operator = select(local ? socket.nsp.local : socket.nsp.except([]), options.in, except);
      if (!operator) return;
      const sockets = (await operator.fetchSockets()).map(({ id, rooms, data, handshake }) => ({
        id,
        rooms: [...rooms].sort(),
        data: "value" in data ? data : null,
        handshake,
      }));
      ack({ ok: true, sockets: sortById(sockets) });
    } else if (op === "sse") {
      if (redis) socket.nsp.serverSideEmit("sse", ...args);
      ack("sent");
    } else if (op === "sse-ack") {
      if (!redis) return ack({ ok: true, values: [] });
      socket.nsp.serverSideEmit("sse", ...args, (error, values) => ack({ ok: !error, values }));
    }
  },
  fanout(socket, ack, n, payload) {
    if (!isCount(n)) return;
    for (let i = 0; i < n; i++) socket.nsp.emit("tick", i, payload);
    ack(n);
  },
  volatile(socket, ack, n, bytes) {
    if (!isCount(n) || !isCount(bytes)) return;
    for (let i = 0; i < n; i++) socket.volatile.emit("v", i, "v".repeat(bytes));
    socket.emit("v-end", n);
  },
  download(socket, ack, bytes, binary = false) {
    if (!isCount(bytes)) return;
    ack(binary ? Buffer.alloc(bytes, 0xa5) : "d".repeat(bytes));
  },
  bye: (socket, ack, close) => socket.disconnect(Boolean(close)),
  drop: (socket) => socket.conn.close(),
};

function serve(socket) {
  const identity = { nsp: socket.nsp.name, id: socket.id };
  observers.emit("joined", identity);
  socket.on("disconnect", (reason) => observers.emit("gone", { ...identity, reason }));
  for (const [name, command] of Object.entries(commands)) {
    socket.on(name, (...args) => {
      const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
      command(socket, ack, ...args);
    });
  }
}

/** Passes events of other servers to the sockets of this one. */
function answerServers(namespace) {
  namespace.on("sse", (...args) => {
    const ack = typeof args.at(-1) === "function" ? args.pop() : () => {};
    namespace.local.emit("sse", ...args);
    ack({ server: port, args });
  });
}

/** Connects the server with the others over Redis. */
async function joinCluster() {
  // The adapter does not handle the errors of commands that are pending when the connection is lost.
  process.on("unhandledRejection", (error) => console.error(error.message));
  const publisher = load("redis").createClient({ url: redis });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) client.on("error", (error) => console.error(error.message));
  await Promise.all([publisher.connect(), subscriber.connect()]);
  const { createAdapter, createShardedAdapter } = load("@socket.io/redis-adapter");
  const create = process.env.SIO_ADAPTER === "sharded" ? createShardedAdapter : createAdapter;
  io.adapter(create(publisher, subscriber));
}

io.on("new_namespace", answerServers);
answerServers(io.of("/"));
io.on("connection", serve);
io.of(/^\/dyn-\d+$/).on("connection", serve);
io.of("/admin")
  .use((socket, next) => {
    setImmediate(() => {
      if (socket.handshake.auth.token === "letmein") return next();
      const error = new Error("not authorized");
      error.data = { code: 401, hint: ["bring", { a: "token" }] };
      next(error);
    });
  })
  .on("connection", serve);

const notFound = (request, response) => response.writeHead(404).end();
const servers = [[http.createServer(notFound), port]];
if (tlsPort) {
  const pem = { cert: readFileSync(process.env.SIO_TLS_CERT), key: readFileSync(process.env.SIO_TLS_KEY) };
  servers.push([https.createServer(pem, notFound), tlsPort]);
}
for (const [server] of servers) io.attach(server);
const listening = ([server, at]) => new Promise((done) => server.listen(at, host, 4096, done));
Promise.resolve(redis && joinCluster())
  .then(() => Promise.all(servers.map(listening)))
  .then(() => console.log("ready"));

process.on("SIGTERM", () => {
  io.disconnectSockets(true);
  for (const [server] of servers) server.closeAllConnections();
  io.close();
  process.exit(0);
});
