//! Evaluation of conditional requests (RFC 9110, section 13).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, Method, header};

use super::range::{self, RequestedRange};

/// The validators of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Validators {
    /// A strong entity tag, with its quotes.
    pub(super) etag: String,
    /// Time of the last modification in whole seconds, if it is known.
    pub(super) modified: Option<SystemTime>,
    /// The length of the file.
    pub(super) length: u64,
}

/// The kind of response to a request for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ConditionalOutcome {
    /// 200.
    Whole,
    /// 206, or 416.
    Part(RequestedRange),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
}

/// Evaluates the preconditions in the order of section 13.2.2.
pub(super) fn evaluate(
    method: &Method,
    fields: &HeaderMap,
    file: &Validators,
    now: SystemTime,
) -> ConditionalOutcome {
    let reads = *method == Method::GET || *method == Method::HEAD;
    if fields.contains_key(header::IF_MATCH) {
        if !contains_tag(fields, header::IF_MATCH, &file.etag, matches_strongly) {
            return ConditionalOutcome::PreconditionFailed;
        }
    } else if modified_since(fields, header::IF_UNMODIFIED_SINCE, file) == Some(true) {
        return ConditionalOutcome::PreconditionFailed;
    }
    if fields.contains_key(header::IF_NONE_MATCH) {
        if contains_tag(fields, header::IF_NONE_MATCH, &file.etag, matches_weakly) {
            return match reads {
                true => ConditionalOutcome::NotModified,
                false => ConditionalOutcome::PreconditionFailed,
            };
        }
    } else if reads && modified_since(fields, header::IF_MODIFIED_SINCE, file) == Some(false) {
        return ConditionalOutcome::NotModified;
    }
    let range = match single_value(fields, header::RANGE) {
        Some(range) if *method == Method::GET && if_range_matches(fields, file, now) => range,
        _ => return ConditionalOutcome::Whole,
    };
    match range::parse(range, file.length) {
        RequestedRange::Whole => ConditionalOutcome::Whole,
        part => ConditionalOutcome::Part(part),
    }
}

/// Returns the value of a field; `None` if it is missing or repeated.
fn single_value(fields: &HeaderMap, name: HeaderName) -> Option<&[u8]> {
    let mut values = fields.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then(|| first.as_bytes())
}

/// Returns whether the file was modified after the date in a field; `None` if either date is missing.
fn modified_since(fields: &HeaderMap, name: HeaderName, file: &Validators) -> Option<bool> {
    Some(file.modified? > date_in(fields, name)?)
}

/// Parses the date in a field; `None` if it is malformed, in which case the field is ignored (section 13.1.3).
fn date_in(fields: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    let text = str::from_utf8(single_value(fields, name)?).ok()?;
    httpdate::parse_http_date(text).ok()
}

/// Returns whether `If-Range` is missing or matches the file (section 13.1.5).
fn if_range_matches(fields: &HeaderMap, file: &Validators, now: SystemTime) -> bool {
    if !fields.contains_key(header::IF_RANGE) {
        return true;
    }
    let Some(value) = single_value(fields, header::IF_RANGE) else {
        return false;
    };
    if value.ends_with(b"\"") {
        return matches_strongly(value, file.etag.as_bytes());
    }
    let Some(modified) = file.modified else {
        return false;
    };
    // If the file changes again within the same second, the date stays the same.
    let settled = modified + Duration::from_secs(1) <= now;
    settled && date_in(fields, header::IF_RANGE) == Some(modified)
}

