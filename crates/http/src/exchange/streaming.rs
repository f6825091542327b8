//! Responses whose body is sent in pieces: by a task, by a responder, or as a file.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::StreamExt;
use uptick_emitter::Excerpt;
use uptick_event_loop::spawn;
use uptick_stream::{Chunk, FileRange};

use super::panics::contained;
use super::parts::{COPIED, Piece};
use super::state::Exchange;
use super::state::Transport;
use crate::{BodyStream, HeaderMap, Response};

/// Sends a response that stands for an error.
type Fail = fn(&Rc<Exchange>, Response) -> bool;

/// The number of bytes of a stream that always has more after which others get their turn: 1 MiB.
const TURN: usize = 1024 * 1024;

/// Sends the body of a response that has begun as it comes.
///
/// A panic of the stream becomes a response that stands for an error, which `fail` sends.
pub(super) fn send_pieces(
    exchange: &Rc<Exchange>,
    transport: &dyn Transport,
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
                    if turn >= TURN {
                        turn = 0;
                        next_turn().await;
                    }
                    if !write(&this, piece) && !poll_fn(|cx| poll_writable(&this, cx)).await {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!("a response broke off: {}", Excerpt::new(error));
                    if let Some(transport) = this.live() {
                        transport.cut();
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

/// Lets others have their turn.
fn next_turn() -> impl Future<Output = ()> {
    let mut waited = false;
    poll_fn(move |context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
}

/// Sends a file as the body of a response that has begun; see [`send_pieces`].
pub(super) fn send_file(
    exchange: &Rc<Exchange>,
    transport: &dyn Transport,
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

/// Writes a piece of a response that has begun; returns `false` when the writer should wait, or nothing is taken.
pub(crate) fn write(exchange: &Exchange, piece: impl Chunk) -> bool {
    let Some(transport) = exchange.live() else {
        return false;
    };
    let slice = piece.as_slice();
    exchange.count_bytes(slice.len() as u64);
    if slice.len() <= COPIED {
        transport.write(exchange, Piece::Short(slice))
    } else {
        transport.write(exchange, Piece::Long(piece.into_bytes()))
    }
}

/// Ends a response that has begun; returns `false` when there is none. Only a client that accepts trailers gets them.
pub(crate) fn end(exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool {
    let trailers = trailers.filter(|_| exchange.head.accepts_trailers());
    let transport = exchange.live();
    transport.is_some_and(|transport| transport.finish(exchange, trailers))
}

/// Waits until more can be written; returns `false` when the exchange is over.
pub(crate) fn poll_writable(exchange: &Exchange, context: &Context<'_>) -> Poll<bool> {
    match exchange.live() {
        Some(transport) if transport.is_full() => {
            exchange.extras(|extras| extras.writer = Some(context.waker().clone()));
            Poll::Pending
        }
        Some(_) => Poll::Ready(true),
        None => Poll::Ready(false),
    }
}
