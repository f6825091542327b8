//! The owner: the worker with the session, whose requests and WebSockets have their connections in other workers.

use std::rc::{Rc, Weak};

use bytes::{Bytes, BytesMut};
use uptick_websocket::{CloseCode, Message, Payload, Sent, Text};

use super::edge::whole;
use super::message::{ClusterMessage, Kind, LAST, TEXT};
use super::{Cluster, Key, Tag};
use crate::engine::client::Client;
use crate::engine::polling::{poll_aborted, post_aborted};
use crate::engine::refusal::RefusalCode;
use crate::engine::session_id::SessionId;
use crate::engine::waiting::{Outcome, RequestHandle};
use crate::engine::websocket::WebSocketHandle;
use crate::protocol::session::{Input, PostFailure, Transport};

/// Flag: the frame is sent from the owner to the edge.
pub(super) const FROM_OWNER: u8 = 4;

/// Number of bytes of frames in flight to a WebSocket above which it is blocked: 256 KiB.
const WINDOW: usize = 256 * 1024;

/// Number of bytes in flight below which a blocked WebSocket is writable again.
const LOW: usize = 64 * 1024;

/// A request that another worker received.
pub(in crate::engine) struct RemoteRequest {
    cluster: Weak<Cluster>,
    key: Key,
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
    key: Key,
}

/// A WebSocket of a session of this worker.
pub(super) struct OwnedWebSocket {
    client: Client,
    under_way: usize,
    blocked: bool,
    /// The received part of a message.
    partial: BytesMut,
}

