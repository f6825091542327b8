//! What a request with preconditions gets (RFC 9110, section 13).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, Method, header};

use super::range::{self, Part};

/// What tells one state of a file from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// A strong entity tag, with its quotes.
    pub(super) etag: String,
    /// The time of the last modification in whole seconds, if it is known.
    pub(super) modified: Option<SystemTime>,
    /// The length of the file.
    pub(super) length: u64,
}

/// What a request gets of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// 200.
    Whole,
    /// 206, or 416.
    Part(Part),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of section 13.2.2.
pub(super) fn outcome(
    method: &Method,
    fields: &HeaderMap,
    file: &Validators,
    now: SystemTime,
) -> Outcome {
    let reads = *method == Method::GET || *method == Method::HEAD;
    if fields.contains_key(header::IF_MATCH) {
        if !names(fields, header::IF_MATCH, &file.etag, strong) {
            return Outcome::PreconditionFailed;
        }
    } else if since(fields, header::IF_UNMODIFIED_SINCE, file) == Some(true) {
        return Outcome::PreconditionFailed;
    }
    if fields.contains_key(header::IF_NONE_MATCH) {
        if names(fields, header::IF_NONE_MATCH, &file.etag, weak) {
            return match reads {
                true => Outcome::NotModified,
                false => Outcome::PreconditionFailed,
            };
        }
    } else if reads && since(fields, header::IF_MODIFIED_SINCE, file) == Some(false) {
        return Outcome::NotModified;
    }
    let range = match only(fields, header::RANGE) {
        Some(range) if *method == Method::GET && same(fields, file, now) => range,
        _ => return Outcome::Whole,
    };
    match range::part(range, file.length) {
        Part::Whole => Outcome::Whole,
        part => Outcome::Part(part),
    }
}

/// The value of a field that may come once only.
fn only(fields: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = fields.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// Whether the file was modified after the date in a field; `None` without a date on either side.
fn since(fields: &HeaderMap, name: HeaderName, file: &Validators) -> Option<bool> {
    Some(file.modified? > date(fields, name)?)
}

/// A date that is malformed is as none (section 13.1.3).
fn date(fields: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let text = str::from_utf8(only(fields, name)?).ok()?;
    httpdate::parse_http_date(text).ok()
}

/// Whether the file is still the one of which a client has a part (section 13.1.5).
fn same(fields: &HeaderMap, file: &Validators, now: SystemTime) -> bool {
    if !fields.contains_key(header::IF_RANGE) {
        return true;
    }
    let Some(value) = only(fields, header::IF_RANGE) else {
        return false;
    };
    if value.ends_with(b"\"") {
        return strong(value, file.etag.as_bytes());
    }
    let Some(modified) = file.modified else {
        return false;
    };
    // Within the same second the file may have changed once more, and the date would not tell.
    let settled = modified + Duration::from_secs(1) <= now;
    settled && date(fields, header::IF_RANGE) == Some(modified)
}

/// Whether one of a field's entity tags is that of the file, or `*`, which is any.
fn names(
    fields: &HeaderMap,
    name: HeaderName,
    etag: &str,
    compare: fn(&[u8], &[u8]) -> bool,
) -> bool {
    fields.get_all(name).iter().any(|value| {
        let mut rest = value.as_bytes().trim_ascii();
        if rest == b"*" {
            return true;
        }
        while let Some((tag, after)) = next_tag(rest) {
            if compare(tag, etag.as_bytes()) {
                return true;
            }
            rest = after;
        }
        false
    })
}

/// The first entity tag and what follows. A comma may be a part of a tag, so splitting at commas would not do.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|byte| !b", \t".contains(byte))?;
    let tag = &list[start..];
    let open = if tag.starts_with(b"W/") { 2 } else { 0 };
    let inner = tag.get(open..)?.strip_prefix(b"\"")?;
    let close = inner.iter().position(|byte| *byte == b'"')?;
    Some(tag.split_at(open + 1 + close + 1))
}

/// The strong comparison (RFC 9110, section 8.8.3.2): weak tags are equal to none.
fn strong(tag: &[u8], other: &[u8]) -> bool {
    !tag.starts_with(b"W/") && tag == other
}

fn weak(tag: &[u8], other: &[u8]) -> bool {
    tag.strip_prefix(b"W/").unwrap_or(tag) == other
}

