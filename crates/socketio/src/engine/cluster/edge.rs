//! The edge: the worker with the client's connection, which forwards requests and frames to the owner of the session.

use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use uptick_emitter::Emitter;
use uptick_http::{Reply, Request};
use uptick_websocket::{Accept, CloseCode, Closed, Error, Message, Sent, Text, WebSocket};

use super::message::{LAST, MessageKind, TEXT, WorkerMessage};
use super::{Cluster, Tag};
use crate::engine::hooks::ResponseStage;
use crate::engine::mounted::MountedEngine;
use crate::engine::polling::{check_post_head, post_failure};
use crate::engine::refusal::RefusalCode;
use crate::engine::session_id::SessionId;
use crate::engine::waiting::{OutcomeFuture, RequestOutcome, WaitingRequest};
use crate::protocol::session::{PostFailure, Transport};

/// Number of written bytes that are reported to the owner at once.
const REPORT_WRITTEN: usize = 32 * 1024;

/// An exchange whose connection is in this worker.
pub(super) struct EdgeExchange {
    owner: Tag,
    /// The received part of a payload or a frame.
    partial: BytesMut,
    connection: EdgeConnection,
}

enum EdgeConnection {
    Request(Rc<WaitingRequest>),
    WebSocket {
        ws: WebSocket,
        /// The number of written bytes that are not reported yet.
        written: usize,
        blocked: bool,
        /// `true` while reading is paused, because the queue to the owner is full.
        paused: bool,
    },
}

/// Forwards a request to the worker that has its session.
pub(in crate::engine) fn forward(
    mounted: &Rc<MountedEngine>,
    sid: SessionId,
    transport: Transport,
    req: Request,
) -> Reply {
    let Some(cluster) = mounted.engine.cluster() else {
        return mounted.refuse(&req, RefusalCode::UnknownSession.into());
    };
    match (transport, req.method().as_str()) {
        (Transport::WebSocket, _) => upgrade(mounted, cluster, sid, req),
        (Transport::Polling, "GET") => poll(mounted, cluster, sid, req),
        (Transport::Polling, "POST") => post(mounted, cluster, sid, req),
        // The official server also uses this status.
        _ => mounted.complete(&req, RequestOutcome::Status(500), ResponseStage::Other),
    }
}

fn poll(mounted: &Rc<MountedEngine>, cluster: &Rc<Cluster>, sid: SessionId, req: Request) -> Reply {
    let (number, request) = cluster.begin_request(MessageKind::Poll, sid);
    let (this, waiting) = (Rc::clone(cluster), Rc::clone(&request));
    req.on(Request::HALF_CLOSE, move |()| {
        this.end_exchange(number, MessageKind::PollAborted, &[]);
        waiting.complete(RequestOutcome::Abort);
    });
    let this = Rc::clone(cluster);
    let wait = OutcomeFuture::new(request, move || {
        this.end_exchange(number, MessageKind::PollAborted, &[]);
    });
    let mounted = Rc::clone(mounted);
    Reply::Later(Box::pin(async move {
        let outcome = wait.await;
        mounted.completed(&req, outcome, ResponseStage::Other)
    }))
}

fn post(mounted: &Rc<MountedEngine>, cluster: &Rc<Cluster>, sid: SessionId, req: Request) -> Reply {
    let (number, request) = cluster.begin_request(MessageKind::Post, sid);
    let this = Rc::clone(cluster);
    let failed = move |failure: PostFailure| {
        this.send_to_owner(number, MessageKind::PostFailed, &[failure_number(failure)]);
    };
    let limit = mounted.engine.session_options.max_payload;
    let failure = check_post_head(&req, limit);
    let mut is_received = failure.is_some();
    if let Some(failure) = failure {
        failed(failure);
    }
    let mut body = Box::pin(req.bytes(limit));
    let this = Rc::clone(cluster);
    let mut wait = OutcomeFuture::new(request, move || {
        let aborted = failure_number(PostFailure::Aborted);
        this.end_exchange(number, MessageKind::PostFailed, &[aborted]);
    });
    let this = Rc::clone(cluster);
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
            match body {
                Ok(body) => this.send_pieces(sid.tag(), MessageKind::PostBody, number, 0, &body),
                Err(error) => failed(post_failure(&error)),
            }
            Poll::Pending
        });
        let outcome = outcome.await;
        mounted.completed(&req, outcome, ResponseStage::Other)
    }))
}

/// Accepts a WebSocket if the owner still has the session.
fn upgrade(
    mounted: &Rc<MountedEngine>,
    cluster: &Rc<Cluster>,
    sid: SessionId,
    req: Request,
) -> Reply {
    let (number, request) = cluster.begin_request(MessageKind::Check, sid);
    let this = Rc::clone(cluster);
    let wait = OutcomeFuture::new(request, move || {
        this.exchanges.borrow_mut().remove(&number);
    });
    let cluster = Rc::clone(cluster);
    let mounted = Rc::clone(mounted);
    Reply::Later(Box::pin(async move {
        match wait.await {
            RequestOutcome::Ok => {
                let accept = Accept::new(move |ws: WebSocket| cluster.relay(sid, ws));
                let response = mounted.upgrader.upgrade(&req, accept);
                Some(mounted.respond(&req, response, ResponseStage::Other))
            }
            outcome => mounted.completed(&req, outcome, ResponseStage::Other),
        }
    }))
}

