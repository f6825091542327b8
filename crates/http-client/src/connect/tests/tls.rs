//! TLS: certificates, ALPN, timeouts, tunnels.

use std::cell::RefCell;
use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::rc::Rc;
use std::time::Instant;

use uptick_emitter::Emitter;
use uptick_socket::{Connection, Server};
use uptick_tls::{SecureServer, SelfSigned, TlsConnection, TlsContext, TlsInfo, self_signed};

use super::support::{
    Peer, assert_elapsed, connected, destination, exchange, failure, impatient, read_head,
    read_to_end, resolving, run, silent_peer, splice,
};
use crate::TlsOptions;
use crate::connect::{
    ConnectOptions, Connected, Connectors, Destination, Http2Mode, Protocol, connect,
};
use crate::error::Failure;
use crate::url::Scheme;

/// An echo server with TLS on this thread's loop, for `localhost` and 127.0.0.1.
struct TlsServer {
    server: SecureServer,
    certificate: SelfSigned,
    port: u16,
    /// The parameters of the last connection.
    info: Rc<RefCell<Option<TlsInfo>>>,
}

impl TlsServer {
    fn new(protocols: &[&str]) -> TlsServer {
        TlsServer::on("127.0.0.1:0", protocols)
    }

    fn on(uri: &str, protocols: &[&str]) -> TlsServer {
        let certificate = self_signed(["localhost", "127.0.0.1"]).unwrap();
        let context = TlsContext::from(certificate.clone())
            .alpn_protocols(protocols.iter().copied())
            .load();
        let server = SecureServer::new(Server::bind(uri).unwrap(), context.unwrap());
        let info = Rc::new(RefCell::new(None));
        let last = Rc::clone(&info);
        server.on("connection", move |conn: Connection| {
            *last.borrow_mut() = conn.tls();
            conn.on("data", move |chunk: bytes::Bytes| conn.write(chunk));
        });
        // Failed handshakes are expected.
        server.on("error", |_: uptick_socket::Error| ());
        let address = server.address().unwrap();
        let port = address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok());
        TlsServer {
            server,
            certificate,
            port: port.unwrap_or(443),
            info,
        }
    }

    /// Returns options that trust the certificate.
    fn trust(&self) -> TlsOptions {
        TlsOptions::new().cafile_pem(self.certificate.cert_pem())
    }

    fn destination(&self, tls: TlsOptions) -> Destination {
        secure("127.0.0.1", self.port, tls)
    }
}

impl Drop for TlsServer {
    fn drop(&mut self) {
        self.server.close();
    }
}

fn secure(host: &str, port: u16, tls: TlsOptions) -> Destination {
    Destination {
        scheme: Scheme::Https,
        tls,
        ..destination(host, port)
    }
}

fn insecure() -> TlsOptions {
    TlsOptions::new().dangerous_accept_any_certificate()
}

fn localhost() -> ConnectOptions {
    resolving("localhost", &[Ipv4Addr::LOCALHOST.into()])
}

#[test]
fn a_certificate_may_be_trusted_beside_those_of_the_system() {
    let server = TlsServer::new(&[]);
    let connected = connected(
        server.destination(server.trust()),
        ConnectOptions::default(),
    );
    let conn = connected.unwrap().conn;
    assert!(conn.is_secure());
    assert_eq!(exchange(conn, "hello", 5), "hello");
}

#[test]
fn the_server_name_is_sent_for_a_name_but_not_for_an_address() {
    let server = TlsServer::new(&[]);
    for (host, expected) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let destination = secure(host, server.port, server.trust());
        let connected = connected(destination, localhost()).unwrap();
        exchange(connected.conn, "hello", 5);
        let info = server.info.take().unwrap();
        assert_eq!(info.server_name(), expected);
    }
}

#[test]
fn the_server_name_can_be_set() {
    let server = TlsServer::new(&[]);
    let tls = server.trust().server_name("localhost");
    let connected = connected(server.destination(tls), ConnectOptions::default()).unwrap();
    exchange(connected.conn, "hello", 5);
    let info = server.info.take().unwrap();
    assert_eq!(info.server_name(), Some("localhost"));
}

