//! The side of the handshake that asks (RFC 6455, 4.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use uptick_http::h1::client::{Decoder, Event, HEAD_TOO_LONG, MALFORMED_LINE};
use uptick_http::h1::client::{Request as RequestHead, RequestBody, begin};
use uptick_http::h1::{EncodeError, Limits, Version, is_owned};
use uptick_http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::extensions::{Extension, is_token};
use super::{KEY, VERSION, accept_key};
use crate::protocol::deflate::Config;

/// The most bytes in the head of an answer, together with those of the interim answers before it.
const MOST_BYTES: usize = 16 * 1024;

/// The most fields in the head of an answer.
const MOST_FIELDS: usize = 100;

/// The fields that belong to the handshake, which nobody else may add, beside those of connection and framing.
const OWN_FIELDS: [&str; 6] = [
    "host",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
];

/// Why there is no WebSocket.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The request cannot be written.
    #[error("the request cannot be written: {0}")]
    Request(&'static str),
    /// The system gives no random bytes for the key.
    #[error("there is no key for the request: {0}")]
    Random(getrandom::Error),
    /// The server answers with another status than 101, such as one that redirects, or asks for authentication.
    #[error("the server answers with {status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The fields of the answer, whose content [`Answer::next_content`] returns.
        headers: Box<HeaderMap>,
    },
    /// The answer is not one of HTTP/1.1, too long, or not what was asked for.
    #[error("the answer is refused: {0}")]
    Answer(&'static str),
}

/// A request for a WebSocket.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::handshake::client::Request;
///
/// let (bytes, _answer) = Request::new("example.com:8080", "/chat?room=1")
///     .protocol("chat")
///     .finish()
///     .unwrap();
/// assert!(bytes.starts_with(b"GET /chat?room=1 HTTP/1.1\r\nhost: example.com:8080\r\n"));
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    host: String,
    target: String,
    protocols: Vec<String>,
    deflate: Option<Config>,
    headers: HeaderMap,
}

impl Request {
    /// A request to a host, with the port unless it is that of the scheme, for a path with its query.
    pub fn new(host: impl Into<String>, target: impl Into<String>) -> Request {
        Request {
            host: host.into(),
            target: target.into(),
            protocols: Vec::new(),
            deflate: None,
            headers: HeaderMap::new(),
        }
    }

    /// Adds a subprotocol that the client speaks, behind those it prefers (RFC 6455, 1.9). Default: none.
    #[must_use]
    pub fn protocol(mut self, name: impl Into<String>) -> Request {
        self.protocols.push(name.into());
        self
    }

    /// Offers compression. Default: none.
    #[must_use]
    pub fn deflate(mut self, wants: Config) -> Request {
        self.deflate = Some(wants);
        self
    }

