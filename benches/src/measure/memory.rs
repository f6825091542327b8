//! Resident memory of another process.

use std::fs;

use anyhow::{Context as _, Result};

/// The resident memory of a process, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Resident {
    /// The total, including mapped files.
    pub(crate) total: u64,
    /// Heap, stacks and other pages that belong to no file.
    pub(crate) anonymous: u64,
}

impl Resident {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/smaps_rollup");
        let text = fs::read_to_string(&path).with_context(|| format!("reading {path} failed"))?;
        Self::parse(&text).with_context(|| format!("{path} lacks Rss or Anonymous"))
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = |name: &str| -> Option<u64> {
            let rest = text
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            Some(rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
        };
        Some(Self {
            total: bytes("Rss")?,
            anonymous: bytes("Anonymous")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_returned_in_bytes() {
        let text = "55cf-7ffc ---p 00000000 00:00 0 [rollup]\nRss:                1052 kB\n\
                    Pss:                 224 kB\nAnonymous:            80 kB\n";
        assert_eq!(
            Resident::parse(text),
            Some(Resident {
                total: 1052 * 1024,
                anonymous: 80 * 1024
            })
        );
    }

    #[test]
    fn a_text_without_the_sums_is_refused() {
        assert_eq!(Resident::parse("Rss: 12 kB\n"), None);
    }
}
