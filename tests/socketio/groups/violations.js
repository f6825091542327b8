"use strict";
// Socket.IO packets that violate the protocol: their session ends, and other sessions are not affected.

const assert = require("node:assert/strict");
const { event, statusOf, SEPARATOR } = require("../lib/raw.js");

const placeholder = (num = 0) => JSON.stringify({ _placeholder: true, num });
const many = (n) => Array.from({ length: n }, (_, i) => placeholder(i)).join();
const binary = Buffer.from([1, 2, 3]);

/** Packets of a client in the namespace N after which the server must close the session. */
const CLOSED = {
  "an empty message": ["4"],
  "an unknown packet type": ["47"],
  "another unknown packet type": ["4abc"],
  "an event with an object": ["42N,{}"],
  "an event without a name": ["42N,[]"],
  "an event with null for a name": ["42N,[null]"],
  "an event with an object for a name": ["42N,[{}]"],
  "an event with true for a name": ["42N,[true]"],
  "an event with a string": ['42N,"echo"'],
  "truncated JSON": ['42N,["echo",1'],
  "JSON followed by other text": ['42N,["echo",1]x'],
  "an event without quotes": ["42N,[echo]"],
  "an acknowledgement id that is not a number": ['42N,abc["echo",1]'],
  "a negative acknowledgement id": ['42N,-1["echo",1]'],
  "a fraction as acknowledgement id": ['42N,1.5["echo",1]'],
  "an acknowledgement with an object": ["43N,1{}"],
  "an acknowledgement with a string": ['43N,1"x"'],
  "a disconnect packet with data": ["41N,{}"],
  "a connect error from a client": ['44N,{"message":"x"}'],
  "a second CONNECT to a namespace": ["40N,"],
  "a second CONNECT with a payload": ['40N,{"token":1}'],
  "a CONNECT with an array": ["40/dyn-1,[]"],
  "a CONNECT with a string": ['40/dyn-1,"x"'],
  "an event to a namespace that was not joined": ['42/dyn-1,["echo",1]'],
  "an acknowledgement to a namespace that was not joined": ["43/dyn-1,1[]"],
  "a disconnect from a namespace that was not joined": ["41/dyn-1,"],
  "an event to the main namespace, which was not joined": ['42["echo",1]'],
  "a binary event with no attachments": ['450-N,["echo",1]'],
  "a binary event without the number of attachments": ['45-N,["echo",1]'],
  "a binary event without a dash": [`451N,["echo",${placeholder()}]`],
  "a negative number of attachments": [`45-1-N,["echo",${placeholder()}]`],
  "a fraction of attachments": [`451.5-N,["echo",${placeholder()}]`],
  "a number of attachments that is not a number": [`45x-N,["echo",${placeholder()}]`],
  "eleven attachments": [`4511-N,["echo",${many(11)}]`],
  "ten million attachments": [`4510000000-N,["echo",${placeholder()}]`],
  "an acknowledgement with eleven attachments": [`4611-N,1[${many(11)}]`],
  "a placeholder without an attachment": [`451-N,["echo",${placeholder(1)}]`, binary],
  "a negative placeholder": [`451-N,["echo",${placeholder(-1)}]`, binary],
  "a placeholder with text for a number": [`451-N,["echo",{"_placeholder":true,"num":"0"}]`, binary],
  "a placeholder without a number": [`451-N,["echo",{"_placeholder":true}]`, binary],
  "text instead of an attachment": [`451-N,["echo",${placeholder()}]`, '42N,["echo",1]'],
  "an unexpected attachment": [binary],
  "one attachment too many": [`451-N,["silent",${placeholder()}]`, binary, binary],
  ...Object.fromEntries(
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"].flatMap((name) => [
      [`the reserved event ${name}`, [`42N,["${name}",1]`]],
      [`the reserved event ${name} with binary`, [`451-N,["${name}",${placeholder()}]`, binary]],
    ]),
  ),
};

/** Packets that a server must ignore. */
const IGNORED = {
  "an event without a listener": ['42N,["nothing",1]'],
  "an event without a listener that requests an acknowledgement": ['42N,5["nothing",1]'],
  "a number as the event's name": ["42N,[1,2]"],
  "names of built-in JavaScript properties": ['42N,["__proto__",1]', '42N,["toString"]', '42N,["constructor",{"__proto__":1}]'],
  "an acknowledgement with an unknown id": ["43N,999[]", "43N,999999999999[1]"],
  "an acknowledgement without an id": ["43N,[1]"],
  "a binary acknowledgement with an unknown id": [`461-N,7[${placeholder()}]`, binary],
  "a CONNECT to a namespace that does not exist": ["40/nowhere,"],
};

/** Sends packets, encoded as for WebSocket, over a new session of one transport. */
async function violate(c, transport, packets) {
  const session = await (transport === "polling" ? c.polling() : c.websocket());
  session.nsp = c.namespace();
  session.id = (await session.connect(session.nsp)).sid;
  const own = packets.map((packet) => (Buffer.isBuffer(packet) ? packet : packet.replace("N,", `${session.nsp},`)));
  if (transport === "websocket") session.send(...own);
  else {
    const texts = own.map((packet) => (Buffer.isBuffer(packet) ? `b${packet.toString("base64")}` : packet));
    session.posted = await statusOf(session.send(texts.join(SEPARATOR)));
  }
  return session;
}

/** Checks each case with both transports, several at a time, and reports all failures. */
async function each(cases, check) {
  const left = Object.entries(cases).flatMap(([what, packets]) =>
    ["polling", "websocket"].map((transport) => [`${what} (${transport})`, transport, packets]),
  );
  const failures = [];
  const worker = async () => {
    for (let one = left.shift(); one; one = left.shift()) {
      const [what, transport, packets] = one;
      await check(transport, packets).catch((error) => failures.push(`${what}: ${error.message}`));
    }
  };
  await Promise.all(Array.from({ length: 10 }, worker));
  assert.equal(failures.length, 0, `\n${failures.join("\n")}`);
}

