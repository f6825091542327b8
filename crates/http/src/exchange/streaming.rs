//! Responses whose body is sent in pieces: by a task, by a responder, or as a file.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::StreamExt;
use uptick_emitter::Excerpt;
use uptick_event_loop::spawn;
use uptick_stream::{Chunk, FileRange};

use super::panics::contained;
use super::parts::{BodyPiece, MAX_COPIED};
use super::state::Exchange;
use super::state::ExchangeTransport;
use crate::message::Version;
use crate::{BodyStream, HeaderMap, Response};

/// A function that sends an error response.
type Fail = fn(&Rc<Exchange>, Response) -> bool;

/// Number of bytes after which a stream that is always ready yields to other tasks: 1 MiB.
const YIELD_AFTER: usize = 1024 * 1024;

/// Sends the body of a started response as the stream produces it.
///
/// If the stream panics, `fail` sends the error response.
pub(super) fn send_pieces(
    exchange: &Rc<Exchange>,
    transport: &dyn ExchangeTransport,
    stream: BodyStream,
    fail: Fail,
) -> bool {
    let (mut pieces, trailers) = stream.into_parts();
    if !transport.sends_body(exchange) {
        transport.finish(exchange, None);
        return true;
    }
    let this = Rc::clone(exchange);
    let sending = async move {
        let mut turn = 0;
        while let Some(piece) = pieces.next().await {
            match piece {
                Ok(piece) => {
                    turn += piece.len();
                    if turn >= YIELD_AFTER {
                        turn = 0;
                        yield_now().await;
                    }
                    if !write(&this, piece) && !poll_fn(|cx| poll_writable(&this, cx)).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!("sending a response failed: {}", Excerpt::new(error));
                    if let Some(transport) = this.open_transport() {
                        transport.abort();
                    }
                    return;
                }
            }
        }
        end(&this, trailers.map(|make| make()).as_ref());
    };
    let this = Rc::clone(exchange);
    let task = spawn(async move {
        let sent = contained(async {
            sending.await;
            None
        });
        if let Some(panicked) = sent.await {
            fail(&this, panicked);
        }
    });
    exchange.keep_task(task);
    true
}

/// Yields to other tasks.
fn yield_now() -> impl Future<Output = ()> {
    let mut waited = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Sends a file as the body of a started response; see [`send_pieces`].
pub(super) fn send_file(
    exchange: &Rc<Exchange>,
    transport: &dyn ExchangeTransport,
    range: FileRange,
    fail: Fail,
) -> bool {
    match transport.write_file(exchange, range) {
        Ok(true) => {
            transport.finish(exchange, None);
        }
        Ok(false) => {
            let this = Rc::clone(exchange);
            let task = spawn(async move {
                if poll_fn(|context| poll_writable(&this, context)).await {
                    end(&this, None);
                }
            });
            exchange.keep_task(task);
        }
        Err(range) => {
            send_pieces(exchange, transport, BodyStream::file(range), fail);
        }
    }
    true
}

/// Writes a body piece of a started response. Returns `false` if the writer should wait, or if the piece is not accepted.
pub(crate) fn write(exchange: &Exchange, piece: impl Chunk) -> bool {
    let Some(transport) = exchange.open_transport() else {
        return false;
    };
    let slice = piece.as_slice();
    exchange.count_bytes(slice.len() as u64);
    if slice.len() <= MAX_COPIED {
        transport.write(exchange, BodyPiece::Short(slice))
    } else {
        transport.write(exchange, BodyPiece::Long(piece.into_bytes()))
    }
}

/// Ends a started response. Returns `false` if there is none. HTTP/1 clients that do not request trailers do not get them.
pub(crate) fn end(exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool {
    let trailers = trailers.filter(|_| {
        // Every HTTP/2 client reads them, as they need no framing of their own.
        exchange.head.version() == Version::Http2 || exchange.head.accepts_trailers()
    });
    let transport = exchange.open_transport();
    transport.is_some_and(|transport| transport.finish(exchange, trailers))
}

/// Waits until more can be written. Returns `false` if the exchange has ended.
pub(crate) fn poll_writable(exchange: &Exchange, context: &Context<'_>) -> Poll<bool> {
    match exchange.open_transport() {
        Some(transport) if transport.is_full() => {
            exchange.extended(|extended| extended.writer = Some(context.waker().clone()));
            Poll::Pending
        }
        Some(_) => Poll::Ready(true),
        None => Poll::Ready(false),
    }
}
