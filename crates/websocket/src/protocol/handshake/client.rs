//! The client side of the handshake (RFC 6455, section 4.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use uptick_http::h1::client::{Decoder, Event, HEAD_TOO_LONG, MALFORMED_LINE};
use uptick_http::h1::client::{Request as RequestHead, RequestBody, encode_request};
use uptick_http::h1::{EncodeError, Limits, RequestFields, Version, is_owned};
use uptick_http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::extensions::{Extension, is_token};
use super::{KEY_LENGTH, VERSION, accept_key};
use crate::protocol::deflate::Config;

/// Maximum size of the head of the response and of each preceding interim response, in bytes.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Maximum number of fields in the response head.
const MAX_FIELDS: usize = 100;

/// The fields reserved for the handshake, in addition to connection and framing fields.
const HANDSHAKE_FIELDS: [&str; 6] = [
    "host",
    "upgrade",
    "sec-websocket-key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
];

/// The reason why the handshake failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The request is invalid and was not sent.
    #[error("the request is invalid: {0}")]
    Request(&'static str),
    /// The system has no random bytes for the key.
    #[error("generating a key for the request failed: {0}")]
    Random(getrandom::Error),
    /// The server responded with a status other than 101, such as a redirect or a request for authentication.
    #[error("the server responded with {status}")]
    Status {
        /// The status.
        status: StatusCode,
        /// The headers of the response, whose body [`ResponseDecoder::next_body_chunk`] returns.
        headers: Box<HeaderMap>,
    },
    /// The response is not HTTP/1.1, too long, or does not match the request.
    #[error("the response is invalid: {0}")]
    Response(&'static str),
}

/// A WebSocket handshake request.
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::handshake::client::Request;
///
/// let (bytes, _response) = Request::new("example.com:8080", "/chat?room=1")
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
    /// Creates a request to a host, with the port unless it is the default one, for a path and query.
    pub fn new(host: impl Into<String>, target: impl Into<String>) -> Request {
        Request {
            host: host.into(),
            target: target.into(),
            protocols: Vec::new(),
            deflate: None,
            headers: HeaderMap::new(),
        }
    }

    /// Adds a supported subprotocol, after the preferred ones (RFC 6455, section 1.9). Default: none.
    #[must_use]
    pub fn protocol(mut self, name: impl Into<String>) -> Request {
        self.protocols.push(name.into());
        self
    }

    /// Offers compression with these parameters. Default: none.
    #[must_use]
    pub fn deflate(mut self, config: Config) -> Request {
        self.deflate = Some(config);
        self
    }

    /// Adds a header, such as `Origin`, `Cookie` or `Authorization`. Default: none.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Request {
        self.headers.append(name, value);
        self
    }

    /// Returns the bytes to send, with an unpredictable key, and the decoder of the response.
    ///
    /// # Errors
    ///
    /// The host, the target or a subprotocol is empty or has an invalid character; a subprotocol is listed
    /// twice; a header is reserved for the handshake; or the system has no random bytes.
    pub fn finish(self) -> Result<(Vec<u8>, ResponseDecoder), HandshakeError> {
        self.finish_with(random_key()?)
    }

    fn finish_with(
        self,
        random: [u8; KEY_LENGTH],
    ) -> Result<(Vec<u8>, ResponseDecoder), HandshakeError> {
        let (request, fields, response) = self.into_fields_with(random)?;
        let head = RequestHead {
            method: &Method::GET,
            target: &request.target,
            host: &request.host,
            fields: RequestFields::from(&fields),
            body: RequestBody::None,
            close: false,
        };
        let mut out = Vec::with_capacity(256);
        let encoded =
            encode_request(&mut out, &head).and_then(|encoder| encoder.finish(&mut out, None));
        encoded.map_err(|error| {
            HandshakeError::Request(match error {
                EncodeError::InvalidRequest("host") => "the host is invalid",
                _ => "the path is invalid",
            })
        })?;
        Ok((out, response))
    }

    /// Returns the fields of the request other than `Host` and `Connection`, and the decoder of the response.
    pub(crate) fn into_fields(
        self,
    ) -> Result<(Request, HeaderMap, ResponseDecoder), HandshakeError> {
        self.into_fields_with(random_key()?)
    }

    fn into_fields_with(
        mut self,
        random: [u8; KEY_LENGTH],
    ) -> Result<(Request, HeaderMap, ResponseDecoder), HandshakeError> {
        self.check().map_err(HandshakeError::Request)?;
        let key = STANDARD.encode(random);
        let mut fields = HeaderMap::new();
        let mut add = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value)
                .map_err(|_| HandshakeError::Request("a header has an invalid value"))?;
            fields.append(HeaderName::from_static(name), value);
            Ok(())
        };
        add("upgrade", "websocket")?;
        add("sec-websocket-key", &key)?;
        add("sec-websocket-version", VERSION)?;
        if !self.protocols.is_empty() {
            add("sec-websocket-protocol", &self.protocols.join(", "))?;
        }
        if let Some(config) = &self.deflate {
            add("sec-websocket-extensions", &config.offer())?;
        }
        for (name, value) in &self.headers {
            fields.append(name.clone(), value.clone());
        }
        let mut decoder = Decoder::new();
        decoder.expect(&Method::GET);
        let response = ResponseDecoder {
            accept: accept_key(&key),
            protocols: std::mem::take(&mut self.protocols),
            deflate: self.deflate,
            decoder,
        };
        Ok((self, fields, response))
    }

    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.host.is_empty() {
            return Err("the host is invalid");
        }
        if !self.target.starts_with('/') {
            return Err("the path is invalid");
        }
        for (index, name) in self.protocols.iter().enumerate() {
            if name.is_empty() || !name.bytes().all(is_token) {
                return Err("a subprotocol is not a token");
            }
            if self.protocols[..index].contains(name) {
                return Err("a subprotocol is listed twice");
            }
        }
        let is_own =
            |name: &HeaderName| is_owned(name) || HANDSHAKE_FIELDS.contains(&name.as_str());
        if self.headers.keys().any(is_own) {
            return Err("a header is reserved for the handshake");
        }
        Ok(())
    }
}

