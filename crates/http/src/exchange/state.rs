//! The state of an exchange, and its interfaces to the transport and the site.

use std::any::TypeId;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Listeners;
use uptick_event_loop::{Id, JoinHandle};
use uptick_socket::{Address, Connection};
use uptick_stream::FileRange;

use super::finish::OnFinish;
use super::headers::EditHeaders;
use super::parts::{BodyPiece, Head};
use super::progress::{BodyProgress, Consumer, ResponseProgress};
use crate::body::BodyError;
use crate::h1::{RequestHead, ResponseBody, Trailers};
use crate::response::EarlyEnd;
use crate::routing::{NormalPath, Params};
use crate::type_map::{GroupState, TypeMap};
use crate::{ClientInfo, HeaderMap, HttpError, Response, TrustedProxies, Upgrade};

/// A request with its response.
///
/// The request's own fields do not change while the exchange is shared; the others store its progress.
pub(crate) struct Exchange {
    pub(crate) head: RequestHead,
    pub(crate) conn: Option<Connection>,
    /// The trusted proxies, if the peer is one of them.
    pub(crate) proxies: Option<Rc<TrustedProxies>>,
    pub(crate) path: NormalPath,
    /// The parameters of the route, if it has any.
    pub(crate) params: OnceCell<Params>,
    /// The client information reported by the proxies, computed on first use.
    pub(crate) forwarded: OnceCell<Box<ClientInfo>>,
    /// The transport and the site; `None` once the exchange has ended.
    pub(super) links: RefCell<Option<ExchangeLinks>>,
    pub(super) handle: Cell<Option<Id>>,
    pub(crate) body: Cell<BodyProgress>,
    pub(crate) consumer: Cell<Consumer>,
    pub(crate) response: Cell<ResponseProgress>,
    /// `true` if the client waits for `100 Continue`.
    pub(crate) awaits_continue: Cell<bool>,
    /// `true` if the unread rest of the body may exceed the drain limit, so that the connection closes instead of reading it.
    pub(crate) exceeds_drain_limit: Cell<bool>,
    /// `true` if the program did not read the body in time in this window, so that the client is not too slow.
    pub(crate) program_delayed: Cell<bool>,
    /// `true` if callbacks edit the headers of the response.
    pub(super) edits_headers: Cell<bool>,
    /// Time at which the request was passed to the middleware, if it is measured. It is not reset.
    pub(crate) start: Cell<Duration>,
    pub(super) extended: RefCell<Option<Box<ExtendedState>>>,
}

/// The transport and the site of an exchange.
pub(super) struct ExchangeLinks {
    transport: Rc<dyn ExchangeTransport>,
    /// The site at the start of the request.
    policy: Rc<dyn SitePolicy>,
}

/// The state of an exchange that takes longer than one call.
#[derive(Default)]
pub(crate) struct ExtendedState {
    /// The listeners of the request.
    pub(super) listeners: Listeners,
    /// The listeners of the responder.
    pub(super) responder: Listeners,
    /// The handler's future, or the task that sends a streamed body.
    pub(super) task: Option<JoinHandle<()>>,
    /// The waker of the body's reader.
    pub(super) reader: Option<Waker>,
    /// The waker of a writer that waits for room.
    pub(super) writer: Option<Waker>,
    pub(super) trailers: Option<Trailers>,
    /// Ends a response body that would not end otherwise.
    pub(super) early_end: Option<EarlyEnd>,
    /// The callbacks that edit the headers of the response.
    pub(super) header_edits: Vec<EditHeaders>,
    /// The reason why the body failed.
    pub(super) failure: Option<BodyError>,
    /// The callbacks for the end of the exchange.
    pub(super) on_finish: Vec<OnFinish>,
    /// Size of the response body in bytes, if it is counted.
    pub(super) bytes: u64,
    /// The name of the authenticated user.
    pub(super) user: Option<Rc<str>>,
    /// The id of the request, for logs.
    pub(super) id: Option<Rc<str>>,
    /// The group of the route, if it has state.
    pub(super) group_state: Option<Rc<dyn GroupState>>,
    /// The values attached to the request, one of each type.
    extensions: TypeMap,
}

/// The transport of exchanges: an HTTP/1 connection, a stream of an HTTP/2 connection, or memory in tests.
///
/// Only [`upgrade`](ExchangeTransport::upgrade) may call listeners or handlers.
pub(crate) trait ExchangeTransport {
    /// Returns the peer of an exchange without a connection. Default: `None`.
    fn peer(&self) -> Option<Address> {
        None
    }

    /// Returns `true` if an exchange without a connection is encrypted. Default: `false`.
    fn is_secure(&self) -> bool {
        false
    }

    /// Returns `true` if the connection is closing, so that nothing more is sent.
    fn is_closing(&self) -> bool;

