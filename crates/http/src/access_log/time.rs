//! Formatting of log times, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A date and time in the Gregorian calendar.
pub(super) struct UtcDateTime {
    year: i64,
    /// The month, from 1.
    month: u64,
    day: u64,
    second_of_day: u64,
    milliseconds: u32,
}

impl UtcDateTime {
    /// Converts a time. Times before 1970 become the start of 1970.
    pub(super) fn of(time: SystemTime) -> Self {
        let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (days, second_of_day) = (elapsed.as_secs() / 86_400, elapsed.as_secs() % 86_400);
        // Days are counted from 1 March 0000, in eras of 400 years, so that leap days are the last days of years.
        let days = days + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = i64::try_from(year_of_era + era * 400).unwrap_or(i64::MAX);
        UtcDateTime {
            year: year + i64::from(month <= 2),
            month,
            day: day_of_year - (153 * from_march + 2) / 5 + 1,
            second_of_day,
            milliseconds: elapsed.subsec_millis(),
        }
    }

    fn clock(&self) -> (u64, u64, u64) {
        let second = self.second_of_day;
        (second / 3600, second / 60 % 60, second % 60)
    }

    /// Formats the time as in `10/Oct/2000:13:55:36 +0000`.
    pub(super) fn common(&self) -> String {
        let (hour, minute, second) = self.clock();
        let month = usize::try_from(self.month - 1).unwrap_or(0);
        let month = MONTHS.get(month).copied().unwrap_or_default();
        format!(
            "{:02}/{month}/{:04}:{hour:02}:{minute:02}:{second:02} +0000",
            self.day, self.year
        )
    }

    /// Formats the time as in `2000-10-10T13:55:36.123Z` (RFC 3339).
    pub(super) fn rfc3339(&self) -> String {
        let (hour, minute, second) = self.clock();
        format!(
            "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            self.year, self.month, self.day, self.milliseconds
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rfc3339(milliseconds: u64) -> String {
        UtcDateTime::of(UNIX_EPOCH + Duration::from_millis(milliseconds)).rfc3339()
    }

    #[test]
    fn times_are_formatted() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(951_868_800_000), "2000-03-01T00:00:00.000Z");
        assert_eq!(rfc3339(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        let time = UtcDateTime::of(UNIX_EPOCH + Duration::from_secs(971_186_136));
        assert_eq!(time.common(), "10/Oct/2000:13:55:36 +0000");
    }

    #[test]
    fn dates_match_http_dates() {
        for day in (0..60_000).step_by(7) {
            let time = UNIX_EPOCH + Duration::from_secs(day * 86_400 + 12_345);
            let header = httpdate::fmt_http_date(time);
            let common = UtcDateTime::of(time).common();
            // `Tue, 10 Oct 2000 13:55:36 GMT`
            let expected = format!(
                "{}/{}/{}:{} +0000",
                &header[5..7],
                &header[8..11],
                &header[12..16],
                &header[17..25]
            );
            assert_eq!(common, expected);
        }
    }
}
