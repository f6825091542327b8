//! A listening socket that several event loops share.

use std::cell::RefCell;
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{BorrowedFd, IntoRawFd};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use uptick_event_loop::{
    EventLoop, Interest, LoopHandle, ManualClock, MioPoller, Poller, Readiness, Token, Trigger,
    Wake,
};
use uptick_socket::prelude::*;

use crate::support::*;

fn shared(listener: &TcpListener) -> Server {
    let duplicate = listener.try_clone().unwrap();
    Server::adopt(duplicate, ServerOptions::new().shared(true)).unwrap()
}

/// Event loops in threads that accept from duplicates of one listener. Each thread returns the number of connections
/// that it accepted.
struct Loops {
    listener: TcpListener,
    threads: Vec<(LoopHandle, JoinHandle<u64>)>,
}

impl Loops {
    fn new(count: usize, serve: impl Fn(Connection) + Copy + Send + 'static) -> Self {
        Loops::with(count, move |server| {
            server.on("connection", serve);
        })
    }

    fn with(count: usize, set_up: impl Fn(Server) + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let threads = (0..count).map(|_| {
            let listener = listener.try_clone().unwrap();
            let set_up = set_up.clone();
            let (sender, handle) = channel();
            let thread = spawn(move || {
                let server = shared(&listener);
                set_up(server);
                sender.send(uptick_event_loop::handle()).unwrap();
                run().unwrap();
                server.accepted()
            });
            (handle.recv().unwrap(), thread)
        });
        let threads = threads.collect();
        Loops { listener, threads }
    }

    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        client
    }

    fn stop(self) -> Vec<u64> {
        let threads = self.threads.into_iter();
        let counts = threads.map(|(handle, thread)| {
            handle.stop();
            thread.join().unwrap()
        });
        counts.collect()
    }
}

#[test]
fn every_connection_is_accepted_by_one_of_the_loops() {
    const CLIENTS: u64 = 200;
    let loops = Loops::new(3, |conn| conn.end_with("hello"));
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| loops.connect()).collect();
    for mut client in clients {
        let mut greeting = String::new();
        client.read_to_string(&mut greeting).unwrap();
        assert_eq!(greeting, "hello");
    }
    assert_eq!(loops.stop().iter().sum::<u64>(), CLIENTS);
}

#[test]
fn another_loop_accepts_while_one_is_busy() {
    let accepted = Arc::new((Mutex::new(0), Condvar::new()));
    let loops = Loops::with(2, move |server| {
        let accepted = Arc::clone(&accepted);
        server.on("connection", move |conn: Connection| {
            let (count, changed) = &*accepted;
            let mut count = count.lock().unwrap();
            *count += 1;
            changed.notify_all();
            let both = changed.wait_timeout_while(count, TIMEOUT, |count| *count < 2);
            let text = if both.unwrap().1.timed_out() {
                "alone"
            } else {
                "both"
            };
            conn.end_with(text);
        });
    });
    for mut client in [loops.connect(), loops.connect()] {
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "both");
    }
    assert_eq!(loops.stop(), [1, 1]);
}

#[test]
fn a_paused_server_on_a_shared_socket_leaves_clients_to_others_until_it_is_resumed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = shared(&listener);
    server.on("connection", |conn: Connection| conn.end_with("hello"));
    settle();
    server.pause();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(!loop_is_ready());
    server.resume();
    run_until(|| server.accepted() == 1);
    server.close();
    run_loop();
}

#[test]
fn a_closed_server_on_a_shared_socket_does_not_keep_the_loop_awake() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = shared(&listener);
    server.on("connection", |_: Connection| ());
    settle();
    server.close();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    assert!(!loop_is_ready());
}

#[test]
fn connections_that_another_loop_was_woken_for_are_accepted() {
    const CLIENTS: usize = 100;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = shared(&listener);
    server.on("connection", |_: Connection| ());
    settle();
    // The loop does not run here, as if it had not been woken.
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap())
        .collect();
    server.accept_backlog();
    assert_eq!(server.accepted(), 64);
    run_until(|| server.accepted() == CLIENTS as u64);
    drop(clients);
    server.close();
    run_loop();
}

#[test]
fn a_backlog_longer_than_a_batch_is_accepted_when_the_server_closes() {
    const CLIENTS: usize = 100;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = shared(&listener);
    let open = Rc::new(RefCell::new(0));
    let count = Rc::clone(&open);
    server.on("connection", move |conn: Connection| {
        *count.borrow_mut() += 1;
        conn.end_with("hello");
    });
    settle();
    let clients: Vec<TcpStream> = (0..CLIENTS)
        .map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap())
        .collect();
    server.close();
    assert_eq!(*open.borrow(), CLIENTS);
    drop(clients);
    run_loop();
}

#[test]
fn an_inherited_descriptor_can_be_shared() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let fd = listener.try_clone().unwrap().into_raw_fd();
    let options = ServerOptions::new().shared(true);
    let server = Server::bind_with(format!("fd://{fd}"), options).unwrap();
    server.on("connection", |conn: Connection| conn.end_with("hello"));
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    run_until(|| server.accepted() == 1);
    server.close();
    run_loop();
}

/// A poller that records the triggers of watches.
struct RecordingPoller {
    poller: MioPoller,
    triggers: Rc<RefCell<Vec<Trigger>>>,
}

impl Poller for RecordingPoller {
    fn watch(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.triggers.borrow_mut().push(trigger);
        self.poller.watch(fd, token, interest, trigger)
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.poller.change(fd, token, interest, trigger)
    }

    fn forget(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.poller.forget(fd)
    }

    fn wait(
        &mut self,
        events: &mut Vec<(Token, Readiness)>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.poller.wait(events, timeout)
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.poller.waker()
    }
}

#[test]
fn only_a_shared_socket_is_watched_exclusively() {
    let triggers = Rc::new(RefCell::new(Vec::new()));
    let poller = RecordingPoller {
        poller: MioPoller::new().unwrap(),
        triggers: Rc::clone(&triggers),
    };
    EventLoop::install(poller, ManualClock::new()).unwrap();
    let alone = tcp_server();
    assert_eq!(triggers.take(), [Trigger::Level]);
    alone.close();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = shared(&listener);
    shared.on("connection", |_: Connection| ());
    shared.pause();
    shared.resume();
    assert!(triggers.borrow().len() > 1);
    assert!(
        triggers
            .take()
            .iter()
            .all(|trigger| *trigger == Trigger::Exclusive)
    );
    shared.close();
}
