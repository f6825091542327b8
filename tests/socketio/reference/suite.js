"use strict";
// The program for the public protocol suites on the official server. See `examples/94-socketio-suite.rs`.

const http = require("node:http");
const { load } = require("../lib/modules.js");

const options = {
  pingInterval: 300,
  pingTimeout: 200,
  maxHttpBufferSize: 1000000,
  cors: { origin: "*" },
  httpCompression: false,
};
const notFound = (request, response) => response.writeHead(404).end();
const server = http.createServer(notFound);

if (process.env.SIO_SUITE === "engine") {
  const engine = load("engine.io").attach(server, options);
  engine.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
} else {
  const io = new (load("socket.io").Server)(server, { ...options, connectTimeout: 1000, serveClient: false });
  io.on("connection", (socket) => {
    socket.emit("auth", socket.handshake.auth);
    socket.on("message", (...args) => socket.emit("message-back", ...args));
    socket.on("message-with-ack", (...args) => args.pop()(...args));
  });
  io.of("/custom").on("connection", (socket) => socket.emit("auth", socket.handshake.auth));
}

process.on("SIGTERM", () => process.exit(0));
server.listen(Number(process.env.SIO_PORT || 3000), "127.0.0.1", () => console.log("ready"));
