//! The owner: the worker with the session. The connections of the session's requests and WebSockets are in other workers, the edges.

use std::rc::{Rc, Weak};

use bytes::{Bytes, BytesMut};
use uptick_websocket::{CloseCode, Message, Payload, Sent, Text};

use super::edge::append_piece;
use super::message::{LAST, MessageKind, TEXT, WorkerMessage};
use super::{Cluster, ExchangeKey, Tag};
use crate::engine::client::Client;
use crate::engine::polling::{poll_aborted, post_aborted};
use crate::engine::refusal::RefusalCode;
use crate::engine::session_id::SessionId;
use crate::engine::waiting::{RequestHandle, RequestOutcome};
use crate::engine::websocket::WebSocketHandle;
use crate::protocol::session::{Input, PostFailure, Transport};

/// Flag: the frame is sent from the owner to the edge.
pub(super) const FROM_OWNER: u8 = 4;

/// Number of bytes of frames in flight to a WebSocket above which it is blocked: 256 KiB.
const WINDOW: usize = 256 * 1024;

/// Number of bytes in flight below which a blocked WebSocket is writable again.
const LOW_MARK: usize = 64 * 1024;

/// A request that another worker received.
pub(in crate::engine) struct RemoteRequest {
    cluster: Weak<Cluster>,
    key: ExchangeKey,
}

/// A request of a session of this worker.
pub(super) struct OwnedRequest {
    client: Client,
    handle: RequestHandle,
    is_post: bool,
    /// The received part of the body of a POST request.
    body: BytesMut,
}

/// A WebSocket whose connection is in another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine) struct RemoteWebSocket {
    key: ExchangeKey,
}

/// A WebSocket of a session of this worker.
pub(super) struct OwnedWebSocket {
    client: Client,
    in_flight: usize,
    blocked: bool,
    /// The received part of a message.
    partial: BytesMut,
}

impl RemoteRequest {
    /// Sends the outcome to the worker that received the request.
    pub(in crate::engine) fn complete(&self, outcome: RequestOutcome) {
        if let Some(cluster) = self.cluster.upgrade() {
            // Further outcomes are ignored.
            let open = cluster.requests.borrow_mut().remove(&self.key).is_some();
            if open {
                cluster.answer(self.key, outcome);
            }
        }
    }
}

impl Cluster {
    /// Sends the outcome of a request to its edge.
    fn answer(&self, (edge, number): ExchangeKey, outcome: RequestOutcome) {
        match outcome {
            RequestOutcome::Payload(body) => {
                self.send_pieces(edge, MessageKind::Payload, number, 0, &body)
            }
            RequestOutcome::Ok => self.send(edge, MessageKind::Ok, number, LAST, &[]),
            RequestOutcome::Status(status) => {
                self.send(
                    edge,
                    MessageKind::Status,
                    number,
                    LAST,
                    &status.to_le_bytes(),
                );
            }
            RequestOutcome::Refuse(code) => {
                self.send(edge, MessageKind::Refuse, number, LAST, &[code as u8])
            }
            RequestOutcome::Abort => self.send(edge, MessageKind::Abort, number, LAST, &[]),
        }
    }

    /// Handles a message from the edge of an exchange.
    pub(super) fn receive_as_owner(&self, message: WorkerMessage) {
        let key = (message.from, message.number);
        match message.kind {
            MessageKind::Poll | MessageKind::Post => self.begin(key, message.kind, &message.body),
            MessageKind::PollAborted => self.failed(key, PostFailure::Aborted),
            MessageKind::PollReleased => self.release_poll(key),
            MessageKind::PostBody => self.post_body(key, &message),
            MessageKind::PostFailed => self.failed(
                key,
                match message.body.first() {
                    Some(0) => PostFailure::TooLarge,
                    Some(1) => PostFailure::InvalidContent,
                    Some(2) => PostFailure::TimedOut,
                    _ => PostFailure::Aborted,
                },
            ),
            MessageKind::Check => {
                let outcome = match self.find(&message.body) {
                    Some(_) => RequestOutcome::Ok,
                    None => RequestOutcome::Refuse(RefusalCode::UnknownSession),
                };
                self.answer(key, outcome);
            }
            MessageKind::Open => self.open(key, &message.body),
            MessageKind::Frame => self.message(key, &message),
            MessageKind::Written => self.written(key, message.value()),
            MessageKind::Failed => self.end_websocket(key, Input::WebSocketFailed),
            MessageKind::Closed => self.end_websocket(key, Input::WebSocketClosed),
            _ => {}
        }
    }

