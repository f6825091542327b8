//! The bus between threads.

use std::sync::mpsc;
use std::thread;

use uptick_workers::bus::{Bus, ThreadBus};

use crate::support::{Log, run_until, settle};

/// A worker that waits for a signal before it runs its loop.
struct Stopped {
    go: mpsc::Sender<usize>,
    thread: thread::JoinHandle<(String, u64)>,
}

/// Starts a worker that subscribes to `news` and waits. It returns all messages that it has received once it has
/// run.
fn stopped_worker(group: &ThreadBus) -> Stopped {
    let (go, wait) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    let group = group.clone();
    let thread = thread::spawn(move || {
        let bus = Bus::of_thread();
        bus.attach(group.join());
        let log = Log::default();
        log.subscribe("news");
        ready.send(()).unwrap();
        let count = wait.recv().unwrap();
        run_until(|| log.len() >= count);
        settle();
        (log.take(), bus.stats().received)
    });
    is_ready.recv().unwrap();
    Stopped { go, thread }
}

#[test]
fn a_message_reaches_each_member_and_its_publisher_once() {
    let group = ThreadBus::new();
    let others = [stopped_worker(&group), stopped_worker(&group)];
    let bus = Bus::of_thread();
    bus.attach(group.join());
    let log = Log::default();
    log.subscribe("news");
    assert_eq!(group.members(), 3);
    for text in ["1", "2", "3"] {
        bus.publish("news", text);
    }
    bus.publish("other", "unheard");
    assert!(bus.stats().queued_bytes > 0);
    settle();
    assert_eq!(log.take(), "1 2 3");
    for worker in others {
        worker.go.send(3).unwrap();
        assert_eq!(worker.thread.join().unwrap(), ("1 2 3".to_owned(), 3));
    }
    let stats = bus.stats();
    assert_eq!((stats.published, stats.dropped), (4, 0));
    assert_eq!(stats.queued_bytes, 0);
}

#[test]
fn members_join_and_leave_while_others_publish() {
    let group = ThreadBus::new();
    let bus = Bus::of_thread();
    bus.attach(group.join());
    let mut text = 0;
    for _ in 0..20 {
        bus.publish("news", "before it joins");
        let worker = stopped_worker(&group);
        text += 1;
        bus.publish("news", text.to_string());
        worker.go.send(1).unwrap();
        assert_eq!(worker.thread.join().unwrap(), (text.to_string(), 1));
        assert_eq!(group.members(), 1);
        bus.publish("news", "after it left");
    }
    assert_eq!(bus.stats().queued_bytes, 0);
    bus.detach();
    assert_eq!(group.members(), 0);
}

#[test]
fn a_message_without_subscribers_is_not_sent() {
    let group = ThreadBus::new();
    let bus = Bus::of_thread();
    bus.attach(group.join());
    let (change, changes) = mpsc::channel();
    let (done, dones) = mpsc::channel();
    let members = group.clone();
    let other = thread::spawn(move || {
        let bus = Bus::of_thread();
        bus.attach(members.join());
        let mut id = None;
        while let Ok(subscribe) = changes.recv() {
            match subscribe {
                true => id = Some(bus.subscribe("a", |_| ())),
                false => assert!(bus.unsubscribe(id.take().unwrap())),
            }
            done.send(()).unwrap();
        }
    });
    for subscribed in [true, false, true, false] {
        change.send(subscribed).unwrap();
        dones.recv().unwrap();
        let before = bus.stats().queued_bytes;
        bus.publish("a", "x");
        assert_eq!(bus.stats().queued_bytes > before, subscribed);
    }
    drop(change);
    other.join().unwrap();
}

#[test]
fn messages_to_a_member_that_does_not_run_are_dropped_beyond_the_limit_without_blocking_others() {
    let group = ThreadBus::with_queue_limit(100_000);
    let worker = stopped_worker(&group);
    let bus = Bus::of_thread();
    bus.attach(group.join());
    let tail = "x".repeat(1000);
    for number in 0..1000 {
        bus.publish("news", format!("{number}:{tail}"));
        assert!(bus.stats().queued_bytes <= 100_000);
    }
    let stats = bus.stats();
    assert!(stats.queued_bytes > 90_000);
    let taken = 1000 - stats.dropped;
    assert!((80..100).contains(&taken), "{stats:?}");
    // It receives the first messages, whole and in order; then messages flow again.
    worker.go.send(usize::try_from(taken).unwrap() + 1).unwrap();
    run_until(|| bus.stats().queued_bytes == 0);
    bus.publish("news", "again");
    let (text, received) = worker.thread.join().unwrap();
    assert_eq!(received, taken + 1);
    let numbers: Vec<&str> = text
        .split(' ')
        .map(|text| text.split(':').next().unwrap())
        .collect();
    let expected = (0..taken).map(|number| number.to_string());
    assert!(
        numbers.iter().eq(expected
            .chain(["again".to_owned()])
            .collect::<Vec<_>>()
            .iter())
    );
    assert_eq!(bus.stats().dropped, stats.dropped);
}

#[test]
fn many_changes_of_subscriptions_are_noticed() {
    let group = ThreadBus::new();
    let bus = Bus::of_thread();
    bus.attach(group.join());
    for number in 0..3000 {
        bus.publish(&number.to_string(), "nobody");
    }
    let members = group.clone();
    let other = thread::spawn(move || {
        let bus = Bus::of_thread();
        bus.attach(members.join());
        let log = Log::default();
        for number in 0..3000 {
            log.subscribe(&number.to_string());
        }
        bus.publish("ready", "x");
        run_until(|| log.len() == 3000);
    });
    let log = Log::default();
    log.subscribe("ready");
    run_until(|| log.len() == 1);
    for number in 0..3000 {
        bus.publish(&number.to_string(), "x");
    }
    other.join().unwrap();
}

#[test]
fn subscribers_in_other_members_are_known_at_once() {
    let group = ThreadBus::new();
    let bus = Bus::of_thread();
    bus.attach(group.join());
    Log::default().subscribe("news");
    assert!(!bus.has_remote_subscribers("news"));
    let worker = stopped_worker(&group);
    assert_eq!(bus.remote_subscribers("news"), [2]);
    assert!(bus.has_remote_subscribers("news"));
    assert!(!bus.has_remote_subscribers("other"));
    bus.publish("news", "hello");
    let [(2, bytes)] = bus.queues()[..] else {
        panic!("the queues are {:?}", bus.queues());
    };
    assert!(bytes > 5);
    worker.go.send(1).unwrap();
    worker.thread.join().unwrap();
    assert!(!bus.has_remote_subscribers("news"));
    bus.detach();
    assert!(bus.queues().is_empty());
}
