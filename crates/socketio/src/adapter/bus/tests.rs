//! Adapters on several threads, with recorders instead of namespaces.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use uptick_event_loop::EventLoop;
use uptick_websocket::Message;
use uptick_workers::bus::{Bus, ThreadBus};

use super::{BusAdapter, ClusterSink};
use crate::adapter::{Adapter, ClusterMessage, ClusterResponse, Servers, Target};
use crate::protocol::Value;
use crate::protocol::packet::{Encoded, Encoder};
use crate::tag;

/// Maximum time to wait for an expected result.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A recorded call to a namespace.
#[derive(Clone, Debug, PartialEq)]
enum RecordedCall {
    Message(String, ClusterMessage),
    Response(String, ClusterResponse),
    ServerLeft(String),
}

type Log = Rc<RefCell<Vec<RecordedCall>>>;

struct Recorder(Log);

impl ClusterSink for Recorder {
    fn message(&self, from: &str, message: ClusterMessage) {
        let entry = RecordedCall::Message(from.to_owned(), message);
        self.0.borrow_mut().push(entry);
    }

    fn response(&self, from: &str, response: ClusterResponse) {
        let entry = RecordedCall::Response(from.to_owned(), response);
        self.0.borrow_mut().push(entry);
    }

    fn server_left(&self, server: &str) {
        self.0
            .borrow_mut()
            .push(RecordedCall::ServerLeft(server.to_owned()));
    }

    fn needs_all_rooms(&self) -> bool {
        false
    }
}

/// A namespace of a worker.
struct WorkerNamespace {
    adapter: Option<BusAdapter>,
    log: Log,
}

impl WorkerNamespace {
    fn new(namespace: &str) -> WorkerNamespace {
        let log = Log::default();
        let sink = Box::new(Recorder(Rc::clone(&log)));
        WorkerNamespace {
            adapter: Some(BusAdapter::with_sink("test", namespace, sink)),
            log,
        }
    }

    fn adapter(&self) -> &BusAdapter {
        self.adapter.as_ref().unwrap()
    }

    fn servers(&self) -> Vec<String> {
        let fetch = ClusterMessage::FetchSockets {
            target: Target::default(),
            request: "r".to_owned(),
        };
        let servers = Rc::new(RefCell::new(None));
        let result = Rc::clone(&servers);
        self.adapter()
            .request(&fetch)
            .then(move |servers| drop(result.replace(Some(servers))));
        match servers.take() {
            Some(Servers::Known(servers)) => servers,
            servers => panic!("the servers are {servers:?}"),
        }
    }

    /// Removes the log, and returns the names of the events received by broadcasts, separated by spaces.
    fn events(&self) -> String {
        let entries = self.log.take().into_iter();
        let names = entries.filter_map(|entry| match entry {
            RecordedCall::Message(_, ClusterMessage::Broadcast { packet, .. }) => {
                Some(name(&packet))
            }
            _ => None,
        });
        names.collect::<Vec<_>>().join(" ")
    }
}

type Command = Box<dyn FnOnce(&mut WorkerNamespace) + Send>;

/// A worker on its own thread.
struct Worker {
    commands: mpsc::Sender<Command>,
}

impl Worker {
    fn start(group: &ThreadBus, namespace: &'static str) -> Worker {
        let (commands, receiver) = mpsc::channel::<Command>();
        let group = group.clone();
        thread::spawn(move || {
            Bus::of_thread().attach(group.join());
            let mut node = WorkerNamespace::new(namespace);
            loop {
                match receiver.try_recv() {
                    Ok(command) => command(&mut node),
                    Err(mpsc::TryRecvError::Empty) => turn(),
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
        });
        let worker = Worker { commands };
        worker.run(|_| ());
        worker
    }

    /// Runs a function on the worker's thread and returns its result.
    fn run<R: Send + 'static>(
        &self,
        f: impl FnOnce(&mut WorkerNamespace) -> R + Send + 'static,
    ) -> R {
        let (result, receiver) = mpsc::channel();
        let command: Command = Box::new(move |node| result.send(f(node)).unwrap());
        self.commands.send(command).unwrap();
        receiver.recv_timeout(TIMEOUT).unwrap()
    }

    /// Waits for `count` log entries.
    fn wait(&self, count: usize) -> Vec<RecordedCall> {
        self.run(move |node| {
            run_until(|| node.log.borrow().len() >= count);
            node.log.take()
        })
    }

    fn events(&self, count: usize) -> String {
        self.run(move |node| {
            run_until(|| node.log.borrow().len() >= count);
            node.events()
        })
    }

    /// Waits until everything that was published has arrived. Returns the names of the events, without the markers sent for this purpose.
    fn settle(&self, publisher: &WorkerNamespace) -> String {
        static ENDS: AtomicUsize = AtomicUsize::new(0);
        let end = format!("end{}", ENDS.fetch_add(1, Ordering::Relaxed));
        publisher.adapter().publish(&broadcast(&end, &[], &[]));
        self.run(move |node| {
            let mut events = Vec::new();
            run_until(|| {
                events.extend(node.events().split_whitespace().map(str::to_owned));
                events.contains(&end)
            });
            events.retain(|event| !event.starts_with("end"));
            events.join(" ")
        })
    }
}

fn turn() {
    EventLoop::current()
        .run_once(Some(Duration::from_millis(1)))
        .unwrap();
}

#[track_caller]
fn run_until(mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < TIMEOUT, "timed out");
        turn();
    }
}

