//! Servers that follow a script for each connection, on threads.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;

use crate::program::TIMEOUT;

/// A complete response that keeps the connection open.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A server that runs a script for each connection.
pub(crate) struct ScriptedServer {
    pub(crate) address: SocketAddr,
    log: Arc<ServerLog>,
}

#[derive(Default)]
struct ServerLog {
    accepted: AtomicUsize,
    ended: AtomicUsize,
    requests: Mutex<Vec<ReceivedRequest>>,
    /// The number of scripts that have panicked.
    failed: AtomicUsize,
    is_stopped: AtomicBool,
}

/// A request as received.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReceivedRequest {
    /// The number of its connection, from 0.
    pub(crate) connection: usize,
    /// The bytes of its head.
    pub(crate) head: Vec<u8>,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) version: String,
    pub(crate) fields: Vec<(String, String)>,
    /// The body, without the framing of chunks.
    pub(crate) body: Vec<u8>,
    /// The data of each chunk.
    pub(crate) chunks: Vec<Vec<u8>>,
}

/// One connection of a scripted server.
pub(crate) struct Peer {
    /// The number of the connection, from 0.
    pub(crate) number: usize,
    /// `None` after a reset.
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    log: Arc<ServerLog>,
}

impl ScriptedServer {
    /// Runs a script for each connection, each on its own thread.
    pub(crate) fn start(script: impl Fn(&mut Peer) + Send + Sync + 'static) -> ScriptedServer {
        ScriptedServer::on(TcpListener::bind("127.0.0.1:0").unwrap(), script)
    }