/// Returns an unpredictable key.
fn random_key() -> Result<[u8; KEY_LENGTH], HandshakeError> {
    let mut random = [0; KEY_LENGTH];
    getrandom::fill(&mut random).map_err(HandshakeError::Random)?;
    Ok(random)
}

/// The decoder of the response to a [`Request`].
#[derive(Clone, Debug)]
pub struct ResponseDecoder {
    accept: String,
    protocols: Vec<String>,
    deflate: Option<Config>,
    decoder: Decoder,
}

/// A part of the body of a response with a status other than 101.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyChunk {
    /// A chunk, never empty.
    Piece(Bytes),
    /// The end of the body, or an invalid body.
    End,
}

/// The result of a handshake.
#[derive(Debug)]
pub struct Handshake {
    /// The subprotocol, one of those in the request.
    pub protocol: Option<String>,
    /// The negotiated compression, if the server supports it.
    pub deflate: Option<Config>,
    /// The headers of the response.
    pub headers: HeaderMap,
    /// The bytes received after the response: the first bytes for the decoder.
    pub rest: BytesMut,
}

impl ResponseDecoder {
    /// Adds received bytes, and returns the result once the response is complete. After that, no more bytes may be pushed.
    ///
    /// # Errors
    ///
    /// The server refuses the handshake, or the response does not match the request.
    ///
    /// # Limits
    ///
    /// 16 KiB and 100 headers, also for each interim response, of which there are at most 20.
    pub fn push(&mut self, bytes: BytesMut) -> Result<Option<Handshake>, HandshakeError> {
        self.decoder.push(bytes.freeze());
        while let Some(event) = self.decoder.next(&limits()) {
            let head = match event {
                Event::Head(head) if head.version() == Version::Http11 => head,
                Event::Head(_) | Event::Error(MALFORMED_LINE) => {
                    return Err(HandshakeError::Response("it is not HTTP/1.1"));
                }
                Event::Error(HEAD_TOO_LONG) => {
                    return Err(HandshakeError::Response("its head is too long"));
                }
                Event::Error(invalid) => return Err(HandshakeError::Response(invalid.reason())),
                _ => continue,
            };
            let (status, headers) = (head.status(), head.to_header_map());
            if status == StatusCode::SWITCHING_PROTOCOLS {
                if !has_token(&headers, "connection", "upgrade") {
                    return Err(HandshakeError::Response(
                        "its Connection header does not contain upgrade",
                    ));
                }
                let mut agreed = self.agree(status, headers)?;
                agreed.rest = BytesMut::from(self.decoder.take_rest());
                return Ok(Some(agreed));
            }
            return Err(HandshakeError::status(status, headers));
        }
        Ok(None)
    }

