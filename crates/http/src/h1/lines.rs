//! Line splitter for header and trailer sections that are received in several pieces.

use std::ops::Range;

use memchr::memchr;

use crate::message::invalid::InvalidMessage;

/// The search position in a section. No byte is searched twice, however the section is split.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Start of the first incomplete line.
    start: u32,
    /// End of the searched bytes.
    searched: u32,
    /// Number of complete lines.
    count: u32,
}

impl Lines {
    /// Returns `true` if nothing has been searched yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.searched == 0
    }

    /// Returns the start of the first incomplete line.
    pub(super) fn start(&self) -> usize {
        self.start as usize
    }

    /// Returns the number of complete lines.
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// Returns the next line of the section, without its line ending; `None` if the line is incomplete.
    ///
    /// # Errors
    ///
    /// `too_long` if the line does not end within the first `bound` bytes, or another error if it ends with LF only.
    pub(super) fn next(
        &mut self,
        section: &[u8],
        bound: usize,
        too_long: InvalidMessage,
    ) -> Result<Option<Range<usize>>, InvalidMessage> {
        let (start, searched) = (self.start as usize, self.searched as usize);
        let unsearched = &section[searched..section.len().min(bound).max(searched)];
        count_work(unsearched.len());
        let Some(found) = memchr(b'\n', unsearched) else {
            self.searched = (searched + unsearched.len()) as u32;
            return if section.len() >= bound {
                Err(too_long)
            } else {
                Ok(None)
            };
        };
        let end = searched + found;
        if end == start || section[end - 1] != b'\r' {
            return Err(InvalidMessage::bad("a line ends with LF instead of CR LF"));
        }
        self.start = end as u32 + 1;
        self.searched = self.start;
        self.count += 1;
        Ok(Some(start..end - 1))
    }
}

#[cfg(not(test))]
#[inline]
pub(super) fn count_work(_bytes: usize) {}

#[cfg(test)]
pub(super) use work::count_work;

#[cfg(test)]
pub(super) mod work {
    //! Counts the searched bytes, for tests of the cost.

    use std::cell::Cell;

    thread_local!(static WORK: Cell<usize> = const { Cell::new(0) });

    pub(in crate::h1) fn count_work(bytes: usize) {
        WORK.set(WORK.get() + bytes);
    }

    pub(in crate::h1) fn take_work() -> usize {
        WORK.take()
    }
}
