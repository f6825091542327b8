//! Parser for range requests (RFC 9110, section 14).

/// The result of a `Range` field for a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// The whole file: the field is ignored, because it is malformed, has another unit, or selects too many ranges or bytes.
    Whole,
    /// One part of the file.
    Bytes(ByteRange),
    /// Two or more separate parts, in the order of the request.
    Several(Vec<ByteRange>),
    /// None of the requested bytes exists.
    Unsatisfiable,
}

/// A range of bytes, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) first: u64,
    pub(super) last: u64,
}

impl ByteRange {
    pub(super) fn len(&self) -> u64 {
        self.last - self.first + 1
    }
}

/// Maximum number of ranges. A field with more of them is ignored.
const MAX_RANGES: usize = 16;

/// Approximate size of the delimiter between two parts, in bytes. Ranges with a gap of at most this size are joined (section 15.3.7.2).
const GAP: u64 = 80;

/// Parses a `Range` field. Ranges that overlap or are separated by a small gap are joined. Several ranges that amount to more than the file
/// select the whole file.
pub(super) fn parse(field: &[u8], length: u64) -> RequestedRange {
    let Some(specs) = specs(field) else {
        return RequestedRange::Whole;
    };
    let mut ranges = Vec::new();
    for (count, spec) in specs.split(',').map(trim).enumerate() {
        if count >= MAX_RANGES {
            return RequestedRange::Whole;
        }
        // Empty list members are ignored.
        if spec.is_empty() {
            continue;
        }
        match resolve(spec, length) {
            None => return RequestedRange::Whole,
            Some(range) => ranges.push(range),
        }
    }
    if ranges.is_empty() {
        return RequestedRange::Whole;
    }
    let parts = join(ranges.into_iter().flatten().collect());
    let bytes = parts.iter().map(|part| part.len() + GAP).sum::<u64>();
    match parts[..] {
        [] if length == 0 => RequestedRange::Whole,
        [] => RequestedRange::Unsatisfiable,
        [part] => RequestedRange::Bytes(part),
        _ if bytes >= length => RequestedRange::Whole,
        _ => RequestedRange::Several(parts),
    }
}

/// Joins ranges that overlap or are separated by a small gap. Each part has the position of the first range in it.
fn join(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut ranges: Vec<(usize, ByteRange)> = ranges.into_iter().enumerate().collect();
    ranges.sort_unstable_by_key(|(_, range)| range.first);
    let mut parts: Vec<(usize, ByteRange)> = Vec::with_capacity(ranges.len());
    for (position, range) in ranges {
        match parts.last_mut() {
            Some((first_position, part)) if range.first <= part.last.saturating_add(1 + GAP) => {
                part.last = part.last.max(range.last);
                *first_position = position.min(*first_position);
            }
            _ => parts.push((position, range)),
        }
    }
    parts.sort_unstable_by_key(|(position, _)| *position);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Returns the text after `bytes=`.
fn specs(field: &[u8]) -> Option<&str> {
    let (unit, specs) = str::from_utf8(field).ok()?.split_once('=')?;
    unit.eq_ignore_ascii_case("bytes").then_some(specs)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// Parses a range; `Some(None)` if none of its bytes exists, `None` if it is malformed.
fn resolve(spec: &str, length: u64) -> Option<Option<ByteRange>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?.min(length);
        return Some((suffix > 0).then(|| ByteRange {
            first: length - suffix,
            last: length - 1,
        }));
    }
    let first = number(first)?;
    let last = match last {
        "" => u64::MAX,
        last => number(last)?,
    };
    if first > last {
        return None;
    }
    Some((first < length).then(|| ByteRange {
        first,
        last: last.min(length - 1),
    }))
}

/// Parses a decimal number. A number that is too large becomes the maximum.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(first: u64, last: u64) -> RequestedRange {
        RequestedRange::Bytes(ByteRange { first, last })
    }

    fn several(parts: &[(u64, u64)]) -> RequestedRange {
        let parts = parts.iter().map(|(first, last)| ByteRange {
            first: *first,
            last: *last,
        });
        RequestedRange::Several(parts.collect())
    }

    #[test]
    fn a_range_is_limited_to_bytes_that_exist() {
        let cases = [
            ("bytes=0-0", bytes(0, 0)),
            ("bytes=0-499", bytes(0, 499)),
            ("Bytes=500-", bytes(500, 999)),
            ("bytes=-1", bytes(999, 999)),
            ("bytes=-5000", bytes(0, 999)),
            ("bytes=990-2000", bytes(990, 999)),
            ("bytes=990-99999999999999999999999", bytes(990, 999)),
            ("bytes=1000-", RequestedRange::Unsatisfiable),
            (
                "bytes=99999999999999999999999-",
                RequestedRange::Unsatisfiable,
            ),
            ("bytes=-0", RequestedRange::Unsatisfiable),
        ];
        for (field, part) in cases {
            assert_eq!(parse(field.as_bytes(), 1000), part, "{field}");
        }
    }

    #[test]
    fn a_malformed_field_or_another_unit_selects_the_whole_file() {
        for field in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-1",
            "bytes=+1-2",
            "bytes=1-2-3",
            "lines=1-2",
            "bytes 0-1",
            "bytes=0x1-2",
            "bytes=0-1,x",
            "bytes=1 - 2",
        ] {
            assert_eq!(
                parse(field.as_bytes(), 1000),
                RequestedRange::Whole,
                "{field}"
            );
        }
    }

    #[test]
    fn ranges_that_overlap_or_are_nearly_adjacent_are_joined() {
        let cases = [
            ("bytes=0-9,10-19", bytes(0, 19)),
            ("bytes=10-19 , 0-12", bytes(0, 19)),
            ("bytes=0-9,90-99", bytes(0, 99)),
            ("bytes=0-9, 5000-", bytes(0, 9)),
            ("bytes=5000-, 6000-", RequestedRange::Unsatisfiable),
            ("bytes=0-9,91-99", several(&[(0, 9), (91, 99)])),
        ];
        for (field, part) in cases {
            assert_eq!(parse(field.as_bytes(), 1000), part, "{field}");
        }
    }

    #[test]
    fn several_ranges_keep_the_order_of_the_request() {
        let cases = [
            ("bytes=-10,0-9", several(&[(990, 999), (0, 9)])),
            (
                "bytes=500-509,0-9,505-600,300-",
                several(&[(300, 999), (0, 9)]),
            ),
            (
                "bytes=700-709,0-9,300-309,710-",
                several(&[(700, 999), (0, 9), (300, 309)]),
            ),
        ];
        for (field, part) in cases {
            assert_eq!(parse(field.as_bytes(), 1000), part, "{field}");
        }
    }

    #[test]
    fn too_many_ranges_or_bytes_select_the_whole_file() {
        let many = format!("bytes={}", ["0-0"; 17].join(","));
        assert_eq!(parse(many.as_bytes(), 1000), RequestedRange::Whole);
        let nearly_all = b"bytes=0-449,550-";
        assert_eq!(parse(nearly_all, 1000), RequestedRange::Whole);
        assert_eq!(parse(b"bytes=0-0,9-9", 10), bytes(0, 9));
    }

    #[test]
    fn an_empty_file_has_no_parts() {
        for field in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(parse(field.as_bytes(), 0), RequestedRange::Whole, "{field}");
        }
    }
}
