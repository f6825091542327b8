//! async-std's streams in Uptick, and Uptick's connections next to async-std's.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use async_std::future::timeout;
use async_std::net::{TcpListener, TcpStream};
use async_std::task::block_on;
use futures::{AsyncReadExt, AsyncWriteExt, join};
use uptick_async_std::{DuplexStream, from_async, run};
use uptick_socket::prelude::*;

const TEST_TIMEOUT: Duration = Duration::from_secs(60);
const LARGE: usize = 4 * 1024 * 1024;

/// Returns bytes that differ from chunk to chunk.
fn large() -> Vec<u8> {
    (0..LARGE).map(|index| (index % 251) as u8).collect()
}

/// Runs the loop and an async-std peer in one task.
fn run_with_loop<T>(peer: impl Future<Output = T>) -> T {
    let both = async { join!(run(), peer) };
    let (ended, value) = block_on(timeout(TEST_TIMEOUT, both)).unwrap();
    ended.unwrap();
    value
}

/// Starts a server for one connection; returns the address to connect to.
fn serve(connection: impl Fn(Connection) + 'static) -> String {
    let server = Server::bind("tcp://127.0.0.1:0").unwrap();
    server.on("connection", move |conn: Connection| {
        server.close();
        connection(conn);
    });
    server.address().unwrap()["tcp://".len()..].to_string()
}

/// Sends a large payload and reads it back at the same time.
async fn send_and_read_back(stream: TcpStream) -> Vec<u8> {
    let (mut reader, mut writer) = stream.clone().split();
    let sending = async {
        writer.write_all(&large()).await.unwrap();
        // Closing the writer is not enough: async-std does nothing then.
        stream.shutdown(Shutdown::Write).unwrap();
    };
    let mut back = Vec::new();
    let (_, read) = join!(sending, reader.read_to_end(&mut back));
    read.unwrap();
    back
}

#[test]
fn an_async_std_client_connects_to_an_uptick_server() {
    let address = serve(|conn| {
        conn.set_allow_half_open(true);
        conn.pipe(conn);
    });
    let back = run_with_loop(async {
        send_and_read_back(TcpStream::connect(address).await.unwrap()).await
    });
    assert!(back == large());
}

#[test]
fn an_uptick_client_connects_to_an_async_std_server() {
    let received = Rc::new(RefCell::new(Vec::new()));
    let sink = Rc::clone(&received);
    let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    uptick_event_loop::spawn(async move {
        let conn = Connector::new().connect(address).await.unwrap();
        conn.on("data", move |chunk: Bytes| {
            sink.borrow_mut().extend_from_slice(&chunk);
            if sink.borrow().len() == LARGE {
                conn.end();
            }
        });
        conn.write(large());
    });
    run_with_loop(async {
        let (stream, _) = listener.accept().await.unwrap();
        let (mut reader, mut writer) = stream.split();
        async_std::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.close().await.unwrap();
    });
    assert!(*received.borrow() == large());
}

#[test]
fn an_async_std_socket_works_as_an_uptick_stream() {
    let address = serve(|conn| {
        conn.set_allow_half_open(true);
        conn.pipe(conn);
    });
    let received = Rc::new(RefCell::new(Vec::new()));
    let closed = Rc::new(Cell::new(false));
    let (sink, close) = (Rc::clone(&received), Rc::clone(&closed));
    run_with_loop(async {
        let socket = TcpStream::connect(address).await.unwrap();
        let stream = from_async(socket);
        stream.on("data", move |chunk: Bytes| {
            sink.borrow_mut().extend_from_slice(&chunk);
            if sink.borrow().len() == LARGE {
                stream.end();
            }
        });
        stream.on("close", move |()| close.set(true));
        stream.write(large());
    });
    assert!(closed.get());
    assert!(*received.borrow() == large());
}

#[test]
fn a_connection_is_read_and_written_with_async_std() {
    let address = serve(|conn| {
        uptick_event_loop::spawn(async move {
            let (mut reader, mut writer) = conn.into_async().split();
            async_std::io::copy(&mut reader, &mut writer).await.unwrap();
            writer.close().await.unwrap();
        });
    });
    let back = run_with_loop(async {
        send_and_read_back(TcpStream::connect(address).await.unwrap()).await
    });
    assert!(back.len() == LARGE && back == large());
}

#[test]
fn a_reset_by_the_peer_is_an_error_for_the_reader() {
    let (sender, result) = futures::channel::oneshot::channel();
    let sender = RefCell::new(Some(sender));
    let address = serve(move |conn| {
        let sender = sender.take().unwrap();
        uptick_event_loop::spawn(async move {
            let mut stream = conn.into_async();
            stream.write_all(b"never read").await.unwrap();
            let mut all = Vec::new();
            sender.send(stream.read_to_end(&mut all).await).unwrap();
        });
    });
    let result = run_with_loop(async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        // Closing a socket that holds unread bytes resets the connection.
        socket.peek(&mut [0]).await.unwrap();
        socket.write_all(b"hello").await.unwrap();
        drop(socket);
        result.await.unwrap()
    });
    let error = result.unwrap_err().to_string();
    assert!(error.contains("ECONNRESET"), "{error}");
}