    /// Polls for the next piece of the body, after `taken` bytes were read. Fails with [`BodyError::TooLong`] as soon as more than
    /// `limit` bytes are announced.
    fn poll_body(
        &self,
        exchange: &Exchange,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// Starts emitting the body, or the end of a received body, to listeners.
    fn resume_body(&self, exchange: &Exchange);

    /// Sends a complete response. The caller ensures that none has started. Returns `false` if the connection is closing.
    fn respond(&self, exchange: &Exchange, head: &Head<'_>, body: BodyPiece<'_>) -> bool;

    /// Sends an interim response with status 103, and returns `true` if it is sent. Default: not sent.
    fn send_early_hints(&self, headers: &HeaderMap) -> bool {
        let _ = headers;
        false
    }

    /// Sends the head of a response whose body follows in pieces. Returns `false` if nothing more can be sent.
    fn start(&self, exchange: &Exchange, head: &Head<'_>, length: ResponseBody) -> bool;

    /// Returns `true` if the body of the started response is sent. It is not sent for `HEAD` and for a status without a body.
    fn sends_body(&self, exchange: &Exchange) -> bool;

    /// Sends a body piece. Returns `false` if the writer should wait, or if the piece is not accepted.
    fn write(&self, exchange: &Exchange, piece: BodyPiece<'_>) -> bool;

    /// Sends a file as the whole body. Returns `true` if it is sent completely, and the file if it must be read and written instead.
    fn write_file(&self, exchange: &Exchange, range: FileRange) -> Result<bool, FileRange>;

    /// Ends a started response. Returns `false` if there is none.
    fn finish(&self, exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool;

    /// Returns `true` if the write queue is full.
    fn is_full(&self) -> bool;

    /// Makes this exchange the last one of the connection.
    fn set_last(&self);

    /// Aborts a response, so that the client detects that it is incomplete.
    fn abort(&self);

    /// Sends the head, and passes the channel to another protocol. Returns `true` if the head is sent.
    fn upgrade(&self, exchange: &Exchange, head: &Head<'_>, upgrade: Upgrade) -> bool;
}

/// The site of an exchange: error pages, response callbacks and the body limit.
pub(crate) trait SitePolicy {
    /// Returns the maximum size of a body that is collected in memory, in bytes.
    fn body_limit(&self) -> usize;

    /// Returns `true` if [`finish`](SitePolicy::finish) does anything.
    fn finishes(&self) -> bool;

    /// Passes a response through the callbacks.
    fn finish(&self, exchange: &Rc<Exchange>, response: Response) -> Response;

    /// Returns the id of the server.
    fn server(&self) -> Option<Id>;

    /// Returns the state of the server.
    fn states(&self) -> Rc<TypeMap>;

    /// Returns the error that replaces an upgrade while the server shuts down.
    fn upgrade_refusal(&self) -> Option<HttpError>;

    /// Logs an error, and returns its page.
    fn error_page(&self, exchange: &Rc<Exchange>, response: Response) -> Response;
}

impl Default for Exchange {
    fn default() -> Self {
        Exchange {
            head: RequestHead::new(),
            conn: None,
            proxies: None,
            path: NormalPath::default(),
            params: OnceCell::new(),
            forwarded: OnceCell::new(),
            links: RefCell::new(None),
            handle: Cell::new(None),
            body: Cell::default(),
            consumer: Cell::default(),
            response: Cell::default(),
            awaits_continue: Cell::new(false),
            exceeds_drain_limit: Cell::new(false),
            program_delayed: Cell::new(false),
            edits_headers: Cell::new(false),
            start: Cell::default(),
            extended: RefCell::new(None),
        }
    }
}

impl Exchange {
    /// Connects the exchange with its transport and its site, before it is shared.
    #[inline]
    pub(crate) fn connect(
        &mut self,
        transport: Rc<dyn ExchangeTransport>,
        policy: Rc<dyn SitePolicy>,
    ) {
        *self.links.get_mut() = Some(ExchangeLinks { transport, policy });
    }

    /// Returns the site at the start of the request, unless the exchange has ended.
    pub(super) fn policy(&self) -> Option<Rc<dyn SitePolicy>> {
        let links = self.links.borrow();
        links.as_ref().map(|links| Rc::clone(&links.policy))
    }

    /// Returns `true` if callbacks of the server or the request see the response.
    #[inline]
    pub(super) fn finishes(&self) -> bool {
        let links = self.links.borrow();
        self.edits_headers.get() || links.as_ref().is_some_and(|links| links.policy.finishes())
    }

    /// Returns the transport, unless the exchange has ended.
    #[inline]
    pub(crate) fn transport(&self) -> Option<Rc<dyn ExchangeTransport>> {
        let links = self.links.borrow();
        links.as_ref().map(|links| Rc::clone(&links.transport))
    }

    /// Returns the transport, unless the exchange has ended or the connection is closing.
    #[inline]
    pub(crate) fn open_transport(&self) -> Option<Rc<dyn ExchangeTransport>> {
        self.transport().filter(|transport| !transport.is_closing())
    }

    /// Returns `true` if the exchange has ended.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.links.borrow().is_none()
    }

    /// Returns `true` if the response has started.
    #[inline]
    pub(crate) fn is_started(&self) -> bool {
        self.response.get() >= ResponseProgress::Started
    }

    /// Returns `true` if the whole response was written.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.response.get() == ResponseProgress::Done
    }

    /// Returns `true` if the whole body was read.
    #[inline]
    pub(crate) fn is_received(&self) -> bool {
        matches!(
            self.body.get(),
            BodyProgress::Received | BodyProgress::EndPending
        )
    }

    /// Calls `f` with the listeners of the request, unless the exchange has ended.
    pub(super) fn request_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        (!self.is_over()).then(|| self.extended(|extended| f(&mut extended.listeners)))
    }

    /// Calls `f` with the listeners of the responder, unless the exchange has ended.
    pub(super) fn responder_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        (!self.is_over()).then(|| self.extended(|extended| f(&mut extended.responder)))
    }

    /// Calls `f` with the extended state, creating it if needed.
    pub(super) fn extended<R>(&self, f: impl FnOnce(&mut ExtendedState) -> R) -> R {
        f(self.extended.borrow_mut().get_or_insert_default())
    }

    /// Calls `f` with the extended state, if there is one.
    #[inline]
    pub(super) fn extended_if_any<R>(&self, f: impl FnOnce(&mut ExtendedState) -> R) -> Option<R> {
        self.extended.borrow_mut().as_deref_mut().map(f)
    }

    /// Stores the task of the exchange. It is cancelled if the connection closes.
    pub(crate) fn keep_task(&self, task: JoinHandle<()>) {
        if self.open_transport().is_some() {
            // The previous task is finished.
            let before = self.extended(|extended| extended.task.replace(task));
            drop(before);
        } else {
            task.cancel();
        }
    }

    /// Takes the task of the exchange.
    pub(crate) fn take_task(&self) -> Option<JoinHandle<()>> {
        self.extended_if_any(|extended| extended.task.take())
            .flatten()
    }

    /// Returns the id of the server.
    pub(crate) fn server(&self) -> Option<Id> {
        self.policy()?.server()
    }

    /// Returns the callback that ends a response body early, if there is one.
    pub(crate) fn early_end(&self) -> Option<EarlyEnd> {
        self.extended_if_any(|extended| extended.early_end)
            .flatten()
    }

    /// Returns the group of the route, if it has state.
    pub(super) fn group_state(&self) -> Option<Rc<dyn GroupState>> {
        self.extended_if_any(|extended| extended.group_state.clone())
            .flatten()
    }

    /// Sets the waker of the body's reader.
    pub(crate) fn set_reader(&self, waker: Waker) {
        self.extended(|extended| extended.reader = Some(waker));
    }

    /// Takes the waker of the body's reader.
    #[inline]
    pub(crate) fn take_reader(&self) -> Option<Waker> {
        self.extended_if_any(|extended| extended.reader.take())
            .flatten()
    }

    /// Takes the waker of a writer that waits for room.
    pub(crate) fn take_writer(&self) -> Option<Waker> {
        self.extended_if_any(|extended| extended.writer.take())
            .flatten()
    }

    /// Stores the trailers of the body.
    pub(crate) fn set_trailers(&self, trailers: Trailers) {
        self.extended(|extended| extended.trailers = Some(trailers));
    }

    /// Attaches a value, replacing a value of the same type. An exchange that has ended stores none.
    pub(crate) fn set_extension<E: 'static>(&self, extension: E) {
        if self.is_over() {
            return;
        }
        let before = self.extended(|extended| extended.extensions.set(extension));
        // The value is dropped while no `RefCell` is borrowed.
        drop(before);
    }

    /// Returns the attached value of a type.
    pub(crate) fn extension<E: 'static>(&self) -> Option<Rc<E>> {
        let id = TypeId::of::<E>();
        let found = self.extended_if_any(|extended| extended.extensions.get(id));
        found.flatten()?.downcast().ok()
    }

    /// Returns the names of the types of the attached values.
    pub(super) fn extension_names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.extended_if_any(|extended| extended.extensions.add_names(&mut names));
        names
    }

    /// Returns the reason why the body failed.
    pub(crate) fn failure(&self) -> Option<BodyError> {
        self.extended_if_any(|extended| extended.failure.clone())
            .flatten()
    }

    /// Stores the reason why the body failed. The first reason is kept.
    pub(crate) fn fail_body(&self, failure: BodyError) {
        self.extended(|extended| {
            extended.failure.get_or_insert(failure);
        });
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("body", &self.body.get())
            .field("response", &self.response.get())
            .finish_non_exhaustive()
    }
}
