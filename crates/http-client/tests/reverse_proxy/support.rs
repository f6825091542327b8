//! Raw servers and clients, and a proxy between them on a thread of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use uptick_event_loop::{LoopHandle, handle, run};
use uptick_http::HttpServer;
use uptick_socket::Server;

/// Timeout for everything that a test waits for. It is long, because it expires only if something is broken.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// A connection that is read line by line and by length.
pub(crate) struct Peer {
    reader: BufReader<TcpStream>,
}

/// The head of a message: its first line, and its headers with names in lower case.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) line: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// Returns the values of a header, joined.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub(crate) fn status(&self) -> u16 {
        let status = self.line.split(' ').nth(1).unwrap_or_default();
        status.parse().unwrap_or_else(|_| panic!("{self:?}"))
    }
}

impl Peer {
    pub(crate) fn new(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Peer {
            reader: BufReader::new(stream),
        }
    }

    pub(crate) fn connect(address: &str) -> Peer {
        Peer::new(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        self.reader.get_ref()
    }

    pub(crate) fn send(&self, bytes: impl AsRef<[u8]>) {
        self.stream().write_all(bytes.as_ref()).unwrap();
    }

    /// Sends a request without a body.
    pub(crate) fn request(&self, line: &str, headers: &[&str]) {
        let mut head = format!("{line} HTTP/1.1\r\nhost: example.com\r\n");
        for header in headers {
            head += header;
            head += "\r\n";
        }
        self.send(head + "\r\n");
    }

    pub(crate) fn finish(&self) {
        self.stream().shutdown(Shutdown::Write).unwrap();
    }

    /// Reads a line without its end; an empty one at the end of the stream.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.reader.read_line(&mut line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    pub(crate) fn head(&mut self) -> Head {
        let line = self.line();
        let mut headers = Vec::new();
        loop {
            let header = self.line();
            let Some((name, value)) = header.split_once(':') else {
                return Head { line, headers };
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.reader.read_exact(&mut bytes).unwrap();
        bytes
    }

    pub(crate) fn text(&mut self, count: usize) -> String {
        String::from_utf8(self.bytes(count)).unwrap()
    }

    /// Reads a chunk; an empty one is the last.
    pub(crate) fn chunk(&mut self) -> String {
        let size = usize::from_str_radix(&self.line(), 16).unwrap();
        let chunk = self.text(size);
        if size > 0 {
            assert_eq!(self.line(), "");
        }
        chunk
    }

    /// Reads the body that follows a head.
    pub(crate) fn body(&mut self, head: &Head) -> String {
        if let Some(length) = head.get("content-length") {
            return self.text(length.parse().unwrap());
        }
        let mut body = String::new();
        if head.get("transfer-encoding").as_deref() == Some("chunked") {
            loop {
                let chunk = self.chunk();
                if chunk.is_empty() {
                    break;
                }
                body += &chunk;
            }
            while !self.line().is_empty() {}
        }
        body
    }

    pub(crate) fn response(&mut self) -> (Head, String) {
        let head = self.head();
        let body = self.body(&head);
        (head, body)
    }

    /// Waits for the end of the stream. Returns the number of bytes before it.
    pub(crate) fn read_to_end(&mut self) -> usize {
        let mut rest = [0; 65_536];
        let mut count = 0;
        loop {
            match self.reader.read(&mut rest) {
                Ok(0) => return count,
                Ok(length) => count += length,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return count,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Reads until the end of the stream or a reset.
    pub(crate) fn read_into(&mut self, received: &mut Vec<u8>) {
        match self.reader.read_to_end(received) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => {}
        }
    }

    /// Writes until the connection accepts nothing for half a second. Returns the number of bytes written.
    pub(crate) fn fill(&self, most: usize) -> usize {
        let mut stream = self.stream();
        let timeout = Some(Duration::from_millis(500));
        stream.set_write_timeout(timeout).unwrap();
        let piece = [b'x'; 65_536];
        let mut count = 0;
        while count < most {
            let length = piece.len().min(most - count);
            match stream.write(&piece[..length]) {
                Ok(length) => count += length,
                Err(_) => break,
            }
        }
        stream.set_write_timeout(Some(TIMEOUT)).unwrap();
        count
    }
}

/// Starts a raw server whose connections are handled on threads. Returns its URL.
pub(crate) fn server(handler: impl Fn(Peer) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let handler = Arc::new(handler);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let handler = Arc::clone(&handler);
            let peer = Peer::new(stream.unwrap());
            thread::spawn(move || handler(peer));
        }
    });
    url
}

/// Starts a raw server that answers each request with `respond`, which gets the head, and the body if it has a length or chunks.
pub(crate) fn responding(
    respond: impl Fn(&Head, &str) -> String + Send + Sync + 'static,
) -> String {
    server(move |mut peer| {
        loop {
            let head = peer.head();
            if head.line.is_empty() {
                return;
            }
            let body = peer.body(&head);
            peer.send(respond(&head, &body));
        }
    })
}

/// Returns a response with a body.
pub(crate) fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Returns a URL on which nothing listens. The port stays reserved while the guard exists.
pub(crate) fn refusing() -> (rustix::fd::OwnedFd, String) {
    use rustix::net::{AddressFamily, SocketType, bind, getsockname, socket};
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    let any = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
    bind(&fd, &any).unwrap();
    let address: std::net::SocketAddr = getsockname(&fd).unwrap().try_into().unwrap();
    (fd, format!("http://{address}"))
}

/// A server on a thread of its own, which stops when this is dropped.
pub(crate) struct Proxy {
    pub(crate) address: String,
    stop: LoopHandle,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    pub(crate) fn start<R>(build: impl FnOnce(HttpServer) -> R + Send + 'static) -> Proxy {
        let (started, starting): (Sender<(String, LoopHandle)>, _) = channel();
        let thread = thread::spawn(move || {
            let http = HttpServer::new();
            build(http);
            http.listen(Server::bind("127.0.0.1:0").unwrap());
            let address = http.address().unwrap();
            let address = address.strip_prefix("tcp://").unwrap().to_owned();
            started.send((address, handle())).unwrap();
            run().unwrap();
        });
        let (address, stop) = starting.recv().unwrap();
        Proxy {
            address,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(&self.address)
    }

    /// Sends a GET request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> (Head, String) {
        let mut client = self.connect();
        client.request(&format!("GET {path}"), &[]);
        client.response()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.stop();
        let result = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            assert!(matches!(result, Some(Ok(()))), "the proxy has panicked");
        }
    }
}
