//! Values of the header `Authorization`.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::HeaderValue;

/// Returns the value `Basic …` (RFC 7617). It is marked as sensitive.
pub(crate) fn basic(user: impl AsRef<[u8]>, password: impl AsRef<[u8]>) -> HeaderValue {
    let credentials = [user.as_ref(), b":", password.as_ref()].concat();
    let text = format!("Basic {}", BASE64_STANDARD.encode(credentials));
    // The alphabet of Base64 is valid in a header.
    let mut value = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// Returns the value `Bearer …` (RFC 6750), marked as sensitive; `None` if a header cannot contain the token.
pub(crate) fn bearer(token: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::{basic, bearer};

    #[test]
    fn credentials_are_encoded_and_sensitive() {
        let value = basic("Aladdin", "open sesame");
        assert_eq!(value, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert!(value.is_sensitive());
        assert_eq!(basic("", ""), "Basic Og==");
        assert_eq!(basic(b"\xff", "a:b"), "Basic /zphOmI=");
    }

    #[test]
    fn tokens_with_control_characters_are_refused() {
        let value = bearer("abc.def-_~+/=").unwrap();
        assert_eq!(value, "Bearer abc.def-_~+/=");
        assert!(value.is_sensitive());
        assert!(bearer("a\r\nb").is_none());
    }
}
