//! Tests of HTTP/2 with the programs in `examples/`: with real clients, with raw frames, and compared with HTTP/1.

mod browser;
mod curl;
mod differential;
mod files;
mod malformed;
mod node;
mod python;
mod routes;
mod shutdown;
mod websocket;
mod wire;

use crate::program::{ProcessOutput, Program};
use crate::tls::Directory;

/// The conformance program with both listeners.
struct Conformance {
    program: Program,
    plain: String,
    secure: String,
    _directory: Directory,
}

impl Conformance {
    /// Starts the program with additional arguments. `name` is part of the name of the directory of its certificate.
    fn start(name: &str, more: &[&str]) -> Conformance {
        let directory = Directory::new(&format!("http2-{name}"));
        let (cert, key) = directory.certificate("localhost");
        let any = "127.0.0.1:0";
        let mut arguments = vec![
            "--http", any, "--https", any, "--cert", &cert, "--key", &key,
        ];
        arguments.extend(more);
        let program = Program::start("90-conformance", &arguments);
        let (plain, secure) = (program.listening_on(), program.listening_on());
        Conformance {
            program,
            plain,
            secure,
            _directory: directory,
        }
    }
}

/// Starts the conformance program without TLS. Returns the program and its URI.
fn serve(more: &[&str]) -> (Program, String) {
    let mut arguments = vec!["--http", "127.0.0.1:0"];
    arguments.extend(more);
    let program = Program::start("90-conformance", &arguments);
    let uri = program.listening_on();
    (program, uri)
}

/// Runs an installed program until it exits successfully. If it is not installed, prints a message and returns `None`.
///
/// # Panics
/// Panics if it fails, or if it is not installed and the environment variable `required` is set.
#[track_caller]
fn run(name: &str, arguments: &[&str], required: &str) -> Option<ProcessOutput> {
    let Some(mut program) = Program::installed(name, arguments) else {
        let is_required = std::env::var_os(required).is_some();
        assert!(
            !is_required,
            "{required} is set, but {name} is not installed"
        );
        return None;
    };
    program.end_input();
    let ended = program.wait();
    assert!(ended.status.success(), "{name} {arguments:?}: {ended:#?}");
    Some(ended)
}
