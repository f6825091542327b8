//! Tests with the module `http2` of Node.js.

use rustix::process::Signal;

use super::Conformance;
use crate::program::Program;

/// Environment variable. If it is set, the tests fail when Node.js is not installed.
const REQUIRED: &str = "UPTICK_REQUIRE_NPM";

/// Starts a part of the script.
fn node(part: &str, uri: &str) -> Option<Program> {
    let node = Program::installed("node", &["-e", include_str!("client.js"), part, uri]);
    let required = std::env::var_os(REQUIRED).is_some();
    assert!(
        node.is_some() || !required,
        "{REQUIRED} is set, but node is not installed"
    );
    node
}

#[track_caller]
fn expect_done(node: Program) {
    let ended = node.wait();
    assert!(ended.status.success(), "{ended:#?}");
    assert_eq!(ended.stdout, ["done"], "{ended:#?}");
}

/// Runs a part of the script against both listeners.
#[track_caller]
fn run(part: &str, more: &[&str]) {
    let server = Conformance::start(&format!("node-{part}"), more);
    for uri in [&server.plain, &server.secure] {
        if let Some(node) = node(part, uri) {
            expect_done(node);
        }
    }
}

#[test]
fn node_uses_all_routes() {
    run("routes", &[]);
}

#[test]
fn node_uploads_with_backpressure() {
    run("uploads", &[]);
}

#[test]
fn node_sends_and_resets_a_hundred_requests_at_the_same_time() {
    run("parallel", &[]);
}

#[test]
fn node_opens_websockets() {
    run("websocket", &[]);
}

#[test]
fn node_opens_compressed_websockets() {
    run("deflate", &["--ws-deflate"]);
}

#[test]
fn a_shutdown_answers_requests_of_node_and_closes_its_websockets() {
    let server = Conformance::start("node-shutdown", &[]);
    let clients: Vec<_> = [&server.plain, &server.secure]
        .into_iter()
        .filter_map(|uri| node("shutdown", uri))
        .collect();
    for node in &clients {
        assert_eq!(node.line(), "ready");
    }
    server.program.signal(Signal::TERM);
    for node in clients {
        expect_done(node);
    }
    assert_eq!(server.program.wait().status.code(), Some(0));
}
