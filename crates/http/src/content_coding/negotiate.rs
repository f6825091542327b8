//! Content coding negotiation (RFC 9110, section 12.5.3).

use super::ContentCoding;

/// Maximum number of `Accept-Encoding` elements that are read.
const MAX_ELEMENTS: usize = 32;

/// A quality value in thousandths; 0 means not acceptable.
type Quality = u16;

/// Returns the best coding that the client accepts according to its `Accept-Encoding` lines; `None` if it prefers the unencoded response.
///
/// Among codings with the same quality, the first of `offered` is chosen. Malformed elements are ignored.
pub(crate) fn negotiate<'a>(
    accept: impl IntoIterator<Item = &'a [u8]>,
    offered: &[ContentCoding],
) -> Option<ContentCoding> {
    let mut named: [Option<Quality>; ContentCoding::ALL.len()] = [None; ContentCoding::ALL.len()];
    let mut identity = None;
    let mut others = None;
    let lines = accept
        .into_iter()
        .filter_map(|line| str::from_utf8(line).ok());
    let elements = lines.flat_map(|line| line.split(','));
    for element in elements.take(MAX_ELEMENTS) {
        let Some((name, quality)) = parse_element(element) else {
            continue;
        };
        if name == "*" {
            others = Some(quality);
        } else if name.eq_ignore_ascii_case("identity") {
            identity = Some(quality);
        } else if let Some(coding) = ContentCoding::from_name(name) {
            named[coding as usize] = Some(quality);
        }
    }
    let mut best = None;
    // An `identity` that is not listed is not preferred to codings that are.
    let mut best_quality = identity.unwrap_or(0);
    for &coding in offered {
        let quality = named[coding as usize].or(others).unwrap_or(0);
        if quality > best_quality || (quality == best_quality && quality > 0 && best.is_none()) {
            best = Some(coding);
            best_quality = quality;
        }
    }
    best
}

/// Parses an element: `gzip;q=0.5` is the name and 500.
fn parse_element(element: &str) -> Option<(&str, Quality)> {
    let mut parts = element.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?;
    let quality = match parts.next() {
        Some(weight) => {
            let (q, value) = weight.split_once('=')?;
            let value = q.trim().eq_ignore_ascii_case("q").then_some(value)?;
            parse_quality(value.trim())?
        }
        None => 1000,
    };
    parts.next().is_none().then_some((name, quality))
}

/// Parses a quality value: `0.5` is 500. It has one digit and up to three decimals (RFC 9110, section 12.4.2).
fn parse_quality(text: &str) -> Option<Quality> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if rest.len() > 3 || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let thousandths = format!("{rest:0<3}").parse().ok()?;
    match whole {
        "0" => Some(thousandths),
        "1" if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Option<ContentCoding> {
        negotiate([accept.as_bytes()], &ContentCoding::ALL)
    }

    #[test]
    fn a_client_that_accepts_no_coding_gets_none() {
        for accept in ["", "identity", "deflate", ",,", "identity;q=0", "gzip;q=0"] {
            assert_eq!(of(accept), None, "{accept}");
        }
    }

    #[test]
    fn the_order_of_the_server_decides_between_equal_qualities() {
        assert_eq!(of("gzip, deflate, br, zstd"), Some(ContentCoding::Brotli));
        assert_eq!(of("gzip, zstd"), Some(ContentCoding::Zstd));
        assert_eq!(
            negotiate([&b"gzip, br"[..]], &[ContentCoding::Gzip]),
            Some(ContentCoding::Gzip)
        );
    }

    #[test]
    fn qualities_take_precedence_over_the_order() {
        assert_eq!(of("br;q=0.5, gzip;q=0.501"), Some(ContentCoding::Gzip));
        assert_eq!(of("br;q=0, gzip;q=0.001"), Some(ContentCoding::Gzip));
        assert_eq!(of("BR ; Q=0.1 , GZIP"), Some(ContentCoding::Gzip));
    }

    #[test]
    fn the_old_name_of_gzip_is_accepted() {
        assert_eq!(of("x-gzip"), Some(ContentCoding::Gzip));
    }

    #[test]
    fn a_wildcard_matches_codings_that_are_not_listed() {
        assert_eq!(of("*"), Some(ContentCoding::Brotli));
        assert_eq!(of("br;q=0, *"), Some(ContentCoding::Zstd));
        assert_eq!(of("gzip, *;q=0"), Some(ContentCoding::Gzip));
        assert_eq!(of("*;q=0"), None);
    }

    #[test]
    fn a_preference_for_identity_is_respected() {
        assert_eq!(of("identity, gzip;q=0.5"), None);
        assert_eq!(of("identity;q=0.5, gzip;q=0.5"), Some(ContentCoding::Gzip));
        assert_eq!(of("identity;q=0.5, gzip"), Some(ContentCoding::Gzip));
    }

    #[test]
    fn malformed_elements_are_ignored() {
        for element in [
            "br;q=2",
            "br;q=1.001",
            "br;q=0.1234",
            "br;q=",
            "br;q",
            "br;q=+1",
            "br;x=1",
            "br;q=1;x",
            "br;q=-1",
            "br;q=.5",
            "b r",
            ";q=1",
        ] {
            assert_eq!(
                of(&format!("{element}, gzip;q=0.1")),
                Some(ContentCoding::Gzip),
                "{element}"
            );
        }
    }

    #[test]
    fn all_lines_of_the_field_are_one_list() {
        let of = |lines: &[&'static str]| {
            let lines = lines.iter().map(|line| line.as_bytes());
            negotiate(lines, &ContentCoding::ALL)
        };
        assert_eq!(of(&["identity;q=0.5", "gzip"]), Some(ContentCoding::Gzip));
        assert_eq!(of(&["br;q=0, *", "zstd;q=0"]), Some(ContentCoding::Gzip));
        assert_eq!(of(&["\u{e9}", "gzip"]), Some(ContentCoding::Gzip));
        let many = ["x"; 32].into_iter().chain(["gzip"]);
        assert_eq!(of(&many.collect::<Vec<_>>()), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn only_the_first_elements_of_a_long_list_are_read() {
        assert_eq!(of(&format!("{}gzip", "x,".repeat(32))), None);
    }
}
