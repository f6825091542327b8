"use strict";
// Loads npm packages from UPTICK_NODE_MODULES, from where `.ci/run` installs them, or from the default location.

const { createRequire } = require("node:module");
const { existsSync } = require("node:fs");
const path = require("node:path");

const root = path.join(__dirname, "../../..");
const directories = [process.env.UPTICK_NODE_MODULES, path.join(root, "target/tools/node_modules")];
const installed = directories.find((directory) => directory && existsSync(path.join(directory, "socket.io-client")));
const load = installed ? createRequire(path.join(installed, "package.json")) : require;

module.exports = { load };
