//! Step-by-step tests of the actions of a session.

use std::time::Duration;

use super::*;
use crate::protocol::packet::Encoder;

/// A session with a manual clock.
struct TestSession {
    session: Session,
    start: Instant,
    now: Instant,
}

impl TestSession {
    /// Opens a session, and receives its handshake.
    fn new(transport: Transport) -> TestSession {
        let options = SessionOptions::new()
            .ping_interval(Duration::from_millis(300))
            .ping_timeout(Duration::from_millis(200))
            .queue_packets(4);
        let start = Instant::now();
        let session = Session::open(Arc::new(options), "id", transport, start);
        let mut scene = TestSession {
            session,
            start,
            now: start,
        };
        let handshake = scene.actions().remove(0);
        assert!(
            handshake.starts_with("poll:0{\"sid\":\"id\"")
                || handshake.starts_with("frames:0{\"sid\":\"id\"")
        );
        scene
    }

    /// Performs all pending actions, and returns them as text.
    fn actions(&mut self) -> Vec<String> {
        let mut actions = Vec::new();
        while let Some(action) = self.session.next_action() {
            actions.push(match action {
                Action::Message(message) => format!("message:{}", message.as_text().unwrap()),
                Action::RespondPoll(body) => {
                    format!("poll:{}", String::from_utf8(body.into()).unwrap())
                        .replace('\u{1e}', "|")
                }
                Action::SendFrame(frame) => format!("frame:{}", frame.as_text().unwrap()),
                Action::SendFrames => {
                    let frames: Vec<_> = std::iter::from_fn(|| self.session.take_frame()).collect();
                    let frames: Vec<_> = frames
                        .iter()
                        .map(|frame| frame.as_text().unwrap())
                        .collect();
                    format!("frames:{}", frames.join("|"))
                }
                Action::Closed(reason) => format!("closed:{reason}"),
                other => format!("{other:?}"),
            });
        }
        actions
    }

    #[track_caller]
    fn expect(&mut self, input: Input, expected: &[&str]) {
        self.session.handle(input, self.now);
        assert_eq!(self.actions(), expected);
    }

    fn send(&mut self, name: &str) {
        let packet = Encoder::event("/", None, name).unwrap().finish().unwrap();
        self.session.send(&packet).unwrap();
    }

    /// Sets the clock to a time after the start.
    fn at(&mut self, millis: u64) {
        self.now = self.start + Duration::from_millis(millis);
    }

    fn upgrade(&mut self) {
        self.expect(Input::WebSocketOpened, &[]);
        self.expect(Input::WebSocketMessage("2probe".into()), &["frame:3probe"]);
        self.expect(Input::WebSocketMessage("5".into()), &["Upgraded"]);
    }
}

fn post(scene: &mut TestSession, body: &'static str, expected: &[&str]) {
    scene.expect(Input::PostStarted, &[]);
    scene.expect(Input::PostBody(body.into()), expected);
}

