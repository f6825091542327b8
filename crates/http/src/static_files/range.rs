//! Which bytes of a file are asked for (RFC 9110, section 14).

/// What a `Range` field comes to for a file of a certain length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it: the field is malformed, of another unit, or asks for several parts, and may be ignored then.
    Whole,
    /// The bytes from the first to the last, both included.
    Bytes { first: u64, last: u64 },
    /// Nothing of what is asked for exists.
    Unsatisfiable,
}

/// More ranges than anybody needs are taken for an attack, and for the whole file.
const MAX_RANGES: usize = 16;

/// Reads a `Range` field. Ranges that touch or overlap are one; several that do not are answered with the whole file,
/// which every client has to understand.
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
    let mut ranges: Vec<(u64, u64)> = ranges.into_iter().flatten().collect();
    ranges.sort_unstable();
    let mut joined: Option<(u64, u64)> = None;
    for (first, last) in ranges {
        joined = match joined {
            None => Some((first, last)),
            Some((start, end)) if first <= end + 1 => Some((start, end.max(last))),
            Some(_) => return Part::Whole,
        };
    }
    match joined {
        Some((first, last)) => Part::Bytes { first, last },
        None if length == 0 => Part::Whole,
        None => Part::Unsatisfiable,
    }
}

/// What is behind `bytes=`.
fn specs(field: &[u8]) -> Option<&str> {
    let (unit, specs) = str::from_utf8(field).ok()?.split_once('=')?;
    unit.eq_ignore_ascii_case("bytes").then_some(specs)
}

fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

/// The first and the last byte; `Some(None)` when there are no such bytes, `None` when it is malformed.
fn resolve(spec: &str, length: u64) -> Option<Option<(u64, u64)>> {
    let (first, last) = spec.split_once('-')?;
    if first.is_empty() {
        let suffix = number(last)?.min(length);
        return Some((suffix > 0).then(|| (length - suffix, length - 1)));
    }
    let first = number(first)?;
    let last = match last {
        "" => u64::MAX,
        last => number(last)?,
    };
    if first > last {
        return None;
    }
    Some((first < length).then(|| (first, last.min(length - 1))))
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
        Part::Bytes { first, last }
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
    fn several_ranges_are_one_if_they_touch_and_the_whole_otherwise() {
        let cases = [
            ("bytes=0-9,10-19", bytes(0, 19)),
            ("bytes=10-19 , 0-12", bytes(0, 19)),
            ("bytes=0-9, 5000-", bytes(0, 9)),
            ("bytes=5000-, 6000-", Part::Unsatisfiable),
            ("bytes=0-9,20-29", Part::Whole),
        ];
        for (field, part) in cases {
            assert_eq!(super::part(field.as_bytes(), 1000), part, "{field}");
        }
        let many = format!("bytes={}", ["0-0"; 17].join(","));
        assert_eq!(part(many.as_bytes(), 1000), Part::Whole);
    }

    #[test]
    fn an_empty_file_has_no_parts() {
        for field in ["bytes=0-", "bytes=-1", "bytes=0-0"] {
            assert_eq!(part(field.as_bytes(), 0), Part::Whole, "{field}");
        }
    }
}
