//! The task of an event source: requests, and the delays between them.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, select};
use http::StatusCode;
use uptick_emitter::emit;
use uptick_event_loop::sleep;

use super::connector::{OpenedStream, StreamBody, StreamConnector};
use super::handle::{EventSource, EventSourceRetry, ReadyState};
use super::parser::{EventParser, EventParserError};
use super::settings::EventSourceSettings;
use crate::error::{Error, ErrorKind, ErrorParts};

pub(super) struct EventSession {
    source: EventSource,
    url: String,
    connector: Box<dyn StreamConnector>,
    settings: EventSourceSettings,
    parser: EventParser,
    /// The number of consecutive requests without an event.
    failed: u32,
}

/// The end of a request.
enum RequestEnd {
    /// Another request follows, for this reason, and not before this time.
    Lost(Option<Error>, Option<Duration>),
    Failed(Error),
    /// The server has no more events (204), or the source was closed.
    Finished,
}

impl EventSession {
    pub(super) fn new(
        source: EventSource,
        url: String,
        connector: Box<dyn StreamConnector>,
        settings: EventSourceSettings,
    ) -> Self {
        let mut parser = EventParser::with_limits(settings.limits);
        parser.set_last_event_id(&settings.last_event_id);
        EventSession {
            source,
            url,
            connector,
            settings,
            parser,
            failed: 0,
        }
    }

    /// Sends requests until the source is closed or has failed.
    pub(super) async fn run(mut self) {
        // A panic of a listener closes the source too.
        let _finish = FinishOnDrop(self.source);
        loop {
            let (reason, retry_after) = match self.request().await {
                RequestEnd::Lost(reason, retry_after) => (reason, retry_after),
                RequestEnd::Failed(error) => return self.fail(error),
                RequestEnd::Finished => return,
            };
            if !self.source.is_open() {
                return;
            }
            self.failed = self.failed.saturating_add(1);
            let max = self.settings.max_retries;
            if max.is_some_and(|max| self.failed > max) {
                let error = reason.unwrap_or_else(|| {
                    let reason = "the stream ended repeatedly without an event";
                    self.error(ErrorKind::ClosedInBody, None, reason.to_owned())
                });
                return self.fail(error);
            }
            let retry = self.parser.retry();
            let delay = self.settings.delay(self.failed, retry, retry_after);
            self.source.set_ready_state(ReadyState::Connecting);
            let delayed = sleep(delay);
            let payload = EventSourceRetry {
                failed: self.failed,
                delay,
                reason,
            };
            emit(&self.source, EventSource::RETRY, payload);
            delayed.await;
        }
    }

