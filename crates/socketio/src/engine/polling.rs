//! HTTP long-polling: the requests of a session and their responses.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_http::{BodyError, Reply, Request, Response, StatusCode};

use super::client::Client;
use super::hooks::ResponseStage;
use super::mounted::MountedEngine;
use super::refusal::RefusalCode;
use super::state::ClientState;
use super::waiting::{OutcomeFuture, RequestHandle, RequestOutcome, WaitingRequest};
use crate::protocol::session::{Input, PostFailure};

/// The pending requests of a session.
#[derive(Default)]
pub(super) struct PollingRequests {
    poll: Option<RequestHandle>,
    post: Option<RequestHandle>,
    /// A request that overlaps with a pending one, until it is rejected.
    overlapping: Option<RequestHandle>,
}

impl PollingRequests {
    pub(super) fn is_empty(&self) -> bool {
        self.poll.is_none() && self.post.is_none() && self.overlapping.is_none()
    }

    pub(super) fn set_poll(&mut self, request: RequestHandle) {
        match self.poll {
            None => self.poll = Some(request),
            Some(_) => self.overlapping = Some(request),
        }
    }

    pub(super) fn set_post(&mut self, request: RequestHandle) {
        match self.post {
            None => self.post = Some(request),
            Some(_) => self.overlapping = Some(request),
        }
    }

    pub(super) fn respond_poll(&mut self, body: Bytes) {
        if let Some(poll) = self.poll.take() {
            poll.complete(RequestOutcome::Payload(body));
        }
    }

    pub(super) fn reject_poll(&mut self) {
        if let Some(poll) = self.overlapping.take().or_else(|| self.poll.take()) {
            poll.complete(RequestOutcome::Status(400));
        }
    }

    pub(super) fn respond_post(&mut self) {
        if let Some(post) = self.post.take() {
            post.complete(RequestOutcome::Ok);
        }
    }

    pub(super) fn reject_post(&mut self, status: u16) {
        if let Some(post) = self.overlapping.take().or_else(|| self.post.take()) {
            post.complete(RequestOutcome::Status(status));
        }
    }

    pub(super) fn abort_post(&mut self) {
        if let Some(post) = self.post.take() {
            post.complete(RequestOutcome::Abort);
        }
    }

    /// Removes a poll whose client disconnected. Returns `true` if it was pending.
    pub(super) fn forget_poll(&mut self, request: &RequestHandle) -> bool {
        self.poll.take_if(|poll| poll == request).is_some()
    }

    /// Removes a POST request whose client disconnected. Returns `true` if it was pending.
    pub(super) fn forget_post(&mut self, request: &RequestHandle) -> bool {
        self.post.take_if(|post| post == request).is_some()
    }
}

impl Drop for PollingRequests {
    fn drop(&mut self) {
        // The session ended without a response.
        let waiting = [self.poll.take(), self.post.take(), self.overlapping.take()];
        for request in waiting.into_iter().flatten() {
            request.complete(RequestOutcome::Abort);
        }
    }
}

/// Handles a polling request of a session.
pub(super) fn handle(mounted: &Rc<MountedEngine>, state: &ClientState, req: Request) -> Reply {
    match req.method().as_str() {
        "GET" => poll(mounted, state, req),
        "POST" => post(mounted, state, req),
        // The official server also uses this status.
        _ => mounted.complete(&req, RequestOutcome::Status(500), ResponseStage::Other),
    }
}

fn poll(mounted: &Rc<MountedEngine>, state: &ClientState, req: Request) -> Reply {
    state.catch_up();
    let Some(client) = state.client() else {
        return mounted.refuse(&req, RefusalCode::UnknownSession.into());
    };
    let request = WaitingRequest::new();
    let handle = RequestHandle::Local(Rc::clone(&request));
    state.with_requests(|all| all.set_poll(handle.clone()));
    state.input(Input::Poll);
    if let Some(outcome) = request.take() {
        return mounted.complete(&req, outcome, ResponseStage::Other);
    }
    let (waiting, ended) = (Rc::clone(&request), handle.clone());
    // A half-closed connection counts as closed: no official client half-closes it while it waits for a poll.
    req.on(Request::HALF_CLOSE, move |()| {
        poll_aborted(client, &ended);
        waiting.complete(RequestOutcome::Abort);
    });
    let wait = OutcomeFuture::new(request, move || poll_aborted(client, &handle));
    let mounted = Rc::clone(mounted);
    Reply::Later(Box::pin(async move {
        let outcome = wait.await;
        mounted.completed(&req, outcome, ResponseStage::Other)
    }))
}