    fn find(&self, sid: &Bytes) -> Option<Client> {
        let sid = SessionId::parse(std::str::from_utf8(sid).ok()?)?;
        self.engine.upgrade()?.find(&sid)
    }

    /// Starts a request.
    fn begin(&self, key: ExchangeKey, kind: MessageKind, sid: &Bytes) {
        let found = self
            .find(sid)
            .and_then(|client| Some((client, client.state()?)));
        let Some((client, state)) = found else {
            return self.answer(key, RequestOutcome::Refuse(RefusalCode::UnknownSession));
        };
        if client.transport() != Some(Transport::Polling) {
            return self.answer(key, RequestOutcome::Refuse(RefusalCode::BadRequest));
        }
        let is_post = kind == MessageKind::Post;
        if !is_post {
            state.catch_up();
            if state.client().is_none() {
                return self.answer(key, RequestOutcome::Refuse(RefusalCode::UnknownSession));
            }
        }
        let handle = RequestHandle::Remote(Rc::new(RemoteRequest {
            cluster: Weak::clone(&self.this),
            key,
        }));
        let request = OwnedRequest {
            client,
            handle: handle.clone(),
            is_post,
            body: BytesMut::new(),
        };
        self.requests.borrow_mut().insert(key, request);
        match is_post {
            true => {
                state.with_requests(|all| all.set_post(handle));
                state.input(Input::PostStarted);
            }
            false => {
                state.with_requests(|all| all.set_poll(handle));
                state.input(Input::Poll);
            }
        }
    }

    /// Answers a poll whose edge is shutting down, so that the client sends the next one to another worker.
    fn release_poll(&self, key: ExchangeKey) {
        let client = self.requests.borrow().get(&key).map(|all| all.client);
        if let Some(state) = client.and_then(Client::state) {
            state.input(Input::PollReleased);
        }
    }

    fn post_body(&self, key: ExchangeKey, message: &WorkerMessage) {
        let received = {
            let mut requests = self.requests.borrow_mut();
            // The request may already have been answered.
            let Some(request) = requests.get_mut(&key) else {
                return;
            };
            append_piece(&mut request.body, message).map(|body| (request.client, body))
        };
        if let Some((client, body)) = received {
            if let Some(state) = client.state() {
                state.input(Input::PostBody(body));
            }
            // No response is sent if the session is over.
            self.abort(key);
        }
    }

    /// Ends a request without an outcome.
    fn abort(&self, key: ExchangeKey) {
        if self.requests.borrow_mut().remove(&key).is_some() {
            self.answer(key, RequestOutcome::Abort);
        }
    }

    /// Handles the failure of a request at the edge.
    fn failed(&self, key: ExchangeKey, failure: PostFailure) {
        let found = self.requests.borrow().get(&key).map(|request| {
            let handle = request.handle.clone();
            (request.client, handle, request.is_post)
        });
        let Some((client, handle, is_post)) = found else {
            return;
        };
        match (is_post, failure) {
            (true, PostFailure::Aborted) => post_aborted(client, &handle),
            (true, failure) => {
                if let Some(state) = client.state() {
                    state.input(Input::PostFailed(failure));
                }
            }
            (false, _) => poll_aborted(client, &handle),
        }
        self.requests.borrow_mut().remove(&key);
    }

    /// Handles a WebSocket that an edge has accepted for a session.
    fn open(&self, key: ExchangeKey, sid: &Bytes) {
        let ws = RemoteWebSocket { key };
        let found = self
            .find(sid)
            .and_then(|client| Some((client, client.state()?)));
        let Some((client, state)) = found.filter(|(_, state)| state.session().can_upgrade()) else {
            return self.close_websocket(ws, Some(CloseCode::NO_STATUS));
        };
        let websocket = OwnedWebSocket {
            client,
            in_flight: 0,
            blocked: false,
            partial: BytesMut::new(),
        };
        self.websockets.borrow_mut().insert(key, websocket);
        state.set_websocket(WebSocketHandle::Remote(ws));
        state.input(Input::WebSocketOpened);
    }