    /// Adds a field, such as `Origin`, `Cookie` or `Authorization`. Default: none.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Request {
        self.headers.append(name, value);
        self
    }

    /// The bytes to send, with a key that nobody can foresee, and what reads the answer.
    ///
    /// # Errors
    ///
    /// The host, the target or a subprotocol has a character that it may not have, or is empty; a subprotocol is there
    /// twice; a field belongs to the handshake; or there are no random bytes.
    pub fn finish(self) -> Result<(Vec<u8>, Answer), Failure> {
        self.finish_with(random_key()?)
    }

    fn finish_with(self, random: [u8; KEY]) -> Result<(Vec<u8>, Answer), Failure> {
        let (request, fields, answer) = self.into_fields_with(random)?;
        let head = RequestHead {
            method: &Method::GET,
            target: &request.target,
            host: &request.host,
            fields: Some(&fields),
            body: RequestBody::None,
            close: false,
        };
        let mut out = Vec::with_capacity(256);
        let encoded = begin(&mut out, &head).and_then(|encoder| encoder.finish(&mut out, None));
        encoded.map_err(|error| {
            Failure::Request(match error {
                EncodeError::InvalidRequest("host") => "the host is not one",
                _ => "the path is not one",
            })
        })?;
        Ok((out, answer))
    }

    /// Returns the fields of the request but `Host` and `Connection`, and what reads the answer.
    pub(crate) fn into_fields(self) -> Result<(Request, HeaderMap, Answer), Failure> {
        self.into_fields_with(random_key()?)
    }

    fn into_fields_with(
        mut self,
        random: [u8; KEY],
    ) -> Result<(Request, HeaderMap, Answer), Failure> {
        self.check().map_err(Failure::Request)?;
        let key = STANDARD.encode(random);
        let mut fields = HeaderMap::new();
        let mut add = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value)
                .map_err(|_| Failure::Request("a field has a value that it cannot have"))?;
            fields.append(HeaderName::from_static(name), value);
            Ok(())
        };
        add("upgrade", "websocket")?;
        add("sec-websocket-key", &key)?;
        add("sec-websocket-version", VERSION)?;
        if !self.protocols.is_empty() {
            add("sec-websocket-protocol", &self.protocols.join(", "))?;
        }
        if let Some(wants) = &self.deflate {
            add("sec-websocket-extensions", &wants.offer())?;
        }
        for (name, value) in &self.headers {
            fields.append(name.clone(), value.clone());
        }
        let mut decoder = Decoder::new();
        decoder.expect(&Method::GET);
        let answer = Answer {
            accept: accept_key(&key),
            protocols: std::mem::take(&mut self.protocols),
            deflate: self.deflate,
            decoder,
        };
        Ok((self, fields, answer))
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.host.is_empty() {
            return Err("the host is not one");
        }
        if !self.target.starts_with('/') {
            return Err("the path is not one");
        }
        for (place, name) in self.protocols.iter().enumerate() {
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err("a subprotocol is not a token");
            }
            if self.protocols[..place].contains(name) {
                return Err("a subprotocol is there twice");
            }
        }
        let is_own = |name: &HeaderName| is_owned(name) || OWN_FIELDS.contains(&name.as_str());
        if self.headers.keys().any(is_own) {
            return Err("a field belongs to the handshake");
        }
        Ok(())
    }
}

/// Returns a key that nobody can foresee.
fn random_key() -> Result<[u8; KEY], Failure> {
    let mut random = [0; KEY];
    getrandom::fill(&mut random).map_err(Failure::Random)?;
    Ok(random)
}

/// Reads the answer to a [`Request`].
#[derive(Clone, Debug)]
pub struct Answer {
    accept: String,
    protocols: Vec<String>,
    deflate: Option<Config>,
    decoder: Decoder,
}

/// A part of the content of an answer that opens no WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A piece, never empty.
    Piece(Bytes),
    /// The content is over, or is not one whose end is certain.
    End,
}

/// What a client and a server have agreed on.
#[derive(Debug)]
pub struct Agreed {
    /// The subprotocol, one of those of the request.
    pub protocol: Option<String>,
    /// What was agreed on about compression, if the server wants it.
    pub deflate: Option<Config>,
    /// The fields of the answer.
    pub headers: HeaderMap,
    /// What came behind the answer: the first for the decoder.
    pub rest: BytesMut,
}

impl Answer {
    /// Takes what came, and gives what was agreed on once that is whole. After that nothing more may be pushed.
    ///
    /// # Errors
    ///
    /// The server does not want to, or what it says is not an answer to the request.
    ///
    /// # Limits
    ///
    /// 16 KiB, with those of interim answers, and 100 fields.
    pub fn push(&mut self, bytes: BytesMut) -> Result<Option<Agreed>, Failure> {
        self.decoder.push(bytes.freeze());
        while let Some(event) = self.decoder.next(&limits()) {
            let head = match event {
                Event::Head(head) if head.version() == Version::Http11 => head,
                Event::Head(_) | Event::Error(MALFORMED_LINE) => {
                    return Err(Failure::Answer("it is not one of HTTP/1.1"));
                }
                Event::Error(HEAD_TOO_LONG) => {
                    return Err(Failure::Answer("its head is too long"));
                }
                Event::Error(invalid) => return Err(Failure::Answer(invalid.reason())),
                _ => continue,
            };
            let (status, headers) = (head.status(), head.to_header_map());
            if status == StatusCode::SWITCHING_PROTOCOLS {
                if !has_token(&headers, "connection", "upgrade") {
                    return Err(Failure::Answer("it does not upgrade"));
                }
                let mut agreed = self.agree(status, headers)?;
                agreed.rest = BytesMut::from(self.decoder.take_rest());
                return Ok(Some(agreed));
            }
            return Err(Failure::status(status, headers));
        }
        Ok(None)
    }

