//! Types that can be sent as a message.

use bytes::Bytes;

use super::{Message, Text};

/// A type that can be sent as a message: strings as text, other types as bytes.
///
/// Slices are copied once, into the write queue. For owned types, [`into_bytes`](Payload::into_bytes) returns
/// [`Bytes`] without a copy.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent as a WebSocket message",
    label = "neither text nor bytes",
    note = "send text as `&str` or `String`, and bytes as `&[u8]`, `Vec<u8>` or `Bytes`; send other values as JSON, as in `serde_json::to_string(&value)`"
)]
pub trait Payload: Sized {
    /// Returns `true` if the payload is sent as text.
    fn is_text(&self) -> bool;

    /// Returns the bytes to send as a slice.
    fn as_slice(&self) -> &[u8];

    /// Converts the payload into the bytes to send.
    fn into_bytes(self) -> Bytes;
}

/// Implements `Payload` with the expressions of `as_slice` and `into_bytes`.
macro_rules! payload {
    ($($type:ty: $text:literal, $slice:expr, $bytes:expr;)*) => {$(
        impl Payload for $type {
            #[inline]
            fn is_text(&self) -> bool {
                $text
            }

            #[inline]
            fn as_slice(&self) -> &[u8] {
                let slice: fn(&Self) -> &[u8] = $slice;
                slice(self)
            }

            #[inline]
            fn into_bytes(self) -> Bytes {
                let bytes: fn(Self) -> Bytes = $bytes;
                bytes(self)
            }
        }
    )*};
}

payload! {
    &str: true, |text| text.as_bytes(), |text| Bytes::copy_from_slice(text.as_bytes());
    String: true, |text| text.as_bytes(), |text| text.into();
    &String: true, |text| text.as_bytes(), |text| Bytes::copy_from_slice(text.as_bytes());
    Text: true, |text| text.as_bytes(), Text::into_bytes;
    &Text: true, |text| text.as_bytes(), |text| text.clone().into_bytes();
    Bytes: false, |bytes| bytes, |bytes| bytes;
    &[u8]: false, |bytes| bytes, Bytes::copy_from_slice;
    Vec<u8>: false, |bytes| bytes, Bytes::from;
}

impl<const N: usize> Payload for &[u8; N] {
    #[inline]
    fn is_text(&self) -> bool {
        false
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        *self
    }

    fn into_bytes(self) -> Bytes {
        Bytes::copy_from_slice(self)
    }
}

impl Payload for Message {
    #[inline]
    fn is_text(&self) -> bool {
        Message::is_text(self)
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        self.as_bytes()
    }

    #[inline]
    fn into_bytes(self) -> Bytes {
        Message::into_bytes(self)
    }
}

impl Payload for &Message {
    #[inline]
    fn is_text(&self) -> bool {
        Message::is_text(self)
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        self.as_bytes()
    }

    fn into_bytes(self) -> Bytes {
        self.clone().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(payload: impl Payload) -> (bool, Vec<u8>) {
        let (text, slice) = (payload.is_text(), payload.as_slice().to_vec());
        assert_eq!(payload.into_bytes(), slice);
        (text, slice)
    }

    #[test]
    fn strings_are_text_and_other_types_are_bytes() {
        let string = String::from("hi");
        let message = Message::from("hi");
        let text = Text::from("hi");
        for sent in [
            parts("hi"),
            parts(&string),
            parts(string.clone()),
            parts(&text),
            parts(text.clone()),
            parts(&message),
            parts(message.clone()),
        ] {
            assert_eq!(sent, (true, b"hi".to_vec()));
        }
        for sent in [
            parts(b"hi"),
            parts(&b"hi"[..]),
            parts(b"hi".to_vec()),
            parts(Bytes::from_static(b"hi")),
            parts(Message::from(b"hi".to_vec())),
        ] {
            assert_eq!(sent, (false, b"hi".to_vec()));
        }
    }
}
