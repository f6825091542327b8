//! Servers that follow a script, each connection in a thread of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

/// A connection of a scripted server.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// Reads a request without a body. Returns its head, or `None` at the end of the connection.
    pub(crate) fn request(&mut self) -> Option<String> {
        loop {
            let end = self
                .received
                .windows(4)
                .position(|part| part == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = self.received.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => self.received.extend_from_slice(&buffer[..count]),
            }
        }
    }

    pub(crate) fn send(&mut self, text: &str) {
        // The client may have closed the connection.
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// Responds to all further requests.
    pub(crate) fn serve(&mut self) {
        while self.request().is_some() {
            self.send(OK);
        }
    }
}

/// A response after which the connection can be used again.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Starts a server, and returns its URL. `script` receives the number of each connection, from 0 on.
pub(crate) fn scripted(script: impl Fn(usize, &mut Peer) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let script = script.clone();
            let mut peer = Peer {
                stream: stream.unwrap(),
                received: Vec::new(),
            };
            thread::spawn(move || script(number, &mut peer));
        }
    });
    url
}
