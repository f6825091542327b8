//! Workers of two machines, whose buses are connected over Redis.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use uptick_redis::RedisOptions;
use uptick_socketio::SocketIoOptions;
use uptick_workers::bus::{Bus, RedisBusOptions, RedisTransport, ThreadBus};

use crate::redis::RedisServer;
use crate::support::{App, TIMEOUT, Worker, wait};

/// Starts two workers of one machine.
fn start_machine(redis: &RedisServer) -> [Worker; 2] {
    let group = ThreadBus::with_unique_ids();
    [(); 2].map(|()| {
        let (group, url) = (group.clone(), redis.url());
        let attach = move || {
            let client = RedisOptions::new()
                .first_delay(Duration::from_millis(20))
                .max_delay(Duration::from_millis(100));
            let options = RedisBusOptions::new().client(client);
            Bus::of_thread().attach(group.join());
            Bus::of_thread().attach_remote(RedisTransport::connect(url, options).unwrap());
        };
        Worker::attached(attach, SocketIoOptions::new)
    })
}

fn fetch(app: &mut App) -> BTreeSet<String> {
    let sockets = wait(app.io().of("/").fetch_sockets()).unwrap();
    sockets.into_iter().map(|socket| socket.id).collect()
}

/// Waits until each worker finds exactly these sockets.
#[track_caller]
fn expect_sockets(workers: &[&Worker], ids: &BTreeSet<String>) {
    let start = Instant::now();
    while workers.iter().any(|worker| worker.run(fetch) != *ids) {
        assert!(start.elapsed() < TIMEOUT, "{ids:?}");
    }
}

#[test]
fn servers_of_two_machines_act_as_one() {
    let Some(mut redis) = RedisServer::start() else {
        return;
    };
    let (one, other) = (start_machine(&redis), start_machine(&redis));
    let all: Vec<&Worker> = one.iter().chain(&other).collect();
    let connect = |worker: &&Worker| worker.run(|app| app.connect("a"));
    let ids: Vec<String> = all.iter().map(connect).collect();
    let every: BTreeSet<String> = ids.iter().cloned().collect();
    expect_sockets(&all, &every);

    for (index, worker) in all.iter().enumerate() {
        worker.run(move |app| {
            app.io().to("a").emit("room", &());
            app.sockets[0].broadcast().emit("others", &());
            app.io().emit("end", &());
        });
        for (receiver, worker) in all.iter().enumerate() {
            let events = worker.run(|app| app.events(0));
            let expected = if receiver == index {
                "room"
            } else {
                "room others"
            };
            assert_eq!(events, expected);
        }
    }
    for (value, worker) in all.iter().enumerate() {
        worker.run(move |app| app.acknowledge(0, value));
    }
    let mut answers: Vec<usize> = one[0].run(|app| {
        let answers = app.io().broadcast().emit_with_ack("question", &());
        wait(answers).unwrap()
    });
    answers.sort_unstable();
    assert_eq!(answers, [0, 1, 2, 3]);

    // Without Redis, each machine is on its own; then all are found again.
    redis.kill();
    let [here, there] = [&ids[..2], &ids[2..]].map(|ids| ids.iter().cloned().collect());
    expect_sockets(&all[..2], &here);
    expect_sockets(&all[2..], &there);
    redis.restart();
    expect_sockets(&all, &every);
    // A worker that leaves takes its sockets along.
    other[1].run(|_| Bus::of_thread().detach());
    expect_sockets(&all[..3], &ids[..3].iter().cloned().collect());
}