fn event(name: &str, payload: &str) -> Encoded {
    let mut encoder = Encoder::event("/", None, name).unwrap();
    encoder.argument(payload).unwrap();
    encoder.finish().unwrap()
}

fn name(packet: &Encoded) -> String {
    let frame = packet.frames().next().unwrap();
    let text = String::from_utf8_lossy(frame.as_bytes()).into_owned();
    text.split('"').nth(1).unwrap().to_owned()
}

fn broadcast(name: &str, rooms: &[&str], except: &[&str]) -> ClusterMessage {
    ClusterMessage::Broadcast {
        packet: event(name, "x"),
        target: Target {
            rooms: rooms.iter().map(|&room| room.to_owned()).collect(),
            except: except.iter().map(|&room| room.to_owned()).collect(),
        },
        volatile: false,
        request: None,
        timeout: None,
    }
}

/// Adds this thread to the bus, and creates a namespace.
fn join(group: &ThreadBus, namespace: &str) -> WorkerNamespace {
    Bus::of_thread().attach(group.join());
    WorkerNamespace::new(namespace)
}

#[test]
fn a_broadcast_reaches_each_worker_of_the_namespace_unchanged() {
    let group = ThreadBus::new();
    let workers = [(); 2].map(|()| Worker::start(&group, "/"));
    let stranger = Worker::start(&group, "/other");
    let own = join(&group, "/");
    let mut encoder = Encoder::event("/", None, "file").unwrap();
    encoder.binary(Bytes::from(vec![7; 100_000]));
    let message = ClusterMessage::Broadcast {
        packet: encoder.finish().unwrap(),
        target: Target {
            rooms: Vec::new(),
            except: vec!["y".to_owned()],
        },
        volatile: true,
        request: None,
        timeout: None,
    };
    own.adapter().publish(&message);
    let id = Bus::of_thread().id().to_string();
    for worker in &workers {
        let expected = RecordedCall::Message(id.clone(), message.clone());
        assert_eq!(worker.wait(1), [expected]);
    }
    let received = stranger.run(|_| Bus::of_thread().stats().received);
    assert_eq!(received, 0);
    assert_eq!(own.events(), "");
}

#[test]
fn a_message_to_rooms_reaches_their_workers_once_and_in_order() {
    let group = ThreadBus::new();
    let [both, one, none] = [(); 3].map(|()| Worker::start(&group, "/"));
    both.run(|node| {
        node.adapter().room_created("a");
        node.adapter().room_created("b");
    });
    one.run(|node| node.adapter().room_created("b"));
    let own = join(&group, "/");
    let rooms: [&[&str]; 5] = [&["a", "b"], &["b"], &["a", "c"], &["c"], &["b", "a", "b"]];
    for (index, rooms) in rooms.iter().enumerate() {
        let message = broadcast(&index.to_string(), rooms, &[]);
        own.adapter().publish(&message);
    }
    assert_eq!(both.settle(&own), "0 1 2 4");
    assert_eq!(one.settle(&own), "0 1 4");
    assert_eq!(none.settle(&own), "");

    both.run(|node| node.adapter().room_deleted("b"));
    own.adapter().publish(&broadcast("5", &["b"], &[]));
    assert_eq!(both.settle(&own), "");
    assert_eq!(one.settle(&own), "5");
    // More rooms than the limit for publishing to each room, and a room whose name is too long for a topic.
    let many = ["r"; 9];
    own.adapter().publish(&broadcast("6", &many, &[]));
    own.adapter()
        .publish(&broadcast("7", &[&"r".repeat(2000)], &[]));
    assert_eq!(none.settle(&own), "6 7");
}

