//! The bodies of proxied messages.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::Stream;
use http::HeaderMap;
use uptick_http::{BodyError, BodyReader, Request};

use super::balancer::ActiveRequest;
use crate::body::RequestBody;
use crate::browser::StreamingResponse;
use crate::error::Error;

/// The progress of the body of a client's request.
#[derive(Default)]
pub(super) struct ClientBodyState {
    /// `true` once a piece was requested from the client.
    pub(super) is_started: Cell<bool>,
    pub(super) error: RefCell<Option<BodyError>>,
}

/// The body of a client's request.
struct ClientBody {
    reader: BodyReader,
    state: Rc<ClientBodyState>,
}

impl Stream for ClientBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.state.is_started.set(true);
        let polled = Pin::new(&mut self.reader).poll_next(context);
        if let Poll::Ready(Some(Err(error))) = &polled {
            *self.state.error.borrow_mut() = Some(error.clone());
        }
        polled
    }
}

/// Returns the body of a client's request as a body for a server.
pub(super) fn request_body(
    request: &Rc<Request>,
    limit: Option<usize>,
    state: &Rc<ClientBodyState>,
) -> RequestBody {
    let length = request.content_length();
    if length == Some(0) {
        return RequestBody::default();
    }
    let mut reader = request.body_stream();
    if let Some(limit) = limit {
        reader = reader.limited(limit);
    }
    let body = RequestBody::stream(ClientBody {
        reader,
        state: Rc::clone(state),
    });
    match length {
        Some(length) => body.with_length(length),
        None => {
            let request = Rc::clone(request);
            body.with_trailers(move || {
                let mut trailers = request.trailers().unwrap_or_default();
                super::headers::remove_connection_headers(&mut trailers);
                trailers
            })
        }
    }
}

/// The trailers of a response, once its body has ended.
pub(super) type ReceivedTrailers = Rc<RefCell<Option<HeaderMap>>>;

/// The body of a server's response. Dropping it cancels the request.
pub(super) struct ServerBody {
    pub(super) response: StreamingResponse,
    pub(super) trailers: ReceivedTrailers,
    pub(super) _active: ActiveRequest,
}

impl Stream for ServerBody {
    type Item = Result<Bytes, Error>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = Pin::new(&mut self.response).poll_next(context);
        if let Poll::Ready(None) = &polled
            && let Some(trailers) = self.response.trailers()
        {
            let mut trailers = trailers.to_header_map();
            super::headers::remove_connection_headers(&mut trailers);
            *self.trailers.borrow_mut() = Some(trailers);
        }
        polled
    }
}
