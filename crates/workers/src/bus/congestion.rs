//! Backpressure: notifications for publishers when other workers fall behind.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use uptick_emitter::emit;
use uptick_event_loop::{add_timer, catch};

use super::local::{self, Bus};

/// The number of bytes queued for a worker from which the bus is congested, and the number below which it no longer is.
const HIGH_MARK: usize = 1024 * 1024;
const LOW_MARK: usize = 256 * 1024;

/// The interval at which the queues are checked while the bus is congested.
const CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// The time without progress after which a worker counts as not reading. Publishers do not wait for it.
const STALL_TIME: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Congestion {
    is_congested: bool,
    queues: HashMap<u64, Queue>,
}

/// The queue of a worker that has fallen behind.
struct Queue {
    bytes: usize,
    /// Time at which the queue last became shorter.
    progress: Instant,
}

thread_local! {
    static CONGESTION: RefCell<Congestion> = RefCell::default();
}

impl Bus {
    /// Returns whether more than 1 MiB of messages is queued for another worker that reads. A publisher that can wait should stop
    /// until the bus emits `drain`: beyond 4 MiB, messages are dropped. A worker that has read nothing for 100 ms does not count.
    ///
    /// # Examples
    /// ```
    /// use uptick_emitter::Emitter;
    /// use uptick_websocket::{Message, WebSocket};
    /// use uptick_workers::bus::Bus;
    ///
    /// fn forward(ws: WebSocket, bus: Bus) {
    ///     ws.on("message", move |message: Message| {
    ///         bus.publish("all", message.as_bytes());
    ///         if bus.is_congested() {
    ///             ws.pause();
    ///             bus.once(Bus::DRAIN, move |()| ws.resume());
    ///         }
    ///     });
    /// }
    /// ```
    pub fn is_congested(self) -> bool {
        let (before, now) = update();
        if now && !before {
            add_timer(CHECK_INTERVAL, check_drained);
        }
        now
    }
}

/// Updates the state from the queues; returns whether the bus was congested before, and whether it is now.
fn update() -> (bool, bool) {
    let now = Instant::now();
    CONGESTION
        .try_with(|congestion| {
            let congestion = &mut *congestion.borrow_mut();
            let before = congestion.is_congested;
            let limit = if before { LOW_MARK } else { HIGH_MARK };
            let mut queues = HashMap::new();
            let mut is_congested = false;
            local::queues(&mut |id, bytes| {
                if bytes <= limit {
                    return;
                }
                let known = congestion.queues.remove(&id);
                let progress = known
                    .filter(|known| bytes >= known.bytes)
                    .map_or(now, |known| known.progress);
                is_congested |= now.saturating_duration_since(progress) < STALL_TIME;
                queues.insert(id, Queue { bytes, progress });
            });
            congestion.queues = queues;
            congestion.is_congested = is_congested;
            (before, is_congested)
        })
        .unwrap_or_default()
}

fn check_drained() {
    let (_, is_congested) = update();
    if is_congested {
        add_timer(CHECK_INTERVAL, check_drained);
    } else if let Err(message) = catch(|| emit(&Bus::of_thread(), Bus::DRAIN, ())) {
        tracing::error!("a listener of the bus panicked: {message}");
    }
}