/// Returns the number that represents a failure in messages.
fn failure_number(failure: PostFailure) -> u8 {
    match failure {
        PostFailure::TooLarge => 0,
        PostFailure::InvalidContent => 1,
        PostFailure::TimedOut => 2,
        PostFailure::Aborted => 3,
    }
}

impl Cluster {
    fn add(&self, owner: Tag, connection: EdgeConnection) -> u64 {
        let number = self.next.get();
        self.next.set(number + 1);
        let exchange = EdgeExchange {
            owner,
            partial: BytesMut::new(),
            connection,
        };
        self.exchanges.borrow_mut().insert(number, exchange);
        number
    }

    /// Returns `true` if a message belongs to an exchange whose connection is in this worker.
    pub(super) fn is_from_owner(&self, message: &WorkerMessage) -> bool {
        // The owner marks its frames, because both workers send frames.
        message.flags & super::owner::FROM_OWNER != 0
    }

    fn begin_request(&self, kind: MessageKind, sid: SessionId) -> (u64, Rc<WaitingRequest>) {
        let request = WaitingRequest::new();
        let number = self.add(sid.tag(), EdgeConnection::Request(Rc::clone(&request)));
        self.send(sid.tag(), kind, number, LAST, sid.as_str().as_bytes());
        (number, request)
    }

    /// Sends a message about an exchange to its owner.
    fn send_to_owner(&self, number: u64, kind: MessageKind, body: &[u8]) {
        let owner = self.exchanges.borrow().get(&number).map(|all| all.owner);
        if let Some(owner) = owner {
            self.send(owner, kind, number, LAST, body);
        }
    }

    /// Ends an exchange whose client disconnected, and notifies the owner.
    fn end_exchange(&self, number: u64, kind: MessageKind, body: &[u8]) {
        self.send_to_owner(number, kind, body);
        self.exchanges.borrow_mut().remove(&number);
    }

    /// Requests immediate responses to polls from the owners, because this worker is shutting down.
    pub(in crate::engine) fn release_polls(&self) {
        let exchanges = self.exchanges.borrow();
        let requests = exchanges
            .iter()
            .filter(|(_, all)| matches!(all.connection, EdgeConnection::Request(_)));
        let numbers: Vec<u64> = requests.map(|(number, _)| *number).collect();
        drop(exchanges);
        for number in numbers {
            self.send_to_owner(number, MessageKind::PollReleased, &[]);
        }
    }

    /// Relays the messages of a WebSocket.
    fn relay(self: &Rc<Self>, sid: SessionId, ws: WebSocket) {
        let connection = EdgeConnection::WebSocket {
            ws,
            written: 0,
            blocked: false,
            paused: false,
        };
        let owner = sid.tag();
        let number = self.add(owner, connection);
        self.send(
            owner,
            MessageKind::Open,
            number,
            LAST,
            sid.as_str().as_bytes(),
        );
        let this = Rc::clone(self);
        ws.on(WebSocket::MESSAGE, move |message: Message| {
            this.relay_message(owner, number, &message);
        });
        let this = Rc::clone(self);
        ws.on(WebSocket::DRAIN, move |()| this.unblocked(number));
        let this = Rc::clone(self);
        ws.on(WebSocket::ERROR, move |error: Error| {
            if matches!(error, Error::Protocol(_)) {
                this.end_exchange(number, MessageKind::Failed, &[]);
            }
        });
        let this = Rc::clone(self);
        ws.on(WebSocket::CLOSE, move |_: Closed| {
            this.end_exchange(number, MessageKind::Closed, &[]);
        });
    }

    fn relay_message(&self, owner: Tag, number: u64, message: &Message) {
        let open = self.exchanges.borrow().contains_key(&number);
        if !open {
            return;
        }
        let flags = if message.is_text() { TEXT } else { 0 };
        self.send_pieces(owner, MessageKind::Frame, number, flags, message.as_bytes());
        if self.with_link(owner, |link| link.is_full()) == Some(true) {
            self.with_websocket(number, |connection| {
                if let EdgeConnection::WebSocket { ws, paused, .. } = connection {
                    *paused = true;
                    ws.pause();
                }
            });
        }
    }

    fn with_websocket<R>(
        &self,
        number: u64,
        f: impl FnOnce(&mut EdgeConnection) -> R,
    ) -> Option<R> {
        let mut exchanges = self.exchanges.borrow_mut();
        exchanges.get_mut(&number).map(|all| f(&mut all.connection))
    }