    /// Takes more of the content of an answer with another status, after [`Failure::Status`].
    pub fn push_content(&mut self, bytes: Bytes) {
        self.decoder.push(bytes);
    }

    /// Returns the next piece of the content of an answer with another status, or that it is over; `None` if more bytes are needed.
    pub fn next_content(&mut self) -> Option<Content> {
        match self.decoder.next(&limits())? {
            Event::Body(piece) => Some(Content::Piece(piece)),
            _ => Some(Content::End),
        }
    }

    /// Returns what was agreed on by an answer with these fields, whatever has carried it.
    pub(crate) fn agree(&self, status: StatusCode, headers: HeaderMap) -> Result<Agreed, Failure> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(Failure::status(status, headers));
        }
        let (protocol, deflate) = self.check(&headers).map_err(Failure::Answer)?;
        Ok(Agreed {
            protocol,
            deflate,
            headers,
            rest: BytesMut::new(),
        })
    }

    fn check(&self, headers: &HeaderMap) -> Result<(Option<String>, Option<Config>), &'static str> {
        if !has_token(headers, "upgrade", "websocket") {
            return Err("it upgrades to something else");
        }
        match one(headers, "sec-websocket-accept") {
            Ok(Some(accept)) if accept.as_bytes() == self.accept.as_bytes() => {}
            _ => return Err("it is not to the key of the request"),
        }
        let protocol = match one(headers, "sec-websocket-protocol") {
            Ok(None) => None,
            Ok(Some(chosen)) => self.protocols.iter().find(|name| *name == chosen).cloned(),
            Err(()) => None,
        };
        if protocol.is_none() && headers.contains_key("sec-websocket-protocol") {
            return Err("its subprotocol is none of those of the request");
        }
        let mut deflate = None;
        for value in headers.get_all("sec-websocket-extensions") {
            let list = Extension::parse(value.as_bytes())
                .map_err(|_| "its extensions are not a list of extensions")?;
            for extension in &list {
                let agreed = self.deflate.and_then(|wants| wants.agree(extension));
                if agreed.is_none() || deflate.is_some() {
                    return Err("its extensions are not those of the request");
                }
                deflate = agreed;
            }
        }
        Ok((protocol, deflate))
    }
}

impl Failure {
    fn status(status: StatusCode, headers: HeaderMap) -> Self {
        Failure::Status {
            status,
            headers: Box::new(headers),
        }
    }
}

fn limits() -> Limits {
    Limits::default()
        .request_line(MOST_BYTES - 1)
        .header_section(MOST_BYTES)
        .fields(MOST_FIELDS)
}

/// The value of a field that is there at most once.
fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    values.next().map_or(Ok(value), |_| Err(()))
}

