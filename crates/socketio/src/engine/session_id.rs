//! Session ids.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The id of a session: 20 characters `[A-Za-z0-9_-]` of 15 random bytes.
///
/// It is a secret: who knows it can speak for the client. `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 20]);

impl SessionId {
    /// Returns a new id.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub(super) fn random() -> Result<SessionId, getrandom::Error> {
        let mut random = [0; 15];
        getrandom::fill(&mut random)?;
        let mut id = [0; 20];
        // 15 bytes are 20 characters exactly.
        let _ = URL_SAFE_NO_PAD.encode_slice(random, &mut id);
        Ok(SessionId(id))
    }

    /// Returns the id with this text, if it may be one.
    pub(super) fn parse(text: &str) -> Option<SessionId> {
        text.as_bytes().try_into().ok().map(SessionId)
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
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
        let ids: std::collections::HashSet<_> =
            (0..1000).map(|_| SessionId::random().unwrap()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            let text = id.as_str();
            assert_eq!(text.len(), 20);
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
