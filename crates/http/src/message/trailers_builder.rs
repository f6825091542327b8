//! Trailers of HTTP/2 messages (RFC 9113, section 8.1).

use bytes::Bytes;

use super::field_checks::{check_name, check_value};
use super::field_name::{FORBIDDEN_TRAILER, FieldKind, is_forbidden_in_trailers};
use super::fields::Trailers;
use super::invalid::InvalidMessage;

/// A builder of the trailers of an HTTP/2 message.
///
/// [`field`](TrailersBuilder::field) is called for each field of the block in order, and then [`finish`](TrailersBuilder::finish).
#[derive(Debug, Default)]
pub(crate) struct TrailersBuilder {
    section: Vec<u8>,
    error: Option<InvalidMessage>,
}

impl TrailersBuilder {
    /// Creates a builder without fields.
    pub(crate) fn new() -> TrailersBuilder {
        TrailersBuilder::default()
    }

    /// Adds a field. `static_name` is the index of an entry with this name in the static table of HPACK, or 0. Fields after an error are
    /// ignored.
    pub(crate) fn field(&mut self, name: &[u8], value: &[u8], static_name: u8) {
        if self.error.is_some() {
            return;
        }
        match check(name, value, static_name) {
            Ok(()) => {
                for part in [name, b": ", value, b"\r\n"] {
                    self.section.extend_from_slice(part);
                }
            }
            Err(error) => self.error = Some(error),
        }
    }

    /// Returns the trailers.
    ///
    /// # Errors
    ///
    /// The first error of a field.
    pub(crate) fn finish(mut self) -> Result<Trailers, InvalidMessage> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.section.extend_from_slice(b"\r\n");
        Ok(Trailers::new(Bytes::from(self.section)))
    }
}

fn check(name: &[u8], value: &[u8], static_name: u8) -> Result<(), InvalidMessage> {
    match FieldKind::of(name, static_name) {
        FieldKind::Method
        | FieldKind::Path
        | FieldKind::Scheme
        | FieldKind::Authority
        | FieldKind::Protocol
        | FieldKind::OtherPseudo => {
            return Err(InvalidMessage::bad("a trailer is a pseudo-header"));
        }
        FieldKind::Connection | FieldKind::Te => return Err(FORBIDDEN_TRAILER),
        _ if is_forbidden_in_trailers(name) => return Err(FORBIDDEN_TRAILER),
        _ => {}
    }
    check_name(name)?;
    check_value(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trailers(fields: &[(&str, &str)]) -> Result<Trailers, InvalidMessage> {
        let mut builder = TrailersBuilder::new();
        for (name, value) in fields {
            builder.field(name.as_bytes(), value.as_bytes(), 0);
        }
        builder.finish()
    }

    #[test]
    fn trailers_have_the_fields_in_order() {
        let trailers = trailers(&[
            ("checksum", "abc"),
            ("server-timing", ""),
            ("checksum", "d"),
        ]);
        let trailers = trailers.unwrap();
        let fields: Vec<_> = trailers.fields().collect();
        assert_eq!(
            fields,
            [
                ("checksum", &b"abc"[..]),
                ("server-timing", b""),
                ("checksum", b"d")
            ]
        );
        assert_eq!(
            trailers.to_header_map().get_all("checksum").iter().count(),
            2
        );
    }

    #[test]
    fn a_section_without_fields_has_no_trailers() {
        assert_eq!(trailers(&[]).unwrap().fields().count(), 0);
    }

    #[test]
    fn trailers_that_would_change_the_request_are_refused() {
        for name in [
            "content-length",
            "transfer-encoding",
            "host",
            "connection",
            "keep-alive",
            "proxy-connection",
            "upgrade",
            "te",
            ":path",
            ":status",
            ":unknown",
            "Checksum",
            "",
            "a b",
        ] {
            assert!(trailers(&[("a", "b"), (name, "1")]).is_err(), "{name}");
        }
        for value in ["a\rb", "a\nb", "a\0b", " a", "a\t", "\x7f"] {
            assert!(trailers(&[("a", value)]).is_err(), "{value:?}");
        }
    }
}
