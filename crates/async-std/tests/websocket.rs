//! async-tungstenite over Uptick's connections, unmodified, and as the peer of Uptick's own WebSockets.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::time::Duration;

use async_std::future::timeout;
use async_std::net::{TcpListener, TcpStream};
use async_std::task::block_on;
use async_tungstenite::tungstenite::{Error as WsError, Message};
use async_tungstenite::{WebSocketStream, accept_async, client_async};
use futures::channel::oneshot;
use futures::{AsyncRead, AsyncWrite, AsyncWriteExt, StreamExt, join};
use uptick_async_std::{DuplexStream, run};
use uptick_http::HttpServer;
use uptick_socket::prelude::*;
use uptick_websocket::{
    Accept, CloseCode, Closed, Payload, WebSocket, WebSocketConnector, WebSocketOptions,
    WebSocketRoutes,
};

const TEST_TIMEOUT: Duration = Duration::from_secs(60);
const LARGE: usize = 4 * 1024 * 1024;
const URL: &str = "ws://localhost/";

fn large() -> Message {
    let bytes: Vec<u8> = (0..LARGE).map(|index| (index % 251) as u8).collect();
    Message::binary(bytes)
}

/// Runs the loop and `peer` in one task.
fn run_with_loop<T>(peer: impl Future<Output = T>) -> T {
    let both = async { join!(run(), peer) };
    let (ended, value) = block_on(timeout(TEST_TIMEOUT, both)).unwrap();
    ended.unwrap();
    value
}

/// Starts an Uptick server for one connection, passed to `serve`; returns its address and the result.
fn serve<F>(serve: impl Fn(Connection) -> F + 'static) -> (String, oneshot::Receiver<F::Output>)
where
    F: Future + 'static,
{
    let server = Server::bind("tcp://127.0.0.1:0").unwrap();
    let (sender, result) = oneshot::channel();
    let sender = RefCell::new(Some(sender));
    server.on("connection", move |conn: Connection| {
        server.close();
        let sender = sender.take().unwrap();
        let serving = serve(conn);
        uptick_event_loop::spawn(async move { sender.send(serving.await).ok() });
    });
    let address = server.address().unwrap();
    (address["tcp://".len()..].to_string(), result)
}

/// Echoes every message until the peer closes; returns the number of messages.
async fn echo(stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<usize, WsError> {
    let mut socket = accept_async(stream).await?;
    let mut count = 0;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            count += 1;
            socket.send(message).await?;
        }
    }
    Ok(count)
}

/// Sends messages of many sizes, checks that they are echoed, and closes.
async fn exchange_messages<S: AsyncRead + AsyncWrite + Unpin>(mut socket: WebSocketStream<S>) {
    let messages = [
        Message::text("hello"),
        Message::text(""),
        large(),
        Message::text("é".repeat(70_000)),
        large(),
    ];
    for message in messages {
        socket.send(message.clone()).await.unwrap();
        let reply = socket.next().await.unwrap().unwrap();
        assert!(reply == message, "{} bytes came back", reply.len());
    }
    socket.close(None).await.unwrap();
    while let Some(rest) = socket.next().await {
        assert!(rest.unwrap().is_close());
    }
}

#[test]
fn client_and_server_run_over_uptick_connections() {
    let (address, served) = serve(|conn| echo(conn.into_async()));
    let client = uptick_event_loop::spawn(async move {
        let conn = Connector::new().connect(address).await.unwrap();
        let (socket, response) = client_async(URL, conn.into_async()).await.unwrap();
        assert_eq!(response.status().as_u16(), 101);
        exchange_messages(socket).await;
    });
    uptick_event_loop::run().unwrap();
    futures::executor::block_on(client).unwrap();
    let served = futures::executor::block_on(served).unwrap();
    assert_eq!(served.unwrap(), 5);
}

#[test]
fn an_async_std_client_connects_to_an_uptick_server() {
    let (address, served) = serve(|conn| echo(conn.into_async()));
    let count = run_with_loop(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(URL, stream).await.unwrap();
        exchange_messages(socket).await;
        served.await.unwrap()
    });
    assert_eq!(count.unwrap(), 5);
}

