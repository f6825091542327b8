//! The `Date` field: a text that is made anew when the second changes.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use uptick_event_loop::driver;

/// A time as `Date` has it (RFC 9110, 5.6.7).
#[derive(Clone, Copy, Default)]
pub(super) struct Date([u8; 29]);

thread_local! {
    /// The text, and until when on the loop's clock it is right.
    static DATE: Cell<(Duration, Date)> = const { Cell::new((Duration::ZERO, Date([0; 29]))) };
}

impl Date {
    /// The time now. It asks the system's clock once in a second.
    #[inline]
    pub(super) fn now() -> Self {
        let now = driver::elapsed();
        let date = DATE.try_with(|date| {
            let (until, text) = date.get();
            if now < until { text } else { renew(date, now) }
        });
        date.unwrap_or_default()
    }

    #[inline]
    pub(super) fn as_str(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

#[cold]
fn renew(date: &Cell<(Duration, Date)>, now: Duration) -> Date {
    let time = SystemTime::now();
    let part = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos());
    let mut text = Date::default();
    // It has 29 characters until the year 9999.
    for (place, byte) in text.0.iter_mut().zip(httpdate::fmt_http_date(time).bytes()) {
        *place = byte;
    }
    let left = Duration::from_secs(1).saturating_sub(Duration::from_nanos(part.into()));
    date.set((now.saturating_add(left), text));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_is_the_system_time_to_the_second() {
        let text = Date::now();
        let date = httpdate::parse_http_date(text.as_str().unwrap()).unwrap();
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < Duration::from_secs(2), "{age:?}");
    }
}
