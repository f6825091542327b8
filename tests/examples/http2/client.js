// Uses the conformance program over HTTP/2: `client.js PART URI`. Prints `done` at the end.

const assert = require("node:assert/strict");
const http2 = require("node:http2");
const { once } = require("node:events");
const zlib = require("node:zlib");

const [, part, uri] = process.argv;
const MIB = 1024 * 1024;

const connect = async () => {
  const session = http2.connect(uri, { rejectUnauthorized: false });
  session.on("error", error => { throw error; });
  await once(session, "remoteSettings");
  return session;
};

// Returns the response of a request that was already written.
const response = stream => new Promise((resolve, reject) => {
  const result = { interim: [], headers: undefined, trailers: {}, body: Buffer.alloc(0) };
  const pieces = [];
  stream.on("headers", headers => result.interim.push(headers[":status"]));
  stream.on("response", headers => result.headers = headers);
  stream.on("trailers", trailers => result.trailers = trailers);
  stream.on("data", piece => pieces.push(piece));
  stream.on("error", reject);
  stream.on("close", () => {
    result.body = Buffer.concat(pieces);
    result.status = result.headers?.[":status"];
    result.text = result.body.toString();
    resolve(result);
  });
});

const send = (session, method, path, headers, body) => {
  const stream = session.request({ ":method": method, ":path": path, ...headers }, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return response(stream);
};

const routes = async () => {
  const session = await connect();
  const check = async (method, path, status, text, headers, body) => {
    const result = await send(session, method, path, headers, body);
    assert.deepEqual([result.status, result.text], [status, text], `${method} ${path}`);
    return result;
  };
  for (const method of ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"]) await check(method, "/", 200, "");
  await check("POST", "/", 200, "body", {}, "body");
  await check("POST", "/echo", 200, "body", {}, "body");
  assert.equal((await check("GET", "/hello", 200, "hello world\n")).headers["content-length"], "12");
  assert.equal((await check("HEAD", "/hello", 200, "")).headers["content-length"], "12");
  await check("PUT", "/slow", 200, "hello world\n", {}, "body");
  const pieces = Array.from({ length: 10 }, (_, n) => `chunk-${n}\n`).join("");
  assert.equal((await check("GET", "/stream", 200, pieces)).headers["content-length"], undefined);
  await check("GET", "/big", 200, "x".repeat(MIB));
  await check("GET", "/empty", 204, "");
  assert.equal((await check("GET", "/notmodified", 304, "")).headers.etag, '"v1"');
  await check("GET", "/header", 200, "a, b", { "x-probe": ["a", "b"] });
  await check("GET", "/host", 200, "a.example:81", { ":authority": "a.example:81" });
  await check("GET", "/cookie", 200, "a=b; c=d; e=f", { cookie: ["a=b", "c=d", "e=f"] });
  assert.equal((await check("GET", "/trailers", 200, "trailers\n")).trailers["x-trailer"], "done");
  assert.equal((await check("GET", "/set-header?v=a%20b", 200, "")).headers["x-echo"], "a b");
  assert.equal((await check("GET", "/redirect?v=%2Fb", 302, "")).headers.location, "/b");
  assert.equal((await send(session, "GET", "/nothing")).status, 404);
  assert.equal((await send(session, "GET", "/echo")).status, 405);
  assert.ok((await send(session, "GET", "/set-header?v=a%0D%0Ab")).status >= 400);
  // A tunnel is refused.
  const tunnel = session.request({ ":method": "CONNECT", ":authority": "a.example:443" });
  tunnel.on("response", () => tunnel.end());
  const refused = await response(tunnel);
  assert.ok(refused.status >= 400, refused.status);
  // An extended CONNECT request with another protocol, or for another route.
  const extended = (protocol, path) => {
    const stream = session.request({ ":method": "CONNECT", ":protocol": protocol, ":path": path });
    stream.on("response", () => stream.end());
    return response(stream);
  };
  for (const [protocol, path] of [["teapot", "/ws"], ["websocket", "/nothing"], ["websocket", "/hello"]]) {
    const { status } = await extended(protocol, path);
    assert.ok(status >= 400 && status <= 501, `${protocol} ${path}: ${status}`);
  }
  await check("GET", "/hello", 200, "hello world\n");
  session.close();
  await once(session, "close");
};

const uploads = async () => {
  const session = await connect();
  const body = Buffer.from(Array.from({ length: MIB }, (_, n) => n % 251));
  // Every write waits for the callback of the one before.
  const upload = async () => {
    const stream = session.request({ ":method": "POST", ":path": "/echo" });
    const received = response(stream);
    for (let at = 0; at < MIB; at += 50_000) {
      await new Promise(resolve => stream.write(body.subarray(at, at + 50_000), resolve));
    }
    stream.end();
    const result = await received;
    assert.equal(result.status, 200);
    assert.ok(result.body.equals(body));
  };
  await Promise.all([upload(), upload(), upload(), upload()]);

  const expected = session.request({ ":method": "POST", ":path": "/echo", expect: "100-continue" });
  const received = response(expected);
  await once(expected, "continue");
  expected.end("late");
  assert.equal((await received).text, "late");

  const trailing = session.request({ ":method": "POST", ":path": "/echo" }, { waitForTrailers: true });
  trailing.on("wantTrailers", () => trailing.sendTrailers({ "x-trailer": "done" }));
  trailing.end("body");
  assert.equal((await response(trailing)).text, "body");

  // The response arrives before the upload ends.
  for (const headers of [{}, { "content-length": 4 * MIB }]) {
    const stream = session.request({ ":method": "POST", ":path": "/echo", ...headers });
    stream.on("error", () => {});
    stream.end(Buffer.alloc(4 * MIB));
    const [{ ":status": status }] = await once(stream, "response");
    assert.equal(status, 413);
    // The server resets the stream later.
    stream.resume();
    await new Promise(resolve => stream.once("close", resolve));
  }
  assert.equal((await send(session, "GET", "/hello")).status, 200);
  session.close();
  await once(session, "close");
};

const parallel = async () => {
  const session = await connect();
  assert.ok(session.remoteSettings.maxConcurrentStreams >= 100);
  const begin = Date.now();
  const results = await Promise.all(Array.from({ length: 100 }, () => send(session, "GET", "/slow")));
  for (const { text } of results) assert.equal(text, "hello world\n");
  assert.ok(Date.now() - begin < 8000);
  for (let round = 0; round < 5; round += 1) {
    const streams = Array.from({ length: 50 }, (_, n) => session.request({ ":path": n % 2 ? "/big" : "/slow" }));
    await new Promise(resolve => setTimeout(resolve, 10));
    const closed = streams.map(stream => new Promise(resolve => stream.on("close", resolve)));
    for (const stream of streams) stream.close(http2.constants.NGHTTP2_CANCEL);
    await Promise.all(closed);
    assert.equal((await send(session, "GET", "/hello")).text, "hello world\n");
  }
  // A client that reads slowly does not block the others.
  const slow = session.request({ ":path": "/big" });
  slow.pause();
  await once(slow, "response");
  assert.equal((await send(session, "GET", "/hello")).text, "hello world\n");
  const rest = response(slow);
  slow.resume();
  const { body } = await rest;
  assert.equal(body.length, MIB);
  const rtt = await new Promise((resolve, reject) => session.ping((error, duration) => error ? reject(error) : resolve(duration)));
  assert.ok(rtt < 5000);
  session.close();
  await once(session, "close");
};

// A WebSocket on a stream.
class WebSocket {
  static async open(session, headers = {}) {
    const stream = session.request({
      ":method": "CONNECT", ":protocol": "websocket", ":path": "/ws", "sec-websocket-version": "13",
      origin: uri, ...headers,
    });
    const [response] = await once(stream, "response");
    return new WebSocket(stream, response);
  }

  constructor(stream, response) {
    Object.assign(this, { stream, response, input: Buffer.alloc(0), frames: [], waiting: [], isEnded: false });
    stream.on("error", () => {});
    stream.on("data", piece => {
      this.input = Buffer.concat([this.input, piece]);
      this.parse();
    });
    stream.on("end", () => {
      this.isEnded = true;
      for (const resolve of this.waiting.splice(0)) resolve(undefined);
    });
  }

  parse() {
    while (this.input.length >= 2) {
      const [first, second] = this.input;
      assert.ok(second < 128, "a frame of a server is not masked");
      const at = second === 126 ? 4 : second === 127 ? 10 : 2;
      if (this.input.length < at) return;
      const length = second === 126 ? this.input.readUInt16BE(2) : second === 127 ? Number(this.input.readBigUInt64BE(2)) : second;
      if (this.input.length < at + length) return;
      const frame = { opcode: first & 15, isLast: first >= 128, isCompressed: (first & 64) !== 0, payload: this.input.subarray(at, at + length) };
      this.input = this.input.subarray(at + length);
      const resolve = this.waiting.shift();
      if (resolve) resolve(frame); else this.frames.push(frame);
    }
  }

  // Returns the next frame; `undefined` at the end of the stream.
  next() {
    const frame = this.frames.shift();
    if (frame || this.isEnded) return Promise.resolve(frame);
    return new Promise(resolve => this.waiting.push(resolve));
  }

  // Returns the next message, which may have several frames.
  async message() {
    const pieces = [];
    for (;;) {
      const frame = await this.next();
      pieces.push(frame.payload);
      if (frame.isLast) return Buffer.concat(pieces);
    }
  }

  send(first, payload = "") {
    const body = Buffer.from(payload);
    const mask = Buffer.from([1, 2, 3, 4]);
    const head = body.length < 126 ? Buffer.from([first, 128 | body.length])
      : body.length < 65536 ? Buffer.from([first, 254, body.length >> 8, body.length & 255])
      : Buffer.concat([Buffer.from([first, 255]), Buffer.alloc(8)]);
    if (body.length >= 65536) head.writeBigUInt64BE(BigInt(body.length), 2);
    this.stream.write(Buffer.concat([head, mask, body.map((byte, n) => byte ^ mask[n % 4])]));
  }

  async close(code) {
    const payload = Buffer.from([code >> 8, code & 255]);
    this.send(0x88, payload);
    assert.deepEqual(await this.next(), { opcode: 8, isLast: true, isCompressed: false, payload });
    assert.equal(await this.next(), undefined);
    const closed = once(this.stream, "close");
    this.stream.end();
    await closed;
    assert.equal(this.stream.rstCode, 0);
  }
}

const websocket = async () => {
  const session = await connect();
  assert.equal(session.remoteSettings.enableConnectProtocol, true);
  const all = await Promise.all(Array.from({ length: 10 }, () => WebSocket.open(session)));
  for (const ws of all) {
    assert.equal(ws.response[":status"], 200);
    assert.equal(ws.response["sec-websocket-accept"], undefined);
  }
  // Requests and WebSockets share the connection.
  const requests = Array.from({ length: 20 }, () => send(session, "GET", "/slow"));
  await Promise.all(all.map(async (ws, n) => {
    ws.send(0x81, `text ${n}`);
    assert.equal((await ws.message()).toString(), `text ${n}`);
    ws.send(0x82, Buffer.alloc(200_000 + n, n));
    assert.ok((await ws.message()).equals(Buffer.alloc(200_000 + n, n)));
    ws.send(0x01, "frag");
    ws.send(0x89, "ping");
    assert.deepEqual(await ws.next(), { opcode: 10, isLast: true, isCompressed: false, payload: Buffer.from("ping") });
    ws.send(0x80, "ments");
    assert.equal((await ws.message()).toString(), "fragments");
  }));
  for (const { text } of await Promise.all(requests)) assert.equal(text, "hello world\n");
  // A reset does not affect the others.
  all[0].stream.close(http2.constants.NGHTTP2_CANCEL);
  all[1].send(0x81, "still here");
  assert.equal((await all[1].message()).toString(), "still here");
  // An unmasked frame is a protocol error.
  all[2].stream.write(Buffer.from([0x81, 1, 120]));
  assert.equal((await all[2].next()).payload.readUInt16BE(0), 1002);
  await Promise.all(all.slice(3).map(ws => ws.close(1000)));
  await all[1].close(4321);
  session.close();
  session.destroy();
};

const deflate = async () => {
  const session = await connect();
  const ws = await WebSocket.open(session, { "sec-websocket-extensions": "permessage-deflate; client_no_context_takeover; server_no_context_takeover" });
  assert.match(ws.response["sec-websocket-extensions"], /^permessage-deflate/);
  const text = "to be or not to be, ".repeat(1000);
  const small = zlib.deflateRawSync(text, { finishFlush: zlib.constants.Z_SYNC_FLUSH });
  for (let n = 0; n < 3; n += 1) {
    ws.send(0xc1, small.subarray(0, -4));
    const frame = await ws.next();
    assert.ok(frame.isCompressed && frame.isLast && frame.payload.length < 1000);
    const input = Buffer.concat([frame.payload, Buffer.from([0, 0, 255, 255])]);
    assert.equal(zlib.inflateRawSync(input, { finishFlush: zlib.constants.Z_SYNC_FLUSH }).toString(), text);
  }
  await ws.close(1000);
  session.close();
  await once(session, "close");
};

const shutdown = async () => {
  const session = await connect();
  const ws = await WebSocket.open(session);
  ws.send(0x81, "hello");
  assert.equal((await ws.message()).toString(), "hello");
  const goaway = once(session, "goaway");
  const upload = session.request({ ":method": "POST", ":path": "/slow" });
  const received = response(upload);
  upload.write("first");
  // The ping is answered after the head of the request was received.
  await new Promise(resolve => session.ping(resolve));
  console.log("ready");
  const [code] = await goaway;
  assert.equal(code, 0);
  upload.end("second");
  assert.equal((await received).text, "hello world\n");
  const frame = await ws.next();
  assert.deepEqual([frame.opcode, frame.payload.readUInt16BE(0)], [8, 1001]);
  ws.send(0x88, frame.payload);
  assert.equal(await ws.next(), undefined);
  ws.stream.end();
  if (!session.destroyed) await once(session, "close");
};

({ routes, uploads, parallel, websocket, deflate, shutdown })[part]().then(
  () => { console.log("done"); process.exit(0); },
  error => { console.error(error); process.exit(1); },
);
