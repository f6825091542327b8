//! npm packages, and scripts that run in Node.js.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::program::Program;

/// Environment variable. If it is set, a test that needs npm packages fails when they are not installed.
const REQUIRED: &str = "UPTICK_REQUIRE_NPM";

/// The common part of scripts that use the official Socket.IO client.
const CLIENT: &str = r#"
    const [, client, uri] = process.argv;
    const { io } = require(client);
    const assert = require("node:assert");
    const connect = (path, options) => io(uri + path, { forceNew: true, reconnectionDelay: 200, ...options });
    const next = (socket, event) => new Promise(resolve => socket.once(event, (...args) => resolve(args)));
    const received = (socket, event, value) => new Promise(resolve => socket.on(event, got => got === value && resolve()));
    const run = scenario => scenario().then(
        () => { console.log("done"); process.exit(0); },
        error => { console.error(error); process.exit(1); },
    );
"#;

/// Returns the directory of an installed npm package. If it is not installed, prints a message and returns `None`.
///
/// # Panics
/// Panics if the package is not installed and [`REQUIRED`] is set.
pub(crate) fn package(name: &str) -> Option<PathBuf> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/node_modules");
    if let Ok(path) = modules.join(name).canonicalize() {
        return Some(path);
    }
    let required = std::env::var_os(REQUIRED).is_some();
    assert!(!required, "{REQUIRED} is set, but {name} is not installed");
    // Unlike `eprintln`, this is also shown for tests that pass.
    let _ = writeln!(
        io::stderr(),
        "SKIPPED: `npm install --prefix target/tools {name}` was not run"
    );
    None
}

/// Runs a script with the official Socket.IO client against a server. The script must call `run(async () => …)`.
#[track_caller]
pub(crate) fn run_client(client: &Path, script: &str, uri: &str) {
    let script = format!("{CLIENT}{script}");
    let client = client.to_str().unwrap();
    let node = Program::installed("node", &["-e", &script, client, uri]);
    let ended = node.expect("node is installed together with npm").wait();
    assert!(ended.status.success(), "{ended:#?}");
    let last = ended.stdout.last().map(String::as_str);
    assert_eq!(last, Some("done"), "{ended:#?}");
}
