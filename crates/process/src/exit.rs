//! Exit statuses.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The exit status of a process: an exit code or the signal that terminated it.
///
/// # Examples
/// ```
/// use uptick_process::Exit;
///
/// let exit = Exit { code: Some(1), signal: None };
/// assert!(!exit.success());
/// assert_eq!(exit.to_string(), "exit code 1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Exit {
    /// The exit code; `None` if a signal terminated the process.
    pub code: Option<i32>,
    /// The signal that terminated the process; `None` if it exited with a code.
    pub signal: Option<i32>,
}

impl Exit {
    /// Returns `true` if the exit code is 0.
    pub fn success(self) -> bool {
        self.code == Some(0)
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        Exit {
            code: status.code(),
            signal: status.signal(),
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exit code {code}"),
            (None, Some(signal)) => write!(f, "signal {signal}"),
            (None, None) => f.write_str("unknown exit status"),
        }
    }
}
