//! Dates of cookies (section 5.1.1 of RFC 6265).

use std::time::{Duration, SystemTime};

const MONTHS: [&[u8; 3]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

/// Parses a date in one of the many forms that servers send. A date before 1970 is returned as 1970.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let is_delimiter =
        |byte: &u8| matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e);
    for token in text
        .as_bytes()
        .split(is_delimiter)
        .filter(|token| !token.is_empty())
    {
        if time.is_none()
            && let Some(found) = time_of(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1..=2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2..=4)
        {
            year = Some(found);
        }
    }
    let ((hour, minute, second), day, month) = (time?, day?, month?);
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let is_valid = year >= 1601
        && (1..=days_of(year, month)).contains(&day)
        && hour <= 23
        && minute <= 59
        && second <= 59;
    if !is_valid {
        return None;
    }
    let Some(years) = year.checked_sub(1970) else {
        return Some(SystemTime::UNIX_EPOCH);
    };
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    let months: u64 = (0..month).map(|month| days_of(year, month)).sum();
    let days = years * 365 + leap_days(year - 1) - leap_days(1969) + months + day - 1;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn days_of(year: u64, month: usize) -> u64 {
    match month {
        1 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        1 => 28,
        3 | 5 | 8 | 10 => 30,
        _ => 31,
    }
}

/// Returns the number at the beginning of a token, which must have one of these lengths.
fn number(token: &[u8], lengths: std::ops::RangeInclusive<usize>) -> Option<u64> {
    let length = token
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    lengths.contains(&length).then(|| {
        token[..length]
            .iter()
            .fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'))
    })
}

fn month_of(token: &[u8]) -> Option<usize> {
    let name = token.get(..3)?.to_ascii_lowercase();
    MONTHS.iter().position(|month| month[..] == name)
}

fn time_of(token: &[u8]) -> Option<(u64, u64, u64)> {
    let mut fields = token.splitn(3, |byte| *byte == b':');
    let is_number = |field: &&[u8]| field.iter().all(u8::is_ascii_digit);
    let hour = number(fields.next().filter(is_number)?, 1..=2)?;
    let minute = number(fields.next().filter(is_number)?, 1..=2)?;
    let second = number(fields.next()?, 1..=2)?;
    Some((hour, minute, second))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let time = parse(text)?;
        Some(
            time.duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
                .as_secs(),
        )
    }

    #[test]
    fn dates_are_parsed_in_many_forms() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "6 november 1994 8:49:37",
            "1994 06 NOV 08:49:37 +0200",
            "08:49:37;06;nov;94",
        ] {
            let expected = match text.starts_with("1994") {
                // A number of four digits is no day.
                true => seconds("Sun, 06 Nov 1994 08:49:37 GMT"),
                false => Some(784_111_777),
            };
            assert_eq!(seconds(text), expected, "{text}");
        }
        assert_eq!(seconds("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Thu, 01-Jan-70 00:00:01 GMT"), Some(1));
        assert_eq!(seconds("Mon, 01 Jan 1601 00:00:00 GMT"), Some(0));
        assert_eq!(seconds("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        assert_eq!(
            seconds("Fri, 31 Dec 9999 23:59:59 GMT"),
            Some(253_402_300_799)
        );
        assert_eq!(seconds("1 Jan 69 0:0:0"), seconds("1 Jan 2069 0:0:0"));
    }

    #[test]
    fn invalid_dates_are_refused() {
        for text in [
            "",
            "never",
            "0",
            "06 Nov 1994",
            "08:49:37 06 Nov",
            "08:49:37 Nov 1994",
            "08:49:37 06 1994",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 06 Nov 1600 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 23:60:00 GMT",
            "Sun, 06 Nov 1994 23:59:60 GMT",
            "Sun, 06 Nov 19945 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 108:49:37 GMT",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn dates_of_http_are_parsed_as_httpdate_does() {
        for seconds_of_date in (0..8_000_000_000_u64).step_by(86_399 * 101) {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds_of_date);
            assert_eq!(parse(&httpdate::fmt_http_date(time)), Some(time));
        }
    }
}
