//! Limits of heads and framing.

/// Maximum number of headers that any limit allows.
const MAX_FIELDS: usize = 1000;

/// The limits of a [`Decoder`](super::Decoder) for one message. Bodies have no limit here: their length is known in advance, or the
/// caller can count their pieces.
///
/// # Examples
///
/// ```
/// use uptick_http::h1::Limits;
///
/// let limits = Limits::default().fields(200).request_line(2048);
/// # let _ = limits;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub(crate) request_line: usize,
    pub(crate) header_section: usize,
    pub(crate) fields: usize,
    pub(super) chunk_extensions: usize,
    pub(crate) trailer_section: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            request_line: 16 * 1024,
            header_section: 64 * 1024,
            fields: 100,
            chunk_extensions: 4 * 1024,
            trailer_section: 16 * 1024,
        }
    }
}

impl Limits {
    /// Sets the maximum size of the request line, in bytes, without its line ending. A longer line is answered with 414. Default: 16 KiB.
    ///
    /// # Limits
    ///
    /// At most 1 GiB.
    #[must_use]
    pub fn request_line(mut self, bytes: usize) -> Limits {
        self.request_line = bytes.min(1 << 30);
        self
    }

    /// Sets the maximum size of the header section, in bytes, with line endings and the final empty line. A larger section is answered
    /// with 431. Default: 64 KiB.
    ///
    /// # Limits
    ///
    /// At most 1 GiB.
    #[must_use]
    pub fn header_section(mut self, bytes: usize) -> Limits {
        self.header_section = bytes.min(1 << 30);
        self
    }

    /// Sets the maximum number of headers, and of trailers. More are answered with 431. Default: 100.
    ///
    /// # Limits
    ///
    /// At most 1,000.
    #[must_use]
    pub fn fields(mut self, count: usize) -> Limits {
        self.fields = count.min(MAX_FIELDS);
        self
    }

    /// Sets the maximum size of all chunk extensions of one body together, in bytes. They are validated and ignored. More bytes are
    /// answered with 413. Default: 4 KiB.
    ///
    /// # Limits
    ///
    /// At most 1 GiB.
    #[must_use]
    pub fn chunk_extensions(mut self, bytes: usize) -> Limits {
        self.chunk_extensions = bytes.min(1 << 30);
        self
    }

    /// Sets the maximum size of the trailer section, in bytes, with line endings and the final empty line. A larger section is answered
    /// with 431. Default: 16 KiB.
    ///
    /// # Limits
    ///
    /// At most 1 GiB.
    #[must_use]
    pub fn trailer_section(mut self, bytes: usize) -> Limits {
        self.trailer_section = bytes.min(1 << 30);
        self
    }
}
