//! The functions behind features: shortcuts for async-std's executor, async-tls and async-tungstenite.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::io::{ErrorKind, Read as _};
use std::rc::Rc;
use std::time::Duration;

use async_std::future::timeout;
use async_std::net::{TcpListener, TcpStream};
use async_std::task;
use futures::channel::oneshot;
use futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt as _};
use uptick_async_std::{block_on, from_async, run_blocking, tls, websocket};
use uptick_event_loop::{Error as LoopError, add_timer, future_tick, spawn, stop};
use uptick_socket::prelude::{Bytes, Connection, Emitter as _, Server};

const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Starts an Uptick server for one connection; returns its port and the result of `serve`.
fn serve<F>(serve: impl Fn(Connection) -> F + 'static) -> (u16, oneshot::Receiver<F::Output>)
where
    F: Future + 'static,
{
    let server = Server::bind("tcp://127.0.0.1:0").unwrap();
    let (sender, result) = oneshot::channel();
    let sender = Cell::new(Some(sender));
    server.on("connection", move |conn: Connection| {
        server.close();
        let sender = sender.take().unwrap();
        let serving = serve(conn);
        spawn(async move { sender.send(serving.await).ok() });
    });
    let address = server.address().unwrap();
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    (port, result)
}

/// Returns a self-signed certificate as PEM text, and the same certificate with its key.
fn identity() -> (String, String) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (
        own.cert.pem(),
        own.cert.pem() + &own.signing_key.serialize_pem(),
    )
}

#[test]
fn block_on_runs_a_future_and_the_loop() {
    let ticks = Rc::new(Cell::new(0));
    let count = Rc::clone(&ticks);
    let reply = block_on(async move {
        // The loop has nothing to wait for yet.
        task::sleep(Duration::from_millis(1)).await;
        future_tick(move || count.set(count.get() + 1));
        uptick_event_loop::sleep(Duration::from_millis(1)).await;
        42
    });
    assert_eq!((reply.unwrap(), ticks.get()), (42, 1));
    // Work left on the loop continues when the loop runs again.
    run_blocking().unwrap();
}

#[test]
fn block_on_ends_when_the_loop_is_stopped() {
    future_tick(stop);
    let ended = block_on(std::future::pending::<()>());
    assert!(matches!(ended, Err(LoopError::TaskCancelled)), "{ended:?}");
}

#[test]
fn run_blocking_runs_the_loop_to_its_end() {
    let done = Rc::new(Cell::new(false));
    let due = Rc::clone(&done);
    add_timer(Duration::from_millis(1), move || due.set(true));
    run_blocking().unwrap();
    assert!(done.get());
}

#[test]
fn tls_sessions_are_accepted_and_connected() {
    let (certificate, identity) = identity();
    let acceptor = tls::acceptor(identity).unwrap();
    let (port, served) = serve(move |conn| {
        let acceptor = acceptor.clone();
        async move {
            let mut session = tls::accept(conn, &acceptor).await?;
            let mut text = String::new();
            session.read_to_string(&mut text).await?;
            session.write_all(text.to_uppercase().as_bytes()).await?;
            session.close().await
        }
    });
    let connector = tls::connector(certificate).unwrap();
    let reply = block_on(timeout(TEST_TIMEOUT, async {
        let address = format!("tls://localhost:{port}");
        let mut session = tls::connect(&address, &connector).await.unwrap();
        session.write_all(b"hello").await.unwrap();
        session.close().await.unwrap();
        let mut reply = String::new();
        session.read_to_string(&mut reply).await.unwrap();
        served.await.unwrap().unwrap();
        reply
    }));
    assert_eq!(reply.unwrap().unwrap(), "HELLO");
}

#[test]
fn a_tls_session_works_as_an_uptick_stream() {
    let (certificate, identity) = identity();
    let acceptor = tls::acceptor(identity).unwrap();
    let (port, _served) = serve(move |conn| {
        let acceptor = acceptor.clone();
        async move {
            let session = from_async(tls::accept(conn, &acceptor).await.unwrap());
            session.on("data", move |chunk: Bytes| session.end_with(chunk));
        }
    });
    let connector = tls::connector(certificate).unwrap();
    let reply = block_on(timeout(TEST_TIMEOUT, async {
        let address = format!("localhost:{port}");
        let connecting = tls::connect(&address, &connector);
        let mut session = connecting.await.unwrap();
        session.write_all(b"echo").await.unwrap();
        let mut reply = [0; 4];
        session.read_exact(&mut reply).await.unwrap();
        reply
    }));
    assert_eq!(&reply.unwrap().unwrap(), b"echo");
}

