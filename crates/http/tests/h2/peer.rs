//! Exchanges with another implementation: the crate `h2`, as a client and as a server.

use std::task::Poll;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use futures::executor::block_on;
use futures::future::{Either, join, join_all, poll_fn, select};
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use uptick_http::h2::{ErrorCode, Limits};

use crate::echo::{Exchange, Side, body, sum};

/// Runs a side until its peer closes the stream, or until `done` returns `true`.
async fn run(mut side: Side, io: &mut DuplexStream, done: impl Fn(&Side) -> bool) -> Side {
    let mut input = BytesMut::new();
    loop {
        let out = std::mem::take(&mut side.out);
        if io.write_all(&out).await.is_err() || done(&side) {
            return side;
        }
        input.reserve(3000);
        match io.read_buf(&mut input).await {
            Ok(0) | Err(_) => return side,
            Ok(_) => side.receive(&mut input),
        }
        assert!(input.is_empty());
    }
}

/// Receives a body and its trailers.
async fn receive(mut stream: RecvStream) -> Result<(Vec<u8>, Option<http::HeaderMap>), h2::Error> {
    let mut received = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece?;
        stream.flow_control().release_capacity(piece.len())?;
        received.extend_from_slice(&piece);
    }
    Ok((received, stream.trailers().await?))
}

fn send(mut stream: SendStream<Bytes>, bytes: Vec<u8>, trailers: bool) {
    stream.send_data(bytes.into(), !trailers).unwrap();
    if trailers {
        stream.send_trailers(sum()).unwrap();
    }
}

fn post() -> Request<()> {
    Request::builder()
        .method(Method::POST)
        .uri("http://a.example/echo?query")
        .header("x-own", "value")
        .body(())
        .unwrap()
}

/// Runs requests of the client of `h2` at the same time.
fn with_client(
    limits: &Limits,
    window: u32,
    requests: &[(usize, bool)],
    cancel_every: Option<usize>,
) -> Side {
    let (client_io, mut server_io) = duplex(10_000);
    let server = run(Side::server(limits), &mut server_io, |_| false);
    let client = async {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(window);
        let (sender, connection) = builder.handshake::<_, Bytes>(client_io).await.unwrap();
        let work = async move {
            let exchanges = requests
                .iter()
                .enumerate()
                .map(|(index, &(length, trailers))| {
                    let sender = sender.clone();
                    async move {
                        let mut sender = sender.ready().await.unwrap();
                        let end = length == 0 && !trailers;
                        let (response, mut stream) = sender.send_request(post(), end).unwrap();
                        if cancel_every.is_some_and(|every| index % every == 0) {
                            stream.reserve_capacity(1);
                            stream.send_reset(h2::Reason::CANCEL);
                            return;
                        }
                        if !end {
                            send(stream, body(length), trailers);
                        }
                        let response = response.await.unwrap();
                        assert_eq!(response.status(), 200);
                        assert_eq!(response.headers()["content-type"], "text/plain");
                        let (received, found) = receive(response.into_body()).await.unwrap();
                        assert!(received == body(length));
                        assert_eq!(found, trailers.then(sum));
                    }
                });
            join_all(exchanges).await;
        };
        // The connection ends when the last sender was dropped.
        let (result, ()) = join(connection, work).await;
        result.unwrap();
    };
    block_on(join(server, client)).0
}

#[test]
fn a_client_of_h2_gets_its_bodies_and_trailers_back() {
    let requests: Vec<_> = [0, 1, 100, 16_384, 16_385, 100_000, 300_000]
        .into_iter()
        .flat_map(|length| [(length, false), (length, true)])
        .collect();
    for (window, limits) in [
        (65_535, Limits::default()),
        (1 << 20, Limits::default()),
        (100, Limits::default().stream_window(1024)),
        (
            5000,
            Limits::default()
                .stream_window(10_000)
                .connection_window(65_535),
        ),
    ] {
        let server = with_client(&limits, window, &requests, None);
        assert!(server.connection.is_empty() && server.resets.is_empty());
    }
}

#[test]
fn a_hundred_streams_at_a_time() {
    let requests: Vec<_> = (0..300).map(|index| (index * 37, index % 3 == 0)).collect();
    let server = with_client(
        &Limits::default().concurrent_streams(100),
        3000,
        &requests,
        None,
    );
    assert!(server.connection.is_empty() && server.resets.is_empty());
    assert_eq!(server.connection.last_stream(), 599);
}

#[test]
fn resets_by_a_client_do_not_disturb_other_streams() {
    let requests: Vec<_> = (0..200)
        .map(|index| (index * 101, index % 2 == 0))
        .collect();
    let server = with_client(&Limits::default(), 2000, &requests, Some(3));
    assert!(server.connection.is_empty() && !server.resets.is_empty());
    let mut codes = server.resets.iter().map(|(_, code)| *code);
    assert!(codes.all(|code| code == ErrorCode::CANCEL));
}

/// Runs requests of our client against the server of `h2`, which echoes them. A side reads nothing while it writes, so the buffer is larger than a window.
fn with_server(limits: &Limits, window: u32, requests: &[(usize, bool)]) -> Side {
    let (mut client_io, server_io) = duplex(1 << 20);
    let client = async move {
        // The server of `h2` does not credit a stream whose window becomes negative with its SETTINGS.
        let ready = |side: &Side| side.has_received;
        let mut client = run(Side::client(limits), &mut client_io, ready).await;
        for &(length, trailers) in requests {
            client.request(length, trailers);
        }
        client.receive(&mut BytesMut::new());
        let count = requests.len();
        run(client, &mut client_io, |side| side.responses.len() == count).await
    };
    let server = async {
        let mut builder = h2::server::Builder::new();
        builder
            .initial_window_size(window)
            .max_concurrent_streams(200);
        let mut connection = builder.handshake::<_, Bytes>(server_io).await.unwrap();
        let mut exchanges = futures::stream::FuturesUnordered::new();
        loop {
            let accepted = poll_fn(|context| {
                while let Poll::Ready(Some(())) = exchanges.poll_next_unpin(context) {}
                connection.poll_accept(context)
            });
            let accepted = accepted.await;
            let Some(Ok((request, mut respond))) = accepted else {
                return;
            };
            exchanges.push(async move {
                assert_eq!(request.uri(), "http://a.example/echo?query");
                let (received, trailers) = receive(request.into_body()).await.unwrap();
                let end = received.is_empty() && trailers.is_none();
                let stream = respond.send_response(Response::new(()), end).unwrap();
                if !end {
                    send(stream, received, trailers.is_some());
                }
            });
        }
    };
    match block_on(select(std::pin::pin!(client), std::pin::pin!(server))) {
        Either::Left((client, _)) => client,
        Either::Right(_) => panic!("the server ended first"),
    }
}

#[test]
fn a_server_of_h2_returns_bodies_and_trailers() {
    let requests: Vec<_> = (0..100)
        .map(|index| (index * index * 10, index % 3 == 0))
        .collect();
    for (window, limits) in [
        (65_535, Limits::default()),
        (2000, Limits::default().stream_window(3000)),
    ] {
        let client = with_server(&limits, window, &requests);
        for (index, &(length, trailers)) in requests.iter().enumerate() {
            let id = 2 * index as u32 + 1;
            let find = |response: &&(u32, Exchange)| response.0 == id;
            let (_, exchange) = client.responses.iter().find(find).expect("a response");
            assert!(exchange.received == body(length), "{id}");
            assert_eq!(exchange.trailers, trailers.then(sum));
        }
        assert!(client.connection.is_empty());
    }
}
