//! Requests to a server in the same thread, without sockets.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method};
use uptick_event_loop::{JoinHandle, spawn};
use uptick_http::Channel;
use uptick_http::h1::Trailers;
use uptick_http::h1::client::{BodyLength, ResponseHead};
use uptick_http::test::{TestClient, TestError, TestExchange};

use super::{Exchange, ExchangeSettings, ExchangeTransport, Flow, OutgoingBody, OutgoingRequest};
use crate::error::{ErrorKind, Failure};
use crate::timeout::within;

/// Number of unread bytes of a request body from which the request waits.
const SOFT_LIMIT: usize = 64 * 1024;

/// Maximum number of unread bytes of a request body that the server accepts.
const MAX_UNREAD: usize = 16 * 1024 * 1024;

/// Sends a request to a server.
pub(crate) fn begin(
    server: &TestClient,
    request: OutgoingRequest<'_>,
) -> Result<Rc<Exchange>, Failure> {
    let OutgoingRequest {
        method, settings, ..
    } = request;
    let mut test = server
        .request(method.clone(), request.target)
        .secure(request.scheme == "https")
        .header("host", request.host);
    for (name, value) in request.fields {
        test = test.header(name.clone(), value.clone());
    }
    let left = match request.body {
        OutgoingBody::Sized(length) => Some(length),
        _ => None,
    };
    let started = match request.body {
        OutgoingBody::Empty => test.start(),
        OutgoingBody::Bytes(bytes) => test.body(bytes).start(),
        OutgoingBody::Sized(length) => test
            .header(CONTENT_LENGTH, HeaderValue::from(length))
            .start_streaming(),
        OutgoingBody::Stream => test.start_streaming(),
    };
    let test = Rc::new(started.map_err(failure)?);
    let exchange = Rc::new(Exchange::new(settings.read_ahead, settings.max_body));
    let transport = Rc::new(MemoryTransport {
        exchange: Rc::clone(&exchange),
        test: Rc::clone(&test),
        left: Cell::new(left),
        is_paused: Cell::new(false),
        reader: Cell::new(None),
        task: RefCell::new(None),
    });
    exchange.set_transport(Rc::<MemoryTransport>::clone(&transport));
    let is_head = *method == Method::HEAD;
    let reading = Rc::clone(&transport);
    let task = spawn(async move { reading.read(settings, is_head).await });
    *transport.task.borrow_mut() = Some(task);
    Ok(exchange)
}

/// An exchange in memory.
struct MemoryTransport {
    exchange: Rc<Exchange>,
    test: Rc<TestExchange>,
    /// Number of bytes of the request body that must follow, for a body with a length.
    left: Cell<Option<u64>>,
    is_paused: Cell<bool>,
    /// The waker of the task that reads the response, while it is paused.
    reader: Cell<Option<Waker>>,
    task: RefCell<Option<JoinHandle<()>>>,
}

impl MemoryTransport {
    /// Passes the response to the exchange.
    async fn read(&self, settings: ExchangeSettings, is_head: bool) {
        let head = self.test.head();
        let Some(head) = within(settings.first_byte_timeout, head).await else {
            let reason = "the response did not begin in time (ETIMEDOUT)";
            return self.fail(Failure::new(ErrorKind::FirstByteTimeout, reason));
        };
        match head {
            Ok((status, fields)) => {
                let body = match is_head {
                    true => BodyLength::None,
                    false => BodyLength::UntilClose,
                };
                let head = ResponseHead::from_map(status, &fields, body);
                self.exchange.head(head);
            }
            Err(_) => return self.fail(Failure::closed_before_response()),
        }
        loop {
            let piece = self.test.piece();
            let Some(piece) = within(settings.read_timeout, piece).await else {
                let reason = "the response paused for too long (ETIMEDOUT)";
                return self.fail(Failure::new(ErrorKind::ReadTimeout, reason));
            };
            let piece = match piece {
                Ok(Some(piece)) => piece,
                Ok(None) => {
                    let trailers = self.test.trailers();
                    let trailers = (!trailers.is_empty()).then(|| Trailers::from_map(&trailers));
                    return self.exchange.complete(trailers);
                }
                Err(_) => {
                    let reason = "the response was aborted before it was complete";
                    return self.fail(Failure::new(ErrorKind::ClosedInBody, reason));
                }
            };
            match self.exchange.data(&piece) {
                Flow::Continue => {}
                Flow::Pause => self.resumed().await,
                Flow::Stop => return self.test.disconnect(),
            }
        }
    }

    fn fail(&self, failure: Failure) {
        self.test.disconnect();
        self.exchange.fail(failure);
    }

    /// Fails the request because of its body.
    fn refuse_body(&self, reason: &'static str) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.cancel();
        }
        self.fail(Failure::new(ErrorKind::InvalidRequest, reason));
    }

    /// Waits until the response is to be read further.
    async fn resumed(&self) {
        self.is_paused.set(true);
        poll_fn(|context| {
            if !self.is_paused.get() {
                return Poll::Ready(());
            }
            self.reader.set(Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

impl ExchangeTransport for MemoryTransport {
    fn write(&self, piece: Bytes) -> bool {
        if let Some(left) = self.left.get() {
            let Some(rest) = left.checked_sub(piece.len() as u64) else {
                self.refuse_body("the body of the request is longer than its Content-Length");
                return true;
            };
            self.left.set(Some(rest));
        }
        if piece.len() > MAX_UNREAD - self.test.unread().min(MAX_UNREAD) {
            self.refuse_body("a piece of the body of the request is longer than 16 MiB");
            return true;
        }
        if !self.test.push(piece) {
            // The server has ended the exchange.
            return true;
        }
        if self.test.unread() < SOFT_LIMIT {
            return true;
        }
        let (test, exchange) = (Rc::clone(&self.test), Rc::clone(&self.exchange));
        spawn(async move {
            test.drained().await;
            exchange.writable();
        });
        false
    }

    fn end(&self, _trailers: Option<&HeaderMap>) {
        if self.left.get().is_some_and(|left| left > 0) {
            return self.refuse_body("the body of the request is shorter than its Content-Length");
        }
        self.test.end();
    }

    fn resume(&self) {
        self.is_paused.set(false);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    fn take_upgraded(&self) -> Option<Channel> {
        self.test.take_channel()
    }

    fn cancel(&self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.cancel();
        }
        self.test.disconnect();
    }
}

fn failure(error: TestError) -> Failure {
    match error {
        TestError::InvalidRequest { reason, .. } => Failure::new(ErrorKind::InvalidRequest, reason),
        error => Failure::new(ErrorKind::Connect, error.to_string()),
    }
}
