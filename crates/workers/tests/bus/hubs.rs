//! WebSocket hubs that are connected by the bus.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;

use uptick_emitter::Emitter;
use uptick_event_loop::block_on;
use uptick_http::HttpServer;
use uptick_websocket::{Hub, Message, WebSocket, WebSocketConnector, WebSocketRoutes};
use uptick_workers::bus::{Bus, SocketTransport, ThreadBus, connect_hubs};

use crate::support::{Log, run_until, settle};

/// Starts a worker's server. Its WebSockets publish `topic=text` to the other subscribers of the topic; `+topic` and `-topic`
/// subscribe and unsubscribe.
fn serve() -> HttpServer {
    connect_hubs();
    let http = HttpServer::bind("127.0.0.1:0").unwrap();
    http.websocket("/", |ws: WebSocket| {
        ws.on("message", move |message: Message| {
            let text = message.as_text().unwrap().to_string();
            if let Some(topic) = text.strip_prefix('+') {
                ws.subscribe(topic);
            } else if let Some(topic) = text.strip_prefix('-') {
                ws.unsubscribe(topic);
            } else {
                let (topic, text) = text.split_once('=').unwrap();
                ws.publish(topic, text);
            }
            ws.send("done");
        });
    });
    http
}

/// A client on this thread.
struct Client {
    ws: WebSocket,
    log: Log,
}

impl Client {
    fn open(url: &str) -> Self {
        let ws = block_on(WebSocketConnector::default().connect(url))
            .unwrap()
            .unwrap();
        let log = Log::default();
        let seen = log.clone();
        ws.on("message", move |message: Message| {
            seen.add(message.as_text().unwrap().to_string());
        });
        Client { ws, log }
    }

    /// Sends a command, and waits until it is done; returns the messages received before that.
    fn command(&self, text: &str) -> String {
        self.ws.send(text);
        let mut came = Vec::new();
        run_until(|| {
            came.push(self.log.take());
            came.iter().any(|text| text.ends_with("done"))
        });
        came.retain(|text| !text.is_empty());
        came.join(" ")
    }

    fn message(&self) -> String {
        run_until(|| self.log.len() > 0);
        self.log.take()
    }
}

/// A worker on its own thread, until it is dropped.
struct Worker {
    url: String,
    published: mpsc::Receiver<u64>,
    stop: Option<mpsc::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn start(attach: impl FnOnce() + Send + 'static) -> Self {
        let (send, receive) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let (counts, published) = mpsc::channel();
        let thread = thread::spawn(move || {
            attach();
            let http = serve();
            let address = http.address().unwrap().to_string();
            send.send(address.replace("tcp://", "ws://")).unwrap();
            run_until(|| stopped.try_recv() == Err(mpsc::TryRecvError::Disconnected));
            counts.send(Bus::of_thread().stats().received).unwrap();
        });
        Worker {
            url: receive.recv().unwrap(),
            published,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Stops the worker; returns the number of messages that it has received from others.
    fn received(mut self) -> u64 {
        drop(self.stop.take());
        let received = self.published.recv().unwrap();
        self.thread.take().unwrap().join().unwrap();
        received
    }
}

/// Checks that messages reach the clients of two connected workers.
fn messages_reach_the_websockets_of_both(workers: [Worker; 2]) {
    let [first, second] = [&workers[0], &workers[1]].map(|worker| Client::open(&worker.url));
    let third = Client::open(&workers[1].url);
    first.command("+room");
    // The other worker has no subscribers.
    first.command("room=no receiver");
    second.command("+room");
    third.command("+room");
    first.command("room=hello");
    assert_eq!(second.message(), "hello");
    assert_eq!(third.message(), "hello");
    second.command("room=answer");
    assert_eq!(first.message(), "answer");
    assert_eq!(third.message(), "answer");
    second.command("-room");
    third.command("-room");
    first.command("room=no receiver");
    settle();
    assert_eq!(
        (second.log.take(), third.log.take()),
        ("".into(), "".into())
    );
    let [one, other] = workers.map(Worker::received);
    // One message for both subscribers, and none without a subscriber.
    assert_eq!((one, other), (1, 1));
}

#[test]
fn hubs_of_two_threads_are_one() {
    let group = ThreadBus::new();
    let workers = [group.clone(), group]
        .map(|group| Worker::start(move || Bus::of_thread().attach(group.join())));
    messages_reach_the_websockets_of_both(workers);
}

#[test]
fn hubs_over_sockets_are_one() {
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    let workers = [one, other].map(|socket| {
        Worker::start(move || {
            let transport = SocketTransport::new();
            Bus::of_thread().attach(transport.clone());
            transport.add_peer(1, socket.into()).unwrap();
        })
    });
    messages_reach_the_websockets_of_both(workers);
}

#[test]
fn hubs_of_different_names_are_separate_even_if_a_topic_contains_the_rest_of_a_name() {
    let group = ThreadBus::new();
    let bus = Bus::of_thread();
    bus.attach(group.join());
    let others = group.clone();
    let (publish, published) = mpsc::channel::<(&str, &str)>();
    let (done, is_done) = mpsc::channel();
    let other = thread::spawn(move || {
        let bus = Bus::of_thread();
        bus.attach(others.join());
        connect_hubs();
        let hubs = ["a/b", "a"].map(|name| {
            let hub = Hub::new();
            hub.set_name(name);
            (name, hub)
        });
        while let Ok((name, topic)) = published.recv() {
            let (_, hub) = hubs.iter().find(|hub| hub.0 == name).unwrap();
            hub.publish(topic, "x");
            done.send(bus.stats().queued_bytes).unwrap();
        }
    });
    connect_hubs();
    let http = HttpServer::bind("127.0.0.1:0").unwrap();
    let all = Rc::new(RefCell::new(Vec::new()));
    let there = Rc::clone(&all);
    http.websocket("/", move |ws: WebSocket| {
        ws.subscribe("b/c");
        there.borrow_mut().push(ws);
    });
    http.hub().set_name("a");
    let address = http.address().unwrap().to_string();
    let client = Client::open(&address.replace("tcp://", "ws://"));
    let sends = |name, topic| {
        publish.send((name, topic)).unwrap();
        let queued: usize = is_done.recv().unwrap();
        settle();
        queued > 0
    };
    assert!(!sends("a/b", "c"));
    assert!(sends("a", "b/c"));
    assert_eq!(client.message(), "x");
    all.borrow()[0].unsubscribe("b/c");
    assert!(!sends("a", "b/c"));
    drop(publish);
    other.join().unwrap();
}
