//! The lines of a section that may come in pieces.

use std::ops::Range;

use memchr::memchr;

use super::invalid::Invalid;

/// How far the lines of a section were found: no byte is looked at twice, however the section comes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lines {
    /// Where the line begins that was not found whole.
    start: u32,
    /// Up to where there is no end of it.
    searched: u32,
    /// How many lines there were.
    count: u32,
}

impl Lines {
    /// Whether nothing was looked at yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.searched == 0
    }

    /// The number of lines that were found.
    pub(super) fn count(&self) -> usize {
        self.count as usize
    }

    /// The next line of the section, without its end; none if its end did not come yet.
    ///
    /// # Errors
    ///
    /// `too_long` if the line does not end within the first `bound` bytes, or if it does not end as lines do.
    pub(super) fn next(
        &mut self,
        section: &[u8],
        bound: usize,
        too_long: Invalid,
    ) -> Result<Option<Range<usize>>, Invalid> {
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
            return Err(Invalid::bad("a line ends with LF in place of CR LF"));
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
    //! Counts the bytes that were looked at, for tests of what that costs.

    use std::cell::Cell;

    thread_local!(static WORK: Cell<usize> = const { Cell::new(0) });

    pub(in crate::h1) fn count_work(bytes: usize) {
        WORK.set(WORK.get() + bytes);
    }

    pub(in crate::h1) fn take_work() -> usize {
        WORK.take()
    }
}
