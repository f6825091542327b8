//! async-tls against Uptick's TLS, and over Uptick's connections, unmodified, with real peers on both sides.
//!
//! An async-tls stream that ends without `close_notify` fails its reader, so a successful read to the end implies
//! `close_notify`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_std::future::timeout;
use async_std::net::{TcpListener, TcpStream};
use async_std::task::block_on;
use async_tls::{TlsAcceptor, TlsConnector};
use futures::channel::oneshot;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, join};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::{Certificate, ClientConfig, PrivateKey, RootCertStore, ServerConfig};
use uptick_async_std::{DuplexStream, run};
use uptick_socket::prelude::*;
use uptick_tls::{SecureConnector, SecureServer, TlsContext};

const TEST_TIMEOUT: Duration = Duration::from_secs(60);
const LARGE: usize = 400 * 1024;
const NAME: &str = "localhost";

/// A self-signed certificate for all servers of these tests.
static IDENTITY: LazyLock<Identity> = LazyLock::new(Identity::new);

struct Identity {
    file: PathBuf,
    certificate: Certificate,
    key: PrivateKey,
}

impl Identity {
    fn new() -> Self {
        let own = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
        let name = format!("async-tls-{}.pem", std::process::id());
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let pem = own.cert.pem() + &own.signing_key.serialize_pem();
        std::fs::write(&file, pem).unwrap();
        Identity {
            file,
            certificate: Certificate(own.cert.der().to_vec()),
            key: PrivateKey(own.signing_key.serialize_der()),
        }
    }
}

fn acceptor() -> TlsAcceptor {
    let config = ServerConfig::builder()
        .with_safe_defaults()
        .with_no_client_auth()
        .with_single_cert(vec![IDENTITY.certificate.clone()], IDENTITY.key.clone());
    config.unwrap().into()
}

fn connector() -> TlsConnector {
    connector_that_trusts(&[&IDENTITY.certificate])
}

fn connector_that_trusts(certificates: &[&Certificate]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).unwrap();
    }
    let config = ClientConfig::builder()
        .with_safe_defaults()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config).into()
}

/// The emitted events, in order; clones share the record.
#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, entry: impl ToString) {
        self.0.borrow_mut().push(entry.to_string());
    }

    fn record(&self, conn: Connection) {
        let log = self.clone();
        conn.on("error", move |error: Error| log.add(error));
        for name in ["end", "close"] {
            let log = self.clone();
            conn.on(name, move |()| log.add(name));
        }
    }
}

/// Returns bytes that differ from chunk to chunk.
fn large() -> Vec<u8> {
    (0..LARGE).map(|index| (index % 251) as u8).collect()
}

/// Runs the loop and `peer` in one task.
fn run_with_loop<T>(peer: impl Future<Output = T>) -> T {
    let both = async { join!(run(), peer) };
    let (ended, value) = block_on(timeout(TEST_TIMEOUT, both)).unwrap();
    ended.unwrap();
    value
}

/// Sends a large payload and ends, and reads it back at the same time.
async fn exchange(stream: impl AsyncRead + AsyncWrite) -> Vec<u8> {
    let (mut reader, mut writer) = stream.split();
    let sending = async {
        writer.write_all(&large()).await.unwrap();
        writer.close().await.unwrap();
    };
    let mut back = Vec::new();
    let ((), read) = join!(sending, reader.read_to_end(&mut back));
    read.unwrap();
    back
}

/// Echoes a large payload and ends, then reads to the peer's end; returns the number of bytes that followed the payload.
async fn echo_and_end(stream: impl AsyncRead + AsyncWrite) -> io::Result<usize> {
    let (reader, mut writer) = stream.split();
    let mut large = reader.take(LARGE as u64);
    futures::io::copy(&mut large, &mut writer).await?;
    writer.close().await?;
    large.into_inner().read_to_end(&mut Vec::new()).await
}

/// Echoes all bytes, and ends when the peer does; returns the number of bytes.
async fn echo(stream: impl AsyncRead + AsyncWrite) -> io::Result<u64> {
    let (mut reader, mut writer) = stream.split();
    let count = futures::io::copy(&mut reader, &mut writer).await?;
    writer.close().await?;
    Ok(count)
}

/// Starts an Uptick TLS server for one connection, which echoes a large payload and ends; returns its address.
fn secure_echo(log: &Log) -> String {
    let tls = TlsContext::new().local_cert(&IDENTITY.file).load().unwrap();
    let server = SecureServer::new(Server::bind("tcp://127.0.0.1:0").unwrap(), tls);
    let errors = log.clone();
    server.on("error", move |error: Error| {
        errors.add(error);
        server.close();
    });
    let log = log.clone();
    server.on("connection", move |conn: Connection| {
        server.close();
        log.record(conn);
        conn.set_allow_half_open(true);
        conn.pipe(conn);
        let mut left = LARGE;
        conn.on("data", move |chunk: Bytes| {
            left -= chunk.len();
            if left == 0 {
                conn.shutdown_write();
            }
        });
    });
    server.address().unwrap()["tls://".len()..].to_string()
}

