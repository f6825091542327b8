//! Certificates in files, a loop with a timeout, event logs, a client.

use std::cell::RefCell;
use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use uptick_event_loop::{EventLoop, ManualClock, MioPoller};
use uptick_socket::prelude::*;
use uptick_tls::{SecureServer, TlsConfig, TlsContext};

/// The timeout of all waits of the tests.
pub(crate) const TEST_TIMEOUT: Duration = Duration::from_secs(60);

/// A temporary directory of a test, removed with its contents when it is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("uptick-tls-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Directory(path)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // A leftover temporary directory does not matter.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Returns a self-signed certificate for `localhost` and its key, in PEM.
pub(crate) fn certificate(change: impl FnOnce(&mut CertificateParams)) -> (String, String) {
    certificate_for("localhost", change)
}

/// Returns the same for another name.
pub(crate) fn certificate_for(
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// The certificate file of a server, which clients trust.
pub(crate) struct Identity {
    pub(crate) file: PathBuf,
    _directory: Directory,
}

impl Identity {
    pub(crate) fn new() -> Self {
        let directory = Directory::new();
        let (cert, key) = certificate(|_| ());
        Identity {
            file: directory.write("server.pem", &format!("{cert}{key}")),
            _directory: directory,
        }
    }

    pub(crate) fn context(&self) -> TlsContext {
        TlsContext::new().local_cert(&self.file)
    }

    pub(crate) fn config(&self) -> TlsConfig {
        self.context().load().unwrap()
    }

    pub(crate) fn client(&self) -> ClientConfig {
        self.client_of(&[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    pub(crate) fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        client_that_trusts(&self.file, versions)
    }
}

/// Certificates that clients trust.
pub(crate) struct Trust(RootCertStore);

impl Trust {
    pub(crate) fn new() -> Self {
        Trust(RootCertStore::empty())
    }

    pub(crate) fn add(&mut self, cert: &str) {
        let cert = CertificateDer::from_pem_slice(cert.as_bytes()).unwrap();
        self.0.add(cert).unwrap();
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        client_with(self.0.clone(), &versions)
    }
}

fn client_that_trusts(file: &Path, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(file).unwrap())
        .unwrap();
    client_with(roots, versions)
}

pub(crate) fn client_with(
    roots: RootCertStore,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    #[cfg(feature = "aws-lc-rs")]
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    let provider = rustls::crypto::ring::default_provider();
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) type Client = StreamOwned<ClientConnection, TcpStream>;

pub(crate) fn session(config: ClientConfig) -> ClientConnection {
    ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap()
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    client.set_read_timeout(Some(TEST_TIMEOUT)).unwrap();
    client.set_write_timeout(Some(TEST_TIMEOUT)).unwrap();
    client
}

pub(crate) fn tls_server(config: TlsConfig) -> SecureServer {
    SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), config)
}

/// Starts a server with a new certificate.
pub(crate) fn secure_server() -> (Identity, SecureServer) {
    let identity = Identity::new();
    let server = tls_server(identity.config());
    (identity, server)
}

/// Returns the socket address on which a server listens.
pub(crate) fn address<S: ServerInterface>(server: S) -> SocketAddr {
    let uri = server.address().unwrap();
    uri.split("://").nth(1).unwrap().parse().unwrap()
}

/// Runs a client on another thread.
pub(crate) fn client<S: ServerInterface, R: Send + 'static>(
    server: S,
    config: ClientConfig,
    f: impl FnOnce(Client) -> R + Send + 'static,
) -> JoinHandle<R> {
    let address = address(server);
    thread::spawn(move || f(StreamOwned::new(session(config), connect(address))))
}

/// Reads until the server has closed. A client that closes before it has read everything resets the connection.
pub(crate) fn drain(mut socket: TcpStream) {
    let mut buffer = [0; 4096];
    while socket.read(&mut buffer).is_ok_and(|count| count > 0) {}
}

/// Ends the client's side, and waits for the end of the server's.
pub(crate) fn hang_up(mut tls: Client) {
    tls.conn.send_close_notify();
    tls.flush().unwrap();
    tls.sock.shutdown(Shutdown::Write).unwrap();
    drain(tls.sock);
}

/// Sends a text and ends the connection.
pub(crate) fn say(mut tls: Client, text: &str) {
    tls.write_all(text.as_bytes()).unwrap();
    hang_up(tls);
}

/// Runs the loop until the client has finished, and returns its result.
#[track_caller]
pub(crate) fn join<R>(client: JoinHandle<R>) -> R {
    until(|| client.is_finished());
    client.join().unwrap()
}

/// Runs single iterations until the condition holds.
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let event_loop = EventLoop::current();
    let begin = Instant::now();
    while !condition() {
        event_loop.run_once(Some(Duration::from_millis(2))).unwrap();
        assert!(begin.elapsed() < TEST_TIMEOUT, "timed out: {event_loop:?}");
    }
}

/// Runs enough iterations to handle everything that is ready now.
pub(crate) fn settle() {
    let event_loop = EventLoop::current();
    for _ in 0..20 {
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Installs a loop with a manual clock on this thread.
pub(crate) fn manual_clock() -> ManualClock {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    clock
}

/// A log of events, in order. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub(crate) fn add(&self, entry: impl Display) {
        self.0.borrow_mut().push(entry.to_string());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        self.0.take()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn has(&self, entry: &str) -> bool {
        self.0.borrow().iter().any(|e| e == entry)
    }
}

/// Returns a log of the events of a server and its connections.
pub(crate) fn logged<S: ServerInterface>(server: S) -> Log {
    let log = Log::default();
    let events = log.clone();
    server.on(S::CONNECTION, move |conn| {
        events.add("connection");
        let log = events.clone();
        conn.on("data", move |chunk: Bytes| {
            log.add(String::from_utf8_lossy(&chunk))
        });
        for name in ["end", "close"] {
            let log = events.clone();
            conn.on(name, move |()| log.add(name));
        }
        let log = events.clone();
        conn.on("error", move |error: Error| log.add(error));
    });
    let events = log.clone();
    server.on(S::ERROR, move |error| events.add(error));
    log
}
