"use strict";
// What a test gets: the program under test, clients of it, and what they leave behind is closed at the end.

const { load } = require("./modules.js");
const { Log, PATIENCE, next, withPatience } = require("./wait.js");
const raw = require("./raw.js");
const { Manager } = load("socket.io-client");

const TRANSPORTS = { polling: ["polling"], websocket: ["websocket"], upgrade: ["polling", "websocket"] };

/** Thrown by a test that the program cannot run. */
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

  /** The URL of the program: the one with TLS if the run is with TLS. */
  get base() {
    return this.secure ? this.program.tlsBase : this.program.base;
  }

  skip(why) {
    throw new Skip(why);
  }

  /** Ends a test that needs a feature the program does not have. */
  async requires(feature) {
    this.run.features ??= this.connect().then((socket) => this.call(socket, "features"));
    if (!(await this.run.features).includes(feature)) this.skip(`the program lacks ${feature}`);
  }

  onEnd(cleanup) {
    this.cleanups.push(cleanup);
  }

  async end() {
    for (const cleanup of this.cleanups.reverse()) await cleanup();
  }

  /** A name that no other test uses, for rooms. */
  room(name = "room") {
    return `${name}-${++names}`;
  }

  /** A dynamic namespace that no other test uses. */
  namespace() {
    return `/dyn-${++names}`;
  }

  /** A manager of the official client: one connection. */
  manager(options = {}) {
    const { base = this.base, ...rest } = options;
    const manager = new Manager(base, {
      transports: this.transports,
      reconnection: false,
      autoConnect: true,
      rejectUnauthorized: false,
      timeout: PATIENCE,
      ...rest,
    });
    this.onEnd(() => {
      manager.reconnection(false);
      manager._close();
    });
    return manager;
  }

  /** A socket of the official client on a connection of its own, which may not be connected yet. */
  client(nsp = "/", { auth, manager, ...options } = {}) {
    return (manager ?? this.manager(options)).socket(nsp, { auth });
  }

  /** A connected socket of the official client. */
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
    await withPatience(
      Promise.race([new Promise((resolve) => socket.once("connect", resolve)), failed]),
      `a connection to ${socket.nsp}`,
    );
  }

  /** A socket whose transport is the last of the run: after the upgrade, if there is one. */
  async settled(nsp = "/", options = {}) {
    const socket = await this.connect(nsp, options);
    const { engine } = socket.io;
    if (this.transport === "upgrade" && engine.transport.name !== "websocket") await next(engine, "upgrade");
    return socket;
  }

  /** Several connected sockets, in one namespace. */
  many(n, nsp, options) {
    return Promise.all(Array.from({ length: n }, () => this.connect(nsp, options)));
  }

  /** Emits an event; returns the first argument of its acknowledgement. */
  call(socket, event, ...args) {
    return socket.timeout(PATIENCE).emitWithAck(event, ...args);
  }

  /** Emits an event; returns all arguments of its acknowledgement. */
  callAll(socket, event, ...args) {
    return withPatience(
      new Promise((resolve) => socket.emit(event, ...args, (...answer) => resolve(answer))),
      `the acknowledgement of ${event}`,
    );
  }

  /** All events that a socket receives from now on, as `[name, ...args]`. */
  log(socket, name) {
    const log = new Log();
    socket.onAny((event, ...args) => {
      if (name === undefined || event === name) log.push([event, ...args]);
    });
    return log;
  }

  /** What happens in the other namespaces: the events `joined` and `gone`. */
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

  /** A WebSocket that is not a session of its own, such as an upgrade's. */
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
