//! Sessions over HTTP long-polling.

use uptick_emitter::Emitter;
use uptick_socketio::engine::{Client, Transport};
use uptick_websocket::Message;

use crate::support::{Fixture, options, run_until, settle};

#[test]
fn a_handshake_names_the_session_and_its_limits() {
    let fixture = Fixture::new();
    let response =
        fixture
            .connect()
            .request("GET", "EIO=4&transport=polling&a=b+c", "X-Test: 1\r\n");
    assert_eq!(
        response.field("content-type"),
        Some("text/plain; charset=UTF-8")
    );
    assert_eq!(response.field("cache-control"), Some("no-store"));
    let client = fixture.client();
    let sid = client.id().unwrap();
    assert_eq!(
        response.body,
        format!(
            r#"0{{"sid":"{}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000}}"#,
            sid.as_str()
        )
    );
    assert_eq!(client.transport(), Some(Transport::Polling));
    let handshake = client.handshake().unwrap();
    assert_eq!(handshake.url(), "/engine.io/?EIO=4&transport=polling&a=b+c");
    assert_eq!(handshake.query_value("a").as_deref(), Some("b c"));
    assert_eq!(handshake.header("X-Test"), Some("1"));
    let headers: Vec<_> = handshake.headers().map(|(name, _)| name).collect();
    assert_eq!(headers, ["host", "x-test"]);
    assert!(!handshake.is_secure() && !handshake.is_xdomain());
    assert_eq!(
        handshake.address().map(|ip| ip.to_string()).as_deref(),
        Some("127.0.0.1")
    );
}

#[test]
fn messages_are_sent_in_both_directions() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let response = {
        http.begin_post(16, "4hello\u{1e}bAQID\u{1e}4ü");
        http.response()
    };
    assert_eq!(response.show(), "200 ok");
    assert_eq!(response.field("content-type"), Some("text/html"));
    assert_eq!(fixture.log.text(), "connection hello [1, 2, 3] ü");
    let client = fixture.client();
    assert!(client.send("a").is_taken());
    assert!(client.send(vec![1, 2, 3]).is_taken());
    assert_eq!(client.queued(), (2, 5));
    assert_eq!(http.poll(), "200 4a|bAQID");
    assert_eq!(client.queued(), (0, 0));
}

#[test]
fn packets_of_one_iteration_are_sent_in_one_response() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    http.begin_poll();
    settle();
    let client = fixture.client();
    assert!(client.is_writable());
    for n in 0..3 {
        assert!(client.send(format!("{n}")).is_taken());
    }
    assert!(!client.is_writable());
    assert_eq!(http.response().show(), "200 40|41|42");
}

#[test]
fn the_reply_to_a_post_is_queued_before_its_response() {
    let fixture = Fixture::new();
    fixture.engine.on("connection", |client: Client| {
        client.on("message", move |message: Message| client.send(message));
    });
    let mut http = fixture.open();
    let mut poll = http.another_connection(&fixture);
    poll.begin_poll();
    settle();
    assert_eq!(http.post("4a|4b|4c"), "200 ok");
    assert_eq!(poll.response().show(), "200 4a|4b|4c");
    assert_eq!(http.post("4d"), "200 ok");
    assert_eq!(fixture.client().queued().0, 1);
}

#[test]
fn a_body_of_exactly_the_limit_is_accepted_and_a_larger_one_refused() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let most = format!("4{}", "x".repeat(999));
    assert_eq!(http.post(&most), "200 ok");
    fixture.log.take();
    let more = format!("4{}", "x".repeat(1000));
    assert_eq!(http.post(&more), "413 ");
    assert_eq!(fixture.ended(), "(close:transport error)");

    let http = fixture.open();
    let mut post = http.another_connection(&fixture);
    let sid = &http.sid;
    let head = format!(
        "POST /engine.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    post.send(format!("{head}3e9\r\n{more}\r\n0\r\n\r\n"));
    assert_eq!(post.response().show(), "413 ");
    assert_eq!(fixture.ended(), "connection (close:transport error)");
}