/// Returns whether a field contains the entity tag of the file, or is `*`.
fn contains_tag(
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

/// Splits the first entity tag from the rest of a list. Tags may contain commas, so the list cannot be split at commas.
fn next_tag(list: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = list.iter().position(|byte| !b", \t".contains(byte))?;
    let tag = &list[start..];
    let open = if tag.starts_with(b"W/") { 2 } else { 0 };
    let inner = tag.get(open..)?.strip_prefix(b"\"")?;
    let close = inner.iter().position(|byte| *byte == b'"')?;
    Some(tag.split_at(open + 1 + close + 1))
}

/// Compares two tags strongly: weak tags never match (RFC 9110, section 8.8.3.2).
fn matches_strongly(tag: &[u8], other: &[u8]) -> bool {
    !tag.starts_with(b"W/") && tag == other
}

/// Compares a tag weakly with a strong one (RFC 9110, section 8.8.3.2).
fn matches_weakly(tag: &[u8], other: &[u8]) -> bool {
    tag.strip_prefix(b"W/").unwrap_or(tag) == other
}

#[cfg(test)]
mod tests {
    use super::super::range::ByteRange;
    use super::*;

    const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn evaluate_with(method: Method, fields: &[(HeaderName, &'static str)]) -> ConditionalOutcome {
        let modified = httpdate::parse_http_date(DATE).unwrap();
        evaluate_at(modified + Duration::from_secs(60), method, fields)
    }

    fn evaluate_at(
        now: SystemTime,
        method: Method,
        fields: &[(HeaderName, &'static str)],
    ) -> ConditionalOutcome {
        let file = Validators {
            etag: "\"tag\"".into(),
            modified: Some(httpdate::parse_http_date(DATE).unwrap()),
            length: 1000,
        };
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(name, http::HeaderValue::from_static(value));
        }
        evaluate(&method, &map, &file, now)
    }

    fn get(fields: &[(HeaderName, &'static str)]) -> ConditionalOutcome {
        evaluate_with(Method::GET, fields)
    }

    #[test]
    fn without_preconditions_the_whole_file_is_sent() {
        assert_eq!(get(&[]), ConditionalOutcome::Whole);
    }

    #[test]
    fn an_unchanged_file_is_not_sent_again() {
        let tag = header::IF_NONE_MATCH;
        for value in [
            "\"tag\"",
            "W/\"tag\"",
            "*",
            "\"a,b\" , \"tag\"",
            ",\"x\",W/\"tag\"",
        ] {
            let fields = [(tag.clone(), value)];
            assert_eq!(get(&fields), ConditionalOutcome::NotModified, "{value}");
            assert_eq!(
                evaluate_with(Method::HEAD, &fields),
                ConditionalOutcome::NotModified
            );
            assert_eq!(
                evaluate_with(Method::POST, &fields),
                ConditionalOutcome::PreconditionFailed
            );
        }
        for value in ["\"other\"", "tag", "\"a,\"tag\"\"", "\"tag", ""] {
            assert_eq!(
                get(&[(tag.clone(), value)]),
                ConditionalOutcome::Whole,
                "{value}"
            );
        }
        let lines = [(tag.clone(), "\"a\""), (tag, "\"tag\"")];
        assert_eq!(get(&lines), ConditionalOutcome::NotModified);
    }

    #[test]
    fn dates_are_evaluated_only_without_tags() {
        let since = header::IF_MODIFIED_SINCE;
        assert_eq!(
            get(&[(since.clone(), DATE)]),
            ConditionalOutcome::NotModified
        );
        assert_eq!(
            get(&[(since.clone(), AFTER)]),
            ConditionalOutcome::NotModified
        );
        assert_eq!(get(&[(since.clone(), BEFORE)]), ConditionalOutcome::Whole);
        assert_eq!(
            get(&[(since.clone(), "yesterday")]),
            ConditionalOutcome::Whole
        );
        let both = [(header::IF_NONE_MATCH, "\"other\""), (since.clone(), AFTER)];
        assert_eq!(get(&both), ConditionalOutcome::Whole);
        assert_eq!(
            evaluate_with(Method::POST, &[(since, DATE)]),
            ConditionalOutcome::Whole
        );
    }

    #[test]
    fn a_file_that_has_changed_fails_the_precondition() {
        let failed = ConditionalOutcome::PreconditionFailed;
        assert_eq!(
            get(&[(header::IF_MATCH, "\"tag\"")]),
            ConditionalOutcome::Whole
        );
        assert_eq!(get(&[(header::IF_MATCH, "*")]), ConditionalOutcome::Whole);
        assert_eq!(get(&[(header::IF_MATCH, "W/\"tag\"")]), failed);
        assert_eq!(get(&[(header::IF_MATCH, "\"other\"")]), failed);
        assert_eq!(get(&[(header::IF_UNMODIFIED_SINCE, BEFORE)]), failed);
        assert_eq!(
            get(&[(header::IF_UNMODIFIED_SINCE, DATE)]),
            ConditionalOutcome::Whole
        );
        let both = [
            (header::IF_MATCH, "\"tag\""),
            (header::IF_UNMODIFIED_SINCE, BEFORE),
        ];
        assert_eq!(get(&both), ConditionalOutcome::Whole);
    }

    #[test]
    fn ranges_are_evaluated_only_for_get() {
        let part = ConditionalOutcome::Part(RequestedRange::Bytes(ByteRange { first: 0, last: 9 }));
        let fields = [(header::RANGE, "bytes=0-9")];
        assert_eq!(get(&fields), part);
        assert_eq!(
            evaluate_with(Method::HEAD, &fields),
            ConditionalOutcome::Whole
        );
        let beyond = get(&[(header::RANGE, "bytes=1000-")]);
        assert_eq!(
            beyond,
            ConditionalOutcome::Part(RequestedRange::Unsatisfiable)
        );
        let twice = [(header::RANGE, "bytes=0-9"), (header::RANGE, "bytes=5-9")];
        assert_eq!(get(&twice), ConditionalOutcome::Whole);
    }

    #[test]
    fn a_range_of_a_changed_file_is_the_whole_file() {
        let part = ConditionalOutcome::Part(RequestedRange::Bytes(ByteRange { first: 0, last: 9 }));
        let with = |value| get(&[(header::RANGE, "bytes=0-9"), (header::IF_RANGE, value)]);
        assert_eq!(with("\"tag\""), part);
        assert_eq!(with(DATE), part);
        for value in ["W/\"tag\"", "\"other\"", BEFORE, AFTER, "nonsense"] {
            assert_eq!(with(value), ConditionalOutcome::Whole, "{value}");
        }
        let fresh = httpdate::parse_http_date(DATE).unwrap();
        let fields = [(header::RANGE, "bytes=0-9"), (header::IF_RANGE, DATE)];
        assert_eq!(
            evaluate_at(fresh, Method::GET, &fields),
            ConditionalOutcome::Whole
        );
    }

    #[test]
    fn dates_are_ignored_for_a_file_without_a_modification_time() {
        let file = Validators {
            etag: "\"tag\"".into(),
            modified: None,
            length: 1000,
        };
        let get = |fields: &[(HeaderName, &'static str)]| {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), http::HeaderValue::from_static(value)));
            evaluate(&Method::GET, &fields.collect(), &file, SystemTime::now())
        };
        for name in [header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
            for date in [BEFORE, AFTER, "Thu, 01 Jan 1970 00:00:01 GMT"] {
                assert_eq!(
                    get(&[(name.clone(), date)]),
                    ConditionalOutcome::Whole,
                    "{name}"
                );
            }
        }
        let part = [(header::RANGE, "bytes=0-1"), (header::IF_RANGE, AFTER)];
        assert_eq!(get(&part), ConditionalOutcome::Whole);
    }
}
