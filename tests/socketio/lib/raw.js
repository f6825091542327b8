"use strict";
// Raw Engine.IO: HTTP requests, polling sessions and WebSockets that may violate the protocol.

const http = require("node:http");
const https = require("node:https");
const { load } = require("./modules.js");
const { Log, next, withTimeout } = require("./wait.js");
const WebSocket = load("ws");

const SEPARATOR = "\x1e";

/**
 * Sends an HTTP request over a new connection. The returned promise has the property `request`, to abort it,
 * and resolves to `{status, headers, body}`. It is rejected if the server closes the connection without a response.
 */
function request(url, { method = "GET", headers = {}, body, agent = false } = {}) {
  const { request: start } = url.startsWith("https:") ? https : http;
  let message;
  const pending = new Promise((resolve, reject) => {
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
  const result = withTimeout(pending, `the response to ${method} ${url}`);
  result.catch(() => {});
  result.request = message;
  return result;
}

/** Returns the status of a response, or 0 if the connection was closed without one. */
async function statusOf(response) {
  try {
    return (await response).status;
  } catch (error) {
    if (/^timed out/.test(error.message)) throw error;
    return 0;
  }
}

/** Returns the URL of an Engine.IO endpoint with query parameters. Parameters that are `undefined` are left out. */
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
    const response = await request(session.url({}), { headers: options.headers });
    if (response.status !== 200 || response.body[0] !== "0") {
      throw new Error(`the handshake was answered with ${response.status} ${response.body}`);
    }
    session.opened = performance.now();
    session.handshake = JSON.parse(response.body.slice(1));
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

  /** Sends one poll, and returns the response. */
  get(options) {
    return request(this.url(), options);
  }

  /** Sends one POST request, and returns the response. */
  send(body, options = {}) {
    const headers = { "Content-Type": "text/plain;charset=UTF-8", ...options.headers };
    return request(this.url(), { ...options, method: "POST", body, headers });
  }

  /** Sends packets, and expects the response `ok`. */
  async post(...packets) {
    const { status, body } = await this.send(packets.join(SEPARATOR));
    if (status !== 200 || body !== "ok") throw new Error(`a POST was answered with ${status} ${body}`);
  }

  /** Returns the packets of the next poll. */
  async poll() {
    const { status, body } = await this.get();
    if (status !== 200) throw new Error(`a poll was answered with ${status} ${body}`);
    return body.split(SEPARATOR);
  }

  /** Polls until `n` messages are received. Also answers pings. */
  async messages(n) {
    const messages = [];
    while (messages.length < n) {
      for (const packet of await this.poll()) {
        if (packet === "2") await this.post("3");
        else if (/^[4b]/.test(packet)) messages.push(packet);
        else if (packet !== "6") throw new Error(`a poll returned ${packet} after ${JSON.stringify(messages)}`);
      }
    }
    return messages;
  }

  /** Joins a namespace. Returns the data of the CONNECT packet. */
  async connect(nsp = "/", auth) {
    await this.post(connectPacket(nsp, auth));
    return connectData((await this.messages(1))[0]);
  }

  /** Polls until the session is over. Returns the received packets, and the status of the last poll. */
  async end() {
    const packets = [];
    for (;;) {
      let response;
      try {
        response = await this.get();
      } catch (error) {
        if (/^timed out/.test(error.message)) throw error;
        continue;
      }
      if (response.status !== 200) return { packets, status: response.status, body: response.body };
      packets.push(...response.body.split(SEPARATOR));
    }
  }
}

/** A WebSocket that records received messages: text as strings, binary messages as buffers. */
class Socket {
  /** Opens a session over a WebSocket. */
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

  /** Returns the next packet, including pings. */
  async packet() {
    const n = ++this.read;
    const closed = this.closed.then((code) => {
      if (this.log.items.length < n) throw new Error(`the server closed with ${code} before packet ${n}`);
      return this.log.items;
    });
    return (await Promise.race([this.log.take(n, "packets"), closed]))[n - 1];
  }

  /** Returns the next message, and answers pings. */
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

  /** Waits for the close by the server, and returns its code. */
  close() {
    return withTimeout(this.closed, "the WebSocket to close");
  }
}

function connectPacket(nsp, auth) {
  return `40${nsp === "/" ? "" : `${nsp},`}${auth === undefined ? "" : JSON.stringify(auth)}`;
}

function connectData(packet) {
  if (!/^40/.test(packet)) throw new Error(`CONNECT was answered with ${packet}`);
  return JSON.parse(packet.replace(/^40[^{]*/, ""));
}

/** Encodes an event packet as text. */
function event(nsp, id, ...args) {
  return `42${nsp === "/" ? "" : `${nsp},`}${id ?? ""}${JSON.stringify(args)}`;
}

module.exports = { request, statusOf, address, Polling, Socket, event, SEPARATOR };
