//! Messages and their payloads.

mod payload;
mod text;

pub use payload::Payload;
pub use text::Text;

use bytes::Bytes;

/// A message: text or bytes.
///
/// A clone is as cheap as a clone of [`Bytes`]. A received message may be a slice of the read buffer, and keeps that buffer
/// alive: copy messages that you keep for a long time.
///
/// # Examples
///
/// ```
/// use uptick_websocket::Message;
///
/// match Message::from("hello") {
///     Message::Text(text) => assert!(text.starts_with("he")),
///     Message::Binary(bytes) => assert!(bytes.is_empty()),
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// Text.
    Text(Text),
    /// Arbitrary bytes.
    Binary(Bytes),
}

impl Message {
    /// Returns `true` for a text message.
    #[inline]
    pub fn is_text(&self) -> bool {
        matches!(self, Message::Text(_))
    }

    /// Returns the text, or `None` for a binary message. `Message::Text` contains a [`Text`], which can be cloned and sliced
    /// without a copy.
    ///
    /// # Examples
    /// ```
    /// use uptick_websocket::Message;
    ///
    /// let message = Message::from("/join lobby");
    /// let room = message.as_text().and_then(|text| text.strip_prefix("/join "));
    /// assert_eq!(room, Some("lobby"));
    /// ```
    #[inline]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Message::Text(text) => Some(text.as_str()),
            Message::Binary(_) => None,
        }
    }

    /// Returns the bytes of the text or binary message.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// Converts the text or binary message into its bytes.
    #[inline]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// Returns the length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Returns `true` if the message has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

impl From<Text> for Message {
    fn from(text: Text) -> Message {
        Message::Text(text)
    }
}

impl From<&'static str> for Message {
    fn from(text: &'static str) -> Message {
        Message::Text(text.into())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Message {
        Message::Text(text.into())
    }
}

impl From<Bytes> for Message {
    fn from(bytes: Bytes) -> Message {
        Message::Binary(bytes)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Message {
        Message::Binary(bytes.into())
    }
}

impl From<Message> for Bytes {
    fn from(message: Message) -> Bytes {
        message.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_word_larger_than_its_bytes() {
        assert!(size_of::<Message>() <= size_of::<Bytes>() + size_of::<usize>());
        assert!(size_of::<Option<Message>>() <= size_of::<Message>());
    }

    #[test]
    fn strings_become_text_and_other_types_bytes() {
        assert_eq!(Message::from("a").as_text().unwrap(), "a");
        assert!(Message::from(String::from("a")).is_text());
        assert!(!Message::from(vec![1]).is_text());
        assert_eq!(Message::from(Bytes::from_static(b"ab")).len(), 2);
        assert_eq!(Message::from("ab").into_bytes(), "ab");
        assert!(Message::from("").is_empty());
    }
}
