//! Which bytes of a file are asked for (RFC 9110, section 14).

/// What a `Range` field comes to for a file of a certain length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: the field is malformed, of another unit, or asks for more than it may, and may be ignored then.
    Whole,
    Bytes(ByteRange),
    /// Two or more parts that are apart from each other, in the order in which they were asked for.
    Several(Vec<ByteRange>),
    /// Nothing of what is asked for exists.
    Unsatisfiable,
}

/// The bytes from the first to the last, both included.
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

/// More ranges than anybody needs are taken for an attack, and for the whole file.
const MAX_RANGES: usize = 16;

/// About what stands between two parts: a gap that is no longer is sent along (section 15.3.7.2).
const GAP: u64 = 80;

/// Reads a `Range` field. Ranges that overlap, or nearly touch, are one; several that come to more than the file are
/// answered with the file.
pub(super) fn part(field: &[u8], length: u64) -> Part {
    let Some(specs) = specs(field) else {
        return Part::Whole;
    };
    let mut ranges = Vec::new();
    for (count, spec) in specs.split(',').map(trim).enumerate() {
        if count >= MAX_RANGES {
            return Part::Whole;
        }
        // An empty member of a list is none.
        if spec.is_empty() {
            continue;
        }
        match resolve(spec, length) {
            None => return Part::Whole,
            Some(range) => ranges.push(range),
        }
    }
    if ranges.is_empty() {
        return Part::Whole;
    }
    let parts = joined(ranges.into_iter().flatten().collect());
    let bytes = parts.iter().map(|part| part.len() + GAP).sum::<u64>();
    match parts[..] {
        [] if length == 0 => Part::Whole,
        [] => Part::Unsatisfiable,
        [part] => Part::Bytes(part),
        _ if bytes >= length => Part::Whole,
        _ => Part::Several(parts),
    }
}

/// The same bytes in parts that are apart, each in the place of the first range in it.
fn joined(ranges: Vec<ByteRange>) -> Vec<ByteRange> {
    let mut ranges: Vec<(usize, ByteRange)> = ranges.into_iter().enumerate().collect();
    ranges.sort_unstable_by_key(|(_, range)| range.first);
    let mut parts: Vec<(usize, ByteRange)> = Vec::with_capacity(ranges.len());
    for (place, range) in ranges {
        match parts.last_mut() {
            Some((first_place, part)) if range.first <= part.last.saturating_add(1 + GAP) => {
                part.last = part.last.max(range.last);
                *first_place = place.min(*first_place);
            }
            _ => parts.push((place, range)),
        }
    }
    parts.sort_unstable_by_key(|(place, _)| *place);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// What is behind `bytes=`.
fn specs(field: &[u8]) -> Option<&str> {
    let (unit, specs) = str::from_utf8(field).ok()?.split_once('=')?;
    unit.eq_ignore_ascii_case("bytes").then_some(specs)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The bytes that a range names; `Some(None)` when there are none such, `None` when it is malformed.
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

/// A number of digits; one too large for any file is the largest.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(first: u64, last: u64) -> Part {
        Part::Bytes(ByteRange { first, last })
    }

    fn several(parts: &[(u64, u64)]) -> Part {
        let parts = parts.iter().map(|(first, last)| ByteRange {
            first: *first,
            last: *last,
        });
        Part::Several(parts.collect())
    }

    #[test]
    fn a_range_is_of_bytes_that_exist() {
        let cases = [
            ("bytes=0-0", bytes(0, 0)),
            ("bytes=0-499", bytes(0, 499)),
            ("Bytes=500-", bytes(500, 999)),
            ("bytes=-1", bytes(999, 999)),
            ("bytes=-5000", bytes(0, 999)),
            ("bytes=990-2000", bytes(990, 999)),
            ("bytes=990-99999999999999999999999", bytes(990, 999)),
            ("bytes=1000-", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
        ];
        for (field, part) in cases {
            assert_eq!(super::part(field.as_bytes(), 1000), part, "{field}");
        }
    }

    #[test]
    fn what_is_malformed_or_of_another_unit_asks_for_the_whole() {
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
            assert_eq!(part(field.as_bytes(), 1000), Part::Whole, "{field}");
        }
    }

    #[test]
    fn ranges_that_overlap_or_nearly_touch_are_one() {
        let cases = [
            ("bytes=0-9,10-19", bytes(0, 19)),
            ("bytes=10-19 , 0-12", bytes(0, 19)),
            ("bytes=0-9,90-99", bytes(0, 99)),
            ("bytes=0-9, 5000-", bytes(0, 9)),
            ("bytes=5000-, 6000-", Part::Unsatisfiable),
            ("bytes=0-9,91-99", several(&[(0, 9), (91, 99)])),
        ];
        for (field, part) in cases {
            assert_eq!(super::part(field.as_bytes(), 1000), part, "{field}");
        }
    }

    #[test]
    fn several_ranges_keep_the_order_in_which_they_were_asked_for() {
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
            assert_eq!(super::part(field.as_bytes(), 1000), part, "{field}");
        }
    }

    #[test]
    fn too_many_ranges_or_too_much_in_them_is_the_whole() {
        let many = format!("bytes={}", ["0-0"; 17].join(","));
        assert_eq!(part(many.as_bytes(), 1000), Part::Whole);
        let nearly_all = b"bytes=0-449,550-";
        assert_eq!(part(nearly_all, 1000), Part::Whole);
        assert_eq!(part(b"bytes=0-0,9-9", 10), bytes(0, 9));
    }

    #[test]
    fn an_empty_file_has_no_parts() {
        for field in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(part(field.as_bytes(), 0), Part::Whole, "{field}");
        }
    }
}
