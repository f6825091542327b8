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
    left: ListLimits,
    is_exceeded: bool,
}

impl ListBudget {
    pub(super) fn new(limits: ListLimits) -> ListBudget {
        ListBudget {
            left: limits,
            is_exceeded: false,
        }
    }

    pub(super) fn is_exceeded(&self) -> bool {
        self.is_exceeded
    }

    /// Returns the maximum length of the name and the value of the next field.
    pub(super) fn allowance(&self) -> usize {
        if self.is_exceeded || self.left.fields == 0 {
            return 0;
        }
        self.left.bytes.saturating_sub(FIELD_OVERHEAD)
    }

    /// Counts a field. Returns `false` if it exceeds a limit, or if an earlier field did.
    pub(super) fn take(&mut self, name_and_value: usize) -> bool {
        let size = name_and_value.saturating_add(FIELD_OVERHEAD);
        if self.is_exceeded || self.left.fields == 0 || self.left.bytes < size {
            self.is_exceeded = true;
            return false;
        }
        self.left.fields -= 1;
        self.left.bytes -= size;
        true
    }

    /// Counts a field that is larger than the allowance.
    pub(super) fn exceed(&mut self) {
        self.is_exceeded = true;
    }
}
