//! Session ids.

use std::fmt;

use crate::random;

/// The id of a session: 20 characters of `[A-Za-z0-9_-]` that encode 15 random bytes. The first 4 characters are the same for all sessions of a server
/// in a worker, so that other workers can find the session.
///
/// It is secret: every sender of a request with this id can act as the client. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 20]);

impl SessionId {
    /// Returns a new id that begins with a tag.
    ///
    /// # Errors
    /// Returns an error if the system has no source of random numbers.
    pub(super) fn random(tag: Tag) -> Result<SessionId, getrandom::Error> {
        let mut id = [0; 20];
        id[..4].copy_from_slice(&tag.0);
        random::try_characters(&mut id[4..])?;
        Ok(SessionId(id))
    }

    /// Returns the tag.
    #[cfg_attr(not(feature = "workers"), expect(dead_code, reason = "for workers"))]
    pub(super) fn tag(&self) -> Tag {
        let mut tag = [0; 4];
        tag.copy_from_slice(&self.0[..4]);
        Tag(tag)
    }

    /// Parses an id; `None` if `text` does not have the length of an id.
    pub(super) fn parse(text: &str) -> Option<SessionId> {
        text.as_bytes().try_into().ok().map(SessionId)
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The prefix of the session ids of a server in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tag(pub(super) [u8; 4]);

impl Tag {
    /// Returns a random tag. If the system has no source of random numbers, sessions are refused anyway.
    pub(super) fn random() -> Tag {
        let mut tag = *b"AAAA";
        let _ = random::try_characters(&mut tag);
        Tag(tag)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_twenty_characters_and_differ() {
        let tag = Tag::random();
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| SessionId::random(tag).unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let text = id.as_str();
            assert_eq!(text.len(), 20);
            assert_eq!(id.tag(), tag);
            assert!(
                text.bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)),
                "{text}"
            );
            assert_eq!(SessionId::parse(text), Some(id));
            assert!(!format!("{id:?}").contains(text));
        }
    }
}