#[test]
fn an_uptick_client_connects_to_an_async_std_server() {
    let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    uptick_event_loop::spawn(async move {
        let conn = Connector::new().connect(address).await.unwrap();
        let (socket, _) = client_async(URL, conn.into_async()).await.unwrap();
        exchange_messages(socket).await;
    });
    let count = run_with_loop(async {
        let (stream, _) = listener.accept().await.unwrap();
        echo(stream).await
    });
    assert_eq!(count.unwrap(), 5);
}

#[test]
fn a_client_that_disconnects_without_closing_is_an_error_for_the_server() {
    let (address, served) = serve(|conn| echo(conn.into_async()));
    let served = run_with_loop(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut socket, _) = client_async(URL, stream).await.unwrap();
        socket.send("hello".into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), "hello".into());
        drop(socket);
        served.await.unwrap()
    });
    let error = served.unwrap_err();
    assert!(
        matches!(error, WsError::Protocol(_) | WsError::Io(_)),
        "{error}"
    );
}

#[test]
fn a_client_that_disconnects_during_the_handshake_is_an_error_for_the_server() {
    let (address, served) = serve(|conn| echo(conn.into_async()));
    let served = run_with_loop(async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: ").await.unwrap();
        drop(stream);
        served.await.unwrap()
    });
    assert!(served.is_err());
}

#[test]
fn a_server_that_closes_the_connection_is_an_error_for_the_client() {
    let (address, _served) = serve(|conn| async move {
        let mut socket = accept_async(conn.into_async()).await.unwrap();
        socket.next().await.unwrap().unwrap();
        conn.close();
    });
    let client = uptick_event_loop::spawn(async move {
        let conn = Connector::new().connect(address).await.unwrap();
        let (mut socket, _) = client_async(URL, conn.into_async()).await.unwrap();
        socket.send("hello".into()).await.unwrap();
        socket.next().await
    });
    uptick_event_loop::run().unwrap();
    let reply = futures::executor::block_on(client).unwrap();
    assert!(matches!(reply, Some(Err(_))), "{reply:?}");
}

/// Returns options that allow the large message.
fn large_message_options() -> WebSocketOptions {
    WebSocketOptions::new()
        .max_message(LARGE)
        .max_buffered(2 * LARGE)
}

#[test]
fn an_async_tungstenite_client_connects_to_an_uptick_websocket_server() {
    let http = HttpServer::bind("127.0.0.1:0").unwrap();
    let (sender, closed) = oneshot::channel();
    let sender = RefCell::new(Some(sender));
    http.websocket_with("/", large_message_options(), move |_| {
        let sender = sender.take();
        Accept::new(move |ws: WebSocket| {
            ws.on(WebSocket::MESSAGE, move |message| ws.send(message));
            let mut sender = sender;
            ws.on("close", move |closed: Closed| {
                http.close();
                sender.take().unwrap().send(closed)
            });
        })
    });
    let address = http.address().unwrap()["tcp://".len()..].to_owned();
    let closed = run_with_loop(async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = client_async(URL, stream).await.unwrap();
        exchange_messages(socket).await;
        closed.await.unwrap()
    });
    assert!(closed.clean && closed.code == CloseCode::NO_STATUS);
}

#[test]
fn an_uptick_websocket_client_connects_to_an_async_tungstenite_server() {
    let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let client = uptick_event_loop::spawn(async move {
        let connector = WebSocketConnector::default().options(large_message_options());
        let ws = connector.connect(url).await.unwrap();
        let large = large().into_data();
        for message in [
            uptick_websocket::Message::from("hello"),
            uptick_websocket::Message::from(""),
            uptick_websocket::Message::Binary(large),
        ] {
            assert!(ws.send(&message).is_taken());
            let reply = ws.next(WebSocket::MESSAGE).await.unwrap();
            let length = reply.as_slice().len();
            assert!(reply == message, "{length} bytes came back");
        }
        ws.close(CloseCode::NORMAL, "bye");
        ws.next(WebSocket::CLOSE).await.unwrap()
    });
    let (count, closed) = run_with_loop(async {
        let (stream, _) = listener.accept().await.unwrap();
        (echo(stream).await, client.await.unwrap())
    });
    assert_eq!(count.unwrap(), 3);
    assert!(closed.clean && closed.code == CloseCode::NORMAL);
}
