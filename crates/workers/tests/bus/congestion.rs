//! Backpressure of a bus whose other workers fall behind.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::{add_timer, run};
use uptick_workers::bus::{Bus, BusSink, BusTransport, TransportStats};

const MIB: usize = 1024 * 1024;

/// A transport with one other worker, for which this number of bytes is queued.
struct Queue(Rc<Cell<usize>>);

impl BusTransport for Queue {
    fn attach(&self, _: BusSink) {}
    fn publish(&self, _: &str, _: &Bytes) {}
    fn subscribe(&self, _: &str) {}
    fn unsubscribe(&self, _: &str) {}
    fn stats(&self) -> TransportStats {
        TransportStats::default()
    }
    fn queues(&self, visit: &mut dyn FnMut(u64, usize)) {
        visit(7, self.0.get());
    }
    fn close(&self) {}
}

fn bus_with_queue(bytes: usize) -> (Bus, Rc<Cell<usize>>, Rc<Cell<u32>>) {
    let queue = Rc::new(Cell::new(bytes));
    let bus = Bus::of_thread();
    bus.attach(Queue(Rc::clone(&queue)));
    let drained = Rc::new(Cell::new(0));
    let count = Rc::clone(&drained);
    bus.on("drain", move |()| count.set(count.get() + 1));
    (bus, queue, drained)
}

#[test]
fn a_bus_is_congested_until_the_queue_is_short() {
    let (bus, queue, drained) = bus_with_queue(MIB);
    assert!(!bus.is_congested());
    queue.set(MIB + 1);
    assert!(bus.is_congested());
    // The worker reads slowly.
    for step in 1..10 {
        let queue = Rc::clone(&queue);
        let drained = Rc::clone(&drained);
        add_timer(Duration::from_millis(30 * step), move || {
            assert_eq!(drained.get(), 0);
            queue.set(queue.get() - 100_000);
        });
    }
    run().unwrap();
    assert_eq!(drained.get(), 1);
    assert!(!bus.is_congested());
}

#[test]
fn publishers_do_not_wait_for_a_worker_that_does_not_read() {
    let (bus, queue, drained) = bus_with_queue(2 * MIB);
    assert!(bus.is_congested());
    run().unwrap();
    assert_eq!(drained.get(), 1);
    queue.set(3 * MIB);
    assert!(!bus.is_congested(), "the worker still does not read");
    queue.set(2 * MIB);
    assert!(bus.is_congested(), "the worker reads again");
}