#[test]
fn a_certificate_that_is_not_trusted_is_refused() {
    let server = TlsServer::new(&[]);
    let own = self_signed(["localhost"]).unwrap();
    let tls = TlsOptions::new().cafile_pem(own.cert_pem());
    assert_eq!(
        failure(server.destination(tls), ConnectOptions::default()),
        format!(
            "tls: connecting to tls://127.0.0.1:{} failed during the TLS handshake: \
             its certificate is self-signed and not trusted: add it to `cafile`",
            server.port
        )
    );
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let server = TlsServer::new(&[]);
    let options = resolving("app.test", &[Ipv4Addr::LOCALHOST.into()]);
    assert_eq!(
        failure(secure("app.test", server.port, server.trust()), options),
        format!(
            "tls: connecting to tls://app.test:{} failed during the TLS handshake: \
             its certificate is not valid for app.test, only for localhost, 127.0.0.1",
            server.port
        )
    );
}

#[test]
fn any_certificate_may_be_accepted() {
    let server = TlsServer::new(&[]);
    let destination = secure("app.test", server.port, insecure());
    let options = resolving("app.test", &[Ipv4Addr::LOCALHOST.into()]);
    let connected = connected(destination, options).unwrap();
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
}

#[test]
fn an_unreadable_file_is_reported_with_its_path() {
    let server = TlsServer::new(&[]);
    let tls = TlsOptions::new().cafile("/nonexistent/ca.pem");
    let failure = failure(server.destination(tls), ConnectOptions::default());
    assert!(failure.starts_with("tls: "), "{failure}");
    assert!(failure.contains("/nonexistent/ca.pem"), "{failure}");
    assert!(failure.contains("(ENOENT)"), "{failure}");
}

#[track_caller]
fn negotiated(
    protocols: &[&str],
    mode: Http2Mode,
) -> (Result<Connected, Failure>, Option<Vec<u8>>) {
    let server = TlsServer::new(protocols);
    let destination = Destination {
        http2: mode,
        ..server.destination(insecure())
    };
    let result = connected(destination, ConnectOptions::default());
    let mut protocol = None;
    if let Ok(connected) = &result {
        protocol = connected.conn.alpn();
        exchange(connected.conn, "hello", 5);
    }
    (result, protocol)
}

#[test]
fn the_protocol_is_negotiated() {
    for (protocols, mode, expected, name) in [
        (
            &["h2", "http/1.1"][..],
            Http2Mode::Auto,
            Protocol::Http2,
            Some("h2"),
        ),
        (
            &["http/1.1", "h2"],
            Http2Mode::Auto,
            Protocol::Http1,
            Some("http/1.1"),
        ),
        (
            &["http/1.1"],
            Http2Mode::Auto,
            Protocol::Http1,
            Some("http/1.1"),
        ),
        (&[], Http2Mode::Auto, Protocol::Http1, None),
        (
            &["h2", "http/1.1"],
            Http2Mode::Never,
            Protocol::Http1,
            Some("http/1.1"),
        ),
        (&[], Http2Mode::Never, Protocol::Http1, None),
        (
            &["h2", "http/1.1"],
            Http2Mode::Only,
            Protocol::Http2,
            Some("h2"),
        ),
    ] {
        let (result, protocol) = negotiated(protocols, mode);
        assert_eq!(result.unwrap().protocol, expected, "{protocols:?} {mode:?}");
        assert_eq!(protocol.as_deref(), name.map(str::as_bytes));
    }
}

#[test]
fn a_server_without_http2_is_refused_where_it_is_required() {
    let (result, _) = negotiated(&[], Http2Mode::Only);
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, crate::ErrorKind::Tls);
    let reason = failure.reason;
    assert!(
        reason.contains("did not negotiate HTTP/2 (ALPN)"),
        "{reason}"
    );

    let (result, _) = negotiated(&["http/1.1"], Http2Mode::Only);
    let failure = result.unwrap_err();
    assert_eq!(failure.kind, crate::ErrorKind::Tls);
    let reason = failure.reason;
    assert!(
        reason.contains("none of the offered ALPN protocols"),
        "{reason}"
    );
}

#[test]
fn a_server_without_tls_is_a_failure_of_tls() {
    let server = Peer::new(|mut stream| {
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .unwrap();
        read_to_end(&stream);
    });
    let port = server.port();
    assert_eq!(
        failure(
            secure("127.0.0.1", port, insecure()),
            ConnectOptions::default()
        ),
        format!(
            "tls: connecting to tls://127.0.0.1:{port} failed during the TLS handshake: \
             the server answered with plain HTTP, not TLS"
        )
    );
    server.join();
}

