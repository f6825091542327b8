#!/usr/bin/env node
"use strict";
// Runs groups of tests against a program: see README.md.

const { spawnSync } = require("node:child_process");
const { mkdtempSync, readdirSync, rmSync } = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { parseArgs } = require("node:util");
const { Context, Skip } = require("./lib/context.js");
const { Program } = require("./lib/program.js");
const { withPatience } = require("./lib/wait.js");

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    program: { type: "string" },
    suite: { type: "string" },
    base: { type: "string" },
    "tls-base": { type: "string" },
    transport: { type: "string", default: "upgrade" },
    tls: { type: "boolean", default: false },
    cert: { type: "string" },
    key: { type: "string" },
    workers: { type: "string", default: "1" },
    only: { type: "string" },
    jobs: { type: "string", default: "8" },
    verbose: { type: "boolean", default: false },
  },
});

/** How long one test, and all of them, may take, in ms. */
const TEST_PATIENCE = 60000;
const RUN_PATIENCE = 600000;

const here = (...parts) => path.join(__dirname, ...parts);
const all = readdirSync(here("groups")).map((file) => path.basename(file, ".js"));
const names = positionals.length > 0 ? positionals : all.filter((name) => !options.base || !name.startsWith("suite"));

const run = {
  transport: options.transport,
  secure: options.tls,
  workers: Number(options.workers),
  isReference: !options.program && !options.base,
  servers: new Map(),
};

/** A certificate for 127.0.0.1, made by `openssl` unless one was given. */
function certificate() {
  if (options.cert) return { cert: options.cert, key: options.key };
  const directory = mkdtempSync(path.join(os.tmpdir(), "socketio-"));
  process.on("exit", () => rmSync(directory, { recursive: true, force: true }));
  const pair = { cert: path.join(directory, "cert.pem"), key: path.join(directory, "key.pem") };
  const args = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1";
  const { status, stderr } = spawnSync("openssl", [...args.split(" "), "-keyout", pair.key, "-out", pair.cert]);
  if (status !== 0) throw new Error(`openssl failed: ${stderr}`);
  return pair;
}

/** Starts a program, or returns the one that runs with these variables. */
function server(env, fixed = {}) {
  const which = env.SIO_SUITE ? options.suite : options.program;
  if (options.base) {
    if (Object.keys(env).length > 0 || fixed.fresh) throw new Skip("it needs a program with other variables");
    return { base: options.base, tlsBase: options["tls-base"], stop: () => ({}) };
  }
  const key = JSON.stringify(env);
  if (!fixed.fresh && run.servers.has(key)) return run.servers.get(key);
  const reference = here("reference", env.SIO_SUITE ? "suite.js" : "conformance.js");
  const command = which ? [which] : [process.execPath, reference];
  if (run.secure) run.tls ??= certificate();
  const workers = run.workers > 1 && !env.SIO_SUITE ? { SIO_WORKERS: String(run.workers) } : {};
  const started = Program.start(command, { env: { ...workers, ...env }, tls: run.tls, port: fixed.port, tlsPort: fixed.tlsPort });
  run.servers.set(fixed.fresh ? Symbol(key) : key, started);
  return started;
}

async function runTest(group, name, test) {
  let result;
  for (let attempt = 1; attempt <= (group.attempts ?? 1); attempt++) {
    result = await attemptTest(group, name, test);
    if (!result.error) break;
    if (attempt < group.attempts) console.log(`  AGAIN ${name}: ${result.error.message}`);
  }
  return result;
}

async function attemptTest(group, name, test) {
  const context = new Context(run);
  context.server = (env = {}, fixed) => server({ ...group.env, ...env }, fixed);
  const begin = performance.now();
  const result = { name, ms: 0 };
  try {
    context.program = await context.server();
    await withPatience(test(context), "the end of the test", TEST_PATIENCE);
  } catch (error) {
    if (error instanceof Skip) result.skipped = error.message;
    else result.error = error;
  }
  await context.end();
  result.ms = Math.round(performance.now() - begin);
  return result;
}

/** Runs the tests of a group, several at a time. */
async function runGroup(name) {
  const group = require(here("groups", `${name}.js`));
  const tests = Object.entries(group.tests).filter(([sentence]) => !options.only || sentence.includes(options.only));
  const results = [];
  const worker = async () => {
    for (let test = tests.shift(); test; test = tests.shift()) results.push(await runTest(group, ...test));
  };
  const jobs = Math.min(group.jobs ?? Infinity, Number(options.jobs));
  await Promise.all(Array.from({ length: jobs }, worker));
  return results;
}

/** Fails for a program that ended while it was tested, or does not end well. */
async function stopServers() {
  const errors = [];
  for (const started of run.servers.values()) {
    const program = await started.catch(() => undefined);
    if (!program) continue;
    const died = program.child.exitCode ?? program.child.signalCode;
    const end = await program.stop().catch((error) => ({ error: error.message }));
    if (program.expectedEnd) continue;
    const good = end.code === 0 && died === null;
    if (!good) errors.push(`a program ended with ${JSON.stringify(end)}; it printed: ${program.output}`);
  }
  return errors;
}

let failed = 0;

async function main() {
  for (const name of names) {
    const begin = performance.now();
    const results = await runGroup(name);
    const errors = results.filter(({ error }) => error);
    const skipped = results.filter(({ skipped: why }) => why);
    failed += errors.length;
    const seconds = ((performance.now() - begin) / 1000).toFixed(1);
    console.log(`${name}: ${results.length - errors.length - skipped.length} passed, ${errors.length} failed in ${seconds} s`);
    for (const { name: test, skipped: why } of skipped) console.log(`  SKIPPED ${test}: ${why}`);
    for (const { name: test, error } of errors) {
      const text = options.verbose ? error.stack : `${error.message}\n${error.stack?.match(/at .*groups.*/)?.[0] ?? ""}`;
      console.log(`  FAILED ${test}: ${text.replaceAll("\n", "\n    ")}`);
    }
    if (options.verbose) {
      for (const { name: test, ms } of results.sort((a, b) => b.ms - a.ms).slice(0, 5)) console.log(`  ${ms} ms ${test}`);
    }
  }
  for (const error of await stopServers()) {
    failed++;
    console.log(`  FAILED ${error}`);
  }
  process.exit(failed > 0 ? 1 : 0);
}

process.setMaxListeners(100);
setTimeout(() => {
  console.log(`  FAILED: not done after ${RUN_PATIENCE} ms`);
  process.exit(1);
}, RUN_PATIENCE).unref();
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));
process.on("unhandledRejection", (error) => {
  console.log(`  FAILED with an error nobody waited for: ${error?.stack ?? error}`);
  failed++;
});
main();