#[test]
fn a_message_to_a_socket_reaches_its_worker_and_the_members_of_the_room_named_after_its_id() {
    let group = ThreadBus::new();
    let [owner, member, other] = [(); 3].map(|()| Worker::start(&group, "/"));
    let id = owner.run(|_| {
        let tag = String::from_utf8(tag::own().to_vec()).unwrap();
        format!("{tag}567890123456789_")
    });
    let own = join(&group, "/");
    own.adapter().publish(&broadcast("1", &[&id], &[]));
    let room = id.clone();
    member.run(move |node| node.adapter().room_created(&room));
    own.adapter().publish(&broadcast("2", &[&id], &[]));
    let join = ClusterMessage::SocketsJoin {
        target: Target {
            rooms: vec![id],
            except: Vec::new(),
        },
        rooms: vec!["a".to_owned()],
    };
    own.adapter().publish(&join);
    assert_eq!(owner.wait(3).len(), 3);
    assert_eq!(member.wait(2).len(), 2);
    assert_eq!(other.settle(&own), "");
    // Only the marker of `settle`.
    assert_eq!(other.run(|_| Bus::of_thread().stats().received), 1);
}

#[test]
fn a_request_returns_its_receivers_and_their_responses_arrive() {
    let group = ThreadBus::new();
    let own = join(&group, "/");
    assert_eq!(own.servers(), [""; 0]);
    let worker = Worker::start(&group, "/");
    let stranger = Worker::start(&group, "/other");
    let id = worker.run(|_| Bus::of_thread().id().to_string());
    assert_eq!(own.servers(), [id.as_str()]);
    let asker = Bus::of_thread().id().to_string();
    let value = Value::from(vec![
        Value::from(1),
        Value::Binary(Bytes::from_static(b"x")),
    ]);
    let response = ClusterResponse::Ack {
        request: "r".to_owned(),
        value,
    };
    let sent = response.clone();
    worker.run(move |node| {
        run_until(|| !node.log.borrow().is_empty());
        let Some(RecordedCall::Message(from, ClusterMessage::FetchSockets { request, .. })) =
            node.log.borrow_mut().pop()
        else {
            panic!("no request");
        };
        assert_eq!((&*from, &*request), (&*asker, "r"));
        node.adapter().respond(&from, &sent);
        // There is no such worker.
        node.adapter().respond("99", &sent);
    });
    run_until(|| !own.log.borrow().is_empty());
    assert_eq!(own.log.take(), [RecordedCall::Response(id, response)]);
    assert_eq!(stranger.run(|_| Bus::of_thread().stats().received), 0);
}

#[test]
fn a_worker_that_leaves_or_dies_is_reported_and_no_longer_counted() {
    let group = ThreadBus::new();
    let own = join(&group, "/dyn");
    let [leaver, stayer] = [(); 2].map(|()| Worker::start(&group, "/dyn"));
    let [first, second] =
        [&leaver, &stayer].map(|worker| worker.run(|_| Bus::of_thread().id().to_string()));
    assert_eq!(own.servers(), [first.as_str(), second.as_str()]);
    // The namespace is removed there, and created again later.
    leaver.run(|node| node.adapter.take().unwrap().close());
    run_until(|| !own.log.borrow().is_empty());
    assert_eq!(own.log.take(), [RecordedCall::ServerLeft(first.clone())]);
    assert_eq!(own.servers(), [second.as_str()]);
    leaver.run(|node| *node = WorkerNamespace::new("/dyn"));
    assert_eq!(own.servers().len(), 2);
    own.adapter().publish(&broadcast("1", &[], &[]));
    assert!(leaver.events(2).ends_with('1'));

    // Simulates a crash: the namespace is not closed first.
    leaver.run(|_| Bus::of_thread().detach());
    run_until(|| !own.log.borrow().is_empty());
    assert_eq!(own.log.take(), [RecordedCall::ServerLeft(first)]);
    assert_eq!(own.servers(), [second.as_str()]);
    drop(own);
    let remaining = stayer.run(|node| {
        let has_left = |entry: &&RecordedCall| matches!(entry, RecordedCall::ServerLeft(_));
        run_until(|| node.log.borrow().iter().filter(has_left).count() == 3);
        node.servers()
    });
    assert_eq!(remaining, [""; 0]);
}

#[test]
fn long_messages_are_sent_in_parts_and_arrive_in_order() {
    let group = ThreadBus::new();
    let worker = Worker::start(&group, "/");
    worker.run(|node| ["a", "b"].map(|room| node.adapter().room_created(room)));
    let own = join(&group, "/");
    let payload = "x".repeat(9_000_000);
    for name in ["first", "second"] {
        let ClusterMessage::Broadcast { target, .. } = broadcast(name, &["a", "b"], &[]) else {
            continue;
        };
        own.adapter().publish(&ClusterMessage::Broadcast {
            packet: event(name, &payload),
            target,
            volatile: false,
            request: None,
            timeout: None,
        });
        own.adapter().publish(&broadcast("short", &["a"], &[]));
    }
    assert!(BusAdapter::stats().held_bytes > 0);
    run_until(|| BusAdapter::stats().held_bytes == 0);
    let entries = worker.wait(4);
    let packets = entries.iter().map(|entry| match entry {
        RecordedCall::Message(_, ClusterMessage::Broadcast { packet, .. }) => packet,
        entry => panic!("{entry:?}"),
    });
    let received: Vec<_> = packets
        .map(|packet| (name(packet), packet.size()))
        .collect();
    let names = received.iter().map(|(name, _)| name.as_str());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["first", "short", "second", "short"]
    );
    assert_eq!(received[0].1, event("first", &payload).size());
    let stats = worker.run(|_| BusAdapter::stats());
    assert_eq!(
        (stats.received, stats.incomplete, stats.malformed),
        (4, 0, 0)
    );
}