#[test]
fn the_handshake_names_the_limits() {
    let open = |transport| {
        let mut session = Session::open(
            Arc::new(SessionOptions::new()),
            "a\"b",
            transport,
            Instant::now(),
        );
        match session.next_action() {
            Some(Action::RespondPoll(body)) => body,
            Some(Action::SendFrames) => session.take_frame().unwrap().into_bytes(),
            other => panic!("{other:?}"),
        }
    };
    let rest = r#""pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
    assert_eq!(
        open(Transport::Polling),
        format!(r#"0{{"sid":"a\"b","upgrades":["websocket"],{rest}"#)
    );
    assert_eq!(
        open(Transport::WebSocket),
        format!(r#"0{{"sid":"a\"b","upgrades":[],{rest}"#)
    );
}

#[test]
fn a_flush_is_one_response_or_one_write() {
    let mut polling = TestSession::new(Transport::Polling);
    polling.send("a");
    polling.send("b");
    polling.expect(Input::Flush, &[]);
    polling.expect(Input::Poll, &["poll:42[\"a\"]|42[\"b\"]"]);
    let mut websocket = TestSession::new(Transport::WebSocket);
    websocket.send("a");
    websocket.send("b");
    websocket.expect(Input::Flush, &["frames:42[\"a\"]|42[\"b\"]"]);
    websocket.expect(Input::Flush, &[]);
}

#[test]
fn the_first_ping_follows_one_interval_after_the_handshake() {
    for transport in [Transport::Polling, Transport::WebSocket] {
        let mut scene = TestSession::new(transport);
        assert_eq!(
            scene.session.deadline(),
            Some(scene.start + Duration::from_millis(300))
        );
        scene.at(299);
        scene.expect(Input::Deadline, &[]);
        scene.at(300);
        match transport {
            Transport::Polling => scene.expect(Input::Deadline, &[]),
            Transport::WebSocket => scene.expect(Input::Deadline, &["frames:2"]),
        }
        assert_eq!(
            scene.session.deadline(),
            Some(scene.start + Duration::from_millis(500))
        );
        scene.at(500);
        match transport {
            Transport::Polling => scene.expect(Input::Deadline, &["closed:ping timeout"]),
            Transport::WebSocket => scene.expect(
                Input::Deadline,
                &["CloseWebSocket(None)", "closed:ping timeout"],
            ),
        }
        assert_eq!(scene.session.deadline(), None);
    }
}

#[test]
fn a_pong_starts_the_next_interval_and_another_packet_extends_the_timeout_once() {
    let mut scene = TestSession::new(Transport::WebSocket);
    scene.at(300);
    scene.expect(Input::Deadline, &["frames:2"]);
    scene.at(400);
    scene.expect(Input::WebSocketMessage("4a".into()), &["message:a"]);
    assert_eq!(
        scene.session.deadline(),
        Some(scene.start + Duration::from_millis(600))
    );
    scene.at(500);
    scene.expect(Input::WebSocketMessage("4b".into()), &["message:b"]);
    assert_eq!(
        scene.session.deadline(),
        Some(scene.start + Duration::from_millis(600))
    );
    scene.expect(Input::WebSocketMessage("3".into()), &["Heartbeat"]);
    assert_eq!(
        scene.session.deadline(),
        Some(scene.start + Duration::from_millis(800))
    );
}

#[test]
fn an_upgrade_releases_the_poll_and_moves_the_queue() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::Poll, &[]);
    scene.expect(Input::WebSocketOpened, &[]);
    scene.expect(
        Input::WebSocketMessage("2probe".into()),
        &["frame:3probe", "poll:6"],
    );
    // The client sent another poll before it read the response.
    scene.expect(Input::Poll, &[]);
    scene.at(100);
    scene.expect(Input::Deadline, &["poll:6"]);
    scene.send("a");
    scene.expect(Input::Flush, &[]);
    scene.expect(
        Input::WebSocketMessage("5".into()),
        &["Upgraded", "frames:42[\"a\"]"],
    );
    assert_eq!(scene.session.transport(), Transport::WebSocket);
    scene.expect(Input::Poll, &["RejectPoll"]);
    scene.expect(Input::PostStarted, &["RejectPost(400)"]);
    scene.expect(Input::WebSocketOpened, &["RejectWebSocket"]);
    scene.expect(Input::WebSocketMessage("4b".into()), &["message:b"]);
}

#[test]
fn an_upgrade_that_fails_leaves_polling_alive() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::WebSocketOpened, &[]);
    scene.expect(Input::WebSocketOpened, &["RejectWebSocket"]);
    scene.expect(
        Input::WebSocketMessage("4a".into()),
        &["CloseWebSocket(None)"],
    );
    scene.expect(Input::WebSocketOpened, &[]);
    scene.expect(Input::WebSocketClosed, &[]);
    scene.expect(Input::WebSocketOpened, &[]);
    // The heartbeat is due before the upgrade.
    scene.at(300);
    scene.expect(Input::Deadline, &[]);
    scene.expect(Input::Poll, &["poll:2"]);
    post(&mut scene, "3", &["Heartbeat", "RespondPost"]);
    scene.session.heartbeat =
        Heartbeat::new(scene.now + Duration::from_secs(60), &SessionOptions::new());
    scene.at(10_000);
    assert_eq!(scene.session.deadline(), Some(scene.now));
    scene.expect(Input::Deadline, &["CloseWebSocket(None)"]);
    post(&mut scene, "4a", &["message:a", "RespondPost"]);
}

