"use strict";
// Starts Redis servers on free ports.

const { spawn, spawnSync } = require("node:child_process");
const net = require("node:net");
const { freePort } = require("./program.js");
const { sleep } = require("./wait.js");

/** Whether `redis-server` is installed. */
const isInstalled = spawnSync("redis-server", ["--version"]).status === 0;

const accepts = (port) =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });

class RedisServer {
  static async start() {
    const redis = new RedisServer();
    redis.port = await freePort();
    redis.url = `redis://127.0.0.1:${redis.port}`;
    await redis.launch();
    process.once("exit", () => redis.child.kill("SIGKILL"));
    return redis;
  }

  /** Starts the process, also after it was killed. */
  async launch() {
    const args = ["--port", String(this.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    this.child = spawn("redis-server", args, { stdio: "ignore" });
    for (let attempt = 0; !(await accepts(this.port)); attempt++) {
      if (attempt === 1000 || this.child.exitCode !== null) throw new Error("redis-server did not start");
      await sleep(10);
    }
  }

  async kill() {
    const ended = new Promise((resolve) => this.child.once("exit", resolve));
    this.child.kill("SIGKILL");
    await ended;
  }
}

module.exports = { RedisServer, isInstalled };
