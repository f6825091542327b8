"use strict";
// Raw WebSockets: messages, limits, and invalid frames.

const assert = require("node:assert/strict");
const { event } = require("../lib/raw.js");

const LIMIT = 20000;
exports.env = { SIO_MAX_PAYLOAD: String(LIMIT) };

async function joined(c) {
  const ws = await c.websocket();
  ws.nsp = c.namespace();
  ws.id = (await ws.connect(ws.nsp)).sid;
  return ws;
}

/** Expects that the server closes the connection, and reports a reason. */
async function closed(c, ws, observer, reason, code) {
  assert.equal(await observer.reason(ws.id), reason);
  const actual = await ws.close();
  if (code) assert.equal(actual, code);
}

async function alive(ws) {
  ws.send(event(ws.nsp, 77, "echo-ack", "alive"));
  assert.equal(await ws.message(), `43${ws.nsp},77["alive"]`);
}

exports.tests = {
  async "messages are echoed in order"(c) {
    const ws = await joined(c);
    for (let i = 0; i < 300; i++) ws.send(event(ws.nsp, undefined, "echo", i));
    const expected = Array.from({ length: 300 }, (_, i) => event(ws.nsp, undefined, "echoed", i));
    assert.deepEqual(await ws.messages(300), expected);
  },

  async "packets may arrive in one or in many TCP segments"(c) {
    const ws = await joined(c);
    const socket = ws.ws._socket;
    socket.cork();
    for (let i = 0; i < 50; i++) ws.send(event(ws.nsp, undefined, "echo", i));
    socket.uncork();
    for (const byte of frame(0x81, Buffer.from(event(ws.nsp, undefined, "echo", "slow")))) {
      socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    const messages = await ws.messages(51);
    assert.equal(messages[49], event(ws.nsp, undefined, "echoed", 49));
    assert.equal(messages[50], event(ws.nsp, undefined, "echoed", "slow"));
  },

  async "a fragmented message is reassembled"(c) {
    const ws = await joined(c);
    const text = Buffer.from(event(ws.nsp, undefined, "echo", "é\u{1f600}"));
    for (let i = 0; i < text.length; i++) {
      const opcode = (i === 0 ? 0x01 : 0) | (i === text.length - 1 ? 0x80 : 0);
      ws.ws._socket.write(frame(opcode, text.subarray(i, i + 1)));
    }
    assert.equal(await ws.message(), event(ws.nsp, undefined, "echoed", "é\u{1f600}"));
  },

  async "binary is sent and received as binary messages"(c) {
    const ws = await joined(c);
    const placeholders = [0, 1].map((num) => ({ _placeholder: true, num }));
    const buffers = [Buffer.from([1, 2, 3]), Buffer.alloc(0)];
    ws.send(`452-${ws.nsp},["echo",${placeholders.map((one) => JSON.stringify(one))}]`, ...buffers);
    const [text, ...received] = await ws.messages(3);
    assert.equal(text, `452-${ws.nsp},["echoed",${placeholders.map((one) => JSON.stringify(one))}]`);
    assert.deepEqual(received, buffers);
  },

  async "a WebSocket ping is answered with a pong"(c) {
    const ws = await joined(c);
    ws.ws.ping("hello");
    const [data] = await new Promise((resolve) => ws.ws.once("pong", (...args) => resolve(args)));
    assert.equal(data.toString(), "hello");
    await alive(ws);
  },

  async "a message of exactly the limit is accepted"(c) {
    const ws = await joined(c);
    const text = "x".repeat(LIMIT - event(ws.nsp, undefined, "echo", "").length);
    ws.send(event(ws.nsp, undefined, "echo", text));
    assert.equal(await ws.message(), event(ws.nsp, undefined, "echoed", text));
    ws.send(`451-${ws.nsp},["echo",{"_placeholder":true,"num":0}]`, Buffer.alloc(LIMIT, 7));
    const [, binary] = await ws.messages(2);
    assert.ok(binary.equals(Buffer.alloc(LIMIT, 7)));
  },

  async "a message of one byte over the limit closes with 1009 and ends the session"(c) {
    const observer = await c.observe();
    let ws = await joined(c);
    ws.send("4".repeat(LIMIT + 1));
    await closed(c, ws, observer, "transport error", 1009);

    ws = await joined(c);
    ws.send(`451-${ws.nsp},["echo",{"_placeholder":true,"num":0}]`, Buffer.alloc(LIMIT + 1));
    await closed(c, ws, observer, "transport error", 1009);

    ws = await joined(c);
    const half = Buffer.alloc(LIMIT / 2 + 1, "4");
    ws.ws._socket.write(Buffer.concat([frame(0x01, half), frame(0x80, half)]));
    await closed(c, ws, observer, "transport error", 1009);
  },

  async "messages to the client are not limited"(c) {
    const ws = await joined(c);
    ws.send(event(ws.nsp, 1, "download", 3000000), event(ws.nsp, 2, "download", 300000, true));
    const [text, , binary] = await ws.messages(3);
    assert.equal(text, `43${ws.nsp},1["${"d".repeat(3000000)}"]`);
    assert.ok(binary.equals(Buffer.alloc(300000, 0xa5)));
  },

  async "invalid UTF-8 closes with 1007 and ends the session"(c) {
    const observer = await c.observe();
    const ws = await joined(c);
    ws.ws.send(Buffer.from([0x34, 0x32, 0xff, 0xfe]), { binary: false });
    await closed(c, ws, observer, "transport error", 1007);
  },

  async "an invalid frame closes with 1002 and ends the session"(c) {
    const observer = await c.observe();
    const broken = {
      "a reserved opcode": frame(0x83, Buffer.from("42")),
      "a reserved bit": frame(0xf1, Buffer.from("42")),
      "no mask": Buffer.from([0x81, 0x02, 0x34, 0x32]),
      "an unexpected continuation": frame(0x80, Buffer.from("42")),
      "a fragmented ping": frame(0x09, Buffer.from("42")),
    };
    for (const [what, bytes] of Object.entries(broken)) {
      const ws = await joined(c);
      ws.ws._socket.write(bytes);
      await closed(c, ws, observer, "transport error").catch((error) => assert.fail(`${what}: ${error.message}`));
      assert.equal(await ws.close(), 1002, what);
    }
  },

  async "an invalid packet ends the session with a parse error"(c) {
    const observer = await c.observe();
    for (const bad of ["", "x", "7", "abc", " 4", "\u{1f600}"]) {
      const ws = await joined(c);
      ws.send(bad);
      await closed(c, ws, observer, "parse error").catch((error) => {
        assert.fail(`${JSON.stringify(bad)}: ${error.message}`);
      });
    }
  },

  async "a ping packet from the client ends the session"(c) {
    const observer = await c.observe();
    for (const ping of ["2", "2probe"]) {
      const ws = await joined(c);
      ws.send(ping);
      await closed(c, ws, observer, "transport error");
    }
  },

  async "noop, upgrade and unexpected pong packets are ignored"(c) {
    const ws = await joined(c);
    ws.send("6", "3", "3probe", "5", "6abc");
    await alive(ws);
  },

  async "a closed or lost connection ends the session"(c) {
    const observer = await c.observe();
    let ws = await joined(c);
    ws.ws.close(1000);
    await closed(c, ws, observer, "transport close");
    ws = await joined(c);
    ws.ws.terminate();
    await closed(c, ws, observer, "transport close");
    // TLS sockets cannot be reset.
    if (c.secure) return;
    ws = await joined(c);
    ws.ws._socket.resetAndDestroy();
    assert.match(await observer.reason(ws.id), /^transport (close|error)$/);
  },

  async "disconnecting a socket with its connection closes the WebSocket"(c) {
    const ws = await joined(c);
    ws.send(event(ws.nsp, undefined, "bye", true));
    assert.equal(await ws.message(), `41${ws.nsp},`);
    const code = await ws.close();
    assert.ok([1000, 1005].includes(code), `closed with ${code}`);
  },

  async "clients may disconnect at any step of the handshake"(c) {
    for (const steps of [0, 1, 2, 3]) {
      const ws = c.attempt({});
      if (steps > 0) await ws.connected;
      if (steps > 1) await ws.packet();
      if (steps > 2) ws.send("40");
      ws.ws.terminate();
    }
    await alive(await joined(c));
  },
};

/** Encodes a masked frame. */
function frame(first, payload) {
  const mask = Buffer.from([1, 2, 3, 4]);
  const masked = payload.map((byte, i) => byte ^ mask[i % 4]);
  const length = payload.length;
  const head = length < 126 ? [first, 0x80 | length] : [first, 0x80 | 126, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), mask, masked]);
}