/// Starts a plain server for one connection, over which async-tls echoes all bytes; returns its address and the result of
/// the echo.
fn async_tls_echo(log: &Log) -> (String, oneshot::Receiver<io::Result<u64>>) {
    let server = Server::bind("tcp://127.0.0.1:0").unwrap();
    let (sender, result) = oneshot::channel();
    let sender = RefCell::new(Some(sender));
    let log = log.clone();
    server.on("connection", move |conn: Connection| {
        server.close();
        log.record(conn);
        let sender = sender.take().unwrap();
        uptick_event_loop::spawn(async move {
            let served = async { echo(acceptor().accept(conn.into_async()).await?).await };
            sender.send(served.await).unwrap();
        });
    });
    let address = server.address().unwrap();
    (address["tcp://".len()..].to_string(), result)
}

/// Connects an async-tls client over an Uptick connection.
async fn connect_over_uptick(address: String) -> impl AsyncRead + AsyncWrite + Unpin {
    let conn = Connector::new().connect(address).await.unwrap();
    connector().connect(NAME, conn.into_async()).await.unwrap()
}

#[test]
fn an_async_tls_client_connects_to_a_secure_server() {
    let log = Log::default();
    let address = secure_echo(&log);
    let back = run_with_loop(async {
        let socket = TcpStream::connect(address).await.unwrap();
        exchange(connector().connect(NAME, socket).await.unwrap()).await
    });
    assert!(back == large(), "{} bytes came back", back.len());
    assert_eq!(*log.0.borrow(), ["end", "close"]);
}

#[test]
fn an_async_tls_client_over_an_uptick_connection_connects_to_a_secure_server() {
    let log = Log::default();
    let address = secure_echo(&log);
    let back = run_with_loop(async { exchange(connect_over_uptick(address).await).await });
    assert!(back == large(), "{} bytes came back", back.len());
    assert_eq!(*log.0.borrow(), ["end", "close"]);
}

#[test]
fn an_async_tls_server_runs_over_an_uptick_connection() {
    let log = Log::default();
    let (address, served) = async_tls_echo(&log);
    let (back, count) = run_with_loop(async {
        let socket = TcpStream::connect(address).await.unwrap();
        let tls = connector().connect(NAME, socket).await.unwrap();
        (exchange(tls).await, served.await.unwrap())
    });
    assert!(back == large(), "{} bytes came back", back.len());
    assert_eq!(count.unwrap(), LARGE as u64);
    assert_eq!(log.0.borrow().last().unwrap(), "close");
}

#[test]
fn an_async_tls_client_runs_over_an_uptick_connection() {
    let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let client =
        uptick_event_loop::spawn(async move { exchange(connect_over_uptick(address).await).await });
    let (rest, back) = run_with_loop(async {
        let (socket, _) = listener.accept().await.unwrap();
        let served = async { echo_and_end(acceptor().accept(socket).await?).await };
        join!(served, client)
    });
    let back = back.unwrap();
    assert!(back == large(), "{} bytes came back", back.len());
    assert_eq!(rest.unwrap(), 0);
}

#[test]
fn a_secure_connector_connects_to_an_async_tls_server() {
    let log = Log::default();
    let received = Rc::new(RefCell::new(Vec::new()));
    let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (events, sink) = (log.clone(), Rc::clone(&received));
    uptick_event_loop::spawn(async move {
        let connector = SecureConnector::new(Connector::new()).cafile(&IDENTITY.file);
        let connecting = connector.connect(format!("tls://{NAME}:{port}"));
        let conn = connecting.await.unwrap();
        events.record(conn);
        conn.set_allow_half_open(true);
        conn.on("data", move |chunk: Bytes| {
            sink.borrow_mut().extend_from_slice(&chunk)
        });
        conn.on("end", move |()| conn.end());
        conn.write(large());
    });
    let rest = run_with_loop(async {
        let (socket, _) = listener.accept().await.unwrap();
        echo_and_end(acceptor().accept(socket).await.unwrap()).await
    });
    assert!(*received.borrow() == large());
    assert_eq!(rest.unwrap(), 0);
    assert_eq!(*log.0.borrow(), ["end", "close"]);
}

#[test]
fn a_secure_connection_whose_writer_is_closed_is_read_to_the_end() {
    let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = uptick_event_loop::spawn(async move {
        let connector = SecureConnector::new(Connector::new()).cafile(&IDENTITY.file);
        let connecting = connector.connect(format!("tls://{NAME}:{port}"));
        exchange(connecting.await.unwrap().into_async()).await
    });
    let (count, back) = run_with_loop(async {
        let (socket, _) = listener.accept().await.unwrap();
        let served = async { echo(acceptor().accept(socket).await?).await };
        join!(served, client)
    });
    assert_eq!(count.unwrap(), LARGE as u64);
    assert!(back.unwrap() == large());
}

