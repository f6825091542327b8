//! Handles of connections and servers on other threads.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Read};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use support::*;
use uptick_event_loop::POST_LIMIT;
use uptick_socket::Remote;
use uptick_socket::prelude::*;

fn assert_send_sync_clone<T: Send + Sync + Clone>() {}

#[test]
fn a_remote_is_send_sync_and_clone() {
    assert_send_sync_clone::<Remote<Connection>>();
    assert_send_sync_clone::<Remote<Server>>();
    assert_send_sync_clone::<Remote<LimitingServer>>();
    assert_send_sync_clone::<Remote<AnyServer>>();
}

#[test]
fn operations_keep_their_order_across_clones() {
    let (conn, mut peer) = tcp_pair();
    let remote = conn.remote();
    let writer = thread::spawn(move || {
        let other = remote.clone();
        for number in 0..3000 {
            let remote = if number % 2 == 0 { &remote } else { &other };
            remote.write(format!("{number}\n")).unwrap();
            if number == 1500 {
                remote.post(|conn| conn.write("posted\n")).unwrap();
            }
        }
        remote.end().unwrap();
    });
    let reader = thread::spawn(move || read_all(&mut peer));
    run_until(|| !conn.is_open());
    writer.join().unwrap();
    let mut expected: Vec<String> = (0..3000).map(|number| format!("{number}\n")).collect();
    expected.insert(1501, "posted\n".into());
    assert_eq!(
        String::from_utf8(reader.join().unwrap()).unwrap(),
        expected.concat()
    );
}

#[test]
fn a_posted_callback_runs_with_the_handle_on_the_thread_of_the_loop() {
    let (conn, _peer) = tcp_pair();
    let (remote, id) = (conn.remote(), conn.id());
    let (sender, seen) = channel();
    thread::spawn(move || {
        remote.post(move |conn| {
            sender.send((conn.id(), thread::current().id())).unwrap();
        })
    })
    .join()
    .unwrap()
    .unwrap();
    settle();
    assert_eq!(seen.try_recv().unwrap(), (id, thread::current().id()));
}

#[test]
fn the_error_for_a_closed_connection_names_it() {
    let (conn, peer) = tcp_pair();
    let remote = conn.remote();
    let address = conn.remote_address().unwrap();
    assert!(remote.is_open());
    drop(peer);
    conn.resume();
    run_until(|| !conn.is_open());
    assert!(!remote.is_open());
    for refused in [
        remote.write("late"),
        remote.post(|_| ()),
        remote.end(),
        remote.close(),
    ] {
        assert_eq!(
            refused.unwrap_err().to_string(),
            format!("the connection with {address} is closed (ENOTCONN)")
        );
    }
    let stale = conn.remote().write("late").unwrap_err();
    assert_eq!(stale.errno_name(), Some("ENOTCONN"));
}

#[test]
fn an_operation_on_a_thread_that_has_ended_is_an_error() {
    let (sender, remotes) = channel();
    thread::spawn(move || {
        let (conn, peer) = tcp_pair();
        sender.send((conn.remote(), peer)).unwrap();
    })
    .join()
    .unwrap();
    let (remote, mut peer) = remotes.recv().unwrap();
    let refused = remote.write("x").unwrap_err();
    assert_eq!(refused.errno_name(), Some("ENOTCONN"));
    assert!(!remote.is_open());
    assert_eq!(read_all(&mut peer), b"");
}