/// Handles a poll whose client disconnected.
pub(super) fn poll_aborted(client: Client, request: &RequestHandle) {
    if let Some(state) = client.state()
        && state.with_requests(|all| all.forget_poll(request))
    {
        state.input(Input::PollAborted);
    }
}

fn post(mounted: &Rc<MountedEngine>, state: &ClientState, req: Request) -> Reply {
    let Some(client) = state.client() else {
        return mounted.refuse(&req, RefusalCode::UnknownSession.into());
    };
    let request = WaitingRequest::new();
    let handle = RequestHandle::Local(Rc::clone(&request));
    state.with_requests(|all| all.set_post(handle.clone()));
    state.input(Input::PostStarted);
    let limit = mounted.engine.session_options.max_payload;
    if let Some(failure) = check_post_head(&req, limit) {
        state.input(Input::PostFailed(failure));
    }
    if let Some(outcome) = request.take() {
        return mounted.complete(&req, outcome, ResponseStage::Other);
    }
    let mut body = Box::pin(req.bytes(limit));
    let mut wait = OutcomeFuture::new(Rc::clone(&request), move || post_aborted(client, &handle));
    let mut is_received = false;
    let mounted = Rc::clone(mounted);
    Reply::Later(Box::pin(async move {
        let outcome = poll_fn(|context| {
            let outcome = Pin::new(&mut wait).poll(context);
            if outcome.is_ready() || is_received {
                return outcome;
            }
            let Poll::Ready(body) = body.as_mut().poll(context) else {
                return Poll::Pending;
            };
            is_received = true;
            if let Some(state) = client.state() {
                state.input(match body {
                    Ok(body) => Input::PostBody(body),
                    Err(error) => Input::PostFailed(post_failure(&error)),
                });
            }
            // No response is sent if the session is over or the client disconnected.
            request.complete(RequestOutcome::Abort);
            Pin::new(&mut wait).poll(context)
        });
        let outcome = outcome.await;
        mounted.completed(&req, outcome, ResponseStage::Other)
    }))
}

/// Handles a POST request whose client disconnected.
pub(super) fn post_aborted(client: Client, request: &RequestHandle) {
    if let Some(state) = client.state()
        && state.with_requests(|all| all.forget_post(request))
    {
        state.input(Input::PostFailed(PostFailure::Aborted));
    }
}

/// Returns the response for an outcome; `None` for a refusal, or if the connection must be closed.
pub(super) fn response(outcome: RequestOutcome) -> Option<Response> {
    let response = match outcome {
        RequestOutcome::Payload(body) => {
            Response::binary(body).content_type("text/plain; charset=UTF-8")
        }
        RequestOutcome::Ok => Response::binary("ok").content_type("text/html"),
        RequestOutcome::Status(status) => {
            let status = StatusCode::from_u16(status);
            Response::new(status.unwrap_or(StatusCode::BAD_REQUEST))
        }
        RequestOutcome::Refuse(_) | RequestOutcome::Abort => return None,
    };
    Some(response.header("cache-control", "no-store"))
}

/// Checks the head of a POST request. Returns the failure if the request must be rejected before its body is received.
pub(super) fn check_post_head(req: &Request, limit: usize) -> Option<PostFailure> {
    let content_type = req.header("content-type").unwrap_or_default();
    if content_type.eq_ignore_ascii_case("application/octet-stream") {
        return Some(PostFailure::InvalidContent);
    }
    let length = req.content_length().unwrap_or(0);
    (length > limit as u64).then_some(PostFailure::TooLarge)
}

/// Converts a body error to the failure of the POST request.
pub(super) fn post_failure(error: &BodyError) -> PostFailure {
    match error {
        BodyError::TooLong { .. } => PostFailure::TooLarge,
        BodyError::TooSlow => PostFailure::TimedOut,
        BodyError::Closed => PostFailure::Aborted,
        _ => PostFailure::InvalidContent,
    }
}
