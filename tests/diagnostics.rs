//! The compiler's messages about common mistakes, which name what to do instead.
//!
//! Each program is compiled, without being run, against the library that this test was built with.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may panic"
)]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Compiles the body of a `main` and returns the compiler's errors, or `None` if there are none.
fn compile(library: &Path, name: &str, body: &str) -> Option<String> {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("diagnostics");
    fs::create_dir_all(&directory).unwrap();
    let source = directory.join(format!("{name}.rs"));
    let program = format!(
        "#![allow(unused)]\nuse uptick::prelude::*;\nfn main() -> uptick::Result {{\n{body}\nOk(())\n}}\n"
    );
    fs::write(&source, program).unwrap();
    let mut library_option = OsString::from("uptick=");
    library_option.push(library);
    let mut dependencies = OsString::from("dependency=");
    dependencies.push(library.parent().unwrap());
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "--edition",
            "2024",
            "--emit",
            "metadata",
            "--color",
            "never",
        ])
        .arg("-L")
        .arg(dependencies)
        .arg("--extern")
        .arg(library_option)
        .arg("--out-dir")
        .arg(directory)
        .arg(&source)
        .output()
        .unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    (!output.status.success()).then_some(errors)
}

/// The library: the directory may have several, of other features and of earlier builds. The newest one that can be used is it.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let program = std::env::current_exe().unwrap();
        let mut candidates: Vec<(SystemTime, PathBuf)> = fs::read_dir(program.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap())
            .filter(|entry| {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                name.starts_with("libuptick-") && name.ends_with(".rlib")
            })
            .map(|entry| (entry.metadata().unwrap().modified().unwrap(), entry.path()))
            .collect();
        candidates.sort();
        let mut usable = candidates.into_iter().rev().map(|(_, path)| path);
        let body = "HttpServer::new(); WebSocketOptions::new(); SocketIo::new();";
        usable
            .find(|path| compile(path, "probe", body).is_none())
            .expect("a library that can be used")
    })
}

/// Checks that a program does not compile, and that the compiler says all of these.
#[track_caller]
fn assert_message(name: &str, body: &str, expected: &[&str]) {
    let errors = compile(library(), name, body);
    let errors = errors.unwrap_or_else(|| panic!("{name} compiles"));
    for expected in expected {
        assert!(errors.contains(expected), "no `{expected}` in:\n{errors}");
    }
}

#[test]
fn a_payload_that_no_event_carries_is_named_with_the_emitter() {
    assert_message(
        "payload",
        r#"Server::bind(0)?.on("connection", |conn: Connection| {
            conn.on("data", |text: String| println!("{text}"));
        });"#,
        &[
            "Connection` emits no event with the payload `std::string::String`",
            "on(Connection::DATA, |chunk| …)",
        ],
    );
    assert_message(
        "constant",
        "Server::bind(0)?.on(Server::CONNECTION, |text: String| ());",
        &[
            "expected closure signature `fn(uptick::prelude::Connection) -> _`",
            "found closure signature `fn(std::string::String) -> _`",
        ],
    );
}

#[test]
fn a_value_that_is_neither_text_nor_bytes_is_not_written() {
    assert_message(
        "chunk",
        "fn answer(conn: Connection) { conn.write(42); }",
        &[
            "`{integer}` cannot be written to a stream",
            "format other values",
        ],
    );
    assert_message(
        "message",
        "fn answer(ws: WebSocket) { ws.send(vec![1.5]); }",
        &[
            "`Vec<{float}>` cannot be sent as a WebSocket message",
            "send other values as JSON",
        ],
    );
}

#[test]
fn a_handler_that_returns_something_else_is_shown_json_and_http_error() {
    let suggestions = ["Response::json(&value)", "HttpError"];
    assert_message(
        "struct_of_a_handler",
        r#"struct User; HttpServer::new().get("/", |_: Request| User);"#,
        &suggestions,
    );
    assert_message(
        "future_of_a_handler",
        r#"struct User; HttpServer::new().get("/", |_: Request| async { User });"#,
        &suggestions,
    );
    assert_message(
        "error_of_a_handler",
        r#"struct Broken; HttpServer::new().get("/", |_: Request| -> Result<String, Broken> { Err(Broken) });"#,
        &["HttpError"],
    );
}

#[test]
fn a_middleware_of_another_form_is_shown_what_it_takes_and_returns() {
    assert_message(
        "middleware",
        "HttpServer::new().wrap(42);",
        &["is not a middleware", "|req: Request, next: Next|"],
    );
    assert_message(
        "result_of_a_middleware",
        "struct User; HttpServer::new().wrap(|_: Request, _: Next| User);",
        &["a handler cannot return `User`", "Response::json(&value)"],
    );
}

#[test]
fn a_gate_that_returns_a_boolean_is_shown_accept_and_reject() {
    assert_message(
        "gate",
        r#"HttpServer::new().websocket_with("/ws", WebSocketOptions::new(), |_: Request| true);"#,
        &["is not the decision of a gate", "`Accept`, `Reject`"],
    );
}

#[test]
fn an_argument_of_an_event_that_serde_does_not_know_is_shown_the_derive() {
    assert_message(
        "arguments",
        r#"struct Move; SocketIo::new().on("connection", |socket: Socket| {
            socket.on("move", |step: Move| ());
        });"#,
        &[
            "cannot be parsed as `Move`",
            "derive `serde::Deserialize` for it",
        ],
    );
    assert_message(
        "sent_arguments",
        r#"struct Move; SocketIo::new().on("connection", |socket: Socket| {
            socket.emit("move", &Move);
        });"#,
        &[
            "`Move` cannot be sent as the arguments of an event",
            "derive `serde::Serialize` for it",
        ],
    );
}

#[test]
fn a_handle_on_another_thread_is_shown_the_remote() {
    let handles = [
        "Connection",
        "Server",
        "SecureServer",
        "HttpServer",
        "WebSocket",
        "Timer",
        "Socket",
    ];
    for handle in handles {
        assert_message(
            &format!("thread_{handle}"),
            &format!("fn send(handle: {handle}) {{ std::thread::spawn(move || drop(handle)); }}"),
            &["`*const UseRemoteOrLoopHandle` cannot be sent between threads safely"],
        );
    }
}

#[test]
fn the_programs_of_this_test_compile_without_their_mistakes() {
    let body = r#"
        Server::bind(0)?.on("connection", |conn: Connection| {
            conn.on("data", move |chunk: Bytes| conn.write(format!("{}\n", chunk.len())));
            conn.on(Connection::DATA, |chunk| println!("{}", chunk.len()));
        });
        let http = HttpServer::new();
        http.get("/", |_: Request| async { Response::json(&[1, 2]) });
        http.wrap(|req: Request, next: Next| next.run(req));
        std::thread::spawn({ let handle = uptick::handle(); move || handle.post(|| ()) });
    "#;
    assert_eq!(compile(library(), "right", body), None);
}
