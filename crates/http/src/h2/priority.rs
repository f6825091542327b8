//! Extensible priorities (RFC 9218).

/// The priority of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Priority {
    /// A number between 0, the most urgent, and 7.
    pub(super) urgency: u8,
    /// `true` if the client can use the response piece by piece, so that it shares the connection with others.
    pub(super) incremental: bool,
}

/// The number of urgencies.
pub(super) const URGENCIES: usize = 8;

impl Default for Priority {
    fn default() -> Priority {
        Priority {
            urgency: 3,
            incremental: false,
        }
    }
}

impl Priority {
    /// The priority of a stream for which the client has sent none. Such streams share the connection, so that a large response
    /// does not delay the others.
    pub(super) const UNKNOWN: Priority = Priority {
        urgency: 3,
        incremental: true,
    };

    /// Parses the value of a `priority` header or of a PRIORITY_UPDATE frame. Unknown and invalid members are ignored (RFC 9218, section 4).
    pub(super) fn parse(value: &[u8]) -> Priority {
        let mut priority = Priority::default();
        for member in value.split(|&byte| byte == b',') {
            // Parameters of a member have no meaning.
            let member = member.split(|&byte| byte == b';').next();
            match member.unwrap_or_default().trim_ascii() {
                [b'u', b'=', digit @ b'0'..=b'7'] => priority.urgency = digit - b'0',
                b"i" | b"i=?1" => priority.incremental = true,
                b"i=?0" => priority.incremental = false,
                _ => {}
            }
        }
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_is_parsed_and_invalid_members_are_ignored() {
        for (value, urgency, incremental) in [
            ("", 3, false),
            ("u=0", 0, false),
            ("u=7, i", 7, true),
            ("i=?1;a,u=5;b=c", 5, true),
            ("i, i=?0", 3, false),
            ("u=1,u=2", 2, false),
            ("u=8", 3, false),
            ("u=-1, i=1", 3, false),
            ("u=10, x=(1 2), i", 3, true),
            (" u=4 ,\ti ", 4, true),
            (",,;;=,u", 3, false),
        ] {
            let expected = Priority {
                urgency,
                incremental,
            };
            assert_eq!(Priority::parse(value.as_bytes()), expected, "{value:?}");
        }
    }
}