    /// Resumes reading from the WebSockets of a worker, because its queue is empty.
    pub(super) fn resume_websockets(&self, owner: Tag) {
        let mut resumed = Vec::new();
        for exchange in self.exchanges.borrow_mut().values_mut() {
            if exchange.owner == owner
                && let EdgeConnection::WebSocket { ws, paused, .. } = &mut exchange.connection
                && std::mem::take(paused)
            {
                resumed.push(*ws);
            }
        }
        resumed.into_iter().for_each(WebSocket::resume);
    }

    /// Reports the written bytes, because the WebSocket is writable again.
    fn unblocked(&self, number: u64) {
        let written = self.with_websocket(number, |connection| match connection {
            EdgeConnection::WebSocket {
                written, blocked, ..
            } => {
                *blocked = false;
                std::mem::take(written)
            }
            EdgeConnection::Request(_) => 0,
        });
        if let Some(written @ 1..) = written {
            self.send_to_owner(
                number,
                MessageKind::Written,
                &(written as u64).to_le_bytes(),
            );
        }
    }

    /// Handles a message from the owner of an exchange.
    pub(super) fn receive_as_edge(&self, message: WorkerMessage) {
        let number = message.number;
        let is_last = message.flags & LAST != 0;
        let append_piece = {
            let mut exchanges = self.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(&number) else {
                return;
            };
            if exchange.owner != message.from {
                return;
            }
            append_piece(&mut exchange.partial, &message)
        };
        let Some(body) = append_piece else { return };
        match message.kind {
            MessageKind::Frame => self.write_frame(number, message.flags, body),
            MessageKind::Close => self.close_relayed(number, &body),
            _ => {
                debug_assert!(is_last);
                let outcome = match message.kind {
                    MessageKind::Payload => RequestOutcome::Payload(body),
                    MessageKind::Ok => RequestOutcome::Ok,
                    MessageKind::Status => RequestOutcome::Status(two_bytes(&body).unwrap_or(400)),
                    MessageKind::Refuse => {
                        let code = body.first().copied().and_then(RefusalCode::of);
                        RequestOutcome::Refuse(code.unwrap_or(RefusalCode::BadRequest))
                    }
                    _ => RequestOutcome::Abort,
                };
                self.complete(number, outcome);
            }
        }
    }

    fn complete(&self, number: u64, outcome: RequestOutcome) {
        let exchange = self.exchanges.borrow_mut().remove(&number);
        match exchange.map(|exchange| exchange.connection) {
            Some(EdgeConnection::Request(request)) => request.complete(outcome),
            Some(EdgeConnection::WebSocket { ws, .. }) => ws.close(CloseCode::GOING_AWAY, ""),
            None => {}
        }
    }

    fn write_frame(&self, number: u64, flags: u8, body: Bytes) {
        let length = body.len();
        let found = self.with_websocket(number, |connection| match connection {
            EdgeConnection::WebSocket { ws, .. } => Some(*ws),
            EdgeConnection::Request(_) => None,
        });
        let Some(Some(ws)) = found else { return };
        let message = match flags & TEXT != 0 {
            true => Text::try_from(body.clone()).map_or(Message::Binary(body), Message::Text),
            false => Message::Binary(body),
        };
        let sent = ws.send(message);
        let due = self.with_websocket(number, |connection| match connection {
            EdgeConnection::WebSocket {
                written, blocked, ..
            } => {
                *written += length;
                *blocked |= sent == Sent::Buffered;
                let due = !*blocked && *written >= REPORT_WRITTEN;
                due.then(|| std::mem::take(written))
            }
            EdgeConnection::Request(_) => None,
        });
        if let Some(Some(written)) = due {
            self.send_to_owner(
                number,
                MessageKind::Written,
                &(written as u64).to_le_bytes(),
            );
        }
    }

    fn close_relayed(&self, number: u64, body: &Bytes) {
        let exchange = self.exchanges.borrow_mut().remove(&number);
        if let Some(EdgeExchange {
            connection: EdgeConnection::WebSocket { ws, .. },
            ..
        }) = exchange
        {
            match two_bytes(body) {
                Some(code) => ws.close(CloseCode::from(code), ""),
                None => ws.terminate(),
            }
        }
    }

    /// Ends the exchanges with an owner that exited.
    pub(super) fn end_as_edge(&self, owner: Tag) {
        let exchanges = self.exchanges.borrow();
        let of_owner = exchanges.iter().filter(|(_, all)| all.owner == owner);
        let numbers: Vec<u64> = of_owner.map(|(number, _)| *number).collect();
        drop(exchanges);
        for number in numbers {
            self.complete(number, RequestOutcome::Refuse(RefusalCode::UnknownSession));
        }
    }
}

/// Appends a piece to a body. Returns the body when it is complete.
pub(super) fn append_piece(partial: &mut BytesMut, message: &WorkerMessage) -> Option<Bytes> {
    let is_last = message.flags & LAST != 0;
    if is_last && partial.is_empty() {
        return Some(message.body.clone());
    }
    partial.extend_from_slice(&message.body);
    is_last.then(|| std::mem::take(partial).freeze())
}

fn two_bytes(body: &Bytes) -> Option<u16> {
    let (value, _) = body.split_first_chunk()?;
    Some(u16::from_le_bytes(*value))
}
