"use strict";
// The context of a test: the program under test, and clients that are closed at the end.

const { load } = require("./modules.js");
const { Log, EVENT_TIMEOUT, next, withTimeout } = require("./wait.js");
const raw = require("./raw.js");
const { Manager } = load("socket.io-client");

const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

/** Thrown by a test that cannot run against the program. */
class Skip extends Error {}

let names = Math.floor(Math.random() * 1e6) * 1000;

class Context {
  constructor(run, program) {
    this.run = run;
    this.program = program;
    this.transport = run.transport;
    this.transports = TRANSPORTS[run.transport];
    this.secure = run.secure;
    this.workers = run.workers;
    this.isReference = run.isReference;
    this.cleanups = [];
  }

  /** The URL of the program, with TLS if the run uses TLS. */
  get base() {
    return this.secure ? this.program.tlsBase : this.program.base;
  }

  skip(reason) {
    throw new Skip(reason);
  }

  /** Skips the test if the program does not support a feature. */
  async requires(feature) {
    this.run.features ??= this.connect().then((socket) => this.call(socket, "features"));
    if (!(await this.run.features).includes(feature)) this.skip(`the program does not support ${feature}`);
  }

  onEnd(cleanup) {
    this.cleanups.push(cleanup);
  }

  async end() {
    for (const cleanup of this.cleanups.reverse()) await cleanup();
  }

  /** Returns a room name that no other test uses. */
  room(name = "room") {
    return `${name}-${++names}`;
  }

  /** Returns a dynamic namespace that no other test uses. */
  namespace() {
    return `/dyn-${++names}`;
  }

  /** Creates a manager of the official client, which is one connection. */
  manager(options = {}) {
    const { base = this.base, ...rest } = options;
    const manager = new Manager(base, {
      transports: this.transports,
      reconnection: false,
      autoConnect: true,
      rejectUnauthorized: false,
      timeout: EVENT_TIMEOUT,
      ...rest,
    });
    this.onEnd(() => {
      manager.reconnection(false);
      manager._close();
    });
    return manager;
  }

  /** Creates a socket of the official client on a separate connection. It may not be connected yet. */
  client(nsp = "/", { auth, manager, ...options } = {}) {
    return (manager ?? this.manager(options)).socket(nsp, { auth });
  }

  /** Returns a connected socket of the official client. */
  async connect(nsp = "/", options = {}) {
    const socket = this.client(nsp, options);
    await this.connected(socket);
    return socket;
  }

  async connected(socket) {
    if (socket.connected) return;
    const failed = new Promise((resolve, reject) => {
      socket.once("connect_error", reject);
    });
    await withTimeout(
      Promise.race([new Promise((resolve) => socket.once("connect", resolve)), failed]),
      `a connection to ${socket.nsp}`,
    );
  }

  /** Returns a connected socket on its final transport: after the upgrade, if there is one. */
  async settled(nsp = "/", options = {}) {
    const socket = await this.connect(nsp, options);
    const { engine } = socket.io;
    if (this.transport === "upgrade" && engine.transport.name !== "websocket") await next(engine, "upgrade");
    return socket;
  }

  /** Returns several connected sockets in one namespace. */
  many(n, nsp, options) {
    return Promise.all(Array.from({ length: n }, () => this.connect(nsp, options)));
  }

  /** Emits an event. Returns the first argument of its acknowledgement. */
  call(socket, event, ...args) {
    return socket.timeout(EVENT_TIMEOUT).emitWithAck(event, ...args);
  }

  /** Emits an event. Returns all arguments of its acknowledgement. */
  callAll(socket, event, ...args) {
    return withTimeout(
      new Promise((resolve) => socket.emit(event, ...args, (...values) => resolve(values))),
      `the acknowledgement of ${event}`,
    );
  }

  /** Records the events that a socket receives from now on, as `[name, ...args]`. */
  log(socket, name) {
    const log = new Log();
    socket.onAny((event, ...args) => {
      if (name === undefined || event === name) log.push([event, ...args]);
    });
    return log;
  }

  /** Observes the other namespaces: returns the events `joined` and `gone`. */
  async observe(options = {}) {
    const socket = await this.connect("/obs", { transports: ["websocket"], ...options });
    const joined = new Log();
    const gone = new Log();
    socket.on("joined", (item) => joined.push(item));
    socket.on("gone", (item) => gone.push(item));
    return {
      socket,
      joined: (id) => joined.find((item) => item.id === id, `joined of ${id}`),
      gone: (id, ms) => gone.find((item) => item.id === id, `gone of ${id}`, ms),
      reason: async (id) => (await gone.find((item) => item.id === id, `gone of ${id}`)).reason,
      all: gone,
    };
  }

  polling(options = {}) {
    return raw.Polling.open(options.base ?? this.base, options);
  }

  async websocket(options = {}) {
    const socket = await raw.Socket.open(options.base ?? this.base, options);
    this.onEnd(() => socket.ws.terminate());
    return socket;
  }

  /** Opens a WebSocket without waiting for a handshake, for example for an upgrade. */
  attempt(query, options = {}) {
    const socket = new raw.Socket(options.base ?? this.base, { ...options, query });
    this.onEnd(() => socket.ws.terminate());
    return socket;
  }

  url(parameters, path) {
    return raw.address(this.base, parameters, path);
  }
}

module.exports = { Context, Skip };