    /// Adds bytes of the body of a response with another status, after [`HandshakeError::Status`].
    pub fn push_body(&mut self, bytes: Bytes) {
        self.decoder.push(bytes);
    }

    /// Returns the next chunk of the body of a response with another status, or its end; `None` if more bytes are needed.
    pub fn next_body_chunk(&mut self) -> Option<BodyChunk> {
        match self.decoder.next(&limits())? {
            Event::Body(piece) => Some(BodyChunk::Piece(piece)),
            _ => Some(BodyChunk::End),
        }
    }

    /// Returns the result of a response with these headers, for any transport.
    pub(crate) fn agree(
        &self,
        status: StatusCode,
        headers: HeaderMap,
    ) -> Result<Handshake, HandshakeError> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Err(HandshakeError::status(status, headers));
        }
        let (protocol, deflate) = self.check(&headers).map_err(HandshakeError::Response)?;
        Ok(Handshake {
            protocol,
            deflate,
            headers,
            rest: BytesMut::new(),
        })
    }

    fn check(&self, headers: &HeaderMap) -> Result<(Option<String>, Option<Config>), &'static str> {
        if !has_token(headers, "upgrade", "websocket") {
            return Err("its Upgrade header is not websocket");
        }
        match one(headers, "sec-websocket-accept") {
            Ok(Some(accept)) if accept.as_bytes() == self.accept.as_bytes() => {}
            _ => return Err("its Sec-WebSocket-Accept does not match the key of the request"),
        }
        let protocol = match one(headers, "sec-websocket-protocol") {
            Ok(None) => None,
            Ok(Some(chosen)) => self.protocols.iter().find(|name| *name == chosen).cloned(),
            Err(()) => None,
        };
        if protocol.is_none() && headers.contains_key("sec-websocket-protocol") {
            return Err("its subprotocol is not in the request");
        }
        let mut deflate = None;
        for value in headers.get_all("sec-websocket-extensions") {
            let list = Extension::parse(value.as_bytes())
                .map_err(|_| "its extensions are not a valid list")?;
            for extension in &list {
                let agreed = self.deflate.and_then(|config| config.agree(extension));
                if agreed.is_none() || deflate.is_some() {
                    return Err("its extensions do not match the request");
                }
                deflate = agreed;
            }
        }
        Ok((protocol, deflate))
    }
}

impl HandshakeError {
    fn status(status: StatusCode, headers: HeaderMap) -> Self {
        HandshakeError::Status {
            status,
            headers: Box::new(headers),
        }
    }
}

fn limits() -> Limits {
    Limits::default()
        .request_line(MAX_HEAD_BYTES - 1)
        .header_section(MAX_HEAD_BYTES)
        .fields(MAX_FIELDS)
}