#[test]
fn the_body_limit_of_the_http_server_does_not_apply() {
    let fixture = Fixture::with(options().max_payload(3_000_000));
    fixture.http.body_limit(10);
    let mut http = fixture.open();
    let body = format!("4{}", "x".repeat(2_999_999));
    assert_eq!(http.post(&body), "200 ok");
}

#[test]
fn a_binary_content_type_ends_the_session() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let query = format!("EIO=4&transport=polling&sid={}", http.sid);
    let fields = "Content-Type: application/octet-stream\r\nContent-Length: 0\r\n";
    assert_eq!(http.request("POST", &query, fields).status, 400);
    assert_eq!(fixture.ended(), "connection (close:transport error)");
}

#[test]
fn overlapping_polls_end_the_session() {
    let fixture = Fixture::new();
    let mut first = fixture.open();
    let mut second = first.another_connection(&fixture);
    first.begin_poll();
    settle();
    assert_eq!(second.poll(), "400 ");
    assert_eq!(first.response().show(), "200 1");
    assert_eq!(fixture.ended(), "connection (close:transport error)");
    assert!(second.poll().starts_with(r#"400 {"code":1"#));
}

#[test]
fn overlapping_posts_end_the_session() {
    let fixture = Fixture::new();
    let mut first = fixture.open();
    let mut second = first.another_connection(&fixture);
    first.begin_post(10, "4a");
    settle();
    assert_eq!(second.post("4b"), "400 ");
    first.end();
    assert_eq!(fixture.ended(), "connection (close:transport error)");
}

#[test]
fn an_aborted_poll_ends_the_session_immediately() {
    // The clock does not advance, so the session ends without a grace period.
    let _clock = crate::support::manual_clock();
    let fixture = Fixture::new();
    let mut http = fixture.open();
    http.begin_poll();
    settle();
    drop(http);
    assert_eq!(fixture.ended(), "connection (close:transport error)");
}

#[test]
fn an_aborted_post_ends_the_session() {
    let fixture = Fixture::new();
    let http = fixture.open();
    let mut post = http.another_connection(&fixture);
    post.begin_post(100, "4a");
    settle();
    drop(post);
    assert_eq!(fixture.ended(), "connection (close:transport error)");
}

#[test]
fn an_invalid_packet_ends_the_session_after_the_valid_ones() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let mut poll = http.another_connection(&fixture);
    poll.begin_poll();
    settle();
    assert_eq!(http.post("4a|x|4b"), "400 ");
    assert_eq!(poll.response().show(), "200 1");
    assert_eq!(fixture.ended(), "connection a (close:parse error)");
}

#[test]
fn a_client_closes_its_session() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let mut poll = http.another_connection(&fixture);
    poll.begin_poll();
    settle();
    assert_eq!(http.post("4a|1"), "200 ok");
    assert_eq!(poll.response().show(), "200 6");
    assert_eq!(fixture.ended(), "connection a (close:transport close)");
    assert_eq!(fixture.engine.clients_count(), 0);
}

#[test]
fn sessions_are_independent() {
    let fixture = Fixture::new();
    fixture.engine.on("connection", |client: Client| {
        client.on("message", move |message: Message| client.send(message));
    });
    let mut clients: Vec<_> = (0..20).map(|_| fixture.open()).collect();
    for (n, http) in clients.iter_mut().enumerate() {
        assert_eq!(http.post(&format!("4{n}")), "200 ok");
    }
    for (n, http) in clients.iter_mut().enumerate().rev() {
        assert_eq!(http.poll(), format!("200 4{n}"));
    }
}

#[test]
fn requests_on_one_connection_are_answered_in_order() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    http.begin_poll();
    http.begin_post(2, "4a");
    settle();
    // The POST request waits for the poll, as HTTP/1.1 requires.
    assert_eq!(fixture.log.text(), "connection");
    fixture.client().send("b");
    assert_eq!(http.response().show(), "200 4b");
    assert_eq!(http.response().show(), "200 ok");
    run_until(|| fixture.log.text() == "connection a");
}
