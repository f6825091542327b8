//! Backpressure: publishers that can wait learn when other workers fall behind.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use uptick_emitter::emit;
use uptick_event_loop::{add_timer, catch};

use super::local::{self, Bus};

/// The bytes that wait for a worker from which on the bus is congested, and below which it is not any more.
const HIGH: usize = 1024 * 1024;
const LOW: usize = 256 * 1024;

/// How often the queues are looked at while the bus is congested.
const LOOK: Duration = Duration::from_millis(5);

/// A worker whose queue has not become shorter for this time does not read: publishers do not wait for it.
const PATIENCE: Duration = Duration::from_millis(100);

#[derive(Default)]
struct Congestion {
    is_congested: bool,
    queues: HashMap<u64, Queue>,
}

/// The queue of a worker that has fallen behind.
struct Queue {
    bytes: usize,
    /// When it was last seen to become shorter.
    progress: Instant,
}

thread_local! {
    static CONGESTION: RefCell<Congestion> = RefCell::default();
}

impl Bus {
    /// Returns whether more than 1 MiB of messages wait for another worker that reads. Who can wait should publish no more until the
    /// bus emits `drain`: beyond 4 MiB messages are dropped. A worker that has read nothing for 100 ms does not count.
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
        let (before, now) = look();
        if now && !before {
            add_timer(LOOK, look_again);
        }
        now
    }
}

/// Looks at the queues; returns whether the bus was congested and whether it is.
fn look() -> (bool, bool) {
    let now = Instant::now();
    CONGESTION
        .try_with(|congestion| {
            let congestion = &mut *congestion.borrow_mut();
            let before = congestion.is_congested;
            let limit = if before { LOW } else { HIGH };
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
                is_congested |= now.saturating_duration_since(progress) < PATIENCE;
                queues.insert(id, Queue { bytes, progress });
            });
            congestion.queues = queues;
            congestion.is_congested = is_congested;
            (before, is_congested)
        })
        .unwrap_or_default()
}

fn look_again() {
    let (_, is_congested) = look();
    if is_congested {
        add_timer(LOOK, look_again);
    } else if let Err(message) = catch(|| emit(&Bus::of_thread(), Bus::DRAIN, ())) {
        tracing::error!("a listener of the bus panicked: {message}");
    }
}