#[test]
fn close_drops_the_queue() {
    let (conn, mut peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    let remote = conn.remote();
    thread::spawn(move || {
        remote.write("never sent").unwrap();
        remote.close().unwrap();
        assert_eq!(remote.pending(), 0);
    })
    .join()
    .unwrap();
    run_until(|| !conn.is_open());
    assert_eq!(log.text(), "close");
    assert_eq!(read_all(&mut peer), b"");
}

#[test]
fn bytes_for_a_slow_client_are_queued_up_to_the_limit_and_sent_when_it_reads() {
    const CHUNK: usize = 8 * 1024;
    let (conn, peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    let remote = conn.remote().max_pending(16 * CHUNK);
    let mut accepted = 0;
    let refused = loop {
        match remote.write(vec![b'x'; CHUNK]) {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
    };
    // The loop has not run yet, so only the limit applies.
    assert_eq!(accepted, 16);
    assert_eq!(refused.errno_name(), Some("ENOBUFS"));
    let error = refused.to_string();
    assert!(
        error.contains("131072 bytes and 16 operations are already queued"),
        "{error}"
    );

    // The kernel buffers and the write queue fill up, and the rest stays in the queue of the remote.
    let mut full_in_a_row = 0;
    while full_in_a_row < 20 {
        settle();
        full_in_a_row = match remote.write(vec![b'x'; CHUNK]) {
            Ok(()) => {
                accepted += 1;
                0
            }
            Err(_) => full_in_a_row + 1,
        };
    }
    assert!(remote.pending() > 15 * CHUNK && remote.pending() <= 16 * CHUNK);
    // The connection did not approach its hard limit.
    assert!(conn.is_open());
    assert_eq!(log.text(), "");

    peer.set_nonblocking(true).unwrap();
    let mut peer = peer;
    let mut received = 0;
    let mut buffer = vec![0; 64 * 1024];
    run_until(|| {
        match peer.read(&mut buffer) {
            Ok(bytes) => received += bytes,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        received == accepted * CHUNK
    });
    assert_eq!(remote.pending(), 0);
    remote.write("again").unwrap();
}

#[test]
fn a_single_write_above_the_limit_is_accepted_if_the_queue_is_empty() {
    let (conn, mut peer) = tcp_pair();
    let remote = conn.remote().max_pending(10);
    remote.write("a long line of text").unwrap();
    assert!(remote.write("x").is_err());
    // Operations without bytes do not count for the byte limit.
    remote.end().unwrap();
    let reader = thread::spawn(move || read_all(&mut peer));
    run_loop();
    assert_eq!(reader.join().unwrap(), b"a long line of text");
}

#[test]
fn the_number_of_queued_operations_is_limited() {
    let (conn, _peer) = tcp_pair();
    let remote = conn.remote();
    for _ in 0..POST_LIMIT {
        remote.post(|_| ()).unwrap();
    }
    let refused = remote.post(|_| ()).unwrap_err();
    assert_eq!(refused.errno_name(), Some("ENOBUFS"));
    run_until(|| remote.post(|_| ()).is_ok());
    conn.close();
}

#[test]
fn removing_listeners_does_not_block_queued_operations() {
    let (conn, mut peer) = tcp_pair();
    let remote = conn.remote();
    conn.set_write_limits(1, 1 << 20);
    for _ in 0..100 {
        remote.write(vec![b'x'; 4096]).unwrap();
    }
    settle();
    conn.remove_all_listeners();
    let reader = thread::spawn(move || read_all(&mut peer).len());
    remote.end().unwrap();
    run_until(|| !conn.is_open());
    assert_eq!(reader.join().unwrap(), 100 * 4096);
}

#[test]
fn a_posted_callback_that_panics_closes_the_connection() {
    let (conn, _peer) = tcp_pair();
    let log = Log::new();
    log.states(conn);
    let remote = conn.remote();
    remote.post(|_| panic!("oh no")).unwrap();
    remote.post(|_| unreachable!("it is closed")).unwrap();
    run_until(|| !conn.is_open());
    settle();
    assert_eq!(log.text(), "error:panic:oh no close");
}

#[test]
fn a_remote_does_not_keep_the_loop_running() {
    let (conn, _peer) = tcp_pair();
    let remote = conn.remote();
    conn.close();
    run_loop();
    assert!(!remote.is_open());
}

#[test]
fn any_server_can_be_closed_and_shut_down_from_another_thread() {
    fn check<S: ServerInterface>(server: S, end: impl FnOnce(Remote<S>) + Send + 'static) {
        let closed = Rc::new(Cell::new(false));
        let flag = Rc::clone(&closed);
        server.on("close", move |()| flag.set(true));
        let remote = server.remote();
        let other = remote.clone();
        thread::spawn(move || end(remote)).join().unwrap();
        run_loop();
        assert!(closed.get());
        assert!(!other.is_open());
        let refused = other.post(|_| ()).unwrap_err().to_string();
        assert!(
            refused.starts_with("the server tcp://127.0.0.1:") && refused.ends_with("(ENOTCONN)"),
            "{refused}"
        );
    }
    let bind = || Server::bind("127.0.0.1:0").unwrap();
    check(bind(), |remote| remote.close().unwrap());
    check(LimitingServer::new(bind(), 1, false), |remote| {
        remote
            .post(|server| drop(server.shutdown(Duration::ZERO)))
            .unwrap();
    });
    check(AnyServer::from(bind()), |remote| remote.close().unwrap());
}