fn has_token(headers: &HeaderMap, name: &str, wanted: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::handshake::server;
    use uptick_http::h1::{Decoder, Event, Limits};

    /// A request with the key of the RFC's example.
    fn finish(request: Request) -> Result<(Vec<u8>, Answer), Failure> {
        request.finish_with(*b"the sample nonce")
    }

    /// What comes of an answer to a request, in pieces of each of some sizes.
    fn answered(request: Request, answer: &str) -> Result<Option<Agreed>, String> {
        let mut last = None;
        for size in [1, 3, 1000] {
            let (_, mut reads) = finish(request.clone()).unwrap();
            let mut result = Ok(None);
            for piece in answer.as_bytes().chunks(size) {
                match &mut result {
                    Ok(None) => result = reads.push(piece.into()),
                    Ok(Some(agreed)) => agreed.rest.extend_from_slice(piece),
                    Err(_) => break,
                }
            }
            let result = result.map_err(|failure| failure.to_string());
            let written = format!("{result:?}");
            assert_eq!(*last.get_or_insert(written.clone()), written);
            if size == 1000 {
                return result;
            }
        }
        unreachable!()
    }

    fn request() -> Request {
        Request::new("example.com", "/chat")
    }

    const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
        Connection: keep-alive, upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    /// The reason why an accepting answer with more fields is refused.
    fn refused(request: Request, fields: &str) -> String {
        answered(request, &format!("{ACCEPTED}{fields}\r\n")).unwrap_err()
    }

    #[test]
    fn a_request_is_what_our_server_takes() {
        let wants = Config::new().server_no_context_takeover(true);
        let request = request()
            .protocol("chat")
            .protocol("superchat")
            .deflate(wants)
            .header(
                HeaderName::from_static("origin"),
                HeaderValue::from_static("http://a"),
            );
        let (bytes, _) = finish(request.clone()).unwrap();
        let mut decoder = Decoder::new();
        decoder.push(bytes.into());
        let Some(Event::Head(head)) = decoder.next(&Limits::default()) else {
            panic!("no head")
        };
        assert_eq!(
            (head.raw_path(), head.host()),
            ("/chat", Some("example.com"))
        );
        assert_eq!(head.field("origin"), Some(&b"http://a"[..]));
        let offer = server::check(&head).unwrap();
        let protocol = offer.choose(["superchat"]).unwrap();
        let (config, extension) = offer.deflate(&Config::new()).unwrap();
        let answer = format!(
            "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {protocol}\r\n\
             Sec-WebSocket-Extensions: {extension}\r\n\r\nrest",
            offer.accept()
        );
        let agreed = answered(request, &answer).unwrap().unwrap();
        assert_eq!(agreed.protocol.as_deref(), Some("superchat"));
        assert_eq!(agreed.deflate, Some(config));
        assert_eq!(agreed.rest, "rest");
        assert_eq!(agreed.headers["upgrade"], "websocket");
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let answer = format!("{early}{early}{ACCEPTED}\r\n");
        let agreed = answered(request(), &answer).unwrap().unwrap();
        assert!(agreed.rest.is_empty() && agreed.protocol.is_none() && agreed.deflate.is_none());
        let error = answered(request(), &early.repeat(500)).unwrap_err();
        assert!(error.contains("too long"), "{error}");
    }

    #[test]
    fn a_higher_minor_version_of_http_is_treated_as_1_1() {
        for version in ["HTTP/1.2", "HTTP/1.9"] {
            let answer = ACCEPTED.replace("HTTP/1.1", version) + "\r\n";
            assert!(answered(request(), &answer).unwrap().is_some(), "{version}");
        }
        for version in ["HTTP/2.0", "HTTP/1.", "HTTP/1.:", "HTTP/1.20"] {
            let answer = ACCEPTED.replace("HTTP/1.1", version) + "\r\n";
            assert!(answered(request(), &answer).is_err(), "{version}");
        }
    }

    #[test]
    fn another_status_is_told_with_its_fields_and_its_content() {
        let (_, mut answer) = finish(request()).unwrap();
        let bytes = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nNo\r\n";
        match answer.push(bytes.as_bytes().into()) {
            Err(Failure::Status { status, headers }) => {
                assert_eq!(status, StatusCode::UNAUTHORIZED);
                assert_eq!(headers["www-authenticate"], "Basic");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(answer.next_content(), Some(Content::Piece("No".into())));
        assert_eq!(answer.next_content(), None);
        answer.push_content("2\r\n!!\r\n0\r\n\r\n".into());
        assert_eq!(answer.next_content(), Some(Content::Piece("!!".into())));
        assert_eq!(answer.next_content(), Some(Content::End));
    }

    #[test]
    fn content_whose_end_is_not_certain_is_over() {
        for (field, content) in [
            ("Content-Length: 0", ""),
            ("Transfer-Encoding: chunked", "no length\r\n"),
            ("Transfer-Encoding: chunked", "fffffffffffffffff\r\n"),
        ] {
            let (_, mut answer) = finish(request()).unwrap();
            let bytes = format!("HTTP/1.1 403 Forbidden\r\n{field}\r\n\r\n{content}");
            let failure = answer.push(bytes.as_bytes().into());
            assert!(matches!(failure, Err(Failure::Status { .. })), "{bytes}");
            assert_eq!(answer.next_content(), Some(Content::End), "{bytes}");
        }
    }

    #[test]
    fn an_answer_that_is_not_to_the_request_is_refused() {
        let answers = [
            ACCEPTED.replace("WebSocket\r\n", "h2c\r\n"),
            ACCEPTED.replace("keep-alive, upgrade", "keep-alive"),
            ACCEPTED.replace("s3pPLM", "xxxxxx"),
            ACCEPTED.replace("Sec-WebSocket-Accept", "X"),
            ACCEPTED.replace("HTTP/1.1", "HTTP/1.0"),
            ACCEPTED.replace("HTTP/1.1", "ICY"),
            format!("{ACCEPTED}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            format!("{ACCEPTED}no field\r\n"),
            format!("{ACCEPTED}{}", "A: b\r\n".repeat(MOST_FIELDS)),
            format!("{ACCEPTED}A: {}\r\n", "b".repeat(MOST_BYTES)),
        ];
        for answer in answers {
            let answer = answer + "\r\n";
            assert!(answered(request(), &answer).is_err(), "{answer}");
        }
        assert!(
            answered(request(), &"x".repeat(MOST_BYTES))
                .unwrap()
                .is_none()
        );
        assert!(answered(request(), &"x".repeat(MOST_BYTES + 1)).is_err());
    }

    #[test]
    fn what_was_not_offered_is_refused() {
        let protocol = "Sec-WebSocket-Protocol: chat\r\n";
        assert!(refused(request(), protocol).contains("subprotocol"));
        assert!(refused(request().protocol("Chat"), protocol).contains("subprotocol"));
        let twice = protocol.repeat(2);
        assert!(refused(request().protocol("chat"), &twice).contains("subprotocol"));
        let deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        assert!(refused(request(), deflate).contains("extensions"));
        let offers = request().deflate(Config::new());
        assert!(refused(offers.clone(), &deflate.repeat(2)).contains("extensions"));
        assert!(refused(offers.clone(), "Sec-WebSocket-Extensions: x\r\n").contains("extensions"));
        assert!(refused(offers, "Sec-WebSocket-Extensions: ;\r\n").contains("list"));
    }

    #[test]
    fn what_would_make_another_request_is_not_written() {
        let field = |name| (HeaderName::from_static(name), HeaderValue::from_static("x"));
        let (host, key) = (field("host"), field("sec-websocket-key"));
        for wrong in [
            Request::new("", "/"),
            Request::new("a b", "/"),
            Request::new("a\r\nX: y", "/"),
            Request::new("a", ""),
            Request::new("a", "b"),
            Request::new("a", "/b c"),
            Request::new("a", "/\u{e4}"),
            Request::new("a", "/b#c"),
            request().protocol(""),
            request().protocol("a,b"),
            request().protocol("a").protocol("a"),
            request().header(host.0, host.1),
            request().header(key.0, key.1),
        ] {
            let failure = finish(wrong.clone()).unwrap_err();
            assert!(matches!(failure, Failure::Request(_)), "{wrong:?}");
        }
    }

    #[test]
    fn each_request_has_another_key() {
        let key = |(bytes, _): (Vec<u8>, Answer)| String::from_utf8(bytes).unwrap();
        let first = key(request().finish().unwrap());
        assert_ne!(first, key(request().finish().unwrap()));
    }
}
