//! Packages of npm, and scripts that run in Node.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::program::Program;

/// Where this is set, a test that needs packages of npm fails when they are not installed.
const REQUIRED: &str = "UPTICK_REQUIRE_NPM";

/// What scripts with the official client of Socket.IO have in common.
const CLIENT: &str = r#"
    const [, client, uri] = process.argv;
    const { io } = require(client);
    const assert = require("node:assert");
    const connect = (path, options) => io(uri + path, { forceNew: true, reconnectionDelay: 200, ...options });
    const next = (socket, event) => new Promise(resolve => socket.once(event, (...args) => resolve(args)));
    const heard = (socket, event, value) => new Promise(resolve => socket.on(event, got => got === value && resolve()));
    const run = scenario => scenario().then(
        () => { console.log("done"); process.exit(0); },
        error => { console.error(error); process.exit(1); },
    );
"#;

/// The directory of an installed npm package; `None`, and a message, without it.
///
/// # Panics
/// When it is not installed and [`REQUIRED`] is set.
pub(crate) fn package(name: &str) -> Option<PathBuf> {
    let modules = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/node_modules");
    if let Ok(path) = modules.join(name).canonicalize() {
        return Some(path);
    }
    let required = std::env::var_os(REQUIRED).is_some();
    assert!(!required, "{REQUIRED} is set, and there is no {name}");
    // Unlike `eprintln`, this shows for tests that pass, too.
    let _ = writeln!(
        io::stderr(),
        "SKIPPED: `npm install --prefix target/tools {name}` was not run"
    );
    None
}

/// Runs a script with the official client of Socket.IO against a server. The script calls `run(async () => …)`.
#[track_caller]
pub(crate) fn run_client(client: &Path, script: &str, uri: &str) {
    let script = format!("{CLIENT}{script}");
    let client = client.to_str().unwrap();
    let node = Program::installed("node", &["-e", &script, client, uri]);
    let ended = node.expect("node is there, as npm is").wait();
    assert!(ended.status.success(), "{ended:#?}");
    let last = ended.stdout.last().map(String::as_str);
    assert_eq!(last, Some("done"), "{ended:#?}");
}
