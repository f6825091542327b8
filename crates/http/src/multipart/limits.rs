//! How much a multipart body may have of everything.

/// How much a multipart body may have of everything. What is over is refused with 413.
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
    /// The defaults.
    pub fn new() -> MultipartLimits {
        MultipartLimits::default()
    }

    /// Sets how many parts there may be. Default: 1,000.
    pub fn parts(mut self, parts: usize) -> MultipartLimits {
        self.parts = parts;
        self
    }

    /// Sets how many bytes the fields of a part may have, those like `Content-Disposition`. Default: 8 KiB.
    pub fn head(mut self, bytes: usize) -> MultipartLimits {
        self.head = bytes;
        self
    }

    /// Sets how many bytes a part may have that is no file. Default: 1 MiB.
    pub fn field(mut self, bytes: u64) -> MultipartLimits {
        self.field = bytes;
        self
    }

    /// Sets how many bytes a file may have: a part with a file name. Default: 32 MiB.
    pub fn file(mut self, bytes: u64) -> MultipartLimits {
        self.file = bytes;
        self
    }

    /// Sets how many bytes the body may have in all. Default: 64 MiB.
    pub fn total(mut self, bytes: u64) -> MultipartLimits {
        self.total = bytes;
        self
    }
}
