//! Limits of a decoder.

/// The limits of a [`Decoder`](super::Decoder) for each message.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::Limits;
///
/// let limits = Limits::default().message(64 * 1024).fragments(16);
/// # let _ = limits;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(super) message: usize,
    pub(super) fragments: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            message: 1024 * 1024,
            fragments: 131_072,
        }
    }
}

impl Limits {
    /// Sets the maximum length of a message in bytes, with all fragments, after decompression. A longer message is refused
    /// with 1009, as early as the length of a frame reveals it. Default: 1 MiB.
    ///
    /// # Limits
    ///
    /// At most 1 GiB.
    #[must_use]
    pub fn message(mut self, bytes: usize) -> Limits {
        self.message = bytes.min(1 << 30);
        self
    }

    /// Sets the maximum number of frames of a message; more frames are refused with 1009. This limits the work for an endless
    /// message, because a frame needs no memory besides its payload. Default: 131,072.
    ///
    /// # Limits
    ///
    /// At least 1, at most 1 Gi.
    #[must_use]
    pub fn fragments(mut self, count: usize) -> Limits {
        self.fragments = count.clamp(1, 1 << 30);
        self
    }

    /// Returns the maximum length of a compressed message: the limit, plus the overhead of DEFLATE blocks for incompressible
    /// bytes.
    pub(super) fn compressed(&self) -> usize {
        self.message + self.message / 128 + 64
    }
}
