//! Tests of `52-rolling-reload` over TLS: sessions are resumed by all workers of all generations.

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::Value;

use crate::program::Program;
use crate::tls::Directory;
use crate::workers::TIMES;

/// Connects to the service with `openssl`. Returns whether the session was resumed, and the JSON object of the worker. `None` if
/// `openssl` is not installed.
fn visit(address: &str, option: &str, session: &str) -> Option<(bool, Value)> {
    let arguments = ["s_client", "-connect", address, "-ign_eof", option, session];
    let mut client = Program::installed("openssl", &arguments)?;
    client.input("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let ended = client.wait();
    let line = |start: &str| ended.stdout.iter().find(|line| line.starts_with(start));
    let resumed = line("Reused, ").is_some();
    assert_ne!(resumed, line("New, ").is_some(), "{ended:?}");
    let body = line("{\"worker\"").unwrap_or_else(|| panic!("no response: {ended:?}"));
    // The close_notify message may follow on the same line.
    let end = body.find('}').unwrap() + 1;
    Some((resumed, serde_json::from_str(&body[..end]).unwrap()))
}

#[test]
fn sessions_are_resumed_by_all_workers_of_all_generations() {
    let directory = Directory::new("workers");
    let (cert, key) = directory.certificate("localhost");
    let session = directory.path().join("session.pem").display().to_string();
    let arguments = ["--cert", &cert, "--key", &key, "tls://127.0.0.1:0"];
    let service = Program::start_with("52-rolling-reload", &arguments, &TIMES);
    let uri = service.listening_on();
    let address = uri.strip_prefix("https://").unwrap().to_owned();
    let Some((resumed, first)) = visit(&address, "-sess_out", &session) else {
        return;
    };
    assert!(!resumed);
    let mut workers = BTreeSet::from([first["worker"].as_u64()]);
    let mut generation = 1;
    // Connections that stay open are counted for a worker, so that the other one is chosen next.
    let mut held = Vec::new();
    while workers.len() < 2 || generation < 2 {
        assert!(
            held.len() < 100,
            "only {workers:?} of generation {generation} respond"
        );
        held.push(std::net::TcpStream::connect(&address).unwrap());
        let (resumed, response) = visit(&address, "-sess_in", &session).unwrap();
        assert!(resumed, "{response}");
        generation = response["generation"].as_u64().unwrap();
        workers.insert(response["worker"].as_u64());
        if workers.len() == 2 && generation == 1 {
            service.signal(Signal::HUP);
            service.error_line_with("generation 2 serves");
        }
    }
}