/// Returns the value of a field that occurs at most once.
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

    /// Returns a request with the key of the example in the RFC.
    fn finish(request: Request) -> Result<(Vec<u8>, ResponseDecoder), HandshakeError> {
        request.finish_with(*b"the sample nonce")
    }

    /// Returns the result of a response to a request, which must not depend on how the response is split.
    fn result_of(request: Request, response: &str) -> Result<Option<Handshake>, String> {
        let mut last = None;
        for size in [1, 3, 1000] {
            let (_, mut decoder) = finish(request.clone()).unwrap();
            let mut result = Ok(None);
            for piece in response.as_bytes().chunks(size) {
                match &mut result {
                    Ok(None) => result = decoder.push(piece.into()),
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

    /// Returns the reason why a response with additional headers is refused.
    fn refused(request: Request, fields: &str) -> String {
        result_of(request, &format!("{ACCEPTED}{fields}\r\n")).unwrap_err()
    }

    #[test]
    fn the_server_side_accepts_a_request() {
        let config = Config::new().server_no_context_takeover(true);
        let request = request()
            .protocol("chat")
            .protocol("superchat")
            .deflate(config)
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
        let response = format!(
            "HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {protocol}\r\n\
             Sec-WebSocket-Extensions: {extension}\r\n\r\nrest",
            offer.accept().unwrap()
        );
        let agreed = result_of(request, &response).unwrap().unwrap();
        assert_eq!(agreed.protocol.as_deref(), Some("superchat"));
        assert_eq!(agreed.deflate, Some(config));
        assert_eq!(agreed.rest, "rest");
        assert_eq!(agreed.headers["upgrade"], "websocket");
    }

    #[test]
    fn interim_responses_are_skipped() {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
        let response = format!("{early}{early}{ACCEPTED}\r\n");
        let agreed = result_of(request(), &response).unwrap().unwrap();
        assert!(agreed.rest.is_empty() && agreed.protocol.is_none() && agreed.deflate.is_none());
        let error = result_of(request(), &early.repeat(500)).unwrap_err();
        assert!(error.contains("too many interim responses"), "{error}");
    }

    #[test]
    fn a_higher_minor_version_of_http_is_treated_as_1_1() {
        for version in ["HTTP/1.2", "HTTP/1.9"] {
            let response = ACCEPTED.replace("HTTP/1.1", version) + "\r\n";
            assert!(
                result_of(request(), &response).unwrap().is_some(),
                "{version}"
            );
        }
        for version in ["HTTP/2.0", "HTTP/1.", "HTTP/1.:", "HTTP/1.20"] {
            let response = ACCEPTED.replace("HTTP/1.1", version) + "\r\n";
            assert!(result_of(request(), &response).is_err(), "{version}");
        }
    }

    #[test]
    fn another_status_is_reported_with_headers_and_body() {
        let (_, mut response) = finish(request()).unwrap();
        let bytes = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nNo\r\n";
        match response.push(bytes.as_bytes().into()) {
            Err(HandshakeError::Status { status, headers }) => {
                assert_eq!(status, StatusCode::UNAUTHORIZED);
                assert_eq!(headers["www-authenticate"], "Basic");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(
            response.next_body_chunk(),
            Some(BodyChunk::Piece("No".into()))
        );
        assert_eq!(response.next_body_chunk(), None);
        response.push_body("2\r\n!!\r\n0\r\n\r\n".into());
        assert_eq!(
            response.next_body_chunk(),
            Some(BodyChunk::Piece("!!".into()))
        );
        assert_eq!(response.next_body_chunk(), Some(BodyChunk::End));
    }

    #[test]
    fn an_empty_or_invalid_body_ends() {
        for (field, content) in [
            ("Content-Length: 0", ""),
            ("Transfer-Encoding: chunked", "no length\r\n"),
            ("Transfer-Encoding: chunked", "fffffffffffffffff\r\n"),
        ] {
            let (_, mut response) = finish(request()).unwrap();
            let bytes = format!("HTTP/1.1 403 Forbidden\r\n{field}\r\n\r\n{content}");
            let failure = response.push(bytes.as_bytes().into());
            assert!(
                matches!(failure, Err(HandshakeError::Status { .. })),
                "{bytes}"
            );
            assert_eq!(response.next_body_chunk(), Some(BodyChunk::End), "{bytes}");
        }
    }

    #[test]
    fn a_response_that_does_not_match_the_request_is_refused() {
        let responses = [
            ACCEPTED.replace("WebSocket\r\n", "h2c\r\n"),
            ACCEPTED.replace("keep-alive, upgrade", "keep-alive"),
            ACCEPTED.replace("s3pPLM", "xxxxxx"),
            ACCEPTED.replace("Sec-WebSocket-Accept", "X"),
            ACCEPTED.replace("HTTP/1.1", "HTTP/1.0"),
            ACCEPTED.replace("HTTP/1.1", "ICY"),
            format!("{ACCEPTED}Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            format!("{ACCEPTED}no field\r\n"),
            format!("{ACCEPTED}{}", "A: b\r\n".repeat(MAX_FIELDS)),
            format!("{ACCEPTED}A: {}\r\n", "b".repeat(MAX_HEAD_BYTES)),
        ];
        for response in responses {
            let response = response + "\r\n";
            assert!(result_of(request(), &response).is_err(), "{response}");
        }
        let start = "HTTP/1.1 101 ";
        let incomplete = start.to_owned() + &"x".repeat(MAX_HEAD_BYTES - start.len());
        assert!(result_of(request(), &incomplete).unwrap().is_none());
        assert!(result_of(request(), &(incomplete + "x")).is_err());
        // A first byte that does not begin a status line is refused at once.
        assert!(result_of(request(), "x").is_err());
    }

    #[test]
    fn subprotocols_and_extensions_that_were_not_offered_are_refused() {
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
    fn invalid_requests_are_not_encoded() {
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
            assert!(matches!(failure, HandshakeError::Request(_)), "{wrong:?}");
        }
    }

    #[test]
    fn each_request_has_a_different_key() {
        let key = |(bytes, _): (Vec<u8>, ResponseDecoder)| String::from_utf8(bytes).unwrap();
        let first = key(request().finish().unwrap());
        assert_ne!(first, key(request().finish().unwrap()));
    }
}
