//! The value of the `Date` field, which is formatted again when the second changes.

use std::cell::RefCell;
use std::time::{SystemTime, UNIX_EPOCH};

use uptick_event_loop::driver;

thread_local! {
    static DATE: RefCell<Date> = const { RefCell::new(Date { text: String::new(), until: 0 }) };
}

/// A time as a value of `Date` (RFC 9110, 5.6.7).
struct Date {
    text: String,
    /// The end of its second, in nanoseconds on the loop's clock.
    until: u64,
}

/// Calls `f` with the time now, for which the system's clock is read once in a second; with `None` when the thread ends, or inside of
/// another call.
#[inline]
pub(super) fn with<R>(mut f: impl FnMut(Option<&str>) -> R) -> R {
    let now = driver::nanoseconds();
    let done = DATE.try_with(|date| {
        let mut date = date.try_borrow_mut().ok()?;
        if now >= date.until {
            date.renew(now);
        }
        Some(f(Some(&date.text)))
    });
    match done {
        Ok(Some(result)) => result,
        _ => f(None),
    }
}

impl Date {
    #[cold]
    fn renew(&mut self, now: u64) {
        let time = SystemTime::now();
        let part = time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.subsec_nanos());
        self.text = httpdate::fmt_http_date(time);
        self.until = now.saturating_add(u64::from(NANOSECONDS - part));
    }
}

/// Nanoseconds in a second.
const NANOSECONDS: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_date_is_the_system_time_to_the_second() {
        let date = httpdate::parse_http_date(&with(|date| date.unwrap().to_owned())).unwrap();
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < Duration::from_secs(2), "{age:?}");
    }
}
