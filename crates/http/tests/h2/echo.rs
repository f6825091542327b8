//! A server and a client that use a connection as a program does: with queues, windows and trailers.

use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use uptick_http::h1::RequestHead;
use uptick_http::h2::{
    Connection, ErrorCode, Event, Limits, Request, RequestFields, ResponseBody, ResponseHead,
    StreamKey,
};

/// The data of a stream.
#[derive(Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) status: Option<StatusCode>,
    pub(crate) received: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
    /// The body to be sent.
    queue: BytesMut,
    trailers_to_send: Option<HeaderMap>,
}

/// One side of a connection. A server answers each request with its body and, if it had trailers, with trailers.
pub(crate) struct Side {
    pub(crate) connection: Connection<Exchange>,
    head: RequestHead,
    pub(crate) out: Vec<u8>,
    /// The responses to requests.
    pub(crate) responses: Vec<(u32, Exchange)>,
    pub(crate) resets: Vec<(u32, ErrorCode)>,
    is_server: bool,
    /// `true` after the first bytes.
    pub(crate) has_received: bool,
    /// Maximum size of a piece of a body.
    pub(crate) piece: usize,
}

impl Side {
    pub(crate) fn server(limits: &Limits) -> Side {
        Side::new(Connection::server(limits), true)
    }

    pub(crate) fn client(limits: &Limits) -> Side {
        Side::new(Connection::client(limits), false)
    }

    fn new(connection: Connection<Exchange>, is_server: bool) -> Side {
        let mut side = Side {
            connection,
            head: RequestHead::default(),
            out: Vec::new(),
            responses: Vec::new(),
            resets: Vec::new(),
            is_server,
            has_received: false,
            piece: 5000,
        };
        side.connection.write_control(&mut side.out);
        side
    }

    /// Sends a request with a body of this length, and with trailers if `trailers` is set.
    pub(crate) fn request(&mut self, length: usize, trailers: bool) -> u32 {
        let mut exchange = Exchange::default();
        exchange.queue.extend_from_slice(&body(length));
        exchange.trailers_to_send = trailers.then(sum);
        let body = match (length, trailers) {
            (0, false) => ResponseBody::Empty,
            (_, true) => ResponseBody::Stream,
            (length, false) => ResponseBody::Bytes(length as u64),
        };
        let mut fields = HeaderMap::new();
        fields.insert("x-own", HeaderValue::from_static("value"));
        let request = Request {
            method: &Method::POST,
            scheme: "http",
            authority: "a.example",
            path: "/echo?query",
            protocol: None,
            fields: RequestFields::from(&fields),
            body,
        };
        let key = self
            .connection
            .open(&request, exchange, &mut self.out)
            .unwrap();
        if body != ResponseBody::Empty {
            self.connection.set_pending(key, true);
        }
        key.id()
    }

    /// Receives bytes, and appends to `out`.
    pub(crate) fn receive(&mut self, input: &mut BytesMut) {
        self.has_received |= !input.is_empty();
        while let Some(event) =
            self.connection
                .receive(input, &mut self.head, Duration::from_secs(1))
        {
            self.handle(event);
        }
        self.connection.write_control(&mut self.out);
        self.send();
        self.connection.write_control(&mut self.out);
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Request { stream, end } => {
                assert_eq!(self.head.raw_path(), "/echo");
                assert_eq!(self.head.field("x-own"), Some(&b"value"[..]));
                self.connection.accept(stream, Exchange::default());
                if end {
                    self.ended(stream);
                }
            }
            Event::Response { stream, head, end } => {
                let length = head.field("content-length").map(<[u8]>::to_vec);
                let status = head.status();
                assert!(length.is_none() || !head.fields().any(|(name, _)| name.starts_with(':')));
                self.connection.get_mut(stream).unwrap().status = Some(status);
                if end {
                    self.ended(stream);
                }
            }
            Event::Data { stream, bytes, end } => {
                let exchange = self.connection.get_mut(stream).unwrap();
                exchange.received.extend_from_slice(&bytes);
                self.connection.consumed(stream, bytes.len());
                if end {
                    self.ended(stream);
                }
            }
            Event::Trailers { stream, trailers } => {
                let exchange = self.connection.get_mut(stream).unwrap();
                exchange.trailers = Some(trailers.to_header_map());
                self.ended(stream);
            }
            Event::Reset { stream, code } => {
                self.connection.remove(stream);
                self.resets.push((stream.id(), code));
            }
            Event::WindowOpened | Event::Interim { .. } | Event::GoAway { .. } => {}
            other => panic!("{other:?}"),
        }
    }

    /// Handles the end of the message of the peer.
    fn ended(&mut self, stream: StreamKey) {
        if !self.is_server {
            let exchange = self.connection.remove(stream).unwrap();
            self.responses.push((stream.id(), exchange));
            return;
        }
        let exchange = self.connection.get_mut(stream).unwrap();
        let received = std::mem::take(&mut exchange.received);
        exchange.queue.extend_from_slice(&received);
        exchange.trailers_to_send = exchange.trailers.take();
        let body = match (received.len(), &exchange.trailers_to_send) {
            (_, Some(_)) => ResponseBody::Stream,
            (0, None) => ResponseBody::Empty,
            (length, None) => ResponseBody::Bytes(length as u64),
        };
        let head = ResponseHead {
            status: StatusCode::OK,
            content_type: Some("text/plain"),
            date: Some(b"Sun, 06 Nov 1994 08:49:37 GMT"),
            fields: None,
            body,
            to_head: false,
        };
        match self
            .connection
            .send_head(stream, &head, false, &mut self.out)
        {
            Ok(true) => self.connection.set_pending(stream, true),
            _ => {
                self.connection.remove(stream);
            }
        }
    }

    /// Sends pending bodies as far as the windows allow.
    fn send(&mut self) {
        while let Some(stream) = self.connection.next_pending() {
            let most = self.connection.capacity(stream).min(self.piece);
            let exchange = self.connection.get_mut(stream).unwrap();
            let count = most.min(exchange.queue.len());
            let piece = exchange.queue.split_to(count);
            let all = !exchange.queue.has_remaining();
            let trailers = exchange.trailers_to_send.take_if(|_| all);
            let end = all && trailers.is_none();
            self.connection
                .send_data(stream, &piece, end, &mut self.out)
                .unwrap();
            if let Some(trailers) = trailers {
                self.connection
                    .send_trailers(stream, &trailers, &mut self.out)
                    .unwrap();
            }
            if all {
                self.connection.set_pending(stream, false);
                if self.is_server {
                    self.connection.remove(stream);
                }
            }
        }
    }
}

/// Returns the trailers of all messages.
pub(crate) fn sum() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("12345"));
    trailers
}

/// Returns a body of this length.
pub(crate) fn body(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8).collect()
}
