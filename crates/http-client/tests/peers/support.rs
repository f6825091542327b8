//! Servers as processes.

use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Timeout for the start of a server. It is long, because it expires only if something is broken.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A running server. It is killed when this is dropped.
pub(crate) struct Peer {
    child: Child,
    pub(crate) port: u16,
}

impl Peer {
    /// Starts a program. If it is not installed, prints a message and returns `None`.
    ///
    /// # Panics
    ///
    /// Panics if it is not installed and the environment variable `required` is set.
    fn spawn(command: &mut Command, required: &str) -> Option<Child> {
        let name = command.get_program().to_string_lossy().into_owned();
        match command.stdin(Stdio::piped()).spawn() {
            Ok(child) => Some(child),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let is_required = std::env::var_os(required).is_some();
                assert!(
                    !is_required,
                    "{required} is set, but {name} is not installed"
                );
                // Unlike `eprintln`, this is also shown for tests that pass.
                let _ = writeln!(io::stderr(), "SKIPPED: {name} is not installed");
                None
            }
            Err(error) => panic!("starting {name} failed: {error}"),
        }
    }

    /// Starts a program that prints its port.
    pub(crate) fn printing(command: &mut Command, required: &str) -> Option<Peer> {
        let mut child = Peer::spawn(command.stdout(Stdio::piped()), required)?;
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        let port = line.trim().parse();
        let port = port.unwrap_or_else(|_| panic!("{command:?} printed {line:?}"));
        Some(Peer { child, port })
    }

    /// Starts a program on a port of its arguments, and waits until it accepts connections.
    pub(crate) fn on_port(port: u16, command: &mut Command, required: &str) -> Option<Peer> {
        let mut child = Peer::spawn(command.stdout(Stdio::null()), required)?;
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let status = child.try_wait().unwrap();
            assert!(status.is_none(), "{command:?} ended: {status:?}");
            assert!(
                Instant::now() < deadline,
                "{command:?} accepts no connections"
            );
            thread::sleep(Duration::from_millis(10));
        }
        Some(Peer { child, port })
    }

    /// Starts the script in Node.js.
    pub(crate) fn node(arguments: &[&OsStr]) -> Option<Peer> {
        let mut command = Command::new("node");
        command.arg("-e").arg(include_str!("server.js"));
        Peer::printing(command.args(arguments), "UPTICK_REQUIRE_NPM")
    }

    pub(crate) fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.port)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns a port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
