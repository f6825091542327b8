//! Parsing of query strings.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// Returns the names and values of a query, decoded like form data: `+` is a space, and invalid UTF-8 is replaced.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> Cow<'_, str> {
    if !text.contains('+') {
        return percent_decode_str(text).decode_utf8_lossy();
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8_lossy();
    Cow::Owned(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded_like_form_data() {
        let query = "EIO=4&x=a%20b+c&empty=&bare&&%zz=%2&t=%ff";
        let pairs: Vec<_> = pairs(query)
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(
            pairs,
            [
                "EIO=4",
                "x=a b c",
                "empty=",
                "bare=",
                "%zz=%2",
                "t=\u{fffd}"
            ]
        );
    }
}
