//! The `Vary` header of responses.

use http::header::VARY;

use crate::{HeaderMap, HeaderValue};

/// Adds the name of a request header, in lower case, unless it is already listed.
pub(crate) fn add_vary(headers: &mut HeaderMap, name: &'static str) {
    let is_named = headers.get_all(VARY).iter().any(|value| {
        value.as_bytes().split(|b| *b == b',').any(|listed| {
            let listed = listed.trim_ascii();
            listed == b"*" || listed.eq_ignore_ascii_case(name.as_bytes())
        })
    });
    if !is_named {
        headers.append(VARY, HeaderValue::from_static(name));
    }
}
