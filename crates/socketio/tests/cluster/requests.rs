//! Acknowledgements, lists of sockets and events between servers, also with workers that die or do not respond.

use std::time::{Duration, Instant};

use uptick_socketio::{Ack, Incomplete, RemoteSocket, SocketIoOptions, Value};
use uptick_workers::bus::{Bus, ThreadBus};

use crate::support::{App, Worker, wait};

fn sorted<T: Ord>(mut values: Vec<T>) -> Vec<T> {
    values.sort();
    values
}

/// Options with timeouts of one hour.
fn long_timeouts() -> SocketIoOptions {
    let hour = Duration::from_secs(3600);
    SocketIoOptions::new()
        .request_timeout(hour)
        .ack_timeout(hour)
}

fn fetch(app: &mut App) -> Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>> {
    let fetch = app.io().of("/").fetch_sockets();
    wait(fetch)
}

#[test]
fn sockets_of_all_workers_are_fetched_even_right_after_the_start() {
    let group = ThreadBus::new();
    let one = Worker::with(&group, long_timeouts);
    let id = one.run(|app| {
        let id = app.connect("b a");
        app.sockets[0].set_data(&("stashed", 1)).unwrap();
        id
    });
    let two = Worker::with(&group, long_timeouts);
    let three = Worker::with(&group, long_timeouts);
    let own = three.run(|app| app.connect("a"));
    let fetched = two.run(fetch).unwrap();
    let ids: Vec<String> = fetched.iter().map(|socket| socket.id.clone()).collect();
    assert_eq!(sorted(ids), sorted(vec![id.clone(), own]));
    let remote = fetched.iter().find(|socket| socket.id == id).unwrap();
    assert_eq!(
        sorted(remote.rooms.clone()),
        sorted(vec!["a".to_owned(), "b".to_owned(), id])
    );
    assert_eq!(remote.data, Value::of(&("stashed", 1)).unwrap());
    assert!(remote.handshake.get("headers").is_some());

    let some = two.run(|app| {
        let some = app.io().to("a").except("b").fetch_sockets();
        wait(some).unwrap().len()
    });
    assert_eq!(some, 1);
    let local = three.run(|app| {
        let local = app.io().to("a").local().fetch_sockets();
        wait(local).unwrap().len()
    });
    assert_eq!(local, 1);
    // Right after the start of each worker.
    for count in 3..6 {
        let worker = Worker::with(&group, long_timeouts);
        worker.run(|app| app.connect(""));
        assert_eq!(worker.run(fetch).unwrap().len(), count);
        assert_eq!(two.run(fetch).unwrap().len(), count);
        std::mem::forget(worker);
    }
}

#[test]
fn acknowledgements_of_clients_of_all_workers_are_collected() {
    let group = ThreadBus::new();
    let [one, two, three] = [(); 3].map(|()| Worker::with(&group, long_timeouts));
    one.run(|app| {
        for value in 0..2 {
            app.connect("a");
            app.acknowledge(value, value);
        }
        app.connect("b");
    });
    two.run(|app| {
        app.connect("a");
        app.acknowledge(0, 2);
    });
    let request = |app: &mut App| {
        let values = app.io().to("a").emit_with_ack::<u64, _>("vote", &"x");
        wait(values)
    };
    for worker in [&one, &three] {
        assert_eq!(worker.run(request).map(sorted), Ok(vec![0, 1, 2]));
    }
    // The client in `b` does not acknowledge.
    let some = two.run(|app| {
        let all = app.io().except("none").timeout(Duration::from_millis(200));
        let values = all.emit_with_ack::<u64, _>("vote", &"x");
        wait(values)
    });
    assert_eq!(
        some.map_err(|some| sorted(some.received)),
        Err(vec![0, 1, 2])
    );
}

#[test]
fn servers_emit_events_to_each_other() {
    let group = ThreadBus::new();
    let workers = [(); 3].map(|()| Worker::with(&group, long_timeouts));
    for (index, worker) in workers.iter().enumerate() {
        worker.run(move |app| {
            let log = app.log.clone();
            app.io()
                .of("/")
                .on_server_side("sse", move |text: String, ack: Ack| {
                    log.add(text);
                    ack.send(&index);
                });
        });
    }
    let responses = workers[1].run(|app| {
        app.io().of("/").server_side_emit("sse", &"first");
        let responses = app
            .io()
            .of("/")
            .server_side_emit_with_ack::<usize, _>("sse", &"second");
        wait(responses)
    });
    assert_eq!(responses.map(sorted), Ok(vec![0, 2]));
    let logs = workers.map(|worker| worker.run(|app| app.log.take().join(" ")));
    assert_eq!(logs, ["first second", "", "first second"]);
}

#[test]
fn requests_do_not_wait_for_a_worker_that_dies() {
    let group = ThreadBus::new();
    let [one, two, dying] = [(); 3].map(|()| Worker::with(&group, long_timeouts));
    for (value, worker) in [&one, &two, &dying].into_iter().enumerate() {
        worker.run(move |app| app.connect("a"));
        if value < 2 {
            worker.run(move |app| app.acknowledge(0, value));
        }
    }
    // The worker has sent the event to its client, and is killed before the client acknowledges it.
    let asked = one.begin(|app| {
        let values = app.io().to("a").emit_with_ack::<u64, _>("end", &());
        wait(values)
    });
    dying.run(|app| app.events(0));
    let resume = dying.pause();
    let fetched = two.begin(fetch);
    assert!(fetched.recv_timeout(Duration::from_millis(50)).is_err());
    let died = dying.begin(|_| Bus::of_thread().detach());
    drop(resume);
    assert_eq!(died.recv(), Ok(true));
    let asked = asked.recv_timeout(crate::support::TIMEOUT).unwrap();
    assert_eq!(asked.map_err(|some| sorted(some.received)), Err(vec![0, 1]));
    let fetched = fetched.recv_timeout(crate::support::TIMEOUT).unwrap();
    assert!(fetched.is_ok_and(|sockets| sockets.len() == 2 || sockets.len() == 3));
    assert_eq!(one.run(fetch).unwrap().len(), 2);
}

#[test]
fn a_worker_that_does_not_respond_leaves_a_request_incomplete() {
    let group = ThreadBus::new();
    let short_timeout = || SocketIoOptions::new().request_timeout(Duration::from_millis(300));
    let [one, two, stopped] = [(); 3].map(|()| Worker::with(&group, short_timeout));
    for worker in [&one, &two, &stopped] {
        worker.run(|app| app.connect(""));
    }
    let resume = stopped.pause();
    let start = Instant::now();
    let incomplete = one.run(fetch).unwrap_err();
    assert_eq!(incomplete.received.len(), 2);
    assert!(start.elapsed() >= Duration::from_millis(300));
    drop(resume);
    assert_eq!(one.run(fetch).unwrap().len(), 3);
}
