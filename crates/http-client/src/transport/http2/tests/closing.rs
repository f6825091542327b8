//! The end of the connection: closes, resets, GOAWAY and violations of the protocol.

use http::Method;
use uptick_http::h2::ErrorCode;

use super::support::*;
use crate::error::ErrorKind;
use crate::transport::{OutgoingBody, SessionOwner};

#[test]
fn a_close_fails_each_stream_by_the_progress_of_its_response() {
    for resets in [false, true] {
        let mut fixture = match resets {
            true => Fixture::tcp(),
            false => Fixture::new(),
        };
        let exchanges: Vec<_> = (0..4).map(|_| fixture.get()).collect();
        let peer = &mut fixture.peer;
        run_until(|| peer.events().contains("7 GET"));
        let partial = head(7, 0, "200", &[("x-a", "b")]);
        let bytes = [
            head(3, 0, "103", &[]),
            head(5, 0, "200", &[]),
            data(5, 0, "half"),
            partial[..partial.len() - 3].to_vec(),
        ];
        fixture.peer.send(bytes.concat());
        run_until(|| fixture.conn.bytes_read() as usize >= fixture.peer.sent);
        match resets {
            true => fixture.peer.abort(),
            false => fixture.peer.close(),
        }
        run_until(|| exchanges.iter().all(|exchange| exchange.is_done()));
        let kinds: Vec<_> = exchanges
            .iter()
            .map(|exchange| failure(exchange).kind)
            .collect();
        let expected = [
            ErrorKind::ClosedBeforeResponse,
            ErrorKind::ClosedInHead,
            ErrorKind::ClosedInBody,
            ErrorKind::ClosedInHead,
        ];
        assert_eq!(kinds, expected);
        let reason = failure(&exchanges[0]).reason;
        match resets {
            true => assert!(reason.contains("ECONNRESET"), "{reason}"),
            false => assert_eq!(
                reason,
                "the server closed the connection before the response"
            ),
        }
        assert_eq!(fixture.owner.calls(), "closed");
        assert!(!fixture.conn.is_open());
        assert_eq!((fixture.session.active(), fixture.session.room()), (0, 0));
        let failed = fixture
            .session
            .begin(request(&Method::GET, OutgoingBody::Empty, settings()));
        assert!(failed.err().unwrap().unprocessed);
    }
}

#[test]
fn a_half_closed_server_fails_the_streams_as_well() {
    let mut fixture = Fixture::new();
    let exchange = fixture.get();
    fixture.peer.events();
    fixture.peer.end();
    assert_eq!(outcome(&exchange), Err(ErrorKind::ClosedBeforeResponse));
    assert_eq!(fixture.owner.calls(), "closed");
}

#[test]
fn go_away_fails_the_streams_above_the_last_one_and_the_others_continue() {
    let mut fixture = Fixture::new();
    let exchanges: Vec<_> = (0..3).map(|_| fixture.get()).collect();
    fixture.peer.events();
    fixture
        .peer
        .send([head(1, 0, "200", &[]), go_away(3, ErrorCode::NO_ERROR)].concat());
    assert_eq!(fixture.owner.calls(), "retired");
    let failed = failure(&exchanges[2]);
    assert_eq!((failed.kind, failed.unprocessed), (ErrorKind::Http2, true));
    assert_eq!((fixture.session.active(), fixture.session.room()), (2, 0));
    assert!(!fixture.session.is_reusable());
    let refused = fixture
        .session
        .begin(request(&Method::GET, OutgoingBody::Empty, settings()));
    let refused = refused.err().unwrap();
    assert_eq!(
        (refused.kind, refused.unprocessed),
        (ErrorKind::Http2, true)
    );
    fixture
        .peer
        .send([data(1, END_STREAM, "one"), head(3, END_STREAM, "204", &[])].concat());
    assert_eq!(outcome(&exchanges[0]), ok(200, "one"));
    assert_eq!(outcome(&exchanges[1]), ok(204, ""));
    // The last stream ends the connection.
    assert_eq!(fixture.owner.calls(), "closed");
    assert!(fixture.peer.events().ends_with("go away NO_ERROR, closed"));
}

#[test]
fn a_graceful_shutdown_in_two_steps_lets_requests_in_flight_complete() {
    let mut fixture = Fixture::new();
    let exchange = fixture.get();
    fixture.peer.events();
    fixture.peer.send(go_away(0x7fff_ffff, ErrorCode::NO_ERROR));
    assert_eq!(
        (fixture.owner.calls().as_str(), exchange.is_done()),
        ("retired", false)
    );
    fixture.peer.send(go_away(1, ErrorCode::NO_ERROR));
    assert_eq!(fixture.owner.calls(), "");
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&exchange), ok(200, ""));
    assert_eq!(fixture.owner.calls(), "closed");
}

#[test]
fn a_close_after_go_away_is_an_error_of_http2() {
    let mut fixture = Fixture::new();
    let (first, second) = (fixture.get(), fixture.get());
    fixture.peer.events();
    fixture.peer.send(go_away(1, ErrorCode::INTERNAL_ERROR));
    fixture.peer.events();
    fixture.peer.close();
    let failed = failure(&first);
    assert_eq!((failed.kind, failed.unprocessed), (ErrorKind::Http2, false));
    assert_eq!(
        failed.reason,
        "the server closed the connection after a GOAWAY frame (INTERNAL_ERROR)"
    );
    assert!(failure(&second).unprocessed);
    assert_eq!(fixture.owner.calls(), "retired closed");
}

#[test]
fn go_away_on_an_idle_connection_closes_it() {
    let mut fixture = Fixture::new();
    fixture.session.set_idle(None);
    fixture.peer.send(go_away(0, ErrorCode::NO_ERROR));
    assert_eq!(fixture.owner.calls(), "retired closed");
    assert!(!fixture.conn.is_open());
}

