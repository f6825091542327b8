"use strict";
// Starts programs under test on free ports, and stops them.

const { spawn } = require("node:child_process");
const net = require("node:net");
const { EVENT_TIMEOUT, withTimeout } = require("./wait.js");

/** Returns a port of 127.0.0.1 that is currently free. */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

class Program {
  /** Starts a command with environment variables, and waits until it prints `ready`. */
  static async start(command, { env = {}, tls, port, tlsPort } = {}) {
    // Another process may take the free port before the program does, so this is retried.
    for (let attempt = 1; ; attempt++) {
      const program = new Program(command, env, port ?? (await freePort()), tls && (tlsPort || (await freePort())), tls);
      try {
        await withTimeout(program.ready, "the line `ready`");
        return program;
      } catch (error) {
        program.kill("SIGKILL");
        if (attempt === 3 || port) throw new Error(`${error.message}; it printed: ${program.output}`);
      }
    }
  }

  constructor(command, env, port, tlsPort, tls) {
    this.port = port;
    this.base = `http://127.0.0.1:${port}`;
    this.tlsBase = tlsPort && `https://127.0.0.1:${tlsPort}`;
    this.output = "";
    const own = { SIO_PORT: String(port), ...env };
    if (tlsPort) Object.assign(own, { SIO_TLS_PORT: String(tlsPort), SIO_TLS_CERT: tls.cert, SIO_TLS_KEY: tls.key });
    const [name, ...args] = command;
    this.child = spawn(name, args, { env: { ...process.env, ...own }, stdio: ["ignore", "pipe", "pipe"] });
    const orphaned = () => this.child.kill("SIGTERM");
    process.once("exit", orphaned);
    this.child.once("exit", () => process.off("exit", orphaned));
    this.ended = new Promise((resolve) => {
      this.child.once("error", (error) => resolve({ error }));
      this.child.once("exit", (code, signal) => resolve({ code, signal }));
    });
    this.ready = new Promise((resolve, reject) => {
      const add = (chunk) => {
        this.output = (this.output + chunk).slice(-20000);
        if (/^ready$/m.test(this.output)) resolve();
      };
      this.child.stdout.on("data", add);
      this.child.stderr.on("data", add);
      this.ended.then((end) => reject(new Error(`the program ended with ${JSON.stringify(end)}`)));
    });
    this.ready.catch(() => {});
  }

  kill(signal) {
    this.child.kill(signal);
    return withTimeout(this.ended, `the program to exit after ${signal}`);
  }

  /** Stops the program. The program is killed if it does not exit in time. */
  async stop() {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return this.ended;
    const timer = setTimeout(() => this.child.kill("SIGKILL"), EVENT_TIMEOUT);
    const end = await this.kill("SIGTERM");
    clearTimeout(timer);
    return end;
  }
}

module.exports = { Program, freePort };
