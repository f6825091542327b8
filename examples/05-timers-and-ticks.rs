//! The order of ticks and timers, and how to cancel timers.
//!
//! Run it. It ends after half a second, when nothing is left to wait for:
//! ```text
//! $ cargo run --example 05-timers-and-ticks
//! ```

use std::time::Duration;

use uptick::prelude::*;

const MS: Duration = Duration::from_millis(1);

fn main() -> uptick::Result {
    // Timers fire in the order of their deadlines, equal ones in the order in which they were added.
    uptick::add_timer(100 * MS, || println!("timer: 100 ms"));
    uptick::add_timer(50 * MS, || println!("timer: 50 ms"));
    uptick::add_timer(50 * MS, || println!("timer: 50 ms, added later"));

    // A cancelled timer does not fire.
    let never = uptick::add_timer(200 * MS, || println!("timer: never"));
    uptick::future_tick(move || never.cancel());

    // A periodic timer is passed to its callback, so that the callback can cancel it. The callback does that first:
    // printing panics if stdout is closed, and a periodic timer whose callback panics fires again.
    let mut count = 0;
    uptick::add_periodic_timer(100 * MS, move |timer: Timer| {
        count += 1;
        if count == 4 {
            timer.cancel();
        }
        println!("every 100 ms: {count}");
    });

    // Ticks run before timers. A tick queued by a tick runs in the next iteration.
    uptick::future_tick(|| {
        uptick::future_tick(|| println!("tick: in the next iteration"));
        uptick::add_timer(Duration::ZERO, || println!("timer: at once"));
        println!("tick");
    });

    // A future can wait without a callback.
    uptick::spawn(async {
        uptick::sleep(500 * MS).await;
        println!("future: 500 ms");
    });

    println!("before the loop");
    uptick::run()?;
    println!("after the loop");
    Ok(())
}
