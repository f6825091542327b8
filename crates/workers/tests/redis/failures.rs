//! Redis servers that die, stop or are not there, and workers that hang.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use uptick_workers::bus::{Bus, RedisBusOptions};

use crate::machine::Machine;
use crate::server::{RedisServer, free_port};

#[test]
fn a_killed_server_makes_all_workers_gone_until_it_is_back() {
    let Some(mut server) = RedisServer::start(&[]) else {
        return;
    };
    let a = Machine::connected(&server.url(), |options| options, &["a"]);
    let b = Machine::connected(&server.url(), |options| options, &["a"]);
    a.expect("+");
    b.expect("+");
    for _ in 0..3 {
        server.kill();
        a.expect("-");
        b.expect("-");
        let before = a.run(|| Bus::of_thread().stats().dropped);
        a.publish("a", "lost");
        a.expect("lost");
        assert_eq!(a.run(|| Bus::of_thread().stats().dropped), before + 1);
        server.restart();
        a.expect("+");
        b.expect("+");
        a.publish("a", "back");
        b.expect("back");
        a.expect("back");
    }
}

#[test]
fn messages_are_queued_up_to_the_limit_while_the_server_is_stopped() {
    const LIMIT: usize = 256 * 1024;
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let change = |options: RedisBusOptions| options.queue_limit(LIMIT);
    let a = Machine::connected(&server.url(), change, &["a"]);
    let b = Machine::connected(&server.url(), change, &["a"]);
    a.expect("+");
    b.expect("+");
    server.signal(Signal::STOP);
    let mut number = 0;
    // The buffers of the kernel are filled first.
    while a.run(|| Bus::of_thread().stats().dropped) < 100 {
        let next = number + 100;
        a.run(move || {
            for number in number..next {
                let payload = format!("{number:010000}");
                Bus::of_thread().publish_to_others("a", payload);
            }
        });
        number = next;
        let queued = a.run(|| Bus::of_thread().stats().queued_bytes);
        assert!(queued < LIMIT + 64 * 1024, "{queued}");
        assert!(number < 10_000, "nothing was dropped");
    }
    // Longer than the timeout of peers: they are not gone, because Redis is.
    thread::sleep(Duration::from_secs(1));
    assert_eq!(b.take() + &a.take(), "");
    let dropped = a.run(|| Bus::of_thread().stats().dropped);
    server.signal(Signal::CONT);
    b.until(move || Bus::of_thread().stats().received == number - dropped);
    let log = b.take();
    let received: Vec<u64> = log.split(' ').map(|entry| entry.parse().unwrap()).collect();
    assert!(received.is_sorted_by(|a, b| a < b));
    a.publish("a", "next");
    b.expect("next");
}

#[test]
fn a_worker_that_hangs_is_gone_until_it_continues() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let a = Machine::connected(&server.url(), |options| options, &["a"]);
    let b = Machine::connected(&server.url(), |options| options, &["a"]);
    a.expect("+");
    b.expect("+");
    a.post(|| thread::sleep(Duration::from_millis(1500)));
    b.expect("-");
    assert!(!b.run(|| Bus::of_thread().has_remote_subscribers("a")));
    b.expect("+");
    b.until(|| Bus::of_thread().has_remote_subscribers("a"));
    // It has missed nothing itself.
    a.expect("");
}

#[test]
fn a_worker_whose_connection_was_cut_is_gone_and_back() {
    let Some(server) = RedisServer::start(&[]) else {
        return;
    };
    let a = Machine::connected(&server.url(), |options| options, &["a"]);
    let b = Machine::connected(&server.url(), |options| options, &["a"]);
    a.expect("+");
    b.expect("+");
    a.transport(|transport| {
        let redis = transport.client();
        redis.command::<u64>(("CLIENT", "ID")).then(move |id| {
            drop(redis.command::<()>(("CLIENT", "KILL", "ID", id.unwrap(), "SKIPME", "no")))
        });
    });
    a.expect("- +");
    b.expect("- +");
    b.publish("a", "message");
    a.expect("message");
}

#[test]
fn a_bus_works_without_a_server() {
    let start = Instant::now();
    let url = format!("redis://127.0.0.1:{}", free_port());
    let a = Machine::connected(&url, |options| options, &["a"]);
    a.publish("a", "local");
    a.expect("local");
    assert_eq!(a.run(|| Bus::of_thread().stats().dropped), 1);
    a.run(|| Bus::of_thread().detach());
    drop(a);
    assert!(start.elapsed() < Duration::from_secs(5));
}
