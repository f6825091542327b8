//! The events `peer` and `peer-gone`.

use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_workers::bus::{Bus, SocketTransport, ThreadBus};

use crate::support::{Log, run_until, settle};

/// Records the events and the messages of the bus of this thread.
fn record() -> Log {
    let log = Log::default();
    let bus = Bus::of_thread();
    let (come, gone, heard) = (log.clone(), log.clone(), log.clone());
    bus.on("peer", move |id: u64| come.add(format!("+{id}")));
    bus.on(Bus::PEER_GONE, move |id| gone.add(format!("-{id}")));
    bus.subscribe("news", move |payload: Bytes| {
        heard.add(String::from_utf8_lossy(&payload));
    });
    log
}

/// Runs a worker on a thread until the returned sender is dropped; it publishes the texts that are
/// sent to it.
fn worker(
    connect: impl FnOnce() + Send + 'static,
) -> (mpsc::Sender<&'static str>, thread::JoinHandle<()>) {
    let (sender, texts) = mpsc::channel();
    let thread = thread::spawn(move || {
        connect();
        while let Ok(text) = texts.recv() {
            run_until(|| true);
            Bus::of_thread().publish("news", text);
            settle();
        }
    });
    (sender, thread)
}

#[test]
fn members_of_a_group_are_reported_to_each_other() {
    let group = ThreadBus::new();
    let join = |group: &ThreadBus| {
        let group = group.clone();
        worker(move || Bus::of_thread().attach(group.join()))
    };
    let (first, early) = join(&group);
    while group.members() == 0 {
        thread::yield_now();
    }
    let log = record();
    let bus = Bus::of_thread();
    assert_eq!(bus.id(), 0);
    bus.attach(group.join());
    assert_eq!(bus.id(), 2);
    run_until(|| log.len() == 1);
    let (sender, late) = join(&group);
    sender.send("last message").unwrap();
    drop(sender);
    run_until(|| log.len() == 4);
    assert_eq!(log.take(), "+1 +3 last message -3");
    late.join().unwrap();

    bus.detach();
    drop(first);
    early.join().unwrap();
    settle();
    assert_eq!(log.take(), "");
}

#[test]
fn processes_are_reported_to_each_other_once_their_topics_are_known() {
    let log = record();
    let bus = Bus::of_thread();
    let transport = SocketTransport::new();
    transport.set_id(7);
    bus.attach(transport.clone());
    assert_eq!(bus.id(), 7);

    let (ours, silent) = UnixStream::pair().unwrap();
    transport.add_peer(1, ours.into()).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    transport.add_peer(2, ours.into()).unwrap();
    let (hear, heard) = mpsc::channel();
    let (sender, other) = worker(move || {
        let transport = SocketTransport::new();
        let bus = Bus::of_thread();
        bus.attach(transport.clone());
        bus.subscribe("greeting", move |payload: Bytes| {
            hear.send(payload).unwrap()
        });
        transport.add_peer(7, theirs.into()).unwrap();
        run_until(|| transport.is_ready());
    });
    bus.on("peer", move |_: u64| bus.publish("greeting", "welcome"));
    run_until(|| log.len() == 1);
    assert_eq!(log.take(), "+2");

    sender.send("last message").unwrap();
    drop(sender);
    run_until(|| log.len() == 2);
    assert_eq!(log.take(), "last message -2");
    other.join().unwrap();
    assert_eq!(heard.recv().unwrap(), "welcome");
    // A peer that never announced its subscriptions was never reported.
    drop(silent);
    run_until(|| transport.peers().is_empty());
    settle();
    assert_eq!(log.take(), "");
}

#[test]
fn the_replacement_of_a_peer_is_reported_after_the_peer_is_gone() {
    let log = record();
    let bus = Bus::of_thread();
    let transport = SocketTransport::new();
    bus.attach(transport.clone());
    let mut workers = Vec::new();
    for _ in 0..2 {
        let (ours, theirs) = UnixStream::pair().unwrap();
        transport.add_peer(1, ours.into()).unwrap();
        workers.push(worker(move || {
            let transport = SocketTransport::new();
            Bus::of_thread().attach(transport.clone());
            transport.add_peer(2, theirs.into()).unwrap();
            run_until(|| transport.is_ready());
        }));
        run_until(|| transport.is_ready());
    }
    assert_eq!(log.take(), "+1 -1 +1");
    bus.detach();
    for (sender, thread) in workers {
        drop(sender);
        thread.join().unwrap();
    }
}

#[test]
fn a_panicking_listener_does_not_end_the_connection_to_the_peer() {
    let log = record();
    let bus = Bus::of_thread();
    bus.on("peer", |_: u64| panic!("on purpose"));
    let group = ThreadBus::new();
    bus.attach(group.join());
    let (sender, other) = worker(move || Bus::of_thread().attach(group.join()));
    sender.send("still there").unwrap();
    run_until(|| log.len() == 2);
    assert_eq!(log.take(), "+2 still there");
    drop(sender);
    other.join().unwrap();
}
