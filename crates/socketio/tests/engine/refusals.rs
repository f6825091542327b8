//! Refused requests, with the codes of the official server.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_http::{HttpServer, Request};
use uptick_socketio::engine::{ConnectionError, EngineIo, Transport};

use crate::support::{Fixture, PATH, UPGRADE, options, settle};

const UNKNOWN_TRANSPORT: &str = r#"400 {"code":0,"message":"Transport unknown"}"#;
const UNKNOWN_SID: &str = r#"400 {"code":1,"message":"Session ID unknown"}"#;
const BAD_METHOD: &str = r#"400 {"code":2,"message":"Bad handshake method"}"#;
const BAD_REQUEST: &str = r#"400 {"code":3,"message":"Bad request"}"#;
const UNSUPPORTED: &str = r#"400 {"code":5,"message":"Unsupported protocol version"}"#;

#[test]
fn each_refusal_has_the_code_of_the_official_server() {
    let fixture = Fixture::new();
    let sid = fixture.open().sid;
    let known = format!("EIO=4&transport=polling&sid={sid}");
    let unknown = "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAAAAAA";
    for (method, query, fields, expected) in [
        ("GET", "", "", UNKNOWN_TRANSPORT),
        ("GET", "EIO=4", "", UNKNOWN_TRANSPORT),
        ("GET", "EIO=4&transport=abc", "", UNKNOWN_TRANSPORT),
        ("GET", "EIO=4&transport=webtransport", "", UNKNOWN_TRANSPORT),
        (
            "POST",
            "EIO=4&transport=abc",
            "Content-Length: 0\r\n",
            UNKNOWN_TRANSPORT,
        ),
        ("GET", unknown, "", UNKNOWN_SID),
        ("GET", "EIO=4&transport=polling&sid=x", "", UNKNOWN_SID),
        ("POST", unknown, "Content-Length: 0\r\n", UNKNOWN_SID),
        ("PUT", unknown, "Content-Length: 0\r\n", UNKNOWN_SID),
        (
            "POST",
            "EIO=4&transport=polling",
            "Content-Length: 0\r\n",
            BAD_METHOD,
        ),
        (
            "PUT",
            "EIO=4&transport=polling",
            "Content-Length: 0\r\n",
            BAD_METHOD,
        ),
        ("OPTIONS", "EIO=4&transport=polling", "", BAD_METHOD),
        (
            "POST",
            "EIO=4&transport=websocket",
            "Content-Length: 0\r\n",
            BAD_METHOD,
        ),
        ("GET", "EIO=4&transport=websocket", "", BAD_REQUEST),
        (
            "GET",
            &known.replace("polling", "websocket"),
            "",
            BAD_REQUEST,
        ),
        ("GET", &known, UPGRADE, BAD_REQUEST),
        ("GET", &known.replace("EIO=4", "EIO=3"), "", BAD_REQUEST),
        ("GET", "EIO=4&transport=polling", UPGRADE, BAD_REQUEST),
        ("GET", "EIO=4&transport=abc", UPGRADE, UNKNOWN_TRANSPORT),
        (
            "GET",
            "EIO=4&transport=websocket&sid=x",
            UPGRADE,
            UNKNOWN_SID,
        ),
        ("GET", "EIO=3&transport=websocket", UPGRADE, UNSUPPORTED),
        ("GET", "EIO=3&transport=polling", "", UNSUPPORTED),
        ("GET", "transport=polling", "", UNSUPPORTED),
        ("GET", "EIO=4&transport=polling&sid=", "", "200"),
    ] {
        let response = fixture.connect().request(method, query, fields);
        let shown = response.show();
        assert!(shown.starts_with(expected), "{method} {query}: {shown}");
        if response.status == 400 {
            assert_eq!(response.field("content-type"), Some("application/json"));
        }
    }
    assert_eq!(fixture.engine.clients_count(), 2);
    assert_eq!(fixture.engine.stats().refused, 23);
}

#[test]
fn other_methods_of_a_session_are_answered_with_500() {
    let fixture = Fixture::new();
    let sid = fixture.open().sid;
    let known = format!("EIO=4&transport=polling&sid={sid}");
    for method in ["PUT", "DELETE", "PATCH"] {
        let response = fixture
            .connect()
            .request(method, &known, "Content-Length: 0\r\n");
        assert_eq!(response.show(), "500 ", "{method}");
    }
    assert!(fixture.client().is_open());
}

#[test]
fn only_the_exact_path_is_served() {
    let fixture = Fixture::new();
    for path in ["/", "/engine.io", "/engine.io/x", "/engine.io//"] {
        let mut http = fixture.connect();
        http.send(format!(
            "GET {path}?EIO=4&transport=polling HTTP/1.1\r\nHost: test\r\n\r\n"
        ));
        assert_eq!(http.response().status, 404, "{path}");
    }
}