#[test]
fn a_ping_before_an_upgrade_must_be_answered_after_it() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::Poll, &[]);
    scene.at(300);
    scene.expect(Input::Deadline, &["poll:2"]);
    scene.upgrade();
    scene.at(500);
    scene.expect(
        Input::Deadline,
        &["CloseWebSocket(None)", "closed:ping timeout"],
    );
}

#[test]
fn a_released_poll_is_answered_immediately() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::PollReleased, &[]);
    scene.expect(Input::Poll, &[]);
    scene.expect(Input::PollReleased, &["poll:6"]);
    scene.expect(Input::Poll, &[]);
    scene.send("a");
    scene.expect(Input::PollReleased, &["poll:42[\"a\"]"]);
    scene.expect(Input::PollReleased, &[]);
}

#[test]
fn overlapping_requests_end_the_session() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::Poll, &[]);
    scene.expect(
        Input::Poll,
        &["RejectPoll", "poll:1", "closed:transport error"],
    );
    scene.expect(Input::Poll, &["RejectPoll"]);
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::PostStarted, &[]);
    scene.expect(
        Input::PostStarted,
        &["RejectPost(400)", "AbortPost", "closed:transport error"],
    );
    scene.expect(Input::PostBody("4a".into()), &[]);
}

#[test]
fn failed_requests_end_the_session() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::Poll, &[]);
    scene.expect(Input::PollAborted, &["closed:transport error"]);
    for (failure, answer) in [
        (PostFailure::TooLarge, Some("RejectPost(413)")),
        (PostFailure::InvalidContent, Some("RejectPost(400)")),
        (PostFailure::TimedOut, Some("RejectPost(408)")),
        (PostFailure::Aborted, None),
    ] {
        let mut scene = TestSession::new(Transport::Polling);
        scene.expect(Input::PostStarted, &[]);
        let expected: Vec<_> = answer
            .into_iter()
            .chain(["closed:transport error"])
            .collect();
        scene.expect(Input::PostFailed(failure), &expected);
    }
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::PostStarted, &[]);
    let body = Bytes::from(vec![b'4'; 1_000_001]);
    scene.expect(
        Input::PostBody(body),
        &["RejectPost(413)", "closed:transport error"],
    );
}

#[test]
fn invalid_packets_end_the_session_after_the_valid_ones() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::Poll, &[]);
    post(
        &mut scene,
        "4a\u{1e}x\u{1e}4b",
        &[
            "message:a",
            "RejectPost(400)",
            "poll:1",
            "closed:parse error",
        ],
    );
    let mut scene = TestSession::new(Transport::WebSocket);
    scene.expect(
        Input::WebSocketMessage("".into()),
        &["CloseWebSocket(None)", "closed:parse error"],
    );
    let mut scene = TestSession::new(Transport::WebSocket);
    scene.expect(
        Input::WebSocketMessage("2".into()),
        &["CloseWebSocket(None)", "closed:transport error"],
    );
    let mut scene = TestSession::new(Transport::WebSocket);
    scene.expect(Input::WebSocketFailed, &["closed:transport error"]);
}

#[test]
fn a_client_closes_the_session() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::Poll, &[]);
    post(
        &mut scene,
        "4a\u{1e}1\u{1e}4b",
        &[
            "message:a",
            "poll:6",
            "RespondPost",
            "closed:transport close",
        ],
    );
    let mut scene = TestSession::new(Transport::WebSocket);
    scene.expect(Input::WebSocketClosed, &["closed:transport close"]);
    scene.expect(Input::WebSocketMessage("4a".into()), &[]);
}

