"use strict";
// The HTTP part of the handshake: refusals, headers and CORS.

const assert = require("node:assert/strict");
const { request, statusOf } = require("../lib/raw.js");
const { sleep } = require("../lib/wait.js");

const ALLOWED = "http://allowed.test";

/** Expects a JSON refusal with an error code. */
async function refused(response, code, status = 400) {
  const { status: actual, headers, body } = await response;
  assert.equal(actual, status, body);
  assert.match(headers["content-type"], /^application\/json/);
  const error = JSON.parse(body);
  assert.equal(error.code, code);
  const texts = [
    "Transport unknown",
    "Session ID unknown",
    "Bad handshake method",
    "Bad request",
    "Forbidden",
    "Unsupported protocol version",
  ];
  assert.equal(error.message, texts[code]);
}

exports.tests = {
  async "a polling handshake returns one open packet"(c) {
    const { status, headers, body } = await request(c.url({ transport: "polling" }));
    assert.equal(status, 200);
    assert.match(headers["content-type"], /^text\/plain; *charset=utf-8$/i);
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["content-length"], String(body.length));
    assert.equal(headers["set-cookie"], undefined);
    const open = JSON.parse(body.replace(/^0/, ""));
    assert.deepEqual(Object.keys(open), ["sid", "upgrades", "pingInterval", "pingTimeout", "maxPayload"]);
    assert.match(open.sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(open.upgrades, ["websocket"]);
    assert.equal(open.pingInterval, 25000);
    assert.equal(open.pingTimeout, 20000);
    assert.equal(open.maxPayload, 1000000);
  },

  async "a WebSocket handshake returns one open packet without upgrades"(c) {
    const ws = await c.websocket();
    assert.match(ws.sid, /^[A-Za-z0-9_-]{20}$/);
    assert.deepEqual(ws.handshake, {
      sid: ws.sid,
      upgrades: [],
      pingInterval: 25000,
      pingTimeout: 20000,
      maxPayload: 1000000,
    });
  },

  async "the handshake announces the configured values"(c) {
    const env = { SIO_PING_INTERVAL: "1234", SIO_PING_TIMEOUT: "987", SIO_MAX_PAYLOAD: "4321" };
    const program = await c.server(env);
    const base = c.secure ? program.tlsBase : program.base;
    for (const session of [await c.polling({ base }), await c.websocket({ base })]) {
      const { pingInterval, pingTimeout, maxPayload } = session.handshake;
      assert.deepEqual([pingInterval, pingTimeout, maxPayload], [1234, 987, 4321]);
    }
  },

  async "session ids are unique"(c) {
    const sessions = await Promise.all(Array.from({ length: 50 }, () => c.polling()));
    assert.equal(new Set(sessions.map(({ sid }) => sid)).size, 50);
  },

  async "an unknown transport is refused with code 0"(c) {
    await refused(request(c.url({ transport: "carrier-pigeon" })), 0);
    await refused(request(c.url({ transport: "" })), 0);
    await refused(request(c.url({ transport: "webtransport" })), 0);
    await refused(request(c.url({})), 0);
    const { sid } = await c.polling();
    await refused(request(c.url({ transport: "x", sid })), 0);
  },

  async "an unknown session id is refused with code 1"(c) {
    for (const sid of ["x", "AAAAAAAAAAAAAAAAAAAA", "__proto__", "constructor", "é".repeat(20), "a".repeat(500)]) {
      await refused(request(c.url({ transport: "polling", sid })), 1);
      await refused(request(c.url({ transport: "polling", sid }), { method: "POST", body: "40" }), 1);
    }
  },

  async "a handshake with a method other than GET is refused with code 2"(c) {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      await refused(request(c.url({ transport: "polling" }), { method, body: "40", headers: { "Content-Length": "2" } }), 2);
    }
  },

  async "a WebSocket handshake without an upgrade is refused with code 3"(c) {
    await refused(request(c.url({ transport: "websocket" })), 3);
  },

  async "a request with a transport other than the session's is refused with code 3"(c) {
    const { sid } = await c.polling();
    await refused(request(c.url({ transport: "websocket", sid })), 3);
    const ws = await c.websocket();
    await refused(request(c.url({ transport: "polling", sid: ws.sid })), 3);
    await refused(request(c.url({ transport: "polling", sid: ws.sid }), { method: "POST", body: "40" }), 3);
    assert.ok((await ws.connect()).sid, "the WebSocket session has ended");
  },

  async "other protocol versions than 4 are refused with code 5"(c) {
    for (const EIO of ["3", "5", "abc", "", undefined]) {
      await refused(request(c.url({ transport: "polling", EIO })), 5);
      const ws = c.attempt({ EIO });
      const code = await ws.close();
      assert.notEqual(code, 1000, `EIO=${EIO} over WebSocket`);
      assert.deepEqual(ws.log.items, [], `EIO=${EIO} over WebSocket`);
    }
  },

  async "a WebSocket for an unknown session or transport is refused"(c) {
    for (const query of [{ sid: "AAAAAAAAAAAAAAAAAAAA" }, { transport: "abc" }, { transport: undefined }]) {
      const ws = c.attempt(query);
      await ws.close();
      assert.match(ws.error?.message ?? "", /Unexpected server response: 400/);
    }
  },

  async "a request with another protocol version than its session is refused with code 3"(c) {
    const session = await c.polling();
    await refused(request(c.url({ transport: "polling", sid: session.sid, EIO: "3" })), 3);
    assert.ok((await session.connect()).sid);
  },

  async "other paths are not found"(c) {
    for (const path of ["/", "/socket.io", "/socket.iox/", "/engine.io/", "/other", "/a/socket.io/"]) {
      const { status } = await request(c.url({ transport: "polling" }, path));
      assert.equal(status, 404, path);
    }
  },

  async "a WebSocket on another path is refused"(c) {
    const ws = c.attempt({}, { path: "/other" });
    await ws.close();
    assert.ok(ws.error, "the WebSocket was opened");
  },

  async "requests with other methods do not end a session"(c) {
    const session = await c.polling();
    for (const method of ["PUT", "DELETE"]) {
      const { status } = await request(session.url(), { method });
      assert.ok(status >= 400, `${method} was answered with ${status}`);
    }
    assert.ok((await session.connect()).sid);
  },

  async "a preflight request of the allowed origin is answered"(c) {
    const { status, headers } = await request(c.url({ transport: "polling" }), {
      method: "OPTIONS",
      headers: {
        Origin: ALLOWED,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-test",
      },
    });
    assert.ok(status >= 200 && status < 300, `status ${status}`);
    assert.equal(headers["access-control-allow-origin"], ALLOWED);
    assert.equal(headers["access-control-allow-credentials"], "true");
    assert.match(headers["access-control-allow-methods"], /POST/);
    assert.match(headers["access-control-allow-headers"], /content-type/i);
    assert.match(headers["access-control-allow-headers"], /x-test/i);
    assert.match(headers.vary ?? "", /origin/i);
  },

  async "every response allows the allowed origin with credentials"(c) {
    const headers = { Origin: ALLOWED };
    const session = await c.polling();
    const responses = [
      await request(c.url({ transport: "polling" }), { headers }),
      await request(session.url(), { method: "POST", body: "40", headers }),
      await session.get({ headers }),
      await request(c.url({ transport: "polling", sid: "unknown" }), { headers }),
    ];
    assert.deepEqual(responses.map(({ status }) => status), [200, 200, 200, 400]);
    for (const { headers: received } of responses) {
      assert.equal(received["access-control-allow-origin"], ALLOWED);
      assert.equal(received["access-control-allow-credentials"], "true");
    }
  },

  async "another origin is not allowed"(c) {
    for (const Origin of ["http://evil.test", "http://allowed.test.evil.test", "https://allowed.test", "null"]) {
      for (const method of ["GET", "OPTIONS"]) {
        const headers = { Origin, "Access-Control-Request-Method": "GET" };
        const response = await request(c.url({ transport: "polling" }), { method, headers });
        const allowed = response.headers["access-control-allow-origin"];
        assert.ok(allowed === undefined || allowed === ALLOWED, `${Origin} is answered with ${allowed}`);
      }
    }
  },

  async "a session that joins no namespace is closed after the connect timeout"(c) {
    const program = await c.server({ SIO_CONNECT_TIMEOUT: "400" });
    const base = c.secure ? program.tlsBase : program.base;
    const ws = await c.websocket({ base });
    await ws.close();
    assert.ok(performance.now() - ws.opened >= 350, "the session must not end before the timeout");
    const polling = await c.polling({ base });
    const { packets, status } = await polling.end();
    assert.deepEqual([packets.filter((packet) => packet !== "6"), status], [["1"], 400]);
    const joined = await c.websocket({ base });
    await joined.connect();
    const other = await c.websocket({ base });
    await other.close();
    joined.send('420["echo-ack",1]');
    assert.equal(await joined.message(), "430[1]");
  },

  async "a session without requests after its handshake ends after the heartbeat timeout"(c) {
    const program = await c.server({ SIO_PING_INTERVAL: "300", SIO_PING_TIMEOUT: "200" });
    const session = await c.polling({ base: c.secure ? program.tlsBase : program.base });
    for (let status = 200; status === 200; await sleep(50)) {
      status = await statusOf(request(session.url(), { method: "POST", body: "6" }));
      assert.ok(performance.now() - session.opened < 20000);
    }
  },
};
