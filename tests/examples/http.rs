//! An HTTP/1.1 client that sends raw bytes and parses responses.

use crate::peer::Peer;
use crate::program::Program;

/// A response with its decoded body.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    /// Returns the value of a header. Several values are joined by `, `.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub(crate) fn fields(&self) -> &[(String, String)] {
        &self.fields
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// A connection to a server.
pub(crate) struct Client(Peer);

impl Client {
    /// Connects to a server with a URI such as `http://127.0.0.1:8080`.
    pub(crate) fn connect(uri: &str) -> Client {
        let address = uri.strip_prefix("http://").unwrap();
        Client(Peer::connect(&format!(
            "tcp://{}",
            address.trim_end_matches('/')
        )))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.send(bytes);
    }

    /// Sends bytes that the server may refuse before it has received all of them.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.try_send(bytes);
    }

    /// Sends a request without a body. `line` is the request line without the version.
    pub(crate) fn request(&mut self, line: &str, fields: &[&str]) {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!(
            "{line} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"
        ));
    }

    /// Reads the next response. It must not be the response to a HEAD request.
    #[track_caller]
    pub(crate) fn response(&mut self) -> HttpResponse {
        let mut response = self.head();
        if matches!(response.status, 100..200 | 204 | 304) {
            return response;
        }
        if response.field("transfer-encoding").is_some() {
            response.body = self.chunks();
        } else if let Some(length) = response.field("content-length") {
            response.body = self.0.bytes(length.parse().unwrap());
        } else {
            response.body = self.0.read_to_end();
        }
        response
    }

    /// Reads the head of the next response, which is the whole response to a HEAD request.
    #[track_caller]
    pub(crate) fn head(&mut self) -> HttpResponse {
        let line = self.line();
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3)?.parse().ok())
            .unwrap_or_else(|| panic!("not a status line: {line:?}"));
        let mut fields = Vec::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        HttpResponse {
            status,
            fields,
            body: Vec::new(),
        }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line(), 16).unwrap();
            if size == 0 {
                // The trailers end with an empty line.
                while !self.line().is_empty() {}
                return body;
            }
            body.extend(self.0.bytes(size));
            assert_eq!(self.line(), "");
        }
    }

    /// Reads the next line, which must end with CRLF.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = self.0.line();
        assert_eq!(line.pop(), Some('\r'), "{line:?}");
        line
    }

    /// Reads `count` bytes from a connection that has been upgraded.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.0.bytes(count)
    }

    /// Reads the next line of an event stream.
    pub(crate) fn event_line(&mut self) -> String {
        self.0.line()
    }

    /// Reads everything until the server closes the connection.
    pub(crate) fn read_to_end(&mut self) -> Vec<u8> {
        self.0.read_to_end()
    }

    /// Returns the connection, for use with another protocol.
    pub(crate) fn into_peer(self) -> Peer {
        self.0
    }

    /// Checks that the server closes the connection without sending anything.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        self.0.expect_end();
    }
}

/// Starts an example on a free port on 127.0.0.1. Returns the program and its URI.
pub(crate) fn serve(name: &str, arguments: &[&str]) -> (Program, String) {
    let mut all = vec!["127.0.0.1:0"];
    all.extend(arguments);
    let server = Program::start(name, &all);
    let uri = server.listening_on();
    (server, uri)
}

/// Requests a page over a new connection.
#[track_caller]
pub(crate) fn get(uri: &str, path: &str) -> HttpResponse {
    let mut client = Client::connect(uri);
    client.request(&format!("GET {path}"), &[]);
    client.response()
}
