//! Ids of stream entries.

use std::fmt;

/// The id of an entry: `MILLISECONDS-SEQUENCE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId {
    milliseconds: u64,
    sequence: u64,
}

impl EntryId {
    /// Parses an id; `None` if a part is missing or is not a decimal number.
    pub(super) fn parse(text: &str) -> Option<EntryId> {
        let (milliseconds, sequence) = text.split_once('-')?;
        let number = |text: &str| {
            let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| is_decimal)
        };
        Some(EntryId {
            milliseconds: number(milliseconds)?,
            sequence: number(sequence)?,
        })
    }

    /// Returns the lowest id that is greater.
    pub(super) fn next(self) -> EntryId {
        let EntryId {
            milliseconds,
            sequence,
        } = self;
        match sequence.checked_add(1) {
            Some(sequence) => EntryId {
                milliseconds,
                sequence,
            },
            None => EntryId {
                milliseconds: milliseconds.saturating_add(1),
                sequence: 0,
            },
        }
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.milliseconds, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_time_and_sequence() {
        let id = |text: &str| EntryId::parse(text).unwrap();
        assert!(id("9-9") < id("10-0"));
        assert!(id("10-2") < id("10-11"));
        assert_eq!(id("10-2").next().to_string(), "10-3");
        assert_eq!(id("10-18446744073709551615").next().to_string(), "11-0");
    }

    #[test]
    fn other_texts_are_not_ids() {
        for text in ["", "1", "-", "1-", "-1", "+1-0", "1-x", "1-2-3", "$"] {
            assert_eq!(EntryId::parse(text), None, "{text}");
        }
    }
}