#[test]
fn the_server_closes_the_session_after_the_queue_is_sent() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.send("bye");
    scene.session.close(scene.now);
    assert_eq!(scene.actions(), [""; 0]);
    let packet = Encoder::event("/", None, "late").unwrap().finish().unwrap();
    assert_eq!(scene.session.send(&packet), Err(SendError::Closed));
    scene.expect(Input::Poll, &["poll:42[\"bye\"]"]);
    scene.expect(Input::Poll, &["poll:6|1", "closed:forced close"]);

    let mut scene = TestSession::new(Transport::Polling);
    scene.session.close(scene.now);
    scene.expect(Input::Poll, &["poll:6|1", "closed:forced close"]);

    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::Poll, &[]);
    scene.session.close(scene.now);
    assert_eq!(scene.actions(), ["poll:1", "closed:forced close"]);

    let mut scene = TestSession::new(Transport::WebSocket);
    scene.expect(Input::WebSocketBlocked, &[]);
    scene.send("bye");
    scene.session.close(scene.now);
    assert_eq!(scene.actions(), [""; 0]);
    scene.expect(
        Input::WebSocketDrained,
        &[
            "frames:42[\"bye\"]",
            "CloseWebSocket(None)",
            "closed:forced close",
        ],
    );
}

#[test]
fn a_closing_session_ends_after_the_timeout_if_the_client_does_not_read() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.session.close(scene.now);
    assert_eq!(
        scene.session.deadline(),
        Some(scene.start + Duration::from_secs(30))
    );
    scene.at(30_000);
    scene.expect(Input::Deadline, &["closed:forced close"]);
    let mut scene = TestSession::new(Transport::WebSocket);
    scene.session.abort();
    assert_eq!(
        scene.actions(),
        ["CloseWebSocket(None)", "closed:forced close"]
    );
}

#[test]
fn a_close_by_the_client_ends_a_closing_session() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.send("never taken");
    scene.session.close(scene.now);
    assert_eq!(scene.actions(), [""; 0]);
    scene.expect(Input::PostStarted, &[]);
    let expected = ["RespondPost", "closed:forced close"];
    scene.expect(Input::PostBody("4a\u{1e}1".into()), &expected);
}

#[test]
fn an_upgrade_completes_a_close() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::WebSocketOpened, &[]);
    scene.expect(Input::WebSocketMessage("2probe".into()), &["frame:3probe"]);
    scene.send("bye");
    scene.session.close(scene.now);
    let expected = [
        "Upgraded",
        "frames:42[\"bye\"]",
        "CloseWebSocket(None)",
        "closed:forced close",
    ];
    scene.expect(Input::WebSocketMessage("5".into()), &expected);
}

#[test]
fn no_messages_are_delivered_after_a_handler_closes_the_session() {
    let mut scene = TestSession::new(Transport::Polling);
    scene.expect(Input::PostStarted, &[]);
    scene
        .session
        .handle(Input::PostBody("4a\u{1e}4b".into()), scene.now);
    assert_eq!(
        scene.session.next_action(),
        Some(Action::Message("a".into()))
    );
    scene.send("bye");
    scene.session.close(scene.now);
    assert_eq!(scene.actions(), ["RespondPost"]);
    scene.expect(Input::Poll, &["poll:42[\"bye\"]"]);
    scene.expect(Input::Poll, &["poll:6|1", "closed:forced close"]);
}

#[test]
fn the_queue_is_bounded_and_makes_the_session_unwritable() {
    let mut scene = TestSession::new(Transport::Polling);
    assert!(!scene.session.is_writable());
    scene.expect(Input::Poll, &[]);
    assert!(scene.session.is_writable());
    for name in ["a", "b", "c", "d"] {
        scene.send(name);
    }
    assert!(!scene.session.is_writable());
    let packet = Encoder::event("/", None, "e").unwrap().finish().unwrap();
    let bytes = 4 * r#"42["a"]"#.len();
    assert_eq!(
        scene.session.send(&packet),
        Err(SendError::Full { packets: 4, bytes })
    );
    scene.expect(
        Input::Flush,
        &["poll:42[\"a\"]|42[\"b\"]|42[\"c\"]|42[\"d\"]"],
    );
    assert_eq!(scene.session.queued(), (0, 0));
    assert_eq!(scene.session.send(&packet), Ok(()));
}

#[test]
fn an_idle_session_takes_at_most_400_bytes() {
    // An idle client may take 2,000 bytes in total.
    assert!(size_of::<Session>() <= 400, "{}", size_of::<Session>());
}
