//! How much of a message a decoder takes.

/// What a [`Decoder`](super::Decoder) takes of one message.
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
    /// Sets the number of bytes in a message, all fragments together, and inflated if it is compressed. More is refused
    /// with 1009, as soon as the length of a frame tells. Default: 1 MiB.
    ///
    /// # Limits
    ///
    /// At most 1 GiB.
    #[must_use]
    pub fn message(mut self, bytes: usize) -> Limits {
        self.message = bytes.min(1 << 30);
        self
    }

    /// Sets the maximum number of frames in a message; more are refused with 1009. It limits the work for a message that never
    /// ends: a frame costs no memory besides its payload. Default: 131,072.
    ///
    /// # Limits
    ///
    /// At least 1, at most 1 Gi.
    #[must_use]
    pub fn fragments(mut self, count: usize) -> Limits {
        self.fragments = count.clamp(1, 1 << 30);
        self
    }

    /// The number of bytes that a compressed message may have: what is allowed, and what the blocks add to bytes that do
    /// not get smaller.
    pub(super) fn compressed(&self) -> usize {
        self.message + self.message / 128 + 64
    }
}
