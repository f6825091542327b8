//! Socket ids.

use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{random, tag};

/// Number of characters in an id.
const LENGTH: usize = 20;

/// The id of a socket: 20 characters of `[A-Za-z0-9_-]`.
///
/// A client has a different id in each namespace that it joins. Other clients may see it: it is not the session id, which is secret. It is also the name of a room
/// that has the socket as its only member.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SocketId([u8; LENGTH]);

impl SocketId {
    /// An id that belongs to no socket.
    pub(crate) const NONE: SocketId = SocketId([b'-'; LENGTH]);

    /// Returns an id that begins with the tag of this worker and is otherwise random.
    pub(crate) fn random() -> SocketId {
        let mut id = [0; LENGTH];
        let (tag, rest) = id.split_at_mut(tag::LENGTH);
        tag.copy_from_slice(&tag::own());
        random::characters(rest);
        SocketId(id)
    }

    /// Parses an id; `None` if `text` is not 20 characters of `[A-Za-z0-9_-]`.
    pub fn parse(text: &str) -> Option<SocketId> {
        let id: [u8; LENGTH] = text.as_bytes().try_into().ok()?;
        let valid = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        id.iter().all(valid).then_some(SocketId(id))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        // Ids are ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl Deref for SocketId {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for SocketId {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl PartialEq<str> for SocketId {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl Serialize for SocketId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SocketId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SocketId, D::Error> {
        let text = String::deserialize(deserializer)?;
        SocketId::parse(&text).ok_or_else(|| serde::de::Error::custom("not a socket id"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_distinct_and_valid() {
        let (one, two) = (SocketId::random(), SocketId::random());
        assert_ne!(one, two);
        assert_eq!(SocketId::parse(one.as_str()), Some(one));
        assert_eq!(one[..tag::LENGTH], two[..tag::LENGTH]);
    }

    #[test]
    fn invalid_ids_are_rejected() {
        for text in ["", "short", "0123456789012345678+", "012345678901234567890"] {
            assert_eq!(SocketId::parse(text), None, "{text}");
        }
    }
}
