"use strict";
// npm packages: beside the suite, in NODE_PATH, or where `.ci/run` installs them.

const { createRequire } = require("node:module");
const { existsSync } = require("node:fs");
const path = require("node:path");

const root = path.join(__dirname, "../../..");
const places = [process.env.UPTICK_NODE_MODULES, path.join(root, "target/tools/node_modules")];
const place = places.find((directory) => directory && existsSync(path.join(directory, "socket.io-client")));
const load = place ? createRequire(path.join(place, "package.json")) : require;

module.exports = { load };
