//! The return type of `main`.

use std::error::Error;
use std::fmt;

/// The result of a program or of a part of it: `fn main() -> uptick::Result`.
pub type Result<T = (), E = Failure> = std::result::Result<T, E>;

/// Any error, as returned from `main`: its `Debug` output is its text, not its structure.
///
/// # Examples
/// ```
/// fn main() -> uptick::Result {
///     let port: u16 = "8080".parse()?;
///     # let _ = port;
///     uptick::run()
/// }
/// ```
pub struct Failure(Box<dyn Error>);

impl Failure {
    /// Returns the original error.
    pub fn into_inner(self) -> Box<dyn Error> {
        self.0
    }
}

impl<E: Into<Box<dyn Error>>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure(error.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
