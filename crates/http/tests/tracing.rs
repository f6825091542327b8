//! `tracing` spans of connections and requests.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber, subscriber};
use uptick_http::{HttpServer, Request, Responder, TraceRequests};

/// A subscriber that records span events, one per line.
#[derive(Clone)]
struct Recorder {
    lines: Arc<Mutex<Vec<String>>>,
    current: Arc<Mutex<Vec<u64>>>,
    level: Level,
}

impl Recorder {
    fn new(level: Level) -> Self {
        Recorder {
            lines: Arc::default(),
            current: Arc::default(),
            level,
        }
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().unwrap())
    }

    fn add(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }
}

/// The fields as text, without fields that differ between runs.
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if !["microseconds", "id", "peer"].contains(&field.name()) {
            write!(self.0, " {field}={value:?}").unwrap();
        }
    }
}

impl Subscriber for Recorder {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= &self.level
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(String::new());
        span.record(&mut fields);
        let name = span.metadata().name();
        self.add(format!("new {name}{}", fields.0));
        Id::from_u64(if name == "connection" { 1 } else { 2 })
    }

    fn record(&self, _span: &Id, values: &Record<'_>) {
        let mut fields = Fields("record".into());
        values.record(&mut fields);
        self.add(fields.0);
    }

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        if event.metadata().target().starts_with("uptick_http")
            || event.metadata().target() == "tracing"
        {
            let mut fields = Fields("event".into());
            event.record(&mut fields);
            let within = self.current.lock().unwrap().last().copied();
            self.add(format!("{} within {within:?}", fields.0));
        }
    }

    fn enter(&self, span: &Id) {
        self.current.lock().unwrap().push(span.into_u64());
    }

    fn exit(&self, _span: &Id) {
        self.current.lock().unwrap().pop();
    }
}

fn server() -> HttpServer {
    let http = HttpServer::new().wrap(TraceRequests::new());
    http.get("/now", |_: Request| {
        tracing::info!("handled");
        "hello"
    });
    http.get("/later", |_: Request| async {
        uptick_event_loop::sleep(Duration::from_millis(1)).await;
        tracing::info!("handled");
        "hello"
    });
    http.get("/responder", |_: Request, res: Responder| {
        tracing::info!("handled");
        res.send("hello");
    });
    http
}

#[test]
fn log_events_of_a_handler_are_in_the_span_of_its_request() {
    let recorder = Recorder::new(Level::DEBUG);
    subscriber::with_default(recorder.clone(), || {
        for path in ["/now", "/later"] {
            server().test().get(path).send().unwrap();
            let lines = recorder.take();
            let expected = [
                format!("new request method=\"GET\" path=\"{path}\" version=\"HTTP/1.1\""),
                "event message=handled within Some(2)".into(),
                "record status=200".into(),
                "event message=response status=200 within None".into(),
            ];
            assert_eq!(lines, expected);
        }
        server().test().get("/responder").send().unwrap();
        let lines = recorder.take();
        assert!(lines.contains(&"record status=200".to_owned()), "{lines:?}");
        server().test().get("/nowhere").send().unwrap();
        assert!(recorder.take().contains(&"record status=404".to_owned()));
    });
}

#[test]
fn no_spans_are_created_without_an_interested_subscriber() {
    let recorder = Recorder::new(Level::WARN);
    subscriber::with_default(recorder.clone(), || {
        assert_eq!(server().test().get("/now").send().unwrap().text(), "hello");
    });
    assert!(recorder.take().is_empty());
}

#[test]
fn the_requests_of_a_connection_are_in_its_span() {
    use std::io::{Read as _, Write as _};
    let recorder = Recorder::new(Level::INFO);
    subscriber::with_default(recorder.clone(), || {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let client = std::thread::spawn(move || {
            let mut ours = ours;
            for _ in 0..2 {
                ours.write_all(b"GET /now HTTP/1.1\r\nHost: a\r\n\r\n")
                    .unwrap();
                let mut response = Vec::new();
                while !response.ends_with(b"hello") {
                    let mut byte = [0];
                    ours.read_exact(&mut byte).unwrap();
                    response.push(byte[0]);
                }
            }
        });
        server().serve(uptick_socket::Connection::adopt(theirs).unwrap());
        uptick_event_loop::run().unwrap();
        client.join().unwrap();
    });
    let lines = recorder.take();
    let connections = lines
        .iter()
        .filter(|line| line.starts_with("new connection"));
    let requests = lines.iter().filter(|line| line.starts_with("new request"));
    assert_eq!((connections.count(), requests.count()), (1, 2), "{lines:?}");
}
