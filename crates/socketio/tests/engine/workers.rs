//! One server in several workers: polling and upgrades may reach any of them.

use std::cell::Cell;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use uptick_emitter::Emitter;
use uptick_event_loop::LoopHandle;
use uptick_http::{HttpServer, ShutdownOptions};
use uptick_socketio::engine::{Client, CloseReason, EngineIo, EngineOptions};
use uptick_websocket::protocol::Event;
use uptick_websocket::protocol::frame::Opcode;
use uptick_websocket::{Message, Sent};
use uptick_workers::bus::{Bus, ThreadBus};

use crate::support::{Http, PATH, Ws, run_until};

thread_local! {
    /// The server of this worker.
    static ENGINE: Cell<Option<EngineIo>> = const { Cell::new(None) };
}

/// A worker on its own thread. It echoes messages, and records events.
struct Worker {
    address: String,
    events: LoopHandle,
    log: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start(group: &ThreadBus) -> Worker {
        let group = group.clone();
        Worker::attached(move || Bus::of_thread().attach(group.join()))
    }

    /// Starts a worker whose thread calls `attach` first.
    fn attached(attach: impl FnOnce() + Send + 'static) -> Worker {
        let (sender, receiver) = mpsc::channel();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let record = Arc::clone(&log);
        let thread = thread::spawn(move || {
            attach();
            let engine = EngineIo::with_options(EngineOptions::new().max_payload(4_000_000));
            ENGINE.set(Some(engine));
            engine.on("connection", move |client: Client| serve(client, &record));
            let http = HttpServer::bind("127.0.0.1:0")
                .unwrap()
                .mount(PATH, &engine);
            let address = http.address().unwrap();
            sender.send((address, uptick_event_loop::handle())).unwrap();
            uptick_event_loop::run().unwrap();
            Bus::of_thread().detach();
        });
        let (address, events) = receiver.recv().unwrap();
        Worker {
            address,
            events,
            log,
            thread: Some(thread),
        }
    }

    fn http(&self) -> Http {
        Http::at(&self.address)
    }

    /// Opens another connection for a session, to this worker.
    fn connection_for(&self, http: &Http) -> Http {
        let mut other = self.http();
        other.sid.clone_from(&http.sid);
        other
    }

    #[track_caller]
    fn upgrade(&self, http: &Http) -> Ws {
        let query = format!("EIO=4&transport=websocket&sid={}", http.sid);
        Ws::over(self.http(), &query)
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().join(" ")
    }

    #[track_caller]
    fn wait_for(&self, entry: &str) {
        run_until(|| self.log().contains(entry));
    }

    /// Waits until a session of this worker has a pending poll.
    #[track_caller]
    fn wait_for_poll(&self) {
        self.wait_until(|| {
            let clients = ENGINE.get().map(EngineIo::clients).unwrap_or_default();
            clients.into_iter().any(Client::is_writable)
        });
    }

    /// Waits until a condition holds on the thread of this worker.
    #[track_caller]
    fn wait_until(&self, condition: fn() -> bool) {
        run_until(|| {
            let (sender, receiver) = mpsc::channel();
            let posted = self.events.post(move || {
                let _ = sender.send(condition());
            });
            posted.is_ok() && receiver.recv().unwrap()
        });
    }

    /// Stops the worker to simulate a crash.
    fn stop(&mut self) {
        self.events.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.events.stop();
    }
}

fn serve(client: Client, log: &Arc<Mutex<Vec<String>>>) {
    let record = Arc::clone(log);
    client.on("message", move |message: Message| {
        let text = message.as_text().map(str::to_owned);
        match text.as_deref().and_then(|text| text.strip_prefix("burst ")) {
            Some(count) => {
                let padding = "x".repeat(10_000);
                for n in 0..count.parse().unwrap() {
                    if client.send(format!("{n}:{padding}")) == Sent::Dropped {
                        record.lock().unwrap().push(format!("dropped:{n}"));
                    }
                }
            }
            None => drop(client.send(message)),
        }
    });
    let record = Arc::clone(log);
    client.on("drain", move |()| {
        record.lock().unwrap().push("drain".to_owned())
    });
    let record = Arc::clone(log);
    client.on("close", move |reason: CloseReason| {
        record.lock().unwrap().push(reason.to_string());
    });
}

