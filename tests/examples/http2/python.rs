//! Tests with Python's `httpx` and `h2`.

use std::io::{self, Write as _};
use std::path::Path;

use super::Conformance;
use crate::program::Program;

/// Environment variable. If it is set, the tests fail when the packages are not installed.
const REQUIRED: &str = "UPTICK_REQUIRE_PYTHON";

/// Starts Python with the packages of `.ci/run`, if they are installed there.
fn python(arguments: &[&str]) -> Option<Program> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/python");
    let mut paths = vec![packages];
    paths.extend(std::env::var_os("PYTHONPATH").map(Into::into));
    let paths = std::env::join_paths(paths).unwrap();
    let variables = [("PYTHONPATH", paths.to_str().unwrap())];
    Program::installed_with("python3", arguments, &variables)
}

/// Runs a part of the script against a listener. Without the packages, prints a message.
#[track_caller]
fn run(part: &str, uri: &str) {
    let is_installed = python(&["-c", "import httpx, h2"]);
    if !is_installed.is_some_and(|program| program.wait().status.success()) {
        let required = std::env::var_os(REQUIRED).is_some();
        assert!(
            !required,
            "{REQUIRED} is set, but httpx and h2 are not installed"
        );
        // Unlike `eprintln`, this is also shown for tests that pass.
        let _ = writeln!(
            io::stderr(),
            "SKIPPED: `python3 -m pip install 'httpx[http2]'` was not run"
        );
        return;
    }
    let ended = python(&["-c", include_str!("client.py"), part, uri])
        .unwrap()
        .wait();
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(ended.stdout, ["done"], "{ended:#?}");
}

#[test]
fn httpx_uses_all_routes() {
    let server = Conformance::start("httpx", &[]);
    run("routes", &server.plain);
    run("routes", &server.secure);
}

#[test]
fn httpx_sends_a_hundred_requests_at_the_same_time() {
    let server = Conformance::start("httpx-parallel", &[]);
    run("parallel", &server.plain);
    run("parallel", &server.secure);
}

#[test]
fn h2_exchanges_frames_by_hand() {
    let server = Conformance::start("h2", &[]);
    run("frames", &server.plain);
    run("frames", &server.secure);
}