#[test]
fn a_secure_connector_rejects_an_untrusted_async_tls_server() {
    let mut other = CertificateParams::new([NAME.to_owned()]).unwrap();
    let name = &mut other.distinguished_name;
    name.push(DnType::CommonName, "another host");
    let other = other.self_signed(&KeyPair::generate().unwrap()).unwrap();
    let name = format!("other-{}.pem", std::process::id());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&file, other.pem()).unwrap();
    let listener = block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = uptick_event_loop::spawn(async move {
        let connector = SecureConnector::new(Connector::new()).cafile(file);
        let connecting = connector.connect(format!("tls://{NAME}:{port}"));
        connecting.await.unwrap_err().to_string()
    });
    let (served, error) = run_with_loop(async {
        let (socket, _) = listener.accept().await.unwrap();
        (acceptor().accept(socket).await.map(drop), client.await)
    });
    let served = served.unwrap_err().to_string();
    assert!(served.contains("CertificateUnknown"), "{served}");
    let error = error.unwrap();
    let reason = "failed during the TLS handshake: its certificate is self-signed and not trusted";
    assert!(error.contains(reason), "{error}");
}

#[test]
fn async_tls_runs_on_both_sides_over_uptick_connections() {
    let (address, served) = async_tls_echo(&Log::default());
    let client =
        uptick_event_loop::spawn(async move { exchange(connect_over_uptick(address).await).await });
    // The loop alone, without async-std, drives both.
    uptick_event_loop::run().unwrap();
    let back = futures::executor::block_on(client).unwrap();
    let count = futures::executor::block_on(served).unwrap();
    assert!(back == large(), "{} bytes came back", back.len());
    assert_eq!(count.unwrap(), LARGE as u64);
}

#[test]
fn a_certificate_untrusted_by_async_tls_is_an_error_on_both_sides() {
    let log = Log::default();
    let address = secure_echo(&log);
    let refused = run_with_loop(async {
        let socket = TcpStream::connect(address).await.unwrap();
        let connector = connector_that_trusts(&[]);
        connector.connect(NAME, socket).await.map(drop)
    });
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    let log = log.0.borrow();
    let [error] = &log[..] else {
        unreachable!("{log:?}")
    };
    // The alert with the reason never arrives: async-tls sends only the first record of its final ones.
    let left = "failed: the client closed the connection before the handshake was complete";
    assert!(error.ends_with(left), "{error}");
}

#[test]
fn a_missing_close_notify_fails_the_reader_over_an_uptick_connection() {
    let log = Log::default();
    let (address, served) = async_tls_echo(&log);
    let served = run_with_loop(async {
        let socket = TcpStream::connect(address).await.unwrap();
        let mut tls = connector().connect(NAME, socket.clone()).await.unwrap();
        tls.write_all(b"hello").await.unwrap();
        tls.read_exact(&mut [0; 5]).await.unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        served.await.unwrap()
    });
    let error = served.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{error}");
}

/// Runs a program with `input` on its standard input; returns its output, or `None` if it is not installed.
fn output_of(program: &str, arguments: &[&str], input: &str) -> Option<String> {
    use std::io::Write;
    use std::process::{Command, Stdio};

    let child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => panic!("{program} cannot be started: {error}"),
    };
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
#[allow(clippy::print_stderr, reason = "skipped checks are reported")]
fn openssl_curl_and_async_tls_connect_to_the_same_port() {
    const RESPONSE: &str =
        "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n";
    let tls = TlsContext::new().local_cert(&IDENTITY.file).load().unwrap();
    let server = SecureServer::new(Server::bind("tcp://127.0.0.1:0").unwrap(), tls);
    server.on("error", |error: Error| panic!("{error}"));
    server.on("connection", |conn: Connection| {
        conn.once("data", move |_: Bytes| conn.end_with(RESPONSE));
    });
    let address = server.address().unwrap()["tls://".len()..].to_string();
    let port = address.rsplit(':').next().unwrap().to_owned();
    let cafile = IDENTITY.file.to_str().unwrap().to_owned();
    let clients = async {
        let stream = TcpStream::connect(&address).await.unwrap();
        let mut stream = connector().connect(NAME, stream).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert_eq!(reply, RESPONSE);
        let others = async_std::task::spawn_blocking(move || {
            let url = format!("https://{NAME}:{port}/");
            let resolve = format!("{NAME}:{port}:127.0.0.1");
            let arguments = ["--silent", "--resolve", &resolve, "--cacert", &cafile, &url];
            let curl = output_of("curl", &arguments, "");
            let target = format!("127.0.0.1:{port}");
            let arguments = [
                "s_client",
                "-quiet",
                "-connect",
                &target,
                "-servername",
                NAME,
                "-CAfile",
                &cafile,
                "-verify_return_error",
                "-ign_eof",
            ];
            (
                curl,
                output_of("openssl", &arguments, "GET / HTTP/1.1\r\n\r\n"),
            )
        });
        let (curl, openssl) = others.await;
        match curl {
            Some(reply) => assert_eq!(reply, "hello\n"),
            None => eprintln!("SKIPPED: curl is not installed"),
        }
        match openssl {
            Some(reply) => assert_eq!(reply, RESPONSE),
            None => eprintln!("SKIPPED: openssl is not installed"),
        }
        server.close();
    };
    run_with_loop(clients);
}
