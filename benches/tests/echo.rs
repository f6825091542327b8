//! The servers of the benchmark, and its command line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_uptick-bench");
const SERVERS: &[&str] = &["floor", "mio", "uptick", "tokio", "async-std"];

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(name: &str) -> (Server, TcpStream) {
    let child = Command::new(PROGRAM)
        .args(["serve", name])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut server = Server(child);
    let mut line = String::new();
    let stdout = server.0.stdout.take().expect("stdout is a pipe");
    BufReader::new(stdout)
        .read_line(&mut line)
        .expect("the server prints its address");
    let address = line.trim().trim_start_matches("tcp://");
    let client = TcpStream::connect(address)
        .unwrap_or_else(|error| panic!("connecting to {name} at {line:?}: {error}"));
    client
        .set_read_timeout(Some(Duration::from_secs(30)))
        .expect("a timeout can be set");
    (server, client)
}

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM)
        .args(arguments)
        .output()
        .expect("the program starts")
}

#[test]
fn every_server_echoes_the_bytes_sent_to_it() {
    for name in SERVERS {
        let (_server, mut client) = start(name);
        for round in 0..3 {
            let request = [round; 64];
            client.write_all(&request).expect("the request is sent");
            let mut answer = [0xff; 64];
            client
                .read_exact(&mut answer)
                .unwrap_or_else(|error| panic!("{name} in round {round}: {error}"));
            assert_eq!(answer, request, "{name}");
        }
    }
}

#[test]
fn every_server_sends_everything_to_a_client_that_reads_late() {
    for name in SERVERS {
        let (_server, mut client) = start(name);
        // Write until the buffers of both directions are full, so that the server stalls. A server without
        // backpressure, which continues to read, is within its limits up to here.
        const MOST: usize = 12 * 1024 * 1024;
        client
            .set_write_timeout(Some(Duration::from_millis(100)))
            .expect("a timeout can be set");
        let block: Vec<u8> = (0..251).cycle().take(251 * 256).collect();
        let mut sent = 0;
        while sent < MOST {
            match client.write(&block[sent % block.len()..]) {
                Ok(length) => sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("{name} after {sent} bytes: {error}"),
            }
        }
        client
            .shutdown(Shutdown::Write)
            .expect("the client shuts down writing");
        let mut answer = Vec::new();
        client
            .read_to_end(&mut answer)
            .unwrap_or_else(|error| panic!("{name} after {} bytes: {error}", answer.len()));
        assert_eq!(answer.len(), sent, "{name}");
        assert!(
            answer
                .chunks(block.len())
                .all(|chunk| block.starts_with(chunk)),
            "{name}"
        );
    }
}

#[test]
fn a_quick_run_prints_a_row_for_each_server() {
    let output = run(&["echo", "--quick"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for name in SERVERS {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name} ")));
        assert_eq!(
            row.map(|row| row.matches('|').count()),
            Some(10),
            "{name} in {text}"
        );
    }
    assert!(text.contains("Machine: "), "{text}");
}

/// The load of such a run compares each response with its request, so the TLS servers work as well.
#[test]
fn a_quick_run_with_tls_prints_a_row_for_each_server() {
    let output = run(&["tls", "--quick"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for name in ["tokio-rustls", "uptick-tls", "tokio-rustls-ring", "floor"] {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name} ")));
        assert_eq!(
            row.map(|row| row.matches('|').count()),
            Some(7),
            "{name} in {text}"
        );
    }
    assert!(text.contains("Machine: "), "{text}");
}

/// The load of such a run checks every response. Node and Bun may be missing.
#[test]
fn a_quick_run_over_http_prints_a_row_for_each_server() {
    let output = run(&["http", "--quick"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (plain, tls) = text.split_once("With TLS:").expect("there are two tables");
    for (table, columns, names) in [
        (
            plain,
            13,
            &["http-floor", "uptick-http", "hyper", "axum", "actix-web"][..],
        ),
        (tls, 7, &["hyper-rustls", "uptick-https", "http-floor"]),
    ] {
        for name in names {
            let row = table
                .lines()
                .find(|line| line.starts_with(&format!("| {name} ")));
            assert_eq!(
                row.map(|row| row.matches('|').count()),
                Some(columns),
                "{name} in {text}"
            );
        }
    }
    assert!(plain.contains("| node "), "{text}");
    assert!(plain.contains("| bun "), "{text}");
    assert!(text.contains("Machine: "), "{text}");
}

#[test]
fn a_wrong_command_line_is_refused_with_a_reason() {
    for (arguments, reason) in [
        (
            &["echo", "--cpus", "both"][..],
            "--cpus takes shared, split or any, not \"both\"",
        ),
        (&["echo", "--rounds", "0"], "--rounds must be at least 1"),
        (&["serve", "teapot"], "no server is called \"teapot\""),
        (&["serve", "uptick-tls"], "uptick-tls needs a PEM file"),
        (&["sing"], "which benchmark?"),
    ] {
        let output = run(arguments);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{arguments:?}");
        assert!(text.contains(reason), "{arguments:?} printed {text}");
    }
}