#[test]
fn a_burst_larger_than_the_queue_of_the_bus_arrives_completely() {
    let group = ThreadBus::new();
    let worker = Worker::start(&group, "/");
    let own = join(&group, "/");
    let count = 2_000;
    let payload = "x".repeat(10_000);
    let (resume, stopped) = mpsc::channel::<()>();
    worker
        .commands
        .send(Box::new(move |_| {
            let _ = stopped.recv_timeout(TIMEOUT);
        }))
        .unwrap();
    for index in 0..count {
        own.adapter().publish(&ClusterMessage::Broadcast {
            packet: event(&index.to_string(), &payload),
            target: Target::default(),
            volatile: false,
            request: None,
            timeout: None,
        });
    }
    let ClusterMessage::Broadcast { packet, target, .. } = broadcast("volatile", &[], &[]) else {
        return;
    };
    own.adapter().publish(&ClusterMessage::Broadcast {
        packet,
        target,
        volatile: true,
        request: None,
        timeout: None,
    });
    resume.send(()).unwrap();
    run_until(|| BusAdapter::stats().held_bytes == 0);
    let events = worker.events(count);
    let expected: Vec<_> = (0..count).map(|index| index.to_string()).collect();
    assert_eq!(events, expected.join(" "));
    let stats = BusAdapter::stats();
    assert_eq!(
        (stats.sent, stats.dropped, stats.volatile_dropped),
        (2_000, 0, 1)
    );
    assert_eq!(Bus::of_thread().stats().dropped, 0);
}

#[test]
fn held_back_bytes_are_limited_and_a_worker_that_does_not_read_misses_messages() {
    let group = ThreadBus::new();
    let worker = Worker::start(&group, "/");
    let own = join(&group, "/");
    let (resume, stopped) = mpsc::channel::<()>();
    worker
        .commands
        .send(Box::new(move |_| {
            let _ = stopped.recv_timeout(TIMEOUT);
        }))
        .unwrap();
    BusAdapter::set_queue_limit(6_000_000);
    let payload = "x".repeat(500_000);
    for index in 0..20 {
        own.adapter().publish(&ClusterMessage::Broadcast {
            packet: event(&index.to_string(), &payload),
            target: Target::default(),
            volatile: false,
            request: None,
            timeout: None,
        });
    }
    let stats = BusAdapter::stats();
    assert!(stats.held_bytes > 5_000_000 && stats.held_bytes <= 6_000_000);
    assert!(stats.dropped > 0);
    let held = 20 - stats.dropped;
    // The bus queues 4 MiB in total; the worker misses the others.
    run_until(|| BusAdapter::stats().held_bytes == 0);
    own.adapter().publish(&broadcast("next", &[], &[]));
    let missed = Bus::of_thread().stats().dropped;
    assert!(missed > 0);
    assert_eq!(BusAdapter::stats().missed, missed);
    resume.send(()).unwrap();
    let received = usize::try_from(held - missed).unwrap() + 1;
    let events = worker.events(received);
    assert!(
        events.starts_with("0 1 2 ") && events.ends_with("next"),
        "{events}"
    );
    assert_eq!(events.split(' ').count(), received);
}

#[test]
fn a_message_that_is_too_long_or_malformed_is_counted() {
    let group = ThreadBus::new();
    let worker = Worker::start(&group, "/");
    let own = join(&group, "/");
    let binary = Message::Binary(Bytes::from(vec![0; super::MESSAGE_LIMIT]));
    own.adapter().publish(&ClusterMessage::Broadcast {
        packet: Encoded::of_frame(binary),
        target: Target::default(),
        volatile: false,
        request: None,
        timeout: None,
    });
    assert_eq!(BusAdapter::stats().dropped, 1);
    Bus::of_thread().publish_to_others(&own.adapter().shared.topics.all, "?");
    assert_eq!(worker.settle(&own), "");
    assert_eq!(worker.run(|_| BusAdapter::stats().malformed), 1);
}