exports.tests = {
  async "each invalid packet ends only its own session"(c) {
    const observer = await c.observe();
    const other = await c.connect("/", { transports: ["websocket"] });
    const ends = [];
    other.on("disconnect", (reason) => ends.push(reason));
    await each(CLOSED, async (transport, packets) => {
      const session = await violate(c, transport, packets);
      // A polling session ends when a poll has received the close packet.
      if (transport === "polling") assert.equal((await session.end()).status, 400);
      const gone = await observer.gone(session.id, 5000);
      // The official server uses another name for valid packets in the wrong state.
      assert.match(gone.reason, /^forced (server )?close$/);
      if (transport === "websocket") await session.close();
    });
    assert.equal((await c.call(other, "whoami")).id, other.id);
    assert.deepEqual(ends, []);
  },

  async "packets without effect are ignored"(c) {
    await each(IGNORED, async (transport, packets) => {
      const session = await violate(c, transport, packets);
      const echo = event(session.nsp, 77, "echo-ack", "alive");
      if (transport === "websocket") session.send(echo);
      else {
        assert.equal(session.posted, 200);
        await session.post(echo);
      }
      const [message] = (await session.messages(packets[0].startsWith("40") ? 2 : 1)).slice(-1);
      assert.equal(message, `43${session.nsp},77["alive"]`);
    });
  },

  async "an event before any CONNECT ends the session"(c) {
    const ws = await c.websocket();
    ws.send('42["echo",1]');
    await ws.close();
    assert.equal(ws.log.items.length, 1);
    const polling = await c.polling();
    await statusOf(polling.send('42["echo",1]'));
    const { packets, status } = await polling.end();
    assert.deepEqual(packets.filter((packet) => packet !== "1" && packet !== "6"), []);
    assert.equal(status, 400);
  },

  async "ten attachments are accepted"(c) {
    for (const transport of ["polling", "websocket"]) {
      const attachments = Array.from({ length: 10 }, (_, i) => Buffer.from([i]));
      const session = await violate(c, transport, [`4510-N,1["echo-ack",${many(10)}]`, ...attachments]);
      const [text, ...rest] = await session.messages(11);
      assert.equal(text, `4610-${session.nsp},1[${many(10)}]`);
      const received = rest.map((one) => (Buffer.isBuffer(one) ? one : Buffer.from(one.slice(1), "base64")));
      assert.deepEqual(received, attachments);
    }
  },

  async "deeply nested JSON does not affect other sessions"(c) {
    if (c.isReference) c.skip("it crashes the official server");
    const other = await c.connect("/", { transports: ["websocket"] });
    const ends = [];
    other.on("disconnect", (reason) => ends.push(reason));
    const observer = await c.observe();
    for (const depth of [5000, 100000]) {
      for (const [open, close] of [["[", "]"], ['{"a":', "}"]]) {
        const value = open.repeat(depth) + "1" + close.repeat(depth);
        for (const transport of ["polling", "websocket"]) {
          for (const text of [`42N,["echo",${value}]`, `42N,1["echo-ack",${value}]`, `40/dyn-1,{"a":${value}}`, `43N,1[${value}]`]) {
            const session = await violate(c, transport, [text]);
            assert.equal((await c.call(other, "whoami")).id, other.id);
            if (transport === "websocket") session.ws.terminate();
            else await statusOf(session.send("1"));
            await observer.gone(session.id);
          }
        }
      }
    }
    assert.deepEqual(ends, []);
  },

  async "commands with bad arguments are ignored"(c) {
    const ws = await c.websocket();
    const nsp = c.namespace();
    await ws.connect(nsp);
    const cast = { scope: "nsp", event: "x", args: [] };
    const bad = [
      ["ask"], ["ask", "x"], ["burst"], ["burst", "3"], ["burst", null], ["stream", "a", 1], ["join"], ["join", 5], ["join", {}],
      ["join", [1]], ["leave"], ["leave", [null]], ["members"], ["members", 7], ["cast"], ["cast", 5], ["cast", null], ["cast", {}],
      ["cast", { ...cast, to: 5 }], ["cast", { ...cast, except: "x" }], ["cast", { ...cast, event: 5 }],
      ["cast", { ...cast, args: 5 }], ["cast-ack"], ["cast-ack", { event: "x" }], ["cast-ack", { timeout: "x", event: "x" }],
      ["remote"], ["remote", { op: "join" }], ["remote", { in: "r", op: "dance", room: "x" }], ["cluster"],
      ["cluster", { op: "dance" }], ["cluster", { op: "fetch", in: 5 }], ["fanout"], ["fanout", "x"], ["volatile", "x"],
      ["download"], ["download", "x"], ["download", -1],
    ];
    for (const args of bad) ws.send(event(nsp, 1, ...args));
    ws.send(event(nsp, 2, "echo-ack", "end"));
    assert.equal(await ws.message(), `43${nsp},2["end"]`);
  },

  async "many sessions that disconnect do not affect the server"(c) {
    await Promise.all(
      Array.from({ length: 100 }, async (_, i) => {
        const session = await c.polling();
        if (i % 4 > 0) await session.post(`40${c.namespace()},`);
        if (i % 4 > 1) session.get().request.destroy();
        if (i % 4 > 2) c.attempt({ sid: session.sid }).ws.terminate();
      }),
    );
    const socket = await c.connect();
    assert.equal((await c.call(socket, "whoami")).id, socket.id);
  },
};
