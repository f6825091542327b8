//! Limits of multipart bodies.

/// The limits of a multipart body. A body that exceeds one is refused with 413.
///
/// # Examples
/// ```
/// use uptick_http::MultipartLimits;
///
/// let limits = MultipartLimits::new().file(100 << 20).total(1 << 30);
/// assert_ne!(limits, MultipartLimits::default());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultipartLimits {
    pub(super) parts: usize,
    pub(super) head: usize,
    pub(super) field: u64,
    pub(super) file: u64,
    pub(super) total: u64,
}

impl Default for MultipartLimits {
    fn default() -> MultipartLimits {
        MultipartLimits {
            parts: 1_000,
            head: 8 << 10,
            field: 1 << 20,
            file: 32 << 20,
            total: 64 << 20,
        }
    }
}

impl MultipartLimits {
    /// Creates the default limits.
    pub fn new() -> MultipartLimits {
        MultipartLimits::default()
    }

    /// Sets the maximum number of parts. Default: 1,000.
    pub fn parts(mut self, parts: usize) -> MultipartLimits {
        self.parts = parts;
        self
    }

    /// Sets the maximum size of the headers of a part, such as `Content-Disposition`, in bytes. Default: 8 KiB.
    pub fn head(mut self, bytes: usize) -> MultipartLimits {
        self.head = bytes;
        self
    }

    /// Sets the maximum size of a part that is not a file, in bytes. Default: 1 MiB.
    pub fn field(mut self, bytes: u64) -> MultipartLimits {
        self.field = bytes;
        self
    }

    /// Sets the maximum size of a file, which is a part with a file name, in bytes. Default: 32 MiB.
    pub fn file(mut self, bytes: u64) -> MultipartLimits {
        self.file = bytes;
        self
    }

    /// Sets the maximum size of the body, in bytes. Default: 64 MiB.
    pub fn total(mut self, bytes: u64) -> MultipartLimits {
        self.total = bytes;
        self
    }
}
