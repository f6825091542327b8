//! Options for starting a process.

use std::process::{self, Command};

/// The target of a standard stream of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stdio {
    /// A pipe; its other end is a stream.
    #[default]
    Piped,
    /// `/dev/null`: reads return end of file, and written bytes are discarded.
    Null,
    /// The same descriptor as in this process.
    Inherit,
    /// The target set on the [`Command`], such as a file; by default, the same descriptor as in this process.
    Command,
}

impl Stdio {
    /// Returns `None` if the setting of the command is kept.
    fn into_std(self) -> Option<process::Stdio> {
        match self {
            Stdio::Piped => Some(process::Stdio::piped()),
            Stdio::Null => Some(process::Stdio::null()),
            Stdio::Inherit => Some(process::Stdio::inherit()),
            Stdio::Command => None,
        }
    }
}

/// Options for starting a process, in addition to its [`Command`].
///
/// # Examples
/// ```no_run
/// use std::process::Command;
/// use uptick_process::{Process, ProcessOptions, Stdio};
///
/// // Inherits standard error, so that error messages go to the terminal.
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
        if let Some(stdio) = self.stdin.into_std() {
            command.stdin(stdio);
        }
        if let Some(stdio) = self.stdout.into_std() {
            command.stdout(stdio);
        }
        if let Some(stdio) = self.stderr.into_std() {
            command.stderr(stdio);
        }
    }
}
