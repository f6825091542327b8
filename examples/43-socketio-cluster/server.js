// A Node.js server in the cluster of `43-socketio-cluster`: the same events, with the official server and adapter.
// usage: node server.js PORT REDIS-URL classic|sharded

const { createServer } = require("node:http");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");

const [, , port, url, kind] = process.argv;

async function main() {
  const publisher = createClient({ url });
  const subscriber = publisher.duplicate();
  for (const client of [publisher, subscriber]) {
    client.on("error", (error) => console.error(error.message));
    await client.connect();
  }
  const adapter = kind === "sharded" ? createShardedAdapter : createAdapter;
  const server = createServer();
  const io = new Server(server, { adapter: adapter(publisher, subscriber) });

  io.on("connection", (socket) => {
    socket.data.server = "node";
    socket.on("join", (room, ack) => {
      socket.join(room);
      ack([...socket.rooms].slice(1));
    });
    socket.on("say", (room, text) => io.to(room).emit("said", "node", text));
    socket.on("who", async (ack) => {
      const clients = {};
      for (const { data } of await io.fetchSockets()) {
        clients[data.server] = (clients[data.server] ?? 0) + 1;
      }
      ack(clients);
    });
    socket.on("ask", (room, text, ack) => {
      socket.to(room).timeout(2000).emit("question", text, (error, answers) => {
        ack({ answers, complete: !error });
      });
    });
  });
  server.listen(port, "127.0.0.1", () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
}

main();
