//! How much of a message's head and framing a decoder takes.

/// The most fields that any limit allows.
const MOST_FIELDS: usize = 1000;

/// What a [`Decoder`](super::Decoder) takes of one message. Bodies have no limit here: their length is known
/// before they come, or they come in pieces that can be counted.
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
    pub(super) request_line: usize,
    pub(super) header_section: usize,
    pub(super) fields: usize,
    pub(super) chunk_extensions: usize,
    pub(super) trailer_section: usize,
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
    /// Sets the number of bytes in a request line, without its end. More is answered with 414. Default: 16 KiB.
    ///
    /// # Limits
    ///
    /// At most 1 GiB.
    #[must_use]
    pub fn request_line(mut self, bytes: usize) -> Limits {
        self.request_line = bytes.min(1 << 30);
        self
    }

    /// Sets the number of bytes in the fields of a head, with their line ends and the empty line after the last.
    /// More is answered with 431. Default: 64 KiB.
    ///
    /// # Limits
    ///
    /// At most 1 GiB.
    #[must_use]
    pub fn header_section(mut self, bytes: usize) -> Limits {
        self.header_section = bytes.min(1 << 30);
        self
    }

    /// Sets the number of fields in a head, and in the trailers of a body. More is answered with 431. Default: 100.
    ///
    /// # Limits
    ///
    /// At most 1,000.
    #[must_use]
    pub fn fields(mut self, count: usize) -> Limits {
        self.fields = count.min(MOST_FIELDS);
        self
    }

    /// Sets the number of bytes in all chunk extensions of one body together, which are validated and ignored. More is
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

    /// Sets the number of bytes in the trailers of a body, with their line ends and the empty line after the last.
    /// More is answered with 431. Default: 16 KiB.
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