#[test]
fn a_server_that_closes_during_the_handshake_is_a_failure_of_tls() {
    let server = Peer::new(drop);
    let destination = secure("127.0.0.1", server.port(), insecure());
    let failure = failure(destination, ConnectOptions::default());
    let reason = format!(
        "tls: connecting to tls://127.0.0.1:{} failed during the TLS handshake: ",
        server.port()
    );
    // The close may arrive as a reset, as the ClientHello is unread.
    let causes = [
        "the server closed the connection before the handshake was complete",
        "Connection reset by peer (ECONNRESET)",
    ];
    let cause = failure.strip_prefix(&reason).expect(&failure);
    assert!(
        causes.iter().any(|expected| cause.ends_with(expected)),
        "{failure}"
    );
    server.join();
}

#[test]
fn a_server_that_half_closes_during_the_handshake_is_a_failure_of_tls() {
    let server = Peer::new(|stream| {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        read_to_end(&stream);
    });
    let port = server.port();
    assert_eq!(
        failure(
            secure("127.0.0.1", port, insecure()),
            ConnectOptions::default()
        ),
        format!(
            "tls: connecting to tls://127.0.0.1:{port} failed during the TLS handshake: \
             the server closed the connection before the handshake was complete"
        )
    );
    server.join();
}

#[test]
fn a_refusal_by_the_server_is_reported_with_its_alert() {
    let server = Peer::new(|mut stream| {
        // A fatal alert: unrecognized_name (RFC 6066, section 3).
        stream.write_all(&[21, 3, 3, 0, 2, 2, 112]).unwrap();
        read_to_end(&stream);
    });
    let port = server.port();
    assert_eq!(
        failure(
            secure("127.0.0.1", port, insecure()),
            ConnectOptions::default()
        ),
        format!(
            "tls: connecting to tls://127.0.0.1:{port} failed during the TLS handshake: \
             the server sent an alert: it has no certificate for that name (UnrecognisedName)"
        )
    );
    server.join();
}

#[test]
fn a_silent_server_times_out() {
    let server = silent_peer();
    let port = server.port();
    let start = Instant::now();
    assert_eq!(
        failure(secure("127.0.0.1", port, insecure()), impatient()),
        format!(
            "tls_timeout: the TLS handshake with tls://127.0.0.1:{port} timed out after 300ms (ETIMEDOUT)"
        )
    );
    assert_elapsed(start, 280, 900);
    assert_eq!(server.join().first(), Some(&22));
}

#[test]
fn tls_through_a_tunnel_is_that_of_the_target() {
    let server = TlsServer::new(&["h2"]);
    let port = server.port;
    let proxy = Peer::new(move |mut stream| {
        let head = read_head(&stream);
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        splice(stream, server);
        head
    });
    let destination = Destination {
        proxy: Some(proxy.url("http").parse().unwrap()),
        ..secure("localhost", port, server.trust())
    };
    let connected = connected(destination, ConnectOptions::default()).unwrap();
    assert_eq!(connected.protocol, Protocol::Http2);
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    assert!(
        proxy
            .join()
            .starts_with(&format!("CONNECT localhost:{port} "))
    );
    let info = server.info.take().unwrap();
    assert_eq!(info.server_name(), Some("localhost"));
}

#[test]
fn tls_over_a_unix_socket_verifies_the_host_of_the_url() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tls.sock");
    let server = TlsServer::on(&format!("unix:{}", path.display()), &[]);
    let at = |host: &str| Destination {
        unix: Some(path.clone()),
        ..secure(host, 443, server.trust())
    };
    let connected = connected(at("localhost"), ConnectOptions::default()).unwrap();
    assert_eq!(exchange(connected.conn, "hello", 5), "hello");
    let failure = failure(at("app.test"), ConnectOptions::default());
    assert!(failure.contains("not valid for app.test"), "{failure}");
}

#[test]
fn sessions_are_resumed() {
    let server = TlsServer::new(&[]);
    let destination = server.destination(server.trust());
    let resumed = run(async move {
        let connectors = Connectors::default();
        let mut resumed = Vec::new();
        for _ in 0..2 {
            let connected = connect(&connectors, &destination, &ConnectOptions::default()).await;
            let conn = connected.unwrap().conn;
            conn.write("hello");
            conn.next(Connection::DATA).await;
            resumed.push(conn.tls().unwrap().is_resumed());
            conn.close();
        }
        resumed
    });
    assert_eq!(resumed, [false, true]);
}
