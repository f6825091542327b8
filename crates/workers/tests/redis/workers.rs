//! Several workers on each machine: groups of threads that are connected by Redis.

use uptick_workers::bus::{Bus, ThreadBus};

use crate::machine::{Machine, attach, options, record};
use crate::server::RedisServer;

/// Starts two workers of one machine.
fn start_workers(url: &str) -> [Machine; 2] {
    let group = ThreadBus::with_unique_ids();
    [(); 2].map(|()| {
        let (group, url) = (group.clone(), url.to_owned());
        Machine::start(move || {
            Bus::of_thread().attach(group.join());
            record("a");
            attach(&url, options());
        })
    })
}

#[test]
fn each_worker_of_each_machine_receives_a_message_once() {
    let Some(mut server) = RedisServer::start(&[]) else {
        return;
    };
    let url = server.url();
    let (one, other) = (start_workers(&url), start_workers(&url));
    let all: Vec<&Machine> = one.iter().chain(&other).collect();
    for machine in &all {
        machine.expect("+ + +");
    }
    let mut ids: Vec<u64> = all
        .iter()
        .map(|machine| machine.run(|| Bus::of_thread().id()))
        .collect();
    for machine in &all {
        let mut others = machine.run(|| Bus::of_thread().remote_subscribers("a"));
        others.push(machine.run(|| Bus::of_thread().id()));
        others.sort_unstable();
        ids.sort_unstable();
        assert_eq!(others, ids);
    }
    for machine in &all {
        machine.publish("a", "message");
        for receiver in &all {
            receiver.expect("message");
        }
    }
    // The workers of a machine do not need Redis.
    server.kill();
    for machine in &all {
        machine.expect("- -");
    }
    one[0].publish("a", "here");
    one[1].expect("here");
    server.restart();
    for machine in &all[1..] {
        machine.expect("+ +");
    }
    one[0].expect("here + +");
    other[1].publish("a", "again");
    for receiver in &all {
        receiver.expect("again");
    }
    let received = all
        .iter()
        .map(|machine| machine.run(|| Bus::of_thread().stats().received));
    assert_eq!(received.collect::<Vec<_>>(), [4, 5, 4, 3]);
}
