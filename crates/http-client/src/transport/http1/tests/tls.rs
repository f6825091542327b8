//! Responses over TLS whose connection ends with or without `close_notify`.

use std::net::Shutdown;

use uptick_emitter::Emitter;
use uptick_socket::Server;
use uptick_tls::{SecureConnector, SecureServer, TlsContext, self_signed};

use super::*;

/// The end of a connection by the server.
#[derive(Clone, Copy, Debug)]
enum End {
    CloseNotify,
    /// A part of the response, and then the end of the TCP stream.
    Truncated,
    Reset,
}

/// Sends a request to a TLS server that sends `response` and ends the connection. Returns the outcome, the calls of the owner, and the
/// reason of a failure.
async fn respond_and_end(response: &'static str, end: End) -> (String, String) {
    let identity = self_signed(["127.0.0.1"]).unwrap();
    let context = TlsContext::from(identity).load().unwrap();
    let server = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), context);
    server.on("connection", move |conn: Connection| {
        conn.on("data", move |_: Bytes| {
            conn.write(response);
            match end {
                End::CloseNotify => conn.end(),
                End::Truncated | End::Reset => {}
            }
        });
    });
    let address = server.address().unwrap();
    let address = address.trim_start_matches("tls://").to_owned();
    // Passes the bytes on, and ends the connection of the client without an end of the layer.
    let proxy = Script::new(move |client| {
        let server = TcpStream::connect(address).unwrap();
        let (mut from_client, mut to_server) =
            (client.try_clone().unwrap(), server.try_clone().unwrap());
        let upward = thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Both);
        });
        let (mut from_server, mut to_client) = (server, client);
        match end {
            End::CloseNotify => drop(std::io::copy(&mut from_server, &mut to_client)),
            End::Truncated | End::Reset => {
                from_server
                    .set_read_timeout(Some(Duration::from_millis(200)))
                    .unwrap();
                // Ends with the timeout.
                let _ = std::io::copy(&mut from_server, &mut to_client);
                if let End::Reset = end {
                    rustix::net::sockopt::set_socket_linger(&to_client, Some(Duration::ZERO))
                        .unwrap();
                    // The last descriptor of the socket resets the connection.
                    let _ = to_client.shutdown(Shutdown::Read);
                } else {
                    to_client.shutdown(Shutdown::Both).unwrap();
                }
            }
        }
        drop(to_client);
        let _ = upward.join();
    });
    let connector = SecureConnector::new(Connector::new()).dangerous_accept_any_certificate();
    let conn = connector
        .connect(format!("tls://{}", proxy.address).as_str())
        .await
        .unwrap();
    let owner = Recorder::default();
    let session = Http1Session::new(conn, Rc::new(owner.clone()));
    let exchange = session.begin(get()).unwrap();
    let outcome = outcome(&exchange).await;
    let calls = owner.text();
    session.close();
    server.close();
    proxy.join();
    (outcome, calls)
}

#[test]
fn a_body_that_ends_with_the_connection_needs_close_notify() {
    run(async {
        let response = "HTTP/1.1 200 OK\r\n\r\nHi";
        for (end, expected) in [
            (End::CloseNotify, "200 \"Hi\""),
            (End::Truncated, "200 closed_in_body"),
            (End::Reset, "200 closed_in_body"),
        ] {
            let (outcome, calls) = respond_and_end(response, end).await;
            assert_eq!(
                (&*outcome, &*calls),
                (expected, "retired closed"),
                "{end:?}"
            );
        }
    });
}

#[test]
fn a_complete_response_does_not_need_close_notify() {
    run(async {
        for (response, expected) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nHi",
                "200 \"Hi\"",
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHi",
                "200 closed_in_body",
            ),
            ("HTTP/1.1 200 OK\r\n", "closed_in_head"),
            ("", "closed_before_response"),
        ] {
            let (outcome, _) = respond_and_end(response, End::Truncated).await;
            assert_eq!(outcome, expected, "{response:?}");
        }
    });
}

#[test]
fn an_early_response_over_tls_is_delivered_despite_a_reset() {
    run(async {
        let identity = self_signed(["127.0.0.1"]).unwrap();
        let context = TlsContext::from(identity).load().unwrap();
        let server = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), context);
        server.on("connection", |conn: Connection| {
            conn.on("data", move |_: Bytes| {
                if conn.is_writable() {
                    conn.pause();
                    conn.write("HTTP/1.1 413 No\r\nContent-Length: 2\r\n\r\nno");
                    uptick_event_loop::add_timer(Duration::from_millis(50), move || conn.reset());
                }
            });
        });
        let uri = server.address().unwrap();
        let connector = SecureConnector::new(Connector::new()).dangerous_accept_any_certificate();
        let conn = connector.connect(uri.as_str()).await.unwrap();
        let owner = Recorder::default();
        let session = Http1Session::new(conn, Rc::new(owner.clone()));
        let exchange = session
            .begin(OutgoingRequest {
                method: &Method::POST,
                body: OutgoingBody::Bytes(vec![b'x'; 20_000_000].into()),
                ..get()
            })
            .unwrap();
        assert_eq!(outcome(&exchange).await, "413 \"no\"");
        assert!(owner.text().ends_with("closed"), "{}", owner.text());
        server.close();
    });
}
