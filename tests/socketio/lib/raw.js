"use strict";
// Engine.IO by hand: HTTP requests, polling sessions and WebSockets that may break every rule.

const http = require("node:http");
const https = require("node:https");
const { load } = require("./modules.js");
const { Log, next, withPatience } = require("./wait.js");
const WebSocket = load("ws");

const SEPARATOR = "\x1e";

/**
 * Sends an HTTP request on a connection of its own. The promise it returns has the request as `request`, to abort it,
 * and resolves to `{status, headers, body}`; it is rejected when the server closes the connection instead.
 */
function request(url, { method = "GET", headers = {}, body, agent = false } = {}) {
  const { request: start } = url.startsWith("https:") ? https : http;
  let message;
  const answer = new Promise((resolve, reject) => {
    message = start(url, { method, headers, agent, rejectUnauthorized: false }, (response) => {
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const bytes = Buffer.concat(chunks);
        resolve({ status: response.statusCode, headers: response.headers, body: bytes.toString(), bytes });
      });
    });
    message.on("error", reject);
    message.end(body);
  });
  const patient = withPatience(answer, `the response to ${method} ${url}`);
  patient.catch(() => {});
  patient.request = message;
  return patient;
}

/** The outcome of a request that may be refused or cut: the status, or 0 if there was no response. */
async function statusOf(answer) {
  try {
    return (await answer).status;
  } catch (error) {
    if (/^waited/.test(error.message)) throw error;
    return 0;
  }
}

/** The address of an Engine.IO endpoint with query parameters; those that are `undefined` are left out. */
function address(base, parameters, path = "/socket.io/") {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries({ EIO: 4, ...parameters })) {
    if (value !== undefined) url.searchParams.set(name, value);
  }
  return url.href;
}

/** A long-polling session. */
class Polling {
  static async open(base, options = {}) {
    const session = new Polling(base, options);
    const answer = await request(session.url({}), { headers: options.headers });
    if (answer.status !== 200 || answer.body[0] !== "0") {
      throw new Error(`the handshake got ${answer.status} ${answer.body}`);
    }
    session.opened = performance.now();
    session.handshake = JSON.parse(answer.body.slice(1));
    session.sid = session.handshake.sid;
    return session;
  }

  constructor(base, { path, query = {} }) {
    this.base = base;
    this.path = path;
    this.query = query;
  }

  url(parameters = { sid: this.sid }) {
    return address(this.base, { transport: "polling", ...this.query, ...parameters }, this.path);
  }

  /** One poll, as it comes. */
  get(options) {
    return request(this.url(), options);
  }

  /** One POST, as it comes. */
  send(body, options = {}) {
    const headers = { "Content-Type": "text/plain;charset=UTF-8", ...options.headers };
    return request(this.url(), { ...options, method: "POST", body, headers });
  }

  /** Sends packets, and expects `ok`. */
  async post(...packets) {
    const { status, body } = await this.send(packets.join(SEPARATOR));
    if (status !== 200 || body !== "ok") throw new Error(`a POST got ${status} ${body}`);
  }

  /** The packets of the next poll. */
  async poll() {
    const { status, body } = await this.get();
    if (status !== 200) throw new Error(`a poll got ${status} ${body}`);
    return body.split(SEPARATOR);
  }

  /** Polls until that many messages came, and answers pings meanwhile. */
  async messages(n) {
    const messages = [];
    while (messages.length < n) {
      for (const packet of await this.poll()) {
        if (packet === "2") await this.post("3");
        else if (/^[4b]/.test(packet)) messages.push(packet);
        else if (packet !== "6") throw new Error(`a poll has ${packet} after ${JSON.stringify(messages)}`);
      }
    }
    return messages;
  }

  /** Joins a namespace; returns the CONNECT packet's data. */
  async connect(nsp = "/", auth) {
    await this.post(connectPacket(nsp, auth));
    return connectData((await this.messages(1))[0]);
  }

  /** Polls until the session is over: what the polls got, and the status of the last one. */
  async end() {
    const packets = [];
    for (;;) {
      let answer;
      try {
        answer = await this.get();
      } catch (error) {
        if (/^waited/.test(error.message)) throw error;
        continue;
      }
      if (answer.status !== 200) return { packets, status: answer.status, body: answer.body };
      packets.push(...answer.body.split(SEPARATOR));
    }
  }
}

/** A WebSocket that records what it receives: text as strings, binary as buffers. */
class Socket {
  /** Opens a session over WebSocket. */
  static async open(base, options = {}) {
    const socket = new Socket(base, options);
    const [open] = await socket.log.take(1, "packets (of the handshake)");
    socket.opened = performance.now();
    socket.handshake = JSON.parse(open.slice(1));
    socket.sid = socket.handshake.sid;
    socket.read = 1;
    return socket;
  }

  constructor(base, { path, query = {}, headers = {} } = {}) {
    const url = address(base.replace(/^http/, "ws"), { transport: "websocket", ...query }, path);
    this.ws = new WebSocket(url, { perMessageDeflate: false, headers, rejectUnauthorized: false });
    this.log = new Log();
    this.read = 0;
    this.ws.on("message", (data, isBinary) => this.log.push(isBinary ? data : data.toString()));
    this.closed = new Promise((resolve) => {
      this.ws.on("error", (error) => (this.error = error));
      this.ws.on("close", (code) => resolve(code));
    });
    this.connected = next(this.ws, "open");
    this.connected.catch(() => {});
  }

  send(...packets) {
    for (const packet of packets) this.ws.send(packet);
  }

  /** The next packet, pings and all. */
  async packet() {
    const n = ++this.read;
    const closed = this.closed.then((code) => {
      if (this.log.items.length < n) throw new Error(`the server closed with ${code} before packet ${n}`);
      return this.log.items;
    });
    return (await Promise.race([this.log.take(n, "packets"), closed]))[n - 1];
  }

  /** The next message; pings are answered. */
  async message() {
    for (;;) {
      const packet = await this.packet();
      if (packet !== "2") return packet;
      this.send("3");
    }
  }

  async messages(n) {
    const messages = [];
    while (messages.length < n) messages.push(await this.message());
    return messages;
  }

  async connect(nsp = "/", auth) {
    this.send(connectPacket(nsp, auth));
    return connectData(await this.message());
  }

  /** The code with which the server closes. */
  close() {
    return withPatience(this.closed, "the WebSocket to close");
  }
}

function connectPacket(nsp, auth) {
  return `40${nsp === "/" ? "" : `${nsp},`}${auth === undefined ? "" : JSON.stringify(auth)}`;
}

function connectData(packet) {
  if (!/^40/.test(packet)) throw new Error(`CONNECT was answered by ${packet}`);
  return JSON.parse(packet.replace(/^40[^{]*/, ""));
}

/** The text of an event packet. */
function event(nsp, id, ...args) {
  return `42${nsp === "/" ? "" : `${nsp},`}${id ?? ""}${JSON.stringify(args)}`;
}

module.exports = { request, statusOf, address, Polling, Socket, event, SEPARATOR };