    async fn request(&mut self) -> RequestEnd {
        let opened = self.connector.open(self.parser.last_event_id()).await;
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) if is_permanent(error.kind()) => return RequestEnd::Failed(error),
            Err(error) => return RequestEnd::Lost(Some(error), None),
        };
        if let Some(end) = self.check(&opened) {
            return end;
        }
        self.parser.restart(origin(&opened.url));
        self.source.set_ready_state(ReadyState::Open);
        emit(&self.source, EventSource::OPEN, ());
        self.read(opened.body).await
    }

    /// Returns the end of the request if the response is not a stream of events.
    fn check(&self, opened: &OpenedStream) -> Option<RequestEnd> {
        let status = opened.status;
        if status == StatusCode::NO_CONTENT {
            return Some(RequestEnd::Finished);
        }
        if status != StatusCode::OK {
            let reason = format!("the server responded with status {}", status.as_u16());
            let error = self.error(ErrorKind::Status, Some(status), reason);
            let retries = self.settings.retries_server_errors && status.is_server_error();
            return Some(match retries {
                true => RequestEnd::Lost(Some(error), opened.retry_after),
                false => RequestEnd::Failed(error),
            });
        }
        let content_type = opened.content_type.as_deref().unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if essence.eq_ignore_ascii_case("text/event-stream") {
            return None;
        }
        let reason = match essence {
            "" => "the response has no content type, expected text/event-stream".to_owned(),
            other => format!(
                "the response has the content type {}, expected text/event-stream",
                uptick_emitter::Excerpt::new(other)
            ),
        };
        let error = self.error(ErrorKind::ContentType, Some(status), reason);
        Some(RequestEnd::Failed(error))
    }

    /// Emits the events of a stream until it ends.
    async fn read(&mut self, mut body: StreamBody) -> RequestEnd {
        loop {
            if !self.source.is_open() {
                return RequestEnd::Finished;
            }
            let next = next_piece(&mut body, self.settings.idle_timeout).await;
            let piece = match next {
                Some(Some(Ok(piece))) => piece,
                Some(Some(Err(error))) => return RequestEnd::Lost(Some(error), None),
                Some(None) => return RequestEnd::Lost(None, None),
                None => {
                    let reason = "the server sent nothing for too long".to_owned();
                    let error = self.error(ErrorKind::ReadTimeout, Some(StatusCode::OK), reason);
                    return RequestEnd::Lost(Some(error), None);
                }
            };
            if let Err(error) = self.parse(piece) {
                let reason = error.to_string();
                let error = self.error(ErrorKind::TooLarge, Some(StatusCode::OK), reason);
                return RequestEnd::Failed(error);
            }
        }
    }

    /// Emits the events that received bytes complete.
    fn parse(&mut self, piece: Bytes) -> Result<(), EventParserError> {
        self.parser.push(piece);
        while let Some(event) = self.parser.next()? {
            self.failed = 0;
            if !self.source.set_last_event_id(&event.last_event_id) {
                // A listener has closed the source.
                return Ok(());
            }
            if self.source.has_any_listener() {
                emit(&self.source, EventSource::EVENT, event.clone());
            }
            if &*event.event == "message" && self.source.is_open() {
                emit(&self.source, EventSource::MESSAGE, event);
            }
        }
        Ok(())
    }

    fn fail(&self, error: Error) {
        self.source.set_ready_state(ReadyState::Closed);
        emit(&self.source, EventSource::ERROR, error);
    }

    fn error(&self, kind: ErrorKind, status: Option<StatusCode>, reason: String) -> Error {
        Error::of(ErrorParts {
            kind,
            request: format!("GET {}", self.url),
            reason: reason.into(),
            url: Some(self.url.clone()),
            status,
            attempts: 1,
            is_reused: false,
            response: None,
        })
    }
}

/// Returns the next piece of a body; `None` if nothing arrived within the limit.
async fn next_piece(
    body: &mut StreamBody,
    limit: Option<Duration>,
) -> Option<Option<Result<Bytes, Error>>> {
    let next = poll_fn(|context| body.as_mut().poll_next(context));
    let Some(limit) = limit else {
        return Some(next.await);
    };
    match select(pin!(next), pin!(sleep(limit))).await {
        Either::Left((piece, _)) => Some(piece),
        Either::Right(((), mut next)) => {
            // Bytes that arrived in time win, even if the loop was busy.
            poll_fn(|context| match next.as_mut().poll(context) {
                Poll::Ready(piece) => Poll::Ready(Some(piece)),
                Poll::Pending => Poll::Ready(None),
            })
            .await
        }
    }
}

/// Returns `true` if another request would fail in the same way.
fn is_permanent(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::InvalidUrl
            | ErrorKind::UnsupportedScheme
            | ErrorKind::InvalidRequest
            | ErrorKind::TooManyRedirects
    )
}

/// Returns the origin of a URL: the part before the path.
fn origin(url: &str) -> &str {
    let start = url.find("://").map_or(0, |colon| colon + 3);
    let rest = url.get(start..).unwrap_or_default();
    let length = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    url.get(..start + length).unwrap_or(url)
}

/// Ends an event source when its task ends.
struct FinishOnDrop(EventSource);

impl Drop for FinishOnDrop {
    fn drop(&mut self) {
        self.0.finish_later();
    }
}
