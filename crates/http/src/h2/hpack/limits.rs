//! Limits for the decoded fields of one block, and their count.

use super::FIELD_OVERHEAD;

/// Limits for the fields of one header block. Each field counts with the length of its name and its value and
/// [`FIELD_OVERHEAD`], as in `SETTINGS_MAX_HEADER_LIST_SIZE` (RFC 9113, 6.5.2). Each field line counts, so each part of a `cookie` as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListLimits {
    /// The maximum number of fields. Default: 128.
    pub fields: usize,
    /// The maximum size of all fields together, in bytes. Default: 16,384.
    pub bytes: usize,
}

impl Default for ListLimits {
    fn default() -> ListLimits {
        ListLimits {
            fields: 128,
            bytes: 16_384,
        }
    }
}

/// The part of the limits that is left for the rest of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct ListBudget {
    /// Zero after a field exceeded a limit.
    fields: usize,
    bytes: usize,
    is_exceeded: bool,
}

impl ListBudget {
    pub(super) fn new(limits: ListLimits) -> ListBudget {
        let ListLimits { fields, bytes } = limits;
        ListBudget {
            fields,
            bytes,
            is_exceeded: false,
        }
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// Returns the maximum length of the name and the value of the next field.
    pub(super) fn allowance(&self) -> usize {
        if self.fields == 0 {
            return 0;
        }
        self.bytes.saturating_sub(FIELD_OVERHEAD)
    }

    /// Counts a field with the length of its name and its value, which are in memory. Returns `false` if it exceeds a limit, or if an earlier field did.
    #[inline]
    pub(super) fn take(&mut self, length: usize) -> bool {
        // The sum of lengths in memory does not overflow.
        let size = length + FIELD_OVERHEAD;
        if self.fields == 0 || self.bytes < size {
            self.exceed();
            return false;
        }
        self.fields -= 1;
        self.bytes -= size;
        true
    }

    /// Counts a field that is larger than the allowance.
    pub(super) fn exceed(&mut self) {
        self.fields = 0;
        self.is_exceeded = true;
    }
}
