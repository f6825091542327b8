//! How a process ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// How a process ended: with a code, or by a signal.
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
    /// The code that the process returned; `None` when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended the process; `None` when it returned.
    pub signal: Option<i32>,
}

impl Exit {
    /// Whether the process returned 0.
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
