"use strict";
// Raw long-polling: valid requests, and violations that end the session.

const assert = require("node:assert/strict");
const { request, statusOf, event, SEPARATOR } = require("../lib/raw.js");
const { withTimeout } = require("../lib/wait.js");

exports.env = { SIO_MAX_PAYLOAD: "20000" };

/** Opens a session, and joins a separate namespace. */
async function joined(c) {
  const session = await c.polling();
  session.nsp = c.namespace();
  session.id = (await session.connect(session.nsp)).sid;
  return session;
}

/** Expects that the session has ended with a reason, and is now unknown. */
async function ended(session, observer, reason) {
  assert.equal(await observer.reason(session.id), reason);
  const { status, body } = await session.get();
  assert.equal(status, 400, body);
  assert.equal(JSON.parse(body).code, 1);
}

/** Expects that the session is still open. */
async function alive(session) {
  await session.post(event(session.nsp, 77, "echo-ack", "alive"));
  const messages = await session.messages(1);
  assert.deepEqual(messages, [`43${session.nsp},77["alive"]`]);
}

exports.tests = {
  async "packets caused by a POST are sent with the next poll, in order"(c) {
    const session = await joined(c);
    const packets = Array.from({ length: 20 }, (_, i) => event(session.nsp, undefined, "echo", i));
    await session.post(...packets.slice(0, 10));
    await session.post(...packets.slice(10));
    const expected = Array.from({ length: 20 }, (_, i) => event(session.nsp, undefined, "echoed", i));
    assert.deepEqual(await session.poll(), expected);
  },

  async "a poll waits for the next packet"(c) {
    const session = await joined(c);
    const poll = session.get();
    await session.post(event(session.nsp, undefined, "echo", "é", "\u{1f600}"));
    const { body, headers } = await poll;
    assert.equal(body, event(session.nsp, undefined, "echoed", "é", "\u{1f600}"));
    assert.equal(headers["content-length"], String(Buffer.byteLength(body)));
    assert.match(headers["content-type"], /^text\/plain; *charset=utf-8$/i);
  },

  async "a POST is answered with ok as text/html"(c) {
    const session = await c.polling();
    const { status, headers, body } = await session.send("40");
    assert.deepEqual([status, body, headers["content-type"]], [200, "ok", "text/html"]);
    assert.equal(headers["cache-control"], "no-store");
  },

  async "the content type of a POST may be any text"(c) {
    const session = await joined(c);
    for (const type of ["text/plain", "application/json", "application/x-www-form-urlencoded"]) {
      const { status } = await session.send("6", { headers: { "Content-Type": type } });
      assert.equal(status, 200, type);
    }
    await alive(session);
  },

  async "a POST with a binary content type ends the session"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const response = session.send("40", { headers: { "Content-Type": "application/octet-stream" } });
    const status = await statusOf(response);
    assert.ok([0, 400].includes(status), `status ${status}`);
    await ended(session, observer, "transport error");
  },

  async "a chunked POST is accepted"(c) {
    const session = await joined(c);
    const text = event(session.nsp, undefined, "echo", "in pieces");
    const { status } = await new Promise((resolve, reject) => {
      const response = request(session.url(), {
        method: "POST",
        headers: { "Content-Type": "text/plain", "Transfer-Encoding": "chunked" },
        body: text,
      });
      response.then(resolve, reject);
    });
    assert.equal(status, 200);
    assert.deepEqual(await session.messages(1), [event(session.nsp, undefined, "echoed", "in pieces")]);
  },

  async "binary is sent and received as base64"(c) {
    const session = await joined(c);
    const placeholder = '{"_placeholder":true,"num":0}';
    await session.post(`451-${session.nsp},["echo",${placeholder}]`, "bAQIDBA==");
    assert.deepEqual(await session.messages(2), [`451-${session.nsp},["echoed",${placeholder}]`, "bAQIDBA=="]);
    await session.post(`451-${session.nsp},5["echo-ack",${placeholder}]`, "b");
    assert.deepEqual(await session.messages(2), [`461-${session.nsp},5[${placeholder}]`, "b"]);
  },

  async "a POST of exactly the limit is accepted"(c) {
    const session = await joined(c);
    const frame = event(session.nsp, undefined, "echo", "");
    const text = "x".repeat(20000 - frame.length);
    await session.post(event(session.nsp, undefined, "echo", text));
    assert.deepEqual(await session.messages(1), [event(session.nsp, undefined, "echoed", text)]);
    // The limit counts bytes, not characters.
    const wide = "é".repeat(Math.floor((20000 - frame.length) / 2));
    await session.post(event(session.nsp, undefined, "echo", wide));
    assert.deepEqual(await session.messages(1), [event(session.nsp, undefined, "echoed", wide)]);
  },

  async "a POST of one byte over the limit is refused with 413 and ends the session"(c) {
    const observer = await c.observe();
    for (const chunked of [false, true]) {
      const session = await joined(c);
      const headers = chunked ? { "Transfer-Encoding": "chunked" } : {};
      const status = await statusOf(session.send("4".repeat(20001), { headers }));
      assert.equal(status, 413);
      await ended(session, observer, "transport error");
    }
  },

  async "responses are not limited"(c) {
    const session = await joined(c);
    await session.post(event(session.nsp, 1, "download", 3000000));
    const [message] = await session.messages(1);
    assert.equal(message.length, `43${session.nsp},1[""]`.length + 3000000);
    await session.post(event(session.nsp, 2, "download", 300000, true));
    const [text, binary] = await session.messages(2);
    assert.equal(text, `461-${session.nsp},2[{"_placeholder":true,"num":0}]`);
    assert.ok(Buffer.from(binary.slice(1), "base64").equals(Buffer.alloc(300000, 0xa5)));
  },

  async "overlapping polls end the session"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const polls = [session.get(), session.get()];
    const responses = await Promise.all(polls);
    const refused = responses.findIndex(({ status }) => status !== 200);
    assert.ok([400, 500].includes(responses[refused]?.status), `statuses ${responses.map(({ status }) => status)}`);
    const { status, body } = responses[1 - refused];
    assert.deepEqual([status, body], [200, "1"]);
    await ended(session, observer, "transport error");
  },

  async "overlapping POSTs end the session"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const { request: open } = heldPost(session);
    await reached(c, session);
    const status = await statusOf(session.send("6"));
    assert.ok([0, 400, 500].includes(status), `status ${status}`);
    open.destroy();
    await ended(session, observer, "transport error");
  },

  async "an aborted poll ends the session"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const poll = session.get();
    await session.post("6");
    poll.request.destroy();
    await ended(session, observer, "transport error");
  },

  async "an aborted POST ends the session"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const { request: open } = heldPost(session);
    await reached(c, session);
    open.destroy();
    await ended(session, observer, "transport error");
  },

  async "an invalid packet ends the session with a parse error after earlier packets are handled"(c) {
    const observer = await c.observe();
    for (const bad of ["", "x", "7", "9", "abc", " 4", "\u{1f600}"]) {
      const session = await joined(c);
      const text = event(session.nsp, undefined, "echo", "before");
      const poll = session.get().catch(() => ({ body: "" }));
      const status = await statusOf(session.send([text, bad].join(SEPARATOR)));
      assert.ok([0, 200, 400].includes(status), `status ${status} for ${JSON.stringify(bad)}`);
      assert.equal(await observer.reason(session.id), "parse error", JSON.stringify(bad));
      await poll;
      assert.equal((await session.get()).status, 400);
    }
  },

  async "a ping from the client ends the session"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    await statusOf(session.send("2"));
    await ended(session, observer, "transport error");
  },

  async "packets after an invalid one are ignored"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const other = await c.connect(session.nsp);
    const log = c.log(other);
    const cast = (name) => event(session.nsp, undefined, "cast", { scope: "nsp", event: name, args: [] });
    await statusOf(session.send([cast("before"), "x", cast("after")].join(SEPARATOR)));
    assert.equal(await observer.reason(session.id), "parse error");
    await c.call(other, "cast", { scope: "nsp", event: "end", args: [] });
    await log.find(([name]) => name === "end", "end");
    assert.ok(!log.items.some(([name]) => name === "after"));
  },

  async "a close packet ends the session and answers the pending poll with noop"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    const poll = session.get();
    await session.post("6");
    await session.post("1");
    const { status, body } = await poll;
    assert.deepEqual([status, body], [200, "6"]);
    await ended(session, observer, "transport close");
  },

  async "noop and unexpected pong packets are ignored"(c) {
    const session = await joined(c);
    await session.post("6", "3", "3probe", "6abc");
    await alive(session);
  },

  async "an open or upgrade packet from the client is ignored"(c) {
    const session = await joined(c);
    await session.post("5");
    await session.post("0{}");
    await alive(session);
  },

  async "requests of a session may use one kept connection or several"(c) {
    const { Agent } = require(c.secure ? "node:https" : "node:http");
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    c.onEnd(() => agent.destroy());
    const session = await joined(c);
    for (let i = 0; i < 30; i++) {
      const use = i % 2 ? { agent } : {};
      assert.equal((await session.send(event(session.nsp, undefined, "echo", i), use)).status, 200);
      assert.equal((await session.get(use)).body, event(session.nsp, undefined, "echoed", i));
    }
  },

  async "a pending poll does not affect another session"(c) {
    const [a, b] = [await joined(c), await joined(c)];
    const poll = a.get();
    await alive(b);
    await a.post(event(a.nsp, undefined, "echo", 1));
    assert.equal((await poll).body, event(a.nsp, undefined, "echoed", 1));
  },

  async "a close packet of the server is not sent together with messages"(c) {
    // The official client would handle the close packet before the messages.
    const session = await joined(c);
    await session.connect("/dyn-1");
    const poll = session.get();
    await session.post("6");
    await session.post(event(session.nsp, undefined, "bye", true));
    const bodies = [(await poll).body];
    for (;;) {
      const { status, body } = await session.get();
      if (status !== 200) break;
      bodies.push(body);
    }
    const packets = bodies.map((body) => body.split(SEPARATOR));
    assert.deepEqual(packets.flat().filter((packet) => packet !== "6"), [`41${session.nsp},`, "41/dyn-1,", "1"]);
    const last = packets.at(-1).filter((packet) => packet !== "6");
    assert.deepEqual(last, ["1"]);
  },

  async "a close packet ends a session that the server is closing"(c) {
    const observer = await c.observe();
    const session = await joined(c);
    // An invalid packet: the server closes the session, but no poll receives its close packet.
    await session.send("49");
    await session.post("1");
    assert.match(await observer.reason(session.id), /^(transport|forced) close$/);
  },

  async "disconnecting a socket with its connection sends a close packet"(c) {
    const session = await joined(c);
    await session.post(event(session.nsp, undefined, "bye", true));
    const { packets, status } = await session.end();
    // A poll may be answered with noop before the packet that ends the session.
    assert.deepEqual(packets.filter((packet) => packet !== "6"), [`41${session.nsp},`, "1"]);
    assert.equal(status, 400);
  },
};

/** Sends a POST request with an incomplete body. */
function heldPost(session) {
  const { request: start } = session.base.startsWith("https:") ? require("node:https") : require("node:http");
  const open = start(session.url(), { method: "POST", headers: { "Content-Length": "100" }, rejectUnauthorized: false });
  open.on("error", () => {});
  open.write("42");
  return { request: open };
}

/** Waits until the server has read everything sent before: until it has answered some later requests. */
async function reached(c) {
  for (let i = 0; i < 5; i++) await withTimeout(request(c.url({ transport: "none" })), "a response");
}
