//! Running examples and other programs as processes.

use std::env;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Timeout for everything that a test waits for. It is long, because it expires only if something is broken.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// A running example or client program. It is killed when this is dropped.
pub(crate) struct Program {
    name: String,
    child: Child,
    stdout: Receiver<String>,
    stderr: Receiver<String>,
}

/// The status and the remaining output of a process that has ended.
#[derive(Debug)]
pub(crate) struct ProcessOutput {
    pub(crate) status: ExitStatus,
    /// The lines that were not read before.
    pub(crate) stdout: Vec<String>,
    pub(crate) stderr: Vec<String>,
}

impl Program {
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Program {
        Program::start_with(name, arguments, &[])
    }

    /// Starts an example with additional environment variables.
    pub(crate) fn start_with(
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Program {
        Program::spawn(&path_of(name), arguments, variables)
            .unwrap_or_else(|error| panic!("starting {name} failed: {error}"))
    }

    /// Starts an installed program such as `openssl`. If it is not installed, prints a message and returns `None`.
    pub(crate) fn installed(name: &str, arguments: &[&str]) -> Option<Program> {
        Program::installed_with(name, arguments, &[])
    }

    /// Starts an installed program with additional environment variables.
    pub(crate) fn installed_with(
        name: &str,
        arguments: &[&str],
        variables: &[(&str, &str)],
    ) -> Option<Program> {
        match Program::spawn(Path::new(name), arguments, variables) {
            Ok(program) => Some(program),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Unlike `eprintln`, this is also shown for tests that pass.
                let _ = writeln!(io::stderr(), "SKIPPED: {name} is not installed");
                None
            }
            Err(error) => panic!("starting {name} failed: {error}"),
        }
    }

    fn spawn(path: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> io::Result<Program> {
        let mut child = Command::new(path)
            .args(arguments)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Program {
            name: path.display().to_string(),
            stdout: lines_of(child.stdout.take().unwrap()),
            stderr: lines_of(child.stderr.take().unwrap()),
            child,
        })
    }

    /// Starts a server on a free port on 127.0.0.1. Returns the program and its URI.
    pub(crate) fn serve(name: &str, arguments: &[&str]) -> (Program, String) {
        let mut all = vec!["tcp://127.0.0.1:0"];
        all.extend(arguments);
        let server = Program::start(name, &all);
        let uri = server.listening_on();
        (server, uri)
    }

    /// Waits for the line that every server prints, and returns the URI in it.
    pub(crate) fn listening_on(&self) -> String {
        let line = self.line();
        let uri = line.strip_prefix("listening on ");
        uri.unwrap_or_else(|| panic!("{} printed {line:?}", self.name))
            .to_string()
    }

    /// Waits for the next line on standard output.
    pub(crate) fn line(&self) -> String {
        self.stdout.recv_timeout(TIMEOUT).unwrap_or_else(|error| {
            let mut text = String::new();
            for line in self.stderr.try_iter() {
                writeln!(text, "{line}").unwrap();
            }
            panic!("no line from {}: {error}; its errors: {text}", self.name)
        })
    }

    /// Waits for the next line on standard output; `None` after the process has ended.
    pub(crate) fn line_before_end(&self) -> Option<String> {
        match self.stdout.recv_timeout(TIMEOUT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line from {}, and no end", self.name),
        }
    }

    /// Waits for the next line on standard error.
    pub(crate) fn error_line(&self) -> String {
        let line = self.stderr.recv_timeout(TIMEOUT);
        line.unwrap_or_else(|error| panic!("no error from {}: {error}", self.name))
    }

    /// Waits for a line on standard error that contains `text`. Lines before it are discarded.
    #[track_caller]
    pub(crate) fn error_line_with(&self, text: &str) -> String {
        loop {
            let line = self.error_line();
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn pid(&self) -> i32 {
        Pid::from_child(&self.child).as_raw_nonzero().get()
    }

    /// Writes to standard input.
    pub(crate) fn input(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn end_input(&mut self) {
        drop(self.child.stdin.take());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(mut self) -> ProcessOutput {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return ProcessOutput {
                    status,
                    stdout: self.stdout.iter().collect(),
                    stderr: self.stderr.iter().collect(),
                };
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Returns the path of an example. Cargo builds examples next to the tests: `target/debug/deps/TEST` and `target/debug/examples/NAME`. It does not
/// build them for a selection of tests without `--`: `cargo test -p uptick --features full -- chat` builds them.
pub(crate) fn path_of(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let path = profile.join("examples").join(name);
    assert!(
        path.exists(),
        "{} does not exist; build it with `cargo build -p uptick --features full --examples`",
        path.display()
    );
    path
}

/// Reads lines on a separate thread, so that the process is never blocked by the test. The channel closes when the process ends.
fn lines_of(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}
