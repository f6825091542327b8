//! Response cookies (RFC 6265).

use cookie::Cookie;
use uptick_emitter::Excerpt;

use crate::HeaderValue;

/// Maximum length of a cookie with its attributes that browsers accept, in bytes.
const MAX_LENGTH: usize = 4096;

/// The error for a cookie that cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cookie \"{}\" cannot be sent: {reason}", Excerpt::new(.name))]
pub(crate) struct CookieError {
    name: String,
    reason: &'static str,
}

/// Returns the value of the `Set-Cookie` header of a cookie.
pub(crate) fn to_header_value(cookie: &Cookie<'_>) -> Result<HeaderValue, CookieError> {
    let failed = |reason| CookieError {
        name: cookie.name().to_owned(),
        reason,
    };
    check(cookie).map_err(failed)?;
    let text = cookie.to_string();
    if text.len() > MAX_LENGTH {
        return Err(failed("it is longer than 4096 bytes"));
    }
    HeaderValue::try_from(text).map_err(|_| failed("it contains a control character"))
}

fn check(cookie: &Cookie<'_>) -> Result<(), &'static str> {
    let name = cookie.name();
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err("its name is not a token");
    }
    let value = cookie.value();
    let bare = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    if !bare.bytes().all(is_value_byte) {
        return Err("its value contains a character that is not allowed in cookies");
    }
    let attributes = [cookie.path(), cookie.domain()];
    let mut bytes = attributes.into_iter().flatten().flat_map(str::bytes);
    if bytes.any(|b| b == b';' || !(b' '..=b'~').contains(&b)) {
        return Err("its path or domain contains a character that is not allowed in cookies");
    }
    let secure = cookie.secure() == Some(true);
    if has_prefix(name, "__Secure-") && !secure {
        return Err("__Secure- requires Secure");
    }
    let whole_host = secure && cookie.path() == Some("/") && cookie.domain().is_none();
    if has_prefix(name, "__Host-") && !whole_host {
        return Err("__Host- requires Secure, the path / and no domain");
    }
    Ok(())
}

/// Returns whether a name has a prefix, ignoring case as browsers do.
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Returns whether a byte is allowed in a token (RFC 9110, section 5.6.2).
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Returns whether a byte is allowed in a cookie value (RFC 6265, section 4.1.1).
fn is_value_byte(b: u8) -> bool {
    b.is_ascii_graphic() && !b"\",;\\".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SameSite;

    fn sent(cookie: impl Into<Cookie<'static>>) -> Result<String, &'static str> {
        to_header_value(&cookie.into())
            .map(|value| value.to_str().unwrap().to_owned())
            .map_err(|e| e.reason)
    }

    #[test]
    fn a_cookie_is_sent_with_its_attributes() {
        let cookie = Cookie::build(("id", "a=b"))
            .path("/")
            .http_only(true)
            .secure(true)
            .same_site(SameSite::Lax);
        assert_eq!(
            sent(cookie).unwrap(),
            "id=a=b; HttpOnly; SameSite=Lax; Secure; Path=/"
        );
    }

    #[test]
    fn a_cookie_without_a_value_is_sent() {
        assert_eq!(sent(("id", "")).unwrap(), "id=");
    }

    #[test]
    fn a_removal_is_sent() {
        let text = sent(Cookie::build("id").removal()).unwrap();
        assert!(text.starts_with("id=; Max-Age=0; Expires="), "{text}");
    }

    #[test]
    fn a_quoted_value_is_sent() {
        assert_eq!(sent(("id", "\"a\"")).unwrap(), "id=\"a\"");
    }

    #[test]
    fn names_that_are_not_tokens_are_refused() {
        for name in ["", "a b", "a;b", "a=b", "a\r\nb", "ä", "a,b"] {
            assert_eq!(
                sent((name, "1")),
                Err("its name is not a token"),
                "{name:?}"
            );
        }
    }

    #[test]
    fn values_that_would_end_or_change_the_cookie_are_refused() {
        for value in [
            "a b", "a;b", "a,b", "a\\b", "a\"b", "\"", "a\r\nb", "a\0", "ä",
        ] {
            assert!(sent(("id", value)).is_err(), "{value:?}");
        }
    }

    #[test]
    fn attributes_that_would_end_the_cookie_are_refused() {
        for text in ["/;domain=x", "/\r\nx", "/ä", "/\0"] {
            assert!(
                sent(Cookie::build(("a", "b")).path(text)).is_err(),
                "{text:?}"
            );
            assert!(
                sent(Cookie::build(("a", "b")).domain(text)).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_requirements_of_name_prefixes_are_checked() {
        assert!(sent(("__Secure-id", "1")).is_err());
        assert!(sent(Cookie::build(("__Host-id", "1")).secure(true)).is_err());
        let host = Cookie::build(("__host-id", "1")).secure(true).path("/");
        assert!(sent(host.clone()).is_ok());
        assert!(sent(host.domain("example.com")).is_err());
    }

    #[test]
    fn a_cookie_that_browsers_would_drop_is_refused() {
        assert!(sent(("id", "x".repeat(4093))).is_ok());
        assert!(sent(("id", "x".repeat(4094))).is_err());
    }
}
