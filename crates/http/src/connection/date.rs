//! The `Date` field: a text that is made anew when the second changes.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use uptick_event_loop::driver;

thread_local! {
    static DATE: RefCell<Date> = const { RefCell::new(Date { text: None, until: 0 }) };
}

/// A time as `Date` has it (RFC 9110, 5.6.7), and until when, in nanoseconds on the loop's clock, it is right.
struct Date {
    text: Option<Rc<str>>,
    until: u64,
}

/// The time now, which is the system's clock asked once in a second.
#[inline]
pub(super) fn now() -> Option<Rc<str>> {
    let now = driver::nanoseconds();
    let text = DATE.try_with(|date| {
        let mut date = date.borrow_mut();
        if now >= date.until {
            date.renew(now);
        }
        date.text.clone()
    });
    text.ok().flatten()
}

impl Date {
    #[cold]
    fn renew(&mut self, now: u64) {
        let time = SystemTime::now();
        let part = time
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.subsec_nanos());
        self.text = Some(httpdate::fmt_http_date(time).into());
        self.until = now.saturating_add(u64::from(NANOSECONDS - part));
    }
}

/// In a second.
const NANOSECONDS: u32 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_date_is_the_system_time_to_the_second() {
        let date = httpdate::parse_http_date(&now().unwrap()).unwrap();
        let age = SystemTime::now().duration_since(date).unwrap();
        assert!(age < Duration::from_secs(2), "{age:?}");
    }
}