    /// Runs a script for each connection to a listener.
    pub(crate) fn on(
        listener: TcpListener,
        script: impl Fn(&mut Peer) + Send + Sync + 'static,
    ) -> ScriptedServer {
        let address = listener.local_addr().unwrap();
        let log = Arc::new(ServerLog::default());
        let (all, script) = (log.clone(), Arc::new(script));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if all.is_stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (log, script) = (all.clone(), script.clone());
                thread::spawn(move || {
                    let mut peer = Peer::new(stream, log);
                    script(&mut peer);
                });
            }
        });
        ScriptedServer { address, log }
    }

    /// Sends the same bytes after each request, and keeps the connection open.
    pub(crate) fn answering(response: impl AsRef<[u8]> + Send + Sync + 'static) -> ScriptedServer {
        ScriptedServer::start(move |peer| peer.serve(&response))
    }

    /// Sends the bytes after the first request of a connection, and closes the connection.
    pub(crate) fn closing(response: impl AsRef<[u8]> + Send + Sync + 'static) -> ScriptedServer {
        ScriptedServer::start(move |peer| {
            if peer.request().is_some() {
                peer.send(&response);
            }
        })
    }

    /// Returns the URL of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the number of accepted connections.
    pub(crate) fn connections(&self) -> usize {
        self.log.accepted.load(Ordering::Acquire)
    }

    /// Returns the number of connections whose script has ended.
    pub(crate) fn ended(&self) -> usize {
        self.log.ended.load(Ordering::Acquire)
    }

    /// Returns the received requests.
    pub(crate) fn requests(&self) -> Vec<ReceivedRequest> {
        self.log.requests.lock().unwrap().clone()
    }

    /// Returns the last received request.
    #[track_caller]
    pub(crate) fn last(&self) -> ReceivedRequest {
        self.requests().pop().unwrap()
    }

    /// Waits until this many requests were received.
    #[track_caller]
    pub(crate) fn wait_for_requests(&self, count: usize) -> Vec<ReceivedRequest> {
        self.wait(|server| server.log.requests.lock().unwrap().len() >= count);
        self.requests()
    }

    /// Waits until the server meets a condition.
    #[track_caller]
    pub(crate) fn wait(&self, condition: impl Fn(&ScriptedServer) -> bool) {
        let start = Instant::now();
        while !condition(self) {
            let (requests, accepted) = (self.requests().len(), self.connections());
            let ended = self.ended();
            assert!(
                start.elapsed() < TIMEOUT,
                "{requests} requests, {accepted} connections, {ended} ended"
            );
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for ScriptedServer {
    fn drop(&mut self) {
        self.log.is_stopped.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if !thread::panicking() {
            assert_eq!(
                self.log.failed.load(Ordering::Relaxed),
                0,
                "a script failed"
            );
        }
    }
}

impl ReceivedRequest {
    fn parse(connection: usize, head: Vec<u8>) -> ReceivedRequest {
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let mut words = lines.next().unwrap_or_default().splitn(3, ' ');
        let mut word = || words.next().unwrap_or_default().to_string();
        let (method, target, version) = (word(), word(), word());
        let fields = lines.filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_string()));
        ReceivedRequest {
            connection,
            method,
            target,
            version,
            fields: fields.collect(),
            head,
            ..ReceivedRequest::default()
        }
    }

    /// Returns the values of a header, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.fields.iter().filter(|(field, _)| field == name);
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// Returns the value of a header that occurs at most once.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name}: {all:?}");
        all.first().copied()
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

impl Peer {
    fn new(stream: TcpStream, log: Arc<ServerLog>) -> Peer {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        Peer {
            number: log.accepted.fetch_add(1, Ordering::AcqRel),
            stream: Some(stream),
            buffer: Vec::new(),
            log,
        }
    }

    /// Returns the address of the server.
    pub(crate) fn local_address(&self) -> SocketAddr {
        self.stream.as_ref().unwrap().local_addr().unwrap()
    }

    /// Reads more bytes into the buffer. Returns `false` at the end of the stream.
    fn fill(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        let Some(stream) = &mut self.stream else {
            return false;
        };
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                true
            }
        }
    }

    /// Reads through a separator, and returns the bytes before it and the separator.
    fn until(&mut self, separator: &[u8]) -> Option<Vec<u8>> {
        loop {
            let mut windows = self.buffer.windows(separator.len());
            if let Some(at) = windows.position(|window| window == separator) {
                return Some(self.buffer.drain(..at + separator.len()).collect());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads exactly this many bytes.
    pub(crate) fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.fill() {
                return None;
            }
        }
        let rest = self.buffer.split_off(count);
        Some(std::mem::replace(&mut self.buffer, rest))
    }

    /// Returns `true` if the client's next bytes are these. They are not consumed.
    pub(crate) fn starts_with(&mut self, bytes: &[u8]) -> bool {
        while self.buffer.len() < bytes.len() && self.fill() {}
        self.buffer.starts_with(bytes)
    }

    fn read_head(&mut self) -> Option<ReceivedRequest> {
        let head = self.until(b"\r\n\r\n")?;
        Some(ReceivedRequest::parse(self.number, head))
    }

    /// Reads and records the head of a request.
    pub(crate) fn head(&mut self) -> Option<ReceivedRequest> {
        let request = self.read_head()?;
        self.record(&request);
        Some(request)
    }

    /// Reads and records a request with its body.
    pub(crate) fn request(&mut self) -> Option<ReceivedRequest> {
        let mut request = self.read_head()?;
        self.read_body(&mut request)?;
        self.record(&request);
        Some(request)
    }

    /// Reads the body of a request.
    pub(crate) fn read_body(&mut self, request: &mut ReceivedRequest) -> Option<()> {
        if let Some(length) = request.field("content-length") {
            request.body = self.exactly(length.parse().unwrap())?;
        } else if request.field("transfer-encoding").is_some() {
            loop {
                let line = self.until(b"\r\n")?;
                let size = str::from_utf8(&line).unwrap().trim();
                let chunk = self.exactly(usize::from_str_radix(size, 16).unwrap())?;
                if chunk.is_empty() {
                    break;
                }
                self.exactly(2)?;
                request.body.extend_from_slice(&chunk);
                request.chunks.push(chunk);
            }
            while self.until(b"\r\n")? != b"\r\n" {}
        }
        Some(())
    }

    pub(crate) fn record(&self, request: &ReceivedRequest) {
        self.log.requests.lock().unwrap().push(request.clone());
    }

    /// Sends bytes. Returns `false` if the client has closed the connection.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        let stream = self.stream.as_mut();
        stream.is_some_and(|stream| stream.write_all(bytes.as_ref()).is_ok())
    }

    /// Sends each byte by itself.
    pub(crate) fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) -> bool {
        let mut bytes = bytes.as_ref().iter();
        bytes.all(|byte| {
            thread::sleep(pause);
            self.send([*byte])
        })
    }

    /// Sends the same bytes after each request until the client closes the connection.
    pub(crate) fn serve(&mut self, response: impl AsRef<[u8]>) {
        while self.request().is_some() && self.send(&response) {}
    }

    pub(crate) fn sleep(&self, millis: u64) {
        thread::sleep(Duration::from_millis(millis));
    }

    /// Ends the stream to the client, and continues to read from it.
    pub(crate) fn end(&mut self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    /// Takes the connection out of the script. Nothing may have been read beyond the request.
    pub(crate) fn take_stream(&mut self) -> TcpStream {
        assert!(self.buffer.is_empty());
        let stream = self.stream.take().unwrap();
        stream.set_read_timeout(None).unwrap();
        stream
    }

    /// Resets the connection. What the client has not read yet may be lost.
    pub(crate) fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        }
    }

    /// Reads everything until the client closes the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.buffer)
    }

    /// Returns `true` if the client sends anything, or closes the connection, within this many milliseconds.
    pub(crate) fn receives_within(&mut self, millis: u64) -> bool {
        let Some(stream) = &self.stream else {
            return false;
        };
        let limit = Some(Duration::from_millis(millis));
        stream.set_read_timeout(limit).unwrap();
        let is_received = !self.buffer.is_empty() || stream.peek(&mut [0]).is_ok();
        let _ = stream.set_read_timeout(Some(TIMEOUT));
        is_received
    }

    /// Waits until the client closes the connection, for at most this many milliseconds.
    pub(crate) fn is_closed_within(&mut self, millis: u64) -> bool {
        let Some(stream) = &mut self.stream else {
            return true;
        };
        let deadline = Instant::now() + Duration::from_millis(millis);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let _ = stream.set_read_timeout(Some(TIMEOUT));
                return false;
            }
            let _ = stream.set_read_timeout(Some(left));
            let mut bytes = [0; 16 * 1024];
            match stream.read(&mut bytes) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock) => {}
                Err(_) => return true,
            }
        }
    }
}

impl Drop for Peer {
    /// Closes the connection with an end of stream, not with a reset: unread bytes would cause one.
    fn drop(&mut self) {
        if let Some(stream) = &mut self.stream {
            let _ = stream.shutdown(Shutdown::Write);
            let mut bytes = [0; 16 * 1024];
            let _ = stream.set_nonblocking(true);
            while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
        }
        if thread::panicking() {
            self.log.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.log.ended.fetch_add(1, Ordering::AcqRel);
    }
}

/// Returns a response with these additional header lines and this body.
pub(crate) fn response(status: &str, lines: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{lines}\r\n{body}")
}
