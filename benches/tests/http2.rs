//! The HTTP/2 servers of the benchmark, started through its command line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::env;
use std::process::{Command, Output};

fn run(words: &[&str], path: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_uptick-bench"));
    if let Some(path) = path {
        command.env("PATH", path);
    }
    command.args(words).output().expect("the program starts")
}

fn succeed(words: &[&str], path: Option<&str>) -> [String; 2] {
    let output = run(words, path);
    let [text, errors] = [output.stdout, output.stderr].map(|bytes| {
        let text = String::from_utf8(bytes);
        text.expect("the output is UTF-8")
    });
    assert!(output.status.success(), "{errors}");
    [text, errors]
}

/// Returns the cells of the rows with this name, without the name.
fn rows<'a>(text: &'a str, name: &str) -> Vec<Vec<&'a str>> {
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix(&format!("| {name} ")))
        .map(|row| row.split('|').skip(1).map(str::trim).collect());
    rows.collect()
}

/// The load checks the status and the body of every response, and every echoed byte.
#[test]
fn a_quick_run_prints_a_row_for_each_http2_server() {
    let [text, _] = succeed(&["http2", "--quick"], None);
    // The columns of system calls are not checked: not every machine can count them.
    let has_figures = |row: &Vec<&str>, columns| {
        let mut figures = row.iter().take(columns);
        figures.all(|cell| cell.starts_with(|first: char| first.is_ascii_digit()))
    };
    let required = |name| match name {
        "nghttpd" => env::var_os("UPTICK_REQUIRE_NGHTTP2").is_some(),
        _ => matches!(name, "uptick-http" | "hyper-http2"),
    };
    for name in [
        "uptick-http",
        "h2o",
        "nghttpd",
        "nginx",
        "hyper-http2",
        "node-http2",
    ] {
        let rows = rows(&text, name);
        let [requests, idle] = &rows[..] else {
            panic!("{name} is not in two tables:\n{text}");
        };
        let is_absent = requests[0].starts_with("not ") && idle[0].starts_with("not ");
        // Memory can also shrink.
        let is_number = |cell: &&str| cell.starts_with(|first: char| "-0123456789".contains(first));
        let is_measured = has_figures(requests, 3) && idle.iter().take(2).all(is_number);
        assert!(
            is_measured || is_absent && !required(name),
            "{name}:\n{text}"
        );
    }
    for name in [
        "uptick-websocket over HTTP/1.1",
        "fastwebsockets over HTTP/1.1",
        "uptick-websocket over HTTP/2",
        "fastwebsockets-http2 over HTTP/2",
    ] {
        let rows = rows(&text, name);
        assert!(
            rows.len() == 1 && has_figures(&rows[0], 2),
            "{name}:\n{text}"
        );
    }
    assert!(text.contains("Machine: "), "{text}");
}

#[test]
fn missing_programs_are_reported_with_their_packages() {
    let [text, errors] = succeed(&["http2", "idle", "--quick"], Some("/var/empty"));
    for (name, package) in [
        ("h2o", "h2o"),
        ("nghttpd", "nghttp2-server"),
        ("nginx", "nginx-light"),
        ("node-http2", "nodejs"),
    ] {
        let report =
            format!("SKIPPED: {name} is not installed (on Debian: apt-get install {package})");
        assert!(errors.contains(&report), "{errors}");
        assert_eq!(rows(&text, name).concat()[0], "not installed", "{text}");
    }
    assert_ne!(
        rows(&text, "hyper-http2").concat()[0],
        "not installed",
        "{text}"
    );
}

#[test]
fn a_part_that_does_not_exist_is_refused() {
    let output = run(&["http2", "teapots"], None);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("not \"teapots\""), "{text}");
}
