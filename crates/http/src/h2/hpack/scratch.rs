//! The memory that decoded strings of one field take until the field is passed on. It belongs to the thread, so that idle connections do not
//! keep any.

use std::cell::Cell;

/// The maximum size that a thread keeps, in bytes.
const KEPT: usize = 16_384;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Memory for the decoded strings of one field, taken from the thread when the first string is decoded.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    bytes: Vec<u8>,
}

impl Scratch {
    /// Returns at least `length` bytes with any content. The first bytes keep their content when it is called again.
    #[inline]
    pub(super) fn at_least(&mut self, length: usize) -> &mut [u8] {
        if self.bytes.len() < length {
            self.grow(length);
        }
        &mut self.bytes
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    #[cold]
    fn grow(&mut self, length: usize) {
        if self.bytes.is_empty() {
            // During the destruction of the thread, there is no spare memory.
            self.bytes = SPARE.try_with(Cell::take).unwrap_or_default();
        }
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.bytes.is_empty() && self.bytes.len() <= KEPT {
            let bytes = std::mem::take(&mut self.bytes);
            let _ = SPARE.try_with(|spare| spare.set(bytes));
        }
    }
}
