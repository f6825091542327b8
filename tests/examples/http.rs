//! A client that speaks HTTP/1.1 in raw bytes, and takes answers apart.

use crate::peer::Peer;
use crate::program::Program;

/// An answer, with its body as it was before it was sent.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a field; several are joined by `, `.
    pub(crate) fn field(&self, name: &str) -> Option<String> {
        let values: Vec<_> = self
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    pub(crate) fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// One connection to a server.
pub(crate) struct Client(Peer);

impl Client {
    /// Connects to a server that is at a URI such as `http://127.0.0.1:8080`.
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

    /// Sends what the server may refuse before it has it all.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.0.try_send(bytes);
    }

    /// Sends a request without a body; its line is given without the version.
    pub(crate) fn request(&mut self, line: &str, fields: &[&str]) {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        self.send(format!(
            "{line} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"
        ));
    }

    /// The next answer to a request that may have a body.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        if matches!(answer.status, 100..200 | 204 | 304) {
            return answer;
        }
        if answer.field("transfer-encoding").is_some() {
            answer.body = self.chunks();
        } else if let Some(length) = answer.field("content-length") {
            answer.body = self.0.bytes(length.parse().unwrap());
        } else {
            answer.body = self.0.rest();
        }
        answer
    }

    /// The next answer up to its empty line, which is all there is to the answer to a HEAD.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Answer {
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
        Answer {
            status,
            fields,
            body: Vec::new(),
        }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = usize::from_str_radix(&self.line(), 16).unwrap();
            body.extend(self.0.bytes(size));
            assert_eq!(self.line(), "");
            if size == 0 {
                return body;
            }
        }
    }

    /// The next line, which must end as HTTP wants it.
    #[track_caller]
    pub(crate) fn line(&mut self) -> String {
        let mut line = self.0.line();
        assert_eq!(line.pop(), Some('\r'), "{line:?}");
        line
    }

    /// As many bytes as are asked for, of a connection that has been upgraded.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.0.bytes(count)
    }

    /// The next line of a stream of events.
    pub(crate) fn event_line(&mut self) -> String {
        self.0.line()
    }

    /// All that comes until the server ends the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        self.0.rest()
    }

    /// The connection, which speaks something else from here on.
    pub(crate) fn into_peer(self) -> Peer {
        self.0
    }

    /// Checks that the server ends the connection and sends nothing before.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        self.0.expect_end();
    }
}

/// Starts an example at a free port of 127.0.0.1; gives its URI too.
pub(crate) fn serve(name: &str, arguments: &[&str]) -> (Program, String) {
    let mut all = vec!["127.0.0.1:0"];
    all.extend(arguments);
    let server = Program::start(name, &all);
    let uri = server.listening_on();
    (server, uri)
}

/// Asks for a page on a connection of its own.
#[track_caller]
pub(crate) fn get(uri: &str, path: &str) -> Answer {
    let mut client = Client::connect(uri);
    client.request(&format!("GET {path}"), &[]);
    client.answer()
}