#[test]
fn a_transport_that_is_not_allowed_is_unknown() {
    let fixture = Fixture::with(options().transports(&[Transport::WebSocket]));
    let response = fixture.connect().get("EIO=4&transport=polling");
    assert_eq!(response.show(), UNKNOWN_TRANSPORT);
    fixture.open_websocket();

    let fixture = Fixture::with(options().transports(&[Transport::Polling]));
    let response = fixture.connect().get("EIO=4&transport=polling");
    assert!(response.body.contains(r#""upgrades":[]"#), "{response:?}");
    let response = fixture
        .connect()
        .request("GET", "EIO=4&transport=websocket", UPGRADE);
    assert_eq!(response.show(), UNKNOWN_TRANSPORT);
}

#[test]
fn the_application_refuses_a_handshake_with_its_message() {
    let fixture = Fixture::new();
    fixture
        .engine
        .allow_request(|req: &Request| match req.header("x-token") {
            Some("good") => Ok(()),
            Some(_) => Err("a wrong token"),
            None => Err(""),
        });
    let mut http = fixture.connect();
    let query = "EIO=3&transport=polling";
    assert_eq!(
        http.get(query).show(),
        r#"403 {"code":4,"message":"Forbidden"}"#
    );
    assert_eq!(
        http.request("GET", query, "X-Token: bad\r\n").show(),
        r#"403 {"code":4,"message":"a wrong token"}"#
    );
    // The version is checked afterwards.
    assert_eq!(
        http.request("GET", query, "X-Token: good\r\n").show(),
        UNSUPPORTED
    );
    let fields = format!("{UPGRADE}X-Token: bad\r\n");
    let response = http.request("GET", "EIO=4&transport=websocket", &fields);
    assert_eq!(
        response.show(),
        r#"403 {"code":4,"message":"a wrong token"}"#
    );
    let response = fixture
        .connect()
        .request("GET", "EIO=4&transport=polling", "X-Token: good\r\n");
    assert_eq!(response.status, 200);
}

#[test]
fn the_application_may_decide_asynchronously() {
    let fixture = Fixture::new();
    fixture.engine.allow_request(|req: &Request| {
        let token = req.header("x-token").map(str::to_owned);
        async move {
            uptick_event_loop::sleep(std::time::Duration::from_millis(1)).await;
            token.map(drop).ok_or("no token")
        }
    });
    let query = "EIO=4&transport=polling";
    let mut http = fixture.connect();
    assert_eq!(
        http.get(query).show(),
        r#"403 {"code":4,"message":"no token"}"#
    );
    assert_eq!(http.request("GET", query, "X-Token: a\r\n").status, 200);
    let fields = format!("{UPGRADE}X-Token: a\r\n");
    let response = http.request("GET", "EIO=4&transport=websocket", &fields);
    assert_eq!(response.status, 101);
    assert_eq!(fixture.engine.clients_count(), 2);
}

#[test]
fn refusals_are_reported() {
    let fixture = Fixture::new();
    let errors: Rc<RefCell<Vec<String>>> = Rc::default();
    let log = Rc::clone(&errors);
    fixture
        .engine
        .on("connection_error", move |error: ConnectionError| {
            let agent = error.headers.get("x-agent").unwrap();
            log.borrow_mut().push(format!(
                "{} {:?} {} {agent:?} {}",
                error.code as u8, error.message, error.cause, error.target
            ));
        });
    let sid = fixture.open().sid;
    let mut http = fixture.connect();
    http.request("GET", "transport=abc", "X-Agent: a\r\n");
    let query = format!("transport=websocket&sid={sid}");
    http.request("GET", &query, "X-Agent: b\r\n");
    assert_eq!(
        *errors.borrow(),
        [
            format!(r#"0 "Transport unknown"  "a" {PATH}?transport=abc"#),
            format!(r#"3 "Bad request" TRANSPORT_MISMATCH "b" {PATH}?{query}"#),
        ]
    );
}

#[test]
fn a_full_engine_answers_503() {
    let fixture = Fixture::with(options().max_clients(2));
    let _first = fixture.open();
    let (mut second, _) = fixture.open_websocket();
    let query = "EIO=4&transport=polling";
    assert_eq!(fixture.connect().get(query).status, 503);
    second.close();
    second.closed();
    settle();
    assert_eq!(fixture.connect().get(query).status, 200);
}

#[test]
fn an_origin_with_control_characters_is_a_bad_request() {
    let engine = EngineIo::new();
    let http = HttpServer::bind("127.0.0.1:0")
        .unwrap()
        .mount(PATH, &engine);
    let fixture = Fixture {
        http,
        engine,
        log: Default::default(),
        clients: Default::default(),
    };
    let response =
        fixture
            .connect()
            .request("GET", "EIO=4&transport=polling", "Origin: a\u{7f}b\r\n");
    // The HTTP server itself refuses most of these requests.
    assert_eq!(response.status, 400);
    assert_eq!(engine.clients_count(), 0);
}
