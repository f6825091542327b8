//! One attempt of a request on a connection, and the sending of its body.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, StatusCode};
use uptick_event_loop::Sleep;
use uptick_event_loop::driver::timeout;
use uptick_http::Channel;
use uptick_http::h1::client::ResponseHead;

use super::headers::Hop;
use super::progress::Progress;
use crate::body::{Pieces, RequestBody};
use crate::browser::Browser;
use crate::error::{ErrorKind, Failure};
use crate::pool::Lease;
use crate::transport::{Exchange, OutgoingBody, OutgoingRequest, begin_in_memory};

/// An exchange in progress, which is cancelled on drop.
pub(crate) struct Running {
    pub(super) exchange: Rc<Exchange>,
    /// The body of the request, until it was sent.
    sender: Option<BodySender>,
    /// `true` if the response has switched protocols.
    is_upgraded: bool,
}

impl Running {
    /// Sends the body of the request as far as the connection accepts it.
    pub(super) fn poll_send(&mut self, context: &mut Context<'_>) -> Result<(), Failure> {
        if let Some(sender) = &mut self.sender
            && let Poll::Ready(result) = sender.poll(&self.exchange, context)
        {
            self.sender = None;
            return result;
        }
        Ok(())
    }

    pub(super) fn take_upgraded(&mut self) -> Option<Channel> {
        std::mem::take(&mut self.is_upgraded).then(|| self.exchange.take_upgraded())?
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(channel) = self.take_upgraded() {
            channel.close();
        }
        self.exchange.cancel();
    }
}

/// Sends a request once, and waits for the head of the response.
pub(super) async fn send(
    browser: &Browser,
    hop: &Hop<'_>,
    body: &mut RequestBody,
    is_fresh: bool,
    progress: &Progress,
) -> Result<(ResponseHead, Running), Failure> {
    let settings = &browser.settings;
    let lease = match &settings.server {
        Some(_) => None,
        None => {
            let max_head = settings.exchange.max_head;
            let options = || settings.connect_options();
            let acquiring = browser.pool.acquire(&hop.host, options, is_fresh, max_head);
            Some(acquiring.await?)
        }
    };
    let is_http2 = lease.as_ref().is_some_and(Lease::is_http2);
    let waits = hop.expect_continue.is_some();
    let (kind, pieces) = match body.outgoing() {
        OutgoingBody::Bytes(bytes) if waits => {
            (OutgoingBody::Sized(bytes.len() as u64), body.open())
        }
        kind @ (OutgoingBody::Empty | OutgoingBody::Bytes(_)) => (kind, None),
        kind => (kind, body.open()),
    };
    if matches!(kind, OutgoingBody::Sized(_) | OutgoingBody::Stream) && pieces.is_none() {
        return Err(Failure::new(
            ErrorKind::InvalidRequest,
            "the body is a stream that was sent already",
        ));
    }
    let request = OutgoingRequest {
        method: hop.method,
        scheme: hop.url.scheme().as_str(),
        target: hop.target(is_http2),
        host: hop.authority(),
        fields: &hop.headers,
        body: kind,
        close: false,
        upgrade: hop.upgrade,
        settings: settings.exchange,
    };
    let (exchange, is_reused) = match (lease, &settings.server) {
        (Some(lease), _) => lease.begin(request)?,
        (None, Some(server)) => (begin_in_memory(server, request)?, false),
        (None, None) => return Err(Failure::closed_before_response()),
    };
    progress.begin_attempt(is_reused);
    let sender = pieces.map(|pieces| BodySender {
        wait: hop.expect_continue.map(|limit| Box::pin(timeout(limit))),
        pieces,
        trailers: body.trailers(),
    });
    let mut running = Running {
        exchange,
        sender,
        is_upgraded: false,
    };
    let head = poll_fn(|context| {
        running.poll_send(context)?;
        running.exchange.poll_head(context)
    })
    .await?;
    running.is_upgraded = head.status() == StatusCode::SWITCHING_PROTOCOLS;
    if !head.status().is_success() {
        // A server that refuses the request does not need the rest of its body.
        running.sender = None;
    }
    Ok((head, running))
}

/// The sending of a body whose pieces follow the head.
struct BodySender {
    /// The time to wait for an interim response with status 100.
    wait: Option<Pin<Box<Sleep>>>,
    pieces: Pieces,
    trailers: Option<Rc<dyn Fn() -> HeaderMap>>,
}

impl BodySender {
    /// Sends the body as far as the connection accepts it. The end of the exchange, or a final response before status 100, ends the sending.
    fn poll(
        &mut self,
        exchange: &Exchange,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        if let Some(wait) = &mut self.wait {
            if exchange.poll_continue(context).is_pending() {
                ready!(wait.as_mut().poll(context));
            } else if !exchange.is_continued() {
                return Poll::Ready(Ok(()));
            }
            self.wait = None;
        }
        while !exchange.is_done() {
            ready!(exchange.poll_writable(context));
            match ready!(self.pieces.as_mut().poll_next(context)) {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => exchange.write(piece),
                Some(Err(error)) => {
                    let reason = format!("the body of the request failed: {error}");
                    return Poll::Ready(Err(Failure::new(ErrorKind::InvalidRequest, reason)));
                }
                None => {
                    let trailers = self.trailers.as_ref().map(|create| create());
                    exchange.end(trailers.as_ref());
                    break;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}
