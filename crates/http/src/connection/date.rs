//! The value of the `Date` header, formatted once per second.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use uptick_event_loop::driver;

/// A formatted `Date` value (RFC 9110, section 5.6.7).
pub(super) type DateText = [u8; 29];

thread_local! {
    static DATE: Cell<Date> = const { Cell::new(Date { text: [b' '; 29], until: 0 }) };
}

#[derive(Clone, Copy)]
struct Date {
    text: DateText,
    /// End of the second, in nanoseconds on the loop's clock.
    until: u64,
}

/// Returns the current date. The system clock is read once per second.
#[inline]
pub(super) fn now() -> DateText {
    let now = driver::nanoseconds();
    let date = DATE.get();
    match now < date.until {
        true => date.text,
        false => update(now),
    }
}

#[cold]
fn update(now: u64) -> DateText {
    let time = SystemTime::now();
    let part = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos());
    let mut text = [b' '; 29];
    for (place, byte) in text.iter_mut().zip(httpdate::fmt_http_date(time).bytes()) {
        *place = byte;
    }
    let until = now.saturating_add(u64::from(NANOSECONDS_PER_SECOND - part));
    DATE.set(Date { text, until });
    text
}

const NANOSECONDS_PER_SECOND: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_date_is_the_system_time_to_the_second() {
        let date = httpdate::parse_http_date(str::from_utf8(&now()).unwrap()).unwrap();
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < Duration::from_secs(2), "{age:?}");
    }
}
