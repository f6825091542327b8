//! Event sources over scripted responses, on a manual clock.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::StatusCode;
use uptick_emitter::Emitter;
use uptick_event_loop::driver::current_time;
use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller, add_timer, sleep};

use super::connector::{OpenedStream, Opening, StreamConnector};
use super::settings::EventSourceSettings;
use super::{EventLimits, EventSource, EventSourceRetry, MessageEvent, ReadyState};
use crate::error::{Error, ErrorKind};

/// A part of a scripted body.
#[derive(Clone)]
enum Part {
    Text(&'static str),
    Pause(u64),
    Error,
}

use Part::{Pause, Text};

#[derive(Clone)]
enum Scripted {
    Response(u16, &'static str, Vec<Part>),
    Unavailable(u64),
    Error(ErrorKind),
}

fn events(parts: Vec<Part>) -> Scripted {
    Scripted::Response(200, "text/event-stream", parts)
}

type Log = Rc<RefCell<Vec<String>>>;

struct Script {
    responses: RefCell<VecDeque<Scripted>>,
    log: Log,
}

impl StreamConnector for Script {
    fn open(&self, last_event_id: &str) -> Opening {
        let request = match last_event_id {
            "" => "request".to_owned(),
            id => format!("request after {id}"),
        };
        self.log.borrow_mut().push(request);
        let response = self.responses.borrow_mut().pop_front();
        let response = response.unwrap_or(Scripted::Response(204, "", vec![]));
        Box::pin(async move {
            let (status, content_type, retry_after, parts) = match response {
                Scripted::Response(status, kind, parts) => (status, kind, None, parts),
                Scripted::Unavailable(seconds) => (503, "", Some(seconds), vec![]),
                Scripted::Error(kind) => return Err(Error::new(kind, "no connection")),
            };
            let body = stream::iter(parts).filter_map(|part| async move {
                match part {
                    Text(text) => Some(Ok(Bytes::from(text))),
                    Pause(seconds) => {
                        sleep(Duration::from_secs(seconds)).await;
                        None
                    }
                    Part::Error => Some(Err(Error::new(ErrorKind::ClosedInBody, "reset"))),
                }
            });
            Ok(OpenedStream {
                status: StatusCode::from_u16(status).unwrap(),
                content_type: Some(content_type.to_owned()),
                retry_after: retry_after.map(Duration::from_secs),
                url: "http://example.com:8080/news?a=b".to_owned(),
                body: Box::pin(body),
            })
        })
    }
}

/// Installs a loop on a manual clock, if the thread has none yet.
fn manual_loop() {
    let clock = ManualClock::new();
    let poller = ScriptedPoller::new(&clock);
    let _ = EventLoop::install(poller, clock);
}

/// Starts a source whose requests have these responses, and then 204.
fn start(settings: EventSourceSettings, responses: Vec<Scripted>) -> (EventSource, Log) {
    let log = Log::default();
    let script = Script {
        responses: RefCell::new(responses.into()),
        log: Rc::clone(&log),
    };
    let url = "http://example.com:8080/news?a=b".to_owned();
    let source = EventSource::start(url, Box::new(script), settings);
    let push = |log: &Log, text: String| log.borrow_mut().push(text);
    let seen = Rc::clone(&log);
    source.on("open", move |()| push(&seen, "open".into()));
    let seen = Rc::clone(&log);
    source.on("event", move |event: MessageEvent| {
        push(&seen, format!("{}: {}", event.event, event.data));
    });
    let seen = Rc::clone(&log);
    source.on("retry", move |retry: EventSourceRetry| {
        let seconds = retry.delay.as_millis() / 1200;
        let reason = retry.reason.map(|error| error.kind().name());
        push(
            &seen,
            format!("retry {} after {seconds}: {reason:?}", retry.failed),
        );
    });
    let seen = Rc::clone(&log);
    source.on("error", move |error: Error| push(&seen, error.to_string()));
    let seen = Rc::clone(&log);
    source.on("close", move |()| push(&seen, "close".into()));
    (source, log)
}

/// Runs a source to its end, and returns its log.
fn run(settings: EventSourceSettings, responses: Vec<Scripted>) -> Vec<String> {
    manual_loop();
    let (source, log) = start(settings, responses);
    assert_eq!(source.ready_state(), ReadyState::Connecting);
    uptick_event_loop::run().unwrap();
    assert_eq!(source.ready_state(), ReadyState::Closed);
    log.take()
}

/// Settings whose delay is 1.2 s to 1.44 s, which the log shows as `1`.
fn settings() -> EventSourceSettings {
    EventSourceSettings {
        retry_delay: Duration::from_millis(1200),
        ..EventSourceSettings::default()
    }
}

#[test]
fn a_source_reconnects_with_the_last_id_until_the_server_responds_with_204() {
    let first = events(vec![
        Text("id: 1\nda"),
        Pause(1),
        Text("ta: a\n\nevent: x\nid: 2\ndata: b\n\n"),
    ]);
    let second = events(vec![Text("data: c\n\ndata: incomplete")]);
    assert_eq!(
        run(settings(), vec![first, second]),
        [
            "request",
            "open",
            "message: a",
            "x: b",
            "retry 1 after 1: None",
            "request after 2",
            "open",
            "message: c",
            "retry 1 after 1: None",
            "request after 2",
            "close",
        ]
    );
}

#[test]
fn the_delay_grows_while_no_event_arrives() {
    let log = run(
        settings(),
        vec![
            Scripted::Error(ErrorKind::Connect),
            events(vec![]),
            events(vec![Text(": comment\n"), Part::Error]),
            events(vec![Text("data: a\n\n"), Part::Error]),
        ],
    );
    assert_eq!(
        log,
        [
            "request",
            "retry 1 after 1: Some(\"connect\")",
            "request",
            "open",
            "retry 2 after 2: None",
            "request",
            "open",
            "retry 3 after 4: Some(\"closed_in_body\")",
            "request",
            "open",
            "message: a",
            "retry 1 after 1: Some(\"closed_in_body\")",
            "request",
            "close",
        ]
    );
}

/// Asserts that a delay is 12 s plus at most a random fifth, which is 10 to 12 in the log.
#[track_caller]
fn assert_delay_of_12_seconds(entry: &str, retry: &str, reason: &str) {
    let expected = [10, 11, 12].map(|count| format!("{retry} after {count}: {reason}"));
    assert!(expected.iter().any(|text| text == entry), "{entry}");
}

#[test]
fn the_server_sets_the_reconnection_time() {
    let log = run(settings(), vec![events(vec![Text("retry: 12000\n")])]);
    assert_delay_of_12_seconds(&log[2], "retry 1", "None");
}

#[test]
fn another_status_fails_the_source() {
    for (status, text) in [(201, "201"), (404, "404"), (500, "500")] {
        let response = Scripted::Response(status, "text/event-stream", vec![]);
        let error = format!(
            "GET http://example.com:8080/news?a=b failed: the server responded with status {text}"
        );
        assert_eq!(
            run(settings(), vec![response]),
            ["request", &error, "close"]
        );
    }
}

#[test]
fn server_errors_are_retried_if_that_is_enabled() {
    let mut settings = settings();
    settings.retries_server_errors = true;
    let log = run(
        settings,
        vec![
            Scripted::Response(502, "text/html", vec![]),
            Scripted::Unavailable(12),
            Scripted::Response(404, "text/html", vec![]),
        ],
    );
    assert_eq!(log[1], "retry 1 after 1: Some(\"status\")");
    assert_delay_of_12_seconds(&log[3], "retry 2", "Some(\"status\")");
    assert!(log[5].ends_with("status 404"), "{log:?}");
    assert_eq!(log[6..], ["close"]);
}

#[test]
fn the_content_type_is_checked() {
    for kind in ["text/event-stream; charset=utf-8", "Text/Event-Stream ;x"] {
        let log = run(settings(), vec![Scripted::Response(200, kind, vec![])]);
        assert_eq!(log[1], "open", "{kind}");
    }
    for (kind, text) in [
        ("text/html; charset=utf-8", "the content type text/html"),
        ("text/event-stream2", "the content type text/event-stream2"),
        ("", "no content type"),
    ] {
        let log = run(settings(), vec![Scripted::Response(200, kind, vec![])]);
        assert!(log[1].contains(text), "{log:?}");
        assert_eq!(log[2..], ["close"]);
    }
}

#[test]
fn an_invalid_request_is_not_retried() {
    let log = run(settings(), vec![Scripted::Error(ErrorKind::InvalidUrl)]);
    assert_eq!(log, ["request", "no connection", "close"]);
}

#[test]
fn the_number_of_retries_is_limited() {
    let mut settings = settings();
    settings.max_retries = Some(1);
    let failures = vec![Scripted::Error(ErrorKind::Connect); 3];
    assert_eq!(
        run(settings, failures),
        [
            "request",
            "retry 1 after 1: Some(\"connect\")",
            "request",
            "no connection",
            "close",
        ]
    );
}

#[test]
fn an_idle_stream_is_replaced() {
    let mut settings = settings();
    settings.idle_timeout = Some(Duration::from_secs(30));
    let log = run(
        settings,
        vec![events(vec![
            Pause(29),
            Text(":\n"),
            Pause(29),
            Text("data: a\n\n"),
            Pause(31),
        ])],
    );
    assert_eq!(
        log[1..4],
        [
            "open",
            "message: a",
            "retry 1 after 1: Some(\"read_timeout\")"
        ]
    );
}

#[test]
fn an_event_that_is_too_large_fails_the_source() {
    let mut settings = settings();
    settings.limits = EventLimits::new().with_event(3);
    let log = run(
        settings,
        vec![events(vec![Text("data: 123\n\ndata: 1234\n\n")])],
    );
    assert_eq!(log[2], "message: 123");
    assert!(log[3].ends_with("the data of an event exceeds the limit of 3 bytes"));
    assert_eq!(log[4..], ["close"]);
}

#[test]
fn named_events_have_their_own_listeners() {
    manual_loop();
    let stream = events(vec![Text(
        "event: a\ndata: 1\n\ndata: 2\n\nid: 7\nevent: b\ndata: 3\n\n",
    )]);
    let (source, log) = start(settings(), vec![stream]);
    let seen = Rc::clone(&log);
    source.on_event("a", move |event: MessageEvent| {
        seen.borrow_mut().push(format!("only {}", event.data));
    });
    let seen = Rc::clone(&log);
    source.on("message", move |event: MessageEvent| {
        assert_eq!(&*event.origin, "http://example.com:8080");
        assert_eq!(event.last_event_id, source.last_event_id());
        seen.borrow_mut()
            .push(format!("without a name {}", event.data));
    });
    source.on("retry", move |_: EventSourceRetry| {
        assert_eq!(source.ready_state(), ReadyState::Connecting);
        assert_eq!(&*source.last_event_id(), "7");
    });
    source.on("open", move |()| {
        assert_eq!(source.ready_state(), ReadyState::Open)
    });
    uptick_event_loop::run().unwrap();
    let log = log.take();
    assert_eq!(
        log[2..7],
        ["a: 1", "only 1", "message: 2", "without a name 2", "b: 3"]
    );
    assert_eq!(log.last().unwrap(), "close");
}

#[test]
fn a_listener_closes_the_source() {
    let stream = || {
        events(vec![
            Text("data: 1\n\ndata: 2\n\n"),
            Pause(9),
            Text("data: 3\n\n"),
        ])
    };
    for (event, expected) in [("open", 2), ("message", 3), ("event", 3)] {
        manual_loop();
        let (source, log) = start(settings(), vec![stream()]);
        match event {
            "open" => source.on("open", move |()| source.close()),
            event => source.on(event, move |_: MessageEvent| source.close()),
        };
        uptick_event_loop::run().unwrap();
        let log = log.take();
        assert_eq!(log.len(), expected + 1, "{log:?}");
        assert_eq!(log[expected], "close");
    }
}

#[test]
fn closing_cancels_a_request_and_a_delay() {
    for responses in [
        vec![events(vec![Pause(1000)])],
        vec![Scripted::Error(ErrorKind::Connect)],
    ] {
        manual_loop();
        let started = current_time();
        let (source, log) = start(settings(), responses);
        add_timer(Duration::from_millis(1100), move || source.close());
        uptick_event_loop::run().unwrap();
        let log = log.take();
        assert_eq!(log.last().unwrap(), "close");
        assert!(current_time() - started < Duration::from_millis(1200));
    }
}

#[test]
fn a_panic_of_a_listener_closes_the_source() {
    manual_loop();
    let (source, log) = start(
        settings(),
        vec![events(vec![Text("data: 1\n\ndata: 2\n\n")])],
    );
    source.on("message", |_: MessageEvent| panic!("a bug"));
    uptick_event_loop::run().unwrap();
    assert_eq!(log.take(), ["request", "open", "message: 1", "close"]);
}
