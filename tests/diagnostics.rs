//! Compiler messages for common mistakes, which must name the correct alternative.
//!
//! Each program is compiled but not run, against the library that this test was built with.
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

/// Compiles the body of a `main` function. Returns the errors of the compiler, or `None` if there are none.
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

/// Returns the newest usable library. The directory may contain several, built with other features or by earlier builds.
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
            .expect("a usable library")
    })
}

/// Checks that a program does not compile, and that the errors contain all texts in `expected`.
#[track_caller]
fn assert_message(name: &str, body: &str, expected: &[&str]) {
    let errors = compile(library(), name, body);
    let errors = errors.unwrap_or_else(|| panic!("{name} compiles"));
    for expected in expected {
        assert!(errors.contains(expected), "no `{expected}` in:\n{errors}");
    }
}

#[test]
fn the_error_for_a_wrong_payload_names_the_emitter() {
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
fn the_error_for_writing_other_values_suggests_formatting_them() {
    assert_message(
        "chunk",
        "fn reply(conn: Connection) { conn.write(42); }",
        &[
            "`{integer}` cannot be written to a stream",
            "format other values",
        ],
    );
    assert_message(
        "message",
        "fn reply(ws: WebSocket) { ws.send(vec![1.5]); }",
        &[
            "`Vec<{float}>` cannot be sent as a WebSocket message",
            "send other values as JSON",
        ],
    );
}

#[test]
fn the_error_for_a_wrong_handler_result_suggests_json_and_http_error() {
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
fn the_error_for_wrong_middleware_shows_the_signature() {
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
fn the_error_for_a_boolean_gate_suggests_accept_and_reject() {
    assert_message(
        "gate",
        r#"HttpServer::new().websocket_with("/ws", WebSocketOptions::new(), |_: Request| true);"#,
        &["is not the decision of a gate", "`Accept`, `Reject`"],
    );
}

#[test]
fn the_error_for_arguments_without_serde_suggests_the_derive() {
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
fn the_error_for_a_handle_on_another_thread_suggests_a_remote() {
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
fn the_corrected_programs_compile() {
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
