//! Servers with TLS, and servers of this project, on their own threads with their own event loop.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use uptick::LoopHandle;
use uptick::prelude::*;

use crate::tls::Directory;

/// An event loop on its own thread, which stops when this is dropped.
pub(crate) struct LoopThread {
    handle: LoopHandle,
    thread: Option<JoinHandle<()>>,
}

impl LoopThread {
    /// Runs an event loop with what `set_up` creates. Returns it with the result of `set_up`.
    pub(crate) fn start<T: Send + 'static>(
        set_up: impl FnOnce() -> T + Send + 'static,
    ) -> (LoopThread, T) {
        let (sender, receiver) = channel();
        let thread = thread::spawn(move || {
            let result = set_up();
            sender.send((uptick::handle(), result)).unwrap();
            let _ = uptick::run();
        });
        let (handle, result) = receiver.recv().unwrap();
        let thread = Some(thread);
        (LoopThread { handle, thread }, result)
    }
}

impl Drop for LoopThread {
    fn drop(&mut self) {
        self.handle.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A certificate in files.
pub(crate) struct TestCertificate {
    pub(crate) cert: String,
    pub(crate) key: String,
    _directory: Directory,
}

impl TestCertificate {
    /// Creates a self-signed certificate for a host name and 127.0.0.1. `test` is part of the name of its directory.
    pub(crate) fn new(test: &str, host: &str) -> TestCertificate {
        let directory = Directory::new(&format!("client-{test}"));
        let (cert, key) = directory.certificate(host);
        TestCertificate {
            cert,
            key,
            _directory: directory,
        }
    }

    pub(crate) fn context(&self) -> TlsContext {
        TlsContext::new().local_cert(&self.cert).local_pk(&self.key)
    }
}

/// The name of the server that a client sent, and the protocol that was agreed on.
type Handshake = (Option<String>, Option<String>);

/// A TLS server that forwards the decrypted bytes to another server.
pub(crate) struct TlsRelay {
    pub(crate) address: SocketAddr,
    handshakes: Arc<Mutex<Vec<Handshake>>>,
    _thread: LoopThread,
}

impl TlsRelay {
    /// Starts a relay to a server, with these protocols for ALPN.
    pub(crate) fn start(certificate: &TestCertificate, to: SocketAddr, alpn: &[&str]) -> TlsRelay {
        let mut context = certificate.context();
        if !alpn.is_empty() {
            context = context.alpn_protocols(alpn.iter().copied());
        }
        TlsRelay::with_context(context, to)
    }

    pub(crate) fn with_context(context: TlsContext, to: SocketAddr) -> TlsRelay {
        let handshakes = Arc::new(Mutex::new(Vec::new()));
        let all = handshakes.clone();
        let (thread, address) = LoopThread::start(move || {
            let server = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), context);
            let address = address_of(server.address());
            server.on("connection", move |conn: Connection| {
                let info = conn.tls();
                let name = info.as_ref().and_then(|info| info.server_name());
                let alpn = info.as_ref().and_then(|info| info.alpn_protocol());
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let info = (name.map(str::to_owned), alpn.map(text));
                all.lock().unwrap().push(info);
                uptick::spawn(async move {
                    match Connector::new().connect(format!("tcp://{to}")).await {
                        Ok(backend) => join(conn, backend),
                        Err(_) => conn.close(),
                    }
                });
            });
            // Clients that refuse the certificate are part of the tests.
            server.on("error", |_: Error| ());
            address
        });
        TlsRelay {
            address,
            handshakes,
            _thread: thread,
        }
    }

    /// Returns the URL of a path on a host.
    pub(crate) fn url(&self, host: &str, path: &str) -> String {
        format!("https://{host}:{}{path}", self.address.port())
    }

    /// Returns the results of the handshakes.
    pub(crate) fn handshakes(&self) -> Vec<Handshake> {
        self.handshakes.lock().unwrap().clone()
    }
}

/// Forwards bytes both ways.
fn join(conn: Connection, backend: Connection) {
    conn.pipe(backend);
    backend.pipe(conn);
    conn.on("error", move |_: Error| backend.close());
    backend.on("error", move |_: Error| conn.close());
    conn.on("close", move |()| backend.close());
}

/// Returns the address of a server in a URI such as `tcp://127.0.0.1:8080`.
pub(crate) fn address_of(uri: Option<String>) -> SocketAddr {
    let uri = uri.unwrap();
    let (_, address) = uri.rsplit_once('/').unwrap();
    address.parse().unwrap()
}

/// A TCP relay that can end all its connections to clients, without the knowledge of the protocol above.
pub(crate) struct CuttingRelay {
    pub(crate) address: SocketAddr,
    clients: Arc<Mutex<Vec<TcpStream>>>,
    is_cut: Arc<AtomicBool>,
}

impl CuttingRelay {
    pub(crate) fn start(to: SocketAddr) -> CuttingRelay {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let clients = Arc::new(Mutex::new(Vec::new()));
        let is_cut = Arc::new(AtomicBool::new(false));
        let (all, flag) = (clients.clone(), is_cut.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(to).unwrap();
                all.lock().unwrap().push(client.try_clone().unwrap());
                let (from, into) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (up, down) = (flag.clone(), flag.clone());
                thread::spawn(move || forward(from, into, &up));
                thread::spawn(move || forward(server, client, &down));
            }
        });
        CuttingRelay {
            address,
            clients,
            is_cut,
        }
    }

    /// Ends the streams to all clients; nothing more is forwarded.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Release);
        for client in self.clients.lock().unwrap().drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
    }
}

fn forward(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if is_cut.load(Ordering::Acquire) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    if !is_cut.load(Ordering::Acquire) {
        let _ = to.shutdown(Shutdown::Write);
    }
}

/// An HTTP server of this project with TLS and without, with both versions of the protocol.
pub(crate) struct OwnServer {
    pub(crate) plain: SocketAddr,
    pub(crate) secure: SocketAddr,
    _thread: LoopThread,
}

impl OwnServer {
    /// Starts a server with the routes that `routes` adds.
    pub(crate) fn start(
        certificate: &TestCertificate,
        routes: impl FnOnce(HttpServer) + Send + 'static,
    ) -> OwnServer {
        let context = certificate.context();
        let (thread, (plain, secure)) = LoopThread::start(move || {
            let http = HttpServer::new();
            routes(http);
            let plain = Server::bind("127.0.0.1:0").unwrap();
            let secure = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), context);
            http.listen(plain);
            http.listen(secure);
            secure.on("error", |_: Error| ());
            (address_of(plain.address()), address_of(secure.address()))
        });
        OwnServer {
            plain,
            secure,
            _thread: thread,
        }
    }

    pub(crate) fn plain_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.plain)
    }

    pub(crate) fn secure_url(&self, path: &str) -> String {
        format!("https://localhost:{}{path}", self.secure.port())
    }
}

/// Pause of a test that has no event to wait for.
pub(crate) fn pause(millis: u64) {
    thread::sleep(Duration::from_millis(millis));
}