#[test]
fn an_untrusted_certificate_is_an_error_on_both_sides() {
    let (_, ours) = identity();
    let (other, _) = identity();
    let acceptor = tls::acceptor(ours).unwrap();
    let (port, served) = serve(move |conn| {
        let acceptor = acceptor.clone();
        async move { tls::accept(conn, &acceptor).await.map(drop) }
    });
    let connector = tls::connector(other).unwrap();
    let errors = block_on(timeout(TEST_TIMEOUT, async {
        let address = format!("localhost:{port}");
        let connecting = tls::connect(&address, &connector);
        let error = connecting.await.map(drop).unwrap_err();
        (error.to_string(), served.await.unwrap().unwrap_err())
    }));
    let (client, server) = errors.unwrap().unwrap();
    assert!(client.contains("invalid peer certificate"), "{client}");
    // async-tls closes without an alert.
    assert_eq!(server.kind(), ErrorKind::UnexpectedEof, "{server}");
}

#[test]
fn pem_text_without_a_key_or_a_certificate_is_an_error() {
    let (certificate, _) = identity();
    let error = tls::acceptor(certificate).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(error.to_string(), "there is no private key in the PEM text");
    let error = tls::connector("nothing").map(drop).unwrap_err();
    assert_eq!(error.to_string(), "there is no certificate in the PEM text");
}

#[test]
fn websockets_are_accepted_and_connected() {
    let (port, served) = serve(|conn| async move {
        let mut socket = websocket::accept(conn).await?;
        let mut count = 0;
        while let Some(message) = socket.next().await {
            let message = message?;
            if message.is_text() {
                count += 1;
                socket.send(message).await?;
            }
        }
        Ok::<usize, websocket::Error>(count)
    });
    let result = block_on(timeout(TEST_TIMEOUT, async {
        let url = format!("ws://localhost:{port}/chat?room=1");
        let mut socket = websocket::connect(&url).await.unwrap();
        socket.send("hello".into()).await.unwrap();
        let reply = socket.next().await.unwrap().unwrap();
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = socket.next().await {}
        (reply, served.await.unwrap().unwrap())
    }));
    assert_eq!(result.unwrap().unwrap(), ("hello".into(), 1));
}

#[test]
fn a_request_without_a_websocket_upgrade_ends_the_connection() {
    let (port, served) = serve(|conn| async move { websocket::accept(conn).await.map(drop) });
    let error = block_on(timeout(TEST_TIMEOUT, async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        // The server ends the connection, with or without a response.
        let _ = stream.read_to_end(&mut Vec::new()).await;
        served.await.unwrap()
    }));
    assert!(error.unwrap().unwrap().is_err());
}

#[test]
fn urls_without_the_ws_scheme_are_errors() {
    for url in ["wss://localhost/", "http://localhost/", "localhost"] {
        assert!(block_on(websocket::connect(url)).unwrap().is_err(), "{url}");
    }
}

#[test]
fn a_handshake_that_takes_too_long_fails_on_a_manual_clock() {
    use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller};
    use uptick_stream::DuplexResourceStream;

    let clock = ManualClock::new();
    EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let conn = DuplexResourceStream::new(ours).unwrap();
    let (_, identity) = identity();
    let acceptor = tls::acceptor(identity).unwrap();
    let accepting = spawn(async move { tls::accept(conn, &acceptor).await.map(drop) });
    let error = uptick_event_loop::block_on(async move { accepting.await.unwrap() });
    let error = error.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(
        error.to_string(),
        "TLS handshake failed: it took more than 10s (ETIMEDOUT)"
    );
    conn.close();
    assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn an_uptick_client_connects_to_a_server_of_async_std() {
    let (certificate, identity) = identity();
    let acceptor = tls::acceptor(identity).unwrap();
    let connector = tls::connector(certificate).unwrap();
    let text = block_on(timeout(TEST_TIMEOUT, async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = task::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut session = acceptor.accept(stream).await.unwrap();
            session.write_all(b"from async-std").await.unwrap();
            session.close().await.unwrap();
        });
        let address = format!("localhost:{port}");
        let connecting = tls::connect(&address, &connector);
        let mut session = connecting.await.unwrap();
        let mut text = String::new();
        session.read_to_string(&mut text).await.unwrap();
        server.await;
        text
    }));
    assert_eq!(text.unwrap().unwrap(), "from async-std");
}
