//! In which order ticks and timers run, and how to stop them.
//!
//! Run it; it ends by itself after half a second, when nothing is left to wait for:
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

    // A timer that is cancelled never fires.
    let never = uptick::add_timer(200 * MS, || println!("timer: never"));
    uptick::future_tick(move || never.cancel());

    // A periodic timer gets itself, so that it can cancel itself: first, as printing panics when nobody reads it any
    // more, and a periodic timer that panics fires again.
    let mut count = 0;
    uptick::add_periodic_timer(100 * MS, move |timer: Timer| {
        count += 1;
        if count == 4 {
            timer.cancel();
        }
        println!("every 100 ms: {count}");
    });

    // Ticks come before timers; one that is queued by a tick waits for the next iteration.
    uptick::future_tick(|| {
        uptick::future_tick(|| println!("tick: in the next iteration"));
        uptick::add_timer(Duration::ZERO, || println!("timer: at once"));
        println!("tick");
    });

    // A future waits without a callback.
    uptick::spawn(async {
        uptick::sleep(500 * MS).await;
        println!("future: 500 ms");
    });

    println!("before the loop");
    uptick::run()?;
    println!("after the loop");
    Ok(())
}