    /// Handles a message from a WebSocket.
    fn message(&self, key: ExchangeKey, message: &WorkerMessage) {
        let received = {
            let mut websockets = self.websockets.borrow_mut();
            let Some(websocket) = websockets.get_mut(&key) else {
                return;
            };
            append_piece(&mut websocket.partial, message).map(|body| (websocket.client, body))
        };
        let Some((client, body)) = received else {
            return;
        };
        let frame = match message.flags & TEXT != 0 {
            true => Text::try_from(body.clone()).map_or(Message::Binary(body), Message::Text),
            false => Message::Binary(body),
        };
        let handle = Some(WebSocketHandle::Remote(RemoteWebSocket { key }));
        if let Some(state) = client.state().filter(|state| state.websocket() == handle) {
            state.websocket_message(frame);
        }
    }

    /// Handles a report that bytes were written to a WebSocket.
    fn written(&self, key: ExchangeKey, bytes: Option<u64>) {
        let bytes = usize::try_from(bytes.unwrap_or(0)).unwrap_or(usize::MAX);
        let drained = {
            let mut websockets = self.websockets.borrow_mut();
            let Some(websocket) = websockets.get_mut(&key) else {
                return;
            };
            websocket.in_flight = websocket.in_flight.saturating_sub(bytes);
            let drained = websocket.blocked && websocket.in_flight <= LOW_MARK;
            websocket.blocked &= !drained;
            drained.then_some(websocket.client)
        };
        let handle = Some(WebSocketHandle::Remote(RemoteWebSocket { key }));
        if let Some(client) = drained
            && let Some(state) = client.state().filter(|state| state.websocket() == handle)
        {
            state.input(Input::WebSocketDrained);
        }
    }

    fn end_websocket(&self, key: ExchangeKey, input: Input) {
        let websocket = self.websockets.borrow_mut().remove(&key);
        let handle = Some(WebSocketHandle::Remote(RemoteWebSocket { key }));
        if let Some(websocket) = websocket
            && let Some(state) = websocket
                .client
                .state()
                .filter(|state| state.websocket() == handle)
        {
            state.input(input);
        }
    }

    /// Sends a frame to a WebSocket.
    pub(in crate::engine) fn send_frame(&self, ws: RemoteWebSocket, payload: impl Payload) -> Sent {
        let length = payload.as_slice().len();
        let sent = {
            let mut websockets = self.websockets.borrow_mut();
            let Some(websocket) = websockets.get_mut(&ws.key) else {
                return Sent::Dropped;
            };
            websocket.in_flight += length;
            websocket.blocked |= websocket.in_flight >= WINDOW;
            match websocket.blocked {
                true => Sent::Buffered,
                false => Sent::Sent,
            }
        };
        let (edge, number) = ws.key;
        let text = if payload.is_text() { TEXT } else { 0 };
        let flags = FROM_OWNER | text;
        self.send_pieces(edge, MessageKind::Frame, number, flags, payload.as_slice());
        sent
    }

    /// Closes a WebSocket. Without a code, its connection is closed immediately.
    pub(in crate::engine) fn close_websocket(&self, ws: RemoteWebSocket, code: Option<CloseCode>) {
        self.websockets.borrow_mut().remove(&ws.key);
        let (edge, number) = ws.key;
        let code = code.map(|code| code.as_u16().to_le_bytes());
        let body = code.as_ref().map_or(&[][..], |code| &code[..]);
        self.send(edge, MessageKind::Close, number, LAST, body);
    }

    /// Ends the exchanges with an edge that exited.
    pub(super) fn end_as_owner(&self, edge: Tag) {
        let is_of_edge = |key: &&ExchangeKey| key.0 == edge;
        let requests: Vec<ExchangeKey> = {
            let requests = self.requests.borrow();
            requests.keys().filter(is_of_edge).copied().collect()
        };
        for key in requests {
            self.failed(key, PostFailure::Aborted);
        }
        let websockets: Vec<ExchangeKey> = {
            let websockets = self.websockets.borrow();
            websockets.keys().filter(is_of_edge).copied().collect()
        };
        for key in websockets {
            self.end_websocket(key, Input::WebSocketClosed);
        }
    }
}
