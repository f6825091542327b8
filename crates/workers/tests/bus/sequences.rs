//! Many messages among four workers that all publish and subscribe: each message arrives once, in order per
//! publisher.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::{Arc, Barrier};
use std::thread;

use bytes::Bytes;
use uptick_event_loop::{Timer, add_periodic_timer, cancel_timer};
use uptick_workers::bus::{Bus, SocketTransport, ThreadBus};

use crate::support::run_until;

const WORKERS: usize = 4;

/// Returns the total number of messages: 100,000, or the value of `UPTICK_BUS_MESSAGES`.
fn messages() -> usize {
    let number = std::env::var("UPTICK_BUS_MESSAGES").ok();
    number.map_or(100_000, |number| number.parse().unwrap())
}

/// Publishes the worker's share of numbered messages, a few in each round, and checks the messages of all
/// workers.
///
/// A publisher pauses while more than a part of the limit is queued for others: no message may be dropped.
fn exchange(worker: usize, everyone: &Barrier) {
    let bus = Bus::of_thread();
    let share = messages() / WORKERS;
    let next = Rc::new(Cell::new([0; WORKERS]));
    let seen = Rc::clone(&next);
    bus.subscribe("sequence", move |payload: Bytes| {
        let (from, number) = payload.split_at(1);
        let from = usize::from(from[0]);
        let mut next = seen.get();
        assert_eq!(u32::from_le_bytes(number.try_into().unwrap()), next[from]);
        next[from] += 1;
        seen.set(next);
    });
    everyone.wait();
    let mut number = 0;
    let done = [u32::try_from(share).unwrap(); WORKERS];
    let ticking: Timer = add_periodic_timer(std::time::Duration::from_millis(1), |_| ());
    run_until(|| {
        let waiting = bus.stats().queued_bytes;
        assert!(waiting <= 4 * 4 * 1024 * 1024);
        for _ in 0..500 {
            if number < share && waiting < 1024 * 1024 {
                let mut payload = vec![u8::try_from(worker).unwrap()];
                payload.extend_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
                bus.publish("sequence", payload);
                number += 1;
            }
        }
        next.get() == done
    });
    cancel_timer(ticking);
    // No message arrives twice.
    everyone.wait();
    crate::support::settle();
    assert_eq!(next.get(), done);
    let stats = bus.stats();
    assert_eq!(stats.dropped, 0);
    assert_eq!(stats.published, share as u64);
    assert_eq!(stats.received, (share * (WORKERS - 1)) as u64);
}

#[test]
fn each_message_between_threads_arrives_once_and_in_order() {
    let group = ThreadBus::new();
    let everyone = Arc::new(Barrier::new(WORKERS));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let group = group.clone();
            let everyone = Arc::clone(&everyone);
            thread::spawn(move || {
                Bus::of_thread().attach(group.join());
                exchange(worker, &everyone);
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}

/// Creates a socket pair for each two workers. Returns, for each worker, the number of each other worker and the
/// socket to it.
fn sockets() -> Vec<Vec<(u64, OwnedFd)>> {
    let mut sockets: Vec<Vec<(u64, OwnedFd)>> = (0..WORKERS).map(|_| Vec::new()).collect();
    for first in 0..WORKERS {
        for second in first + 1..WORKERS {
            let (one, other) = UnixStream::pair().unwrap();
            sockets[first].push((second as u64, one.into()));
            sockets[second].push((first as u64, other.into()));
        }
    }
    sockets
}

#[test]
fn each_message_between_sockets_arrives_once_and_in_order() {
    let everyone = Arc::new(Barrier::new(WORKERS));
    let workers: Vec<_> = sockets()
        .into_iter()
        .enumerate()
        .map(|(worker, sockets)| {
            let everyone = Arc::clone(&everyone);
            thread::spawn(move || {
                let transport = SocketTransport::new();
                let bus = Bus::of_thread();
                bus.attach(transport.clone());
                // The peers announce their topics when they are connected: each worker starts once it has received all
                // of them.
                bus.subscribe("sequence", |_| ());
                for (id, socket) in sockets {
                    transport.add_peer(id, socket).unwrap();
                }
                run_until(|| transport.is_ready());
                exchange(worker, &everyone);
            })
        })
        .collect();
    for worker in workers {
        worker.join().unwrap();
    }
}
