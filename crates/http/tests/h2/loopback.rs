//! The client side against the server side.

use bytes::BytesMut;
use http::Method;
use proptest::prelude::*;
use uptick_http::h2::{
    Connection, ErrorCode, Limits, Request, RequestFields, ResponseBody, SendError,
};

use crate::echo::{Side, body, sum};

/// Moves all bytes between the sides, in pieces of this size, and returns the number of bytes of each direction.
fn exchange(client: &mut Side, server: &mut Side, piece: usize) -> (usize, usize) {
    let mut counts = (0, 0);
    while !client.out.is_empty() || !server.out.is_empty() {
        for part in std::mem::take(&mut client.out).chunks(piece) {
            counts.0 += part.len();
            server.receive(&mut BytesMut::from(part));
        }
        for part in std::mem::take(&mut server.out).chunks(piece) {
            counts.1 += part.len();
            client.receive(&mut BytesMut::from(part));
        }
    }
    counts
}

/// Checks that all requests were answered with their bodies and trailers.
fn assert_echoed(client: &Side, requests: &[(u32, usize, bool)]) {
    assert_eq!(client.responses.len(), requests.len());
    for (id, exchange) in &client.responses {
        let (_, length, trailers) = requests.iter().find(|request| request.0 == *id).unwrap();
        assert_eq!(exchange.status, Some(http::StatusCode::OK));
        assert!(exchange.received == body(*length), "{id}");
        assert_eq!(exchange.trailers, trailers.then(sum));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn requests_are_echoed_with_any_windows_and_pieces(
        lengths in prop::collection::vec((0usize..60_000, any::<bool>()), 1..30),
        windows in (1024u32..100_000, 1024u32..100_000),
        piece in prop_oneof![1usize..50, 1000usize..100_000],
    ) {
        let mut client = Side::client(&Limits::default().stream_window(windows.0));
        let limits = Limits::default().stream_window(windows.1).connection_window(65_535);
        let mut server = Side::server(&limits);
        exchange(&mut client, &mut server, piece);
        let requests: Vec<_> = lengths
            .into_iter()
            .map(|(length, trailers)| (client.request(length, trailers), length, trailers))
            .collect();
        client.receive(&mut BytesMut::new());
        exchange(&mut client, &mut server, piece);
        assert_echoed(&client, &requests);
        prop_assert!(client.connection.is_empty() && server.connection.is_empty());
    }
}

fn get() -> Request<'static> {
    Request {
        method: &Method::GET,
        scheme: "https",
        authority: "a.example",
        path: "/",
        protocol: None,
        fields: RequestFields::default(),
        body: ResponseBody::Empty,
    }
}

#[test]
fn a_client_opens_no_more_streams_than_the_server_allows() {
    let mut client = Side::client(&Limits::default());
    let mut server = Side::server(&Limits::default().concurrent_streams(2));
    exchange(&mut client, &mut server, 100);
    client.request(10, false);
    client.request(10, false);
    let mut out = Vec::new();
    let third = client.connection.open(&get(), Default::default(), &mut out);
    assert_eq!((third, out.len()), (Err(SendError::TooManyStreams), 0));
    client.receive(&mut BytesMut::new());
    exchange(&mut client, &mut server, 100);
    assert!(
        client
            .connection
            .open(&get(), Default::default(), &mut out)
            .is_ok()
    );
}

#[test]
fn a_client_opens_no_streams_after_go_away() {
    let mut client = Side::client(&Limits::default());
    let mut server = Side::server(&Limits::default());
    server.connection.announce_go_away();
    exchange(&mut client, &mut server, 1000);
    server.receive(&mut BytesMut::new());
    exchange(&mut client, &mut server, 1000);
    let mut out = Vec::new();
    let opened = client.connection.open(&get(), Default::default(), &mut out);
    assert_eq!(opened, Err(SendError::GoingAway));
}

#[test]
fn a_malformed_request_is_not_sent() {
    let mut client: Connection<()> = Connection::client(&Limits::default());
    let mut out = Vec::new();
    for (request, part) in [
        (Request { path: "x", ..get() }, "path"),
        (Request { path: "", ..get() }, "path"),
        (
            Request {
                path: "/a b",
                ..get()
            },
            "path",
        ),
        (
            Request {
                path: "/a#b",
                ..get()
            },
            "path",
        ),
        (Request { path: "*", ..get() }, "path"),
        (
            Request {
                authority: "a b",
                ..get()
            },
            "authority",
        ),
        (
            Request {
                authority: "",
                ..get()
            },
            "authority",
        ),
        (
            Request {
                scheme: "",
                ..get()
            },
            "scheme",
        ),
        (
            Request {
                protocol: Some("websocket"),
                ..get()
            },
            "method",
        ),
    ] {
        let opened = client.open(&request, (), &mut out);
        assert_eq!(opened, Err(SendError::InvalidRequest(part)), "{request:?}");
    }
    assert!(out.is_empty() && client.is_empty());
}

#[test]
fn a_removed_request_is_cancelled() {
    let mut client = Side::client(&Limits::default());
    let mut server = Side::server(&Limits::default().stream_window(1024));
    exchange(&mut client, &mut server, 1000);
    client.request(100_000, false);
    let key = client.connection.keys().next().unwrap();
    client.connection.remove(key);
    client.receive(&mut BytesMut::new());
    exchange(&mut client, &mut server, 1000);
    assert_eq!(server.resets, [(1, ErrorCode::CANCEL)]);
    assert!(server.connection.is_empty());
}