fn pair() -> (Worker, Worker) {
    let group = ThreadBus::new();
    (Worker::start(&group), Worker::start(&group))
}

/// Opens a session in a worker.
#[track_caller]
fn open(worker: &Worker) -> Http {
    let mut http = worker.http();
    http.handshake();
    http
}

#[track_caller]
fn candidate(worker: &Worker, http: &Http) -> Ws {
    let mut ws = worker.upgrade(http);
    ws.send("2probe");
    assert_eq!(ws.text(), "3probe");
    ws
}

#[test]
fn requests_reach_the_session_from_any_worker() {
    let (owner, edge) = pair();
    let mut local = open(&owner);
    let mut remote = edge.connection_for(&local);
    assert_eq!(remote.post("4a|bAQID"), "200 ok");
    assert_eq!(local.poll(), "200 4a|bAQID");
    remote.begin_poll();
    assert_eq!(local.post("4b"), "200 ok");
    assert_eq!(remote.response().show(), "200 4b");
    // Larger than one message on the bus.
    let large = format!("4{}", "x".repeat(3_500_000));
    assert_eq!(remote.post(&large), "200 ok");
    assert_eq!(remote.poll(), format!("200 {large}"));
    assert_eq!(remote.post("1"), "200 ok");
    owner.wait_for("transport close");
    assert!(remote.poll().starts_with(r#"400 {"code":1"#));
    assert_eq!(edge.log(), "");
}

#[cfg(feature = "redis")]
#[test]
fn requests_reach_the_session_from_another_machine_over_redis() {
    use uptick_workers::bus::{RedisBusOptions, RedisTransport};

    let Some(mut redis) = crate::redis::RedisServer::start() else {
        return;
    };
    let [owner, edge] = [(); 2].map(|()| {
        let url = redis.url();
        let attach = move || {
            let redis = RedisTransport::connect(url, RedisBusOptions::new()).unwrap();
            Bus::of_thread().attach_remote(redis);
        };
        Worker::attached(attach)
    });
    edge.wait_until(|| !Bus::of_thread().queues().is_empty());
    let mut local = open(&owner);
    let mut remote = edge.connection_for(&local);
    assert_eq!(remote.post("4a|bAQID"), "200 ok");
    assert_eq!(local.poll(), "200 4a|bAQID");
    let large = format!("4{}", "x".repeat(3_500_000));
    assert_eq!(remote.post(&large), "200 ok");
    assert_eq!(remote.poll(), format!("200 {large}"));
    let mut ws = candidate(&edge, &local);
    ws.send("5");
    ws.send("4b");
    assert_eq!(ws.text(), "4b");
    // Without Redis, the session ends.
    redis.kill();
    owner.wait_for("transport");
}

#[test]
fn refusals_match_those_of_the_owner() {
    let (owner, edge) = pair();
    let http = open(&owner);
    let unknown = r#"400 {"code":1,"message":"Session ID unknown"}"#;
    let bad = r#"400 {"code":3,"message":"Bad request"}"#;
    let tag = &http.sid[..4];
    for sid in [format!("{tag}AAAAAAAAAAAAAAAA"), "A".repeat(20)] {
        let query = format!("EIO=4&transport=polling&sid={sid}");
        assert_eq!(edge.http().get(&query).show(), unknown);
        let fields = "Content-Length: 2\r\n";
        let mut post = edge.http();
        post.send(format!(
            "POST {PATH}?{query} HTTP/1.1\r\nHost: test\r\n{fields}\r\n4a"
        ));
        assert_eq!(post.response().show(), unknown);
        let query = query.replace("polling", "websocket");
        let response = edge.http().request("GET", &query, crate::support::UPGRADE);
        assert_eq!(response.show(), unknown);
    }
    let query = format!("EIO=4&transport=websocket&sid={}", http.sid);
    assert_eq!(edge.http().get(&query).show(), bad);
    let query = format!("EIO=4&transport=polling&sid={}", http.sid);
    let response = edge.http().request("PUT", &query, "Content-Length: 0\r\n");
    assert_eq!(response.show(), "500 ");
    let mut ws = candidate(&owner, &http);
    ws.send("5");
    ws.send("4a");
    assert_eq!(ws.text(), "4a");
    assert_eq!(edge.http().get(&query).show(), bad);
}

#[test]
fn violations_received_by_any_worker_end_the_session() {
    let (owner, edge) = pair();
    // Overlapping polls.
    let mut local = open(&owner);
    let mut remote = edge.connection_for(&local);
    remote.begin_poll();
    owner.wait_for_poll();
    assert_eq!(local.poll(), "400 ");
    assert_eq!(remote.response().show(), "200 1");
    // An aborted poll.
    let mut remote = edge.connection_for(&open(&owner));
    remote.begin_poll();
    owner.wait_for_poll();
    drop(remote);
    // A body over the limit.
    let mut remote = edge.connection_for(&open(&owner));
    assert_eq!(remote.post(&format!("4{}", "x".repeat(4_000_000))), "413 ");
    // A binary content type.
    let remote = edge.connection_for(&open(&owner));
    let query = format!("EIO=4&transport=polling&sid={}", remote.sid);
    let fields = "Content-Type: application/octet-stream\r\nContent-Length: 0\r\n";
    assert_eq!(edge.http().request("POST", &query, fields).status, 400);
    // An aborted POST request.
    let mut remote = edge.connection_for(&open(&owner));
    remote.begin_post(100, "4a");
    drop(remote);
    let expected = ["transport error"; 5].join(" ");
    run_until(|| owner.log() == expected);
    // An invalid packet.
    let mut remote = edge.connection_for(&open(&owner));
    assert_eq!(remote.post("4a|x"), "400 ");
    owner.wait_for("parse error");
}

#[test]
fn an_upgrade_may_be_requested_from_another_worker() {
    let (owner, edge) = pair();
    let mut http = open(&owner);
    http.begin_poll();
    let mut ws = candidate(&edge, &http);
    assert_eq!(http.response().show(), "200 6");
    ws.send("5");
    for n in 0..100 {
        ws.send(&format!("4{n}"));
    }
    for n in 0..100 {
        assert_eq!(ws.text(), format!("4{n}"));
    }
    ws.frame(Opcode::Binary, [1, 2, 3]);
    let bytes = Message::Binary(vec![1, 2, 3].into());
    assert_eq!(ws.event(), Some(Event::Message(bytes)));
    // Larger than one message on the bus.
    let large = format!("4{}", "x".repeat(3_500_000));
    ws.send(&large);
    assert_eq!(ws.text(), large);
    // A second WebSocket for the session is closed.
    let mut other = edge.upgrade(&http);
    assert_eq!(other.closed(), 1005);
    ws.send("4still here");
    assert_eq!(ws.text(), "4still here");
    ws.close();
    assert_eq!(ws.closed(), 1005);
    owner.wait_for("transport close");
}

#[test]
fn a_relayed_websocket_ends_like_a_local_one() {
    let (owner, edge) = pair();
    for (opcode, payload, code, reason) in [
        (Opcode::Text, &b"x"[..], 1005, "parse error"),
        (Opcode::Text, b"1", 1005, "transport close"),
        (Opcode::Text, b"\xff", 1007, "transport error"),
        (Opcode::Binary, &vec![0; 4_000_001], 1009, "transport error"),
    ] {
        owner.log.lock().unwrap().clear();
        let http = open(&owner);
        let mut ws = candidate(&edge, &http);
        ws.send("5");
        ws.send("4a");
        assert_eq!(ws.text(), "4a");
        ws.frame(opcode, payload);
        assert_eq!(ws.closed(), code);
        run_until(|| owner.log() == reason);
    }
    // Losing a candidate does not affect polling.
    let mut http = open(&owner);
    drop(candidate(&edge, &http));
    // Another candidate is refused until the owner has been notified.
    let mut ws = loop {
        let mut ws = edge.upgrade(&http);
        ws.send("2probe");
        match ws.event() {
            Some(Event::Message(pong)) => {
                assert_eq!(pong, "3probe".into());
                break ws;
            }
            other => assert_eq!(other, Some(Event::Close(None))),
        }
    };
    assert_eq!(http.post("4a"), "200 ok");
    assert_eq!(http.poll(), "200 4a");
    ws.send("5");
    ws.send("4b");
    assert_eq!(ws.text(), "4b");
}

#[test]
fn a_slow_client_of_a_relayed_websocket_receives_everything_in_order() {
    let (owner, edge) = pair();
    let http = open(&owner);
    let mut ws = candidate(&edge, &http);
    ws.send("5");
    ws.send("4burst 1500");
    // The client does not read for some time. Other clients are still served.
    let mut other = edge.connection_for(&open(&owner));
    for _ in 0..20 {
        assert_eq!(other.post("4a"), "200 ok");
        assert_eq!(other.poll(), "200 4a");
    }
    for n in 0..1500 {
        let text = ws.text();
        assert!(text.starts_with(&format!("4{n}:x")), "{}", &text[..20]);
        assert!(text.len() > 10_000);
    }
    owner.wait_for("drain");
    assert_eq!(owner.log(), "drain");
}

#[test]
fn requests_to_an_owner_that_dies_are_answered() {
    let (mut owner, edge) = pair();
    let http = open(&owner);
    let mut poll = edge.connection_for(&http);
    poll.begin_poll();
    let second = open(&owner);
    let mut ws = candidate(&edge, &second);
    ws.send("5");
    ws.send("4a");
    assert_eq!(ws.text(), "4a");
    owner.stop();
    assert!(poll.response().show().starts_with(r#"400 {"code":1"#));
    assert_eq!(ws.closed(), 1001);
    assert!(poll.poll().starts_with(r#"400 {"code":1"#));
}

#[test]
fn sessions_whose_edge_dies_end() {
    let (owner, mut edge) = pair();
    let mut poll = edge.connection_for(&open(&owner));
    poll.begin_poll();
    let second = open(&owner);
    let mut ws = candidate(&edge, &second);
    ws.send("5");
    ws.send("4a");
    assert_eq!(ws.text(), "4a");
    edge.stop();
    owner.wait_for("transport close");
    owner.wait_for("transport error");
}

#[test]
fn a_shutdown_of_the_edge_releases_its_polls() {
    let (owner, edge) = pair();
    let mut http = open(&owner);
    let mut remote = edge.connection_for(&http);
    remote.begin_poll();
    owner.wait_for_poll();
    let posted = edge.events.post(|| {
        for http in HttpServer::of_thread() {
            drop(http.shutdown_with(ShutdownOptions::new()));
        }
    });
    assert!(posted.is_ok());
    assert_eq!(remote.response().show(), "200 6");
    assert_eq!(http.post("4a"), "200 ok");
    assert_eq!(http.poll(), "200 4a");
}

#[test]
fn a_message_dropped_by_the_bus_ends_its_session() {
    let group = ThreadBus::with_queue_limit(100_000);
    let (owner, edge) = (Worker::start(&group), Worker::start(&group));
    let mut remote = edge.connection_for(&open(&owner));
    let body = format!("4{}", "x".repeat(400_000));
    assert!(remote.post(&body).starts_with(r#"400 {"code":1"#));
    owner.wait_for("transport error");
    // Later messages are not dropped.
    let mut remote = edge.connection_for(&open(&owner));
    assert_eq!(remote.post("4a"), "200 ok");
    assert_eq!(remote.poll(), "200 4a");
}