#[test]
fn a_violation_of_the_protocol_fails_all_streams_and_is_reported_to_the_server() {
    let setting = |id: u16, value: u32| {
        frame(
            SETTINGS,
            0,
            0,
            &[&id.to_be_bytes()[..], &value.to_be_bytes()].concat(),
        )
    };
    for (bytes, code) in [
        (frame(DATA, 0, 0, b"x"), "PROTOCOL_ERROR"),
        (
            frame(HEADERS, END_HEADERS, 2, &block(&[(":status", "200")])),
            "PROTOCOL_ERROR",
        ),
        (
            frame(HEADERS, END_HEADERS, 99, &block(&[(":status", "200")])),
            "PROTOCOL_ERROR",
        ),
        (
            frame(HEADERS, END_HEADERS, 1, &[0xff, 0xff]),
            "COMPRESSION_ERROR",
        ),
        (
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            "PROTOCOL_ERROR",
        ),
        (frame(CONTINUATION, END_HEADERS, 1, &[]), "PROTOCOL_ERROR"),
        (frame(PING, 0, 0, b"short"), "FRAME_SIZE_ERROR"),
        (frame(SETTINGS, 0, 1, &[]), "PROTOCOL_ERROR"),
        (setting(2, 1), "PROTOCOL_ERROR"),
        (setting(4, 0x8000_0000), "FLOW_CONTROL_ERROR"),
        (setting(5, 100), "PROTOCOL_ERROR"),
        (frame(8, 0, 0, &[0; 4]), "PROTOCOL_ERROR"),
        (
            frame(8, 0, 0, &0x7fff_ffffu32.to_be_bytes()),
            "FLOW_CONTROL_ERROR",
        ),
        (vec![0x01, 0, 0, DATA, 0, 0, 0, 0, 1], "FRAME_SIZE_ERROR"),
    ] {
        let mut fixture = Fixture::new();
        let exchanges = [fixture.get(), fixture.get()];
        fixture.peer.events();
        fixture.peer.send(&bytes);
        for exchange in &exchanges {
            let failed = failure(exchange);
            assert_eq!((failed.kind, failed.unprocessed), (ErrorKind::Http2, false));
            assert!(failed.reason.contains(code), "{}", failed.reason);
        }
        assert_eq!(fixture.owner.calls(), "retired");
        assert_eq!(fixture.peer.events(), format!("go away {code}, closed"));
        fixture.peer.close();
        run_until(|| !fixture.conn.is_open());
        assert_eq!(fixture.owner.calls(), "closed");
    }
}

#[test]
fn a_server_that_speaks_http_1_fails_the_request() {
    let mut fixture = Fixture::silent(&Default::default());
    let exchange = fixture.get();
    settle();
    fixture
        .peer
        .send_raw(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n");
    assert_eq!(outcome(&exchange), Err(ErrorKind::Http2));
}

#[test]
fn a_request_does_not_wait_for_the_settings_of_the_server() {
    let mut fixture = Fixture::silent(&Default::default());
    assert_eq!(fixture.session.room(), 100);
    let exchange = fixture.get();
    assert_eq!(
        fixture.peer.events(),
        "1 GET /path HTTP/2 | host: a.example end"
    );
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&exchange), ok(200, ""));
}

#[test]
fn the_last_request_of_a_connection_closes_it() {
    let mut fixture = Fixture::new();
    let mut last = request(&Method::GET, OutgoingBody::Empty, settings());
    last.close = true;
    let exchange = fixture.session.begin(last).unwrap();
    assert_eq!(fixture.session.room(), 0);
    fixture.peer.events();
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&exchange), ok(200, ""));
    assert_eq!(fixture.owner.calls(), "retired closed");
}

#[test]
fn a_closed_session_fails_its_streams_and_says_good_bye() {
    let mut fixture = Fixture::new();
    let exchange = fixture.get();
    fixture.peer.events();
    fixture.session.close();
    assert_eq!(outcome(&exchange), Err(ErrorKind::Other));
    assert_eq!(fixture.owner.calls(), "closed");
    assert_eq!(fixture.peer.events(), "go away NO_ERROR, closed");
    fixture.session.close();
}

/// An owner that closes the session when it is called.
struct ClosingOwner(std::cell::RefCell<Option<std::rc::Rc<super::super::Http2Session>>>);

impl SessionOwner for ClosingOwner {
    fn available(&self, _: Option<std::time::Duration>) {
        if let Some(session) = self.0.borrow_mut().take() {
            session.close();
        }
    }

    fn retired(&self) {}

    fn closed(&self) {}
}

#[test]
fn an_owner_may_close_the_session_when_it_is_available() {
    let (client, server) = std::os::unix::net::UnixStream::pair().unwrap();
    let conn = uptick_socket::Connection::adopt(client).unwrap();
    let owner = std::rc::Rc::new(ClosingOwner(Default::default()));
    let session = super::super::Http2Session::new(conn, owner.clone(), 65_536);
    *owner.0.borrow_mut() = Some(session.clone());
    let first = session
        .begin(request(&Method::GET, OutgoingBody::Empty, settings()))
        .unwrap();
    let second = session
        .begin(request(&Method::GET, OutgoingBody::Empty, settings()))
        .unwrap();
    settle();
    let bytes = [
        frame(SETTINGS, 0, 0, &[]),
        head(1, END_STREAM, "200", &[]),
        head(3, END_STREAM, "200", &[]),
    ];
    std::io::Write::write_all(&mut &server, &bytes.concat()).unwrap();
    run_until(|| !conn.is_open());
    assert_eq!(outcome(&first), ok(200, ""));
    assert_eq!(outcome(&second), Err(ErrorKind::Other));
}
