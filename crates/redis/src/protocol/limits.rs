//! Limits of the decoder.

/// Limits for received values. A value that exceeds one is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum depth of nested values. Default: 32.
    pub depth: usize,
    /// The maximum size of a string, in bytes. Default: 64 MiB.
    pub bulk: usize,
    /// The maximum size of a value as a whole, in bytes of the protocol. Default: 256 MiB.
    pub total: usize,
    /// The maximum number of elements of a value, including nested ones. Default: 1,048,576.
    pub elements: usize,
    /// The maximum length of a line: a simple string, an error or a number, in bytes. Default: 64 KiB.
    pub line: usize,
}

impl Limits {
    /// Creates limits with the defaults.
    pub const fn new() -> Self {
        Limits {
            depth: 32,
            bulk: 64 * 1024 * 1024,
            total: 256 * 1024 * 1024,
            elements: 1024 * 1024,
            line: 64 * 1024,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::new()
    }
}