impl RemoteRequest {
    /// Sends the outcome to the worker that received the request.
    pub(in crate::engine) fn complete(&self, outcome: Outcome) {
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
    fn answer(&self, (edge, number): Key, outcome: Outcome) {
        match outcome {
            Outcome::Payload(body) => self.send_pieces(edge, Kind::Payload, number, 0, &body),
            Outcome::Ok => self.send(edge, Kind::Ok, number, LAST, &[]),
            Outcome::Status(status) => {
                self.send(edge, Kind::Status, number, LAST, &status.to_le_bytes());
            }
            Outcome::Refuse(code) => self.send(edge, Kind::Refuse, number, LAST, &[code as u8]),
            Outcome::Abort => self.send(edge, Kind::Abort, number, LAST, &[]),
        }
    }

    /// Handles a message from the edge of an exchange.
    pub(super) fn receive_as_owner(&self, message: ClusterMessage) {
        let key = (message.from, message.number);
        match message.kind {
            Kind::Poll | Kind::Post => self.begin(key, message.kind, &message.body),
            Kind::PollAborted => self.failed(key, PostFailure::Aborted),
            Kind::PollReleased => self.release_poll(key),
            Kind::PostBody => self.post_body(key, &message),
            Kind::PostFailed => self.failed(
                key,
                match message.body.first() {
                    Some(0) => PostFailure::TooLarge,
                    Some(1) => PostFailure::InvalidContent,
                    Some(2) => PostFailure::TimedOut,
                    _ => PostFailure::Aborted,
                },
            ),
            Kind::Check => {
                let outcome = match self.find(&message.body) {
                    Some(_) => Outcome::Ok,
                    None => Outcome::Refuse(RefusalCode::UnknownSession),
                };
                self.answer(key, outcome);
            }
            Kind::Open => self.open(key, &message.body),
            Kind::Frame => self.message(key, &message),
            Kind::Written => self.written(key, message.value()),
            Kind::Failed => self.end_websocket(key, Input::WebSocketFailed),
            Kind::Closed => self.end_websocket(key, Input::WebSocketClosed),
            _ => {}
        }
    }

    fn find(&self, sid: &Bytes) -> Option<Client> {
        let sid = SessionId::parse(std::str::from_utf8(sid).ok()?)?;
        self.engine.upgrade()?.find(&sid)
    }

    /// Starts a request.
    fn begin(&self, key: Key, kind: Kind, sid: &Bytes) {
        let found = self
            .find(sid)
            .and_then(|client| Some((client, client.state()?)));
        let Some((client, state)) = found else {
            return self.answer(key, Outcome::Refuse(RefusalCode::UnknownSession));
        };
        if client.transport() != Some(Transport::Polling) {
            return self.answer(key, Outcome::Refuse(RefusalCode::BadRequest));
        }
        let is_post = kind == Kind::Post;
        if !is_post {
            state.catch_up();
            if state.client().is_none() {
                return self.answer(key, Outcome::Refuse(RefusalCode::UnknownSession));
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
    fn release_poll(&self, key: Key) {
        let client = self.requests.borrow().get(&key).map(|all| all.client);
        if let Some(state) = client.and_then(Client::state) {
            state.input(Input::PollReleased);
        }
    }

    fn post_body(&self, key: Key, message: &ClusterMessage) {
        let received = {
            let mut requests = self.requests.borrow_mut();
            // The request may already have been answered.
            let Some(request) = requests.get_mut(&key) else {
                return;
            };
            whole(&mut request.body, message).map(|body| (request.client, body))
        };
        if let Some((client, body)) = received {
            if let Some(state) = client.state() {
                state.input(Input::PostBody(body));
            }
            // No response is sent if the session is gone.
            self.abort(key);
        }
    }

    /// Ends a request without an outcome.
    fn abort(&self, key: Key) {
        if self.requests.borrow_mut().remove(&key).is_some() {
            self.answer(key, Outcome::Abort);
        }
    }

    /// Handles the failure of a request at the edge.
    fn failed(&self, key: Key, failure: PostFailure) {
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
    fn open(&self, key: Key, sid: &Bytes) {
        let ws = RemoteWebSocket { key };
        let found = self
            .find(sid)
            .and_then(|client| Some((client, client.state()?)));
        let Some((client, state)) = found.filter(|(_, state)| state.session().can_upgrade()) else {
            return self.close_websocket(ws, Some(CloseCode::NO_STATUS));
        };
        let websocket = OwnedWebSocket {
            client,
            under_way: 0,
            blocked: false,
            partial: BytesMut::new(),
        };
        self.websockets.borrow_mut().insert(key, websocket);
        state.set_websocket(WebSocketHandle::Remote(ws));
        state.input(Input::WebSocketOpened);
    }

    /// Handles a message from a WebSocket.
    fn message(&self, key: Key, message: &ClusterMessage) {
        let received = {
            let mut websockets = self.websockets.borrow_mut();
            let Some(websocket) = websockets.get_mut(&key) else {
                return;
            };
            whole(&mut websocket.partial, message).map(|body| (websocket.client, body))
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
    fn written(&self, key: Key, bytes: Option<u64>) {
        let bytes = usize::try_from(bytes.unwrap_or(0)).unwrap_or(usize::MAX);
        let drained = {
            let mut websockets = self.websockets.borrow_mut();
            let Some(websocket) = websockets.get_mut(&key) else {
                return;
            };
            websocket.under_way = websocket.under_way.saturating_sub(bytes);
            let drained = websocket.blocked && websocket.under_way <= LOW;
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

    fn end_websocket(&self, key: Key, input: Input) {
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
            websocket.under_way += length;
            websocket.blocked |= websocket.under_way >= WINDOW;
            match websocket.blocked {
                true => Sent::Buffered,
                false => Sent::Sent,
            }
        };
        let (edge, number) = ws.key;
        let text = if payload.is_text() { TEXT } else { 0 };
        let flags = FROM_OWNER | text;
        self.send_pieces(edge, Kind::Frame, number, flags, payload.as_slice());
        sent
    }

    /// Closes a WebSocket. Without a code, its connection is closed immediately.
    pub(in crate::engine) fn close_websocket(&self, ws: RemoteWebSocket, code: Option<CloseCode>) {
        self.websockets.borrow_mut().remove(&ws.key);
        let (edge, number) = ws.key;
        let code = code.map(|code| code.as_u16().to_le_bytes());
        let body = code.as_ref().map_or(&[][..], |code| &code[..]);
        self.send(edge, Kind::Close, number, LAST, body);
    }

    /// Ends the exchanges with an edge that is gone.
    pub(super) fn end_as_owner(&self, edge: Tag) {
        let is_of_edge = |key: &&Key| key.0 == edge;
        let requests: Vec<Key> = {
            let requests = self.requests.borrow();
            requests.keys().filter(is_of_edge).copied().collect()
        };
        for key in requests {
            self.failed(key, PostFailure::Aborted);
        }
        let websockets: Vec<Key> = {
            let websockets = self.websockets.borrow();
            websockets.keys().filter(is_of_edge).copied().collect()
        };
        for key in websockets {
            self.end_websocket(key, Input::WebSocketClosed);
        }
    }
}