#[cfg(test)]
mod tests {
    use super::super::range::ByteRange;
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn asked(method: Method, fields: &[(HeaderName, &'static str)]) -> Outcome {
        let modified = httpdate::parse_http_date(DATE).unwrap();
        asked_at(modified + Duration::from_secs(60), method, fields)
    }

    fn asked_at(now: SystemTime, method: Method, fields: &[(HeaderName, &'static str)]) -> Outcome {
        let file = Validators {
            etag: "\"tag\"".into(),
            modified: Some(httpdate::parse_http_date(DATE).unwrap()),
            length: 1000,
        };
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, http::HeaderValue::from_static(value));
        }
        outcome(&method, &map, &file, now)
    }

    fn get(fields: &[(HeaderName, &'static str)]) -> Outcome {
        asked(Method::GET, fields)
    }

    #[test]
    fn without_preconditions_it_is_the_whole() {
        assert_eq!(get(&[]), Outcome::Whole);
    }

    #[test]
    fn a_file_that_the_client_has_is_not_sent_again() {
        let tag = header::IF_NONE_MATCH;
        for value in [
            "\"tag\"",
            "W/\"tag\"",
            "*",
            "\"a,b\" , \"tag\"",
            ",\"x\",W/\"tag\"",
        ] {
            let fields = [(tag.clone(), value)];
            assert_eq!(get(&fields), Outcome::NotModified, "{value}");
            assert_eq!(asked(Method::HEAD, &fields), Outcome::NotModified);
            assert_eq!(asked(Method::POST, &fields), Outcome::PreconditionFailed);
        }
        for value in ["\"other\"", "tag", "\"a,\"tag\"\"", "\"tag", ""] {
            assert_eq!(get(&[(tag.clone(), value)]), Outcome::Whole, "{value}");
        }
        let lines = [(tag.clone(), "\"a\""), (tag, "\"tag\"")];
        assert_eq!(get(&lines), Outcome::NotModified);
    }

    #[test]
    fn dates_count_unless_there_are_tags() {
        let since = header::IF_MODIFIED_SINCE;
        assert_eq!(get(&[(since.clone(), DATE)]), Outcome::NotModified);
        assert_eq!(get(&[(since.clone(), AFTER)]), Outcome::NotModified);
        assert_eq!(get(&[(since.clone(), BEFORE)]), Outcome::Whole);
        assert_eq!(get(&[(since.clone(), "yesterday")]), Outcome::Whole);
        let both = [(header::IF_NONE_MATCH, "\"other\""), (since.clone(), AFTER)];
        assert_eq!(get(&both), Outcome::Whole);
        assert_eq!(asked(Method::POST, &[(since, DATE)]), Outcome::Whole);
    }

    #[test]
    fn a_file_that_has_changed_fails_the_precondition() {
        let failed = Outcome::PreconditionFailed;
        assert_eq!(get(&[(header::IF_MATCH, "\"tag\"")]), Outcome::Whole);
        assert_eq!(get(&[(header::IF_MATCH, "*")]), Outcome::Whole);
        assert_eq!(get(&[(header::IF_MATCH, "W/\"tag\"")]), failed);
        assert_eq!(get(&[(header::IF_MATCH, "\"other\"")]), failed);
        assert_eq!(get(&[(header::IF_UNMODIFIED_SINCE, BEFORE)]), failed);
        assert_eq!(get(&[(header::IF_UNMODIFIED_SINCE, DATE)]), Outcome::Whole);
        let both = [
            (header::IF_MATCH, "\"tag\""),
            (header::IF_UNMODIFIED_SINCE, BEFORE),
        ];
        assert_eq!(get(&both), Outcome::Whole);
    }

    #[test]
    fn a_range_is_for_get_alone() {
        let part = Outcome::Part(Part::Bytes(ByteRange { first: 0, last: 9 }));
        let fields = [(header::RANGE, "bytes=0-9")];
        assert_eq!(get(&fields), part);
        assert_eq!(asked(Method::HEAD, &fields), Outcome::Whole);
        let beyond = get(&[(header::RANGE, "bytes=1000-")]);
        assert_eq!(beyond, Outcome::Part(Part::Unsatisfiable));
        let twice = [(header::RANGE, "bytes=0-9"), (header::RANGE, "bytes=5-9")];
        assert_eq!(get(&twice), Outcome::Whole);
    }

    #[test]
    fn a_range_of_a_file_that_has_changed_is_the_whole() {
        let part = Outcome::Part(Part::Bytes(ByteRange { first: 0, last: 9 }));
        let with = |value| get(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, value)]);
        assert_eq!(with("\"tag\""), part);
        assert_eq!(with(DATE), part);
        for value in ["W/\"tag\"", "\"other\"", BEFORE, AFTER, "nonsense"] {
            assert_eq!(with(value), Outcome::Whole, "{value}");
        }
        let fresh = httpdate::parse_http_date(DATE).unwrap();
        let fields = [(header::RANGE, "bytes=0-9"), (header::IF_RANGE, DATE)];
        assert_eq!(asked_at(fresh, Method::GET, &fields), Outcome::Whole);
    }

    #[test]
    fn dates_say_nothing_of_a_file_whose_time_says_nothing() {
        let file = Validators {
            etag: "\"tag\"".into(),
            modified: None,
            length: 1000,
        };
        let get = |fields: &[(HeaderName, &'static str)]| {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value)));
            outcome(&Method::GET, &fields.collect(), &file, SystemTime::now())
        };
        for name in [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
            for date in [BEFORE, AFTER, "Thu, 01 Jan 1970 00:00:01 GMT"] {
                assert_eq!(get(&[(name.clone(), date)]), Outcome::Whole, "{name}");
            }
        }
        let part = [(header::RANGE, "bytes=0-1"), (header::IF_RANGE, AFTER)];
        assert_eq!(get(&part), Outcome::Whole);
    }
}
