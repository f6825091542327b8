//! How a process is started.

use std::process::{self, Command};

/// One of the three standard descriptors of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// A pipe, whose other end is a stream.
    #[default]
    Piped,
    /// `/dev/null`: nothing to read, and what is written is discarded.
    Null,
    /// That of this process.
    Inherit,
    /// The descriptor that the [`Command`] sets, such as a file; by default, that of this process.
    Command,
}

impl Stdio {
    /// Returns `None` where the command is left as it is.
    fn of_command(self) -> Option<process::Stdio> {
        match self {
            Stdio::Piped => Some(process::Stdio::piped()),
            Stdio::Null => Some(process::Stdio::null()),
            Stdio::Inherit => Some(process::Stdio::inherit()),
            Stdio::Command => None,
        }
    }
}

/// How a process is started, beside its [`Command`].
///
/// # Examples
/// ```no_run
/// use std::process::Command;
/// use uptick_process::{Process, ProcessOptions, Stdio};
///
/// // Its errors go to the terminal of this program.
/// let options = ProcessOptions::new().stdin(Stdio::Null).stderr(Stdio::Inherit);
/// let child = Process::spawn_with(Command::new("ls").arg("-l"), options)?;
/// # Ok::<(), uptick_process::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessOptions {
    stdin: Stdio,
    stdout: Stdio,
    stderr: Stdio,
}

impl ProcessOptions {
    /// Returns the default options: three pipes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the standard input of the process. Default: [`Stdio::Piped`].
    #[must_use]
    pub fn stdin(self, stdin: Stdio) -> Self {
        ProcessOptions { stdin, ..self }
    }

    /// Sets the standard output of the process. Default: [`Stdio::Piped`].
    #[must_use]
    pub fn stdout(self, stdout: Stdio) -> Self {
        ProcessOptions { stdout, ..self }
    }

    /// Sets the standard error of the process. Default: [`Stdio::Piped`].
    #[must_use]
    pub fn stderr(self, stderr: Stdio) -> Self {
        ProcessOptions { stderr, ..self }
    }

    pub(crate) fn apply(self, command: &mut Command) {
        if let Some(stdio) = self.stdin.of_command() {
            command.stdin(stdio);
        }
        if let Some(stdio) = self.stdout.of_command() {
            command.stdout(stdio);
        }
        if let Some(stdio) = self.stderr.of_command() {
            command.stderr(stdio);
        }
    }
}
