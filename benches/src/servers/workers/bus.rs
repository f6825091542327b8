//! Messages over the bus, on request: the response to `GET /bus/COUNT/LENGTH/WINDOW` is sent when all workers have received
//! `COUNT` messages.
//!
//! `WINDOW` messages are published at once. The last one carries the number of the publishing worker, to which each worker
//! then confirms the number of messages that it has received. The next window begins when all workers have confirmed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick::http::Responder;
use uptick::prelude::*;
use uptick::workers::Worker;
use uptick::workers::bus::Bus;

/// The topic of the measured messages.
const DATA: &str = "bench";

/// The interval at which the other workers are looked up.
const RETRY: Duration = Duration::from_millis(5);

/// A request in progress.
struct ActiveRequest {
    responder: Responder,
    /// The number of messages still to publish.
    left: u64,
    window: u64,
    /// The size of the current window.
    sent: u64,
    /// The number of workers that have not confirmed it.
    missing: usize,
    message: Bytes,
    last: Bytes,
}

pub(super) fn add_route(http: HttpServer, worker: Worker) {
    let bus = Bus::of_thread();
    let peers = Rc::new(Cell::new(0));
    let (come, gone) = (Rc::clone(&peers), Rc::clone(&peers));
    bus.on("peer", move |_: u64| come.set(come.get() + 1));
    bus.on("peer-gone", move |_: u64| gone.set(gone.get() - 1));

    let received = Cell::new(0u64);
    bus.subscribe(DATA, move |message: Bytes| {
        received.set(received.get() + 1);
        if let Some(&publisher) = message.first()
            && publisher != 0
        {
            let count = received.replace(0).to_string();
            bus.publish(&confirmations(publisher), count);
        }
    });

    let running: Rc<RefCell<Option<ActiveRequest>>> = Rc::default();
    let confirmed = Rc::clone(&running);
    bus.subscribe(
        &confirmations(worker.number() as u8),
        move |count: Bytes| {
            confirm(bus, &confirmed, &count, worker.count());
        },
    );

    http.get(
        "/bus/{count}/{length}/{window}",
        move |request: Request, responder: Responder| {
            let number = |name| request.param(name).and_then(|text| text.parse().ok());
            let length = number("length").unwrap_or(1).max(1) as usize;
            let mut bytes = vec![0; length];
            let message = Bytes::copy_from_slice(&bytes);
            bytes[0] = worker.number() as u8;
            let run = ActiveRequest {
                responder,
                left: number("count").unwrap_or(1),
                window: number("window").unwrap_or(1),
                sent: 0,
                missing: 0,
                message,
                last: bytes.into(),
            };
            *running.borrow_mut() = Some(run);
            begin(bus, Rc::clone(&running), Rc::clone(&peers), worker.count());
        },
    );
}

/// Returns the topic of the confirmations to a worker.
fn confirmations(publisher: u8) -> String {
    format!("bench/{publisher}")
}

/// Publishes the first window as soon as all workers are connected.
fn begin(
    bus: Bus,
    running: Rc<RefCell<Option<ActiveRequest>>>,
    peers: Rc<Cell<usize>>,
    workers: usize,
) {
    if peers.get() + 1 < workers {
        uptick::add_timer(RETRY, move || begin(bus, running, peers, workers));
    } else if let Some(run) = &mut *running.borrow_mut() {
        run.publish(bus, workers);
    }
}

fn confirm(bus: Bus, running: &RefCell<Option<ActiveRequest>>, count: &[u8], workers: usize) {
    let mut running = running.borrow_mut();
    let Some(run) = &mut *running else { return };
    if count != run.sent.to_string().as_bytes() {
        run.responder.send("messages were lost");
        *running = None;
        return;
    }
    run.missing -= 1;
    if run.missing > 0 {
        return;
    }
    if run.left > 0 {
        run.publish(bus, workers);
    } else {
        run.responder.send(super::DONE);
        *running = None;
    }
}

impl ActiveRequest {
    fn publish(&mut self, bus: Bus, workers: usize) {
        self.sent = self.window.min(self.left).max(1);
        self.left = self.left.saturating_sub(self.sent);
        self.missing = workers;
        for _ in 1..self.sent {
            bus.publish(DATA, self.message.clone());
        }
        bus.publish(DATA, self.last.clone());
    }
}
