//! The state of an exchange, and the interfaces to what is below and above it.

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
use super::parts::{Head, Piece};
use super::progress::{BodyProgress, Consumer, ResponseProgress};
use crate::body::BodyError;
use crate::h1::{RequestHead, ResponseBody, Trailers};
use crate::response::EarlyEnd;
use crate::routing::{NormalPath, Params};
use crate::type_map::{GroupState, TypeMap};
use crate::{ClientInfo, HeaderMap, HttpError, Response, TrustedProxies, Upgrade};

/// A request with its response.
///
/// The request's own fields are fixed while the exchange is shared; the others say how far it is.
pub(crate) struct Exchange {
    pub(crate) head: RequestHead,
    pub(crate) conn: Option<Connection>,
    /// The trusted proxies, when the peer is one of them.
    pub(crate) proxies: Option<Rc<TrustedProxies>>,
    pub(crate) path: NormalPath,
    /// The parameters of the route, if it has any.
    pub(crate) params: OnceCell<Params>,
    /// The request as the client made it, according to the proxies. It is found when it is first asked for.
    pub(crate) forwarded: OnceCell<Box<ClientInfo>>,
    /// The connections to what is below and above; `None` once the exchange is over.
    pub(super) ends: RefCell<Option<Ends>>,
    pub(super) handle: Cell<Option<Id>>,
    pub(crate) body: Cell<BodyProgress>,
    pub(crate) consumer: Cell<Consumer>,
    pub(crate) response: Cell<ResponseProgress>,
    /// Whether the client waits for `100 Continue`.
    pub(crate) expects: Cell<bool>,
    /// Whether more of the body than is worth reading behind the response is still to come.
    pub(crate) long: Cell<bool>,
    /// Whether the program was not ready for the body in this window of time, so that the client is not too slow.
    pub(crate) held_up: Cell<bool>,
    /// Whether callbacks edit the headers of the response.
    pub(super) edits_headers: Cell<bool>,
    /// When the request was passed to the middleware, where that is measured. It is not reset.
    pub(crate) start: Cell<Duration>,
    pub(super) extras: RefCell<Option<Box<Extras>>>,
}

/// The transport below an exchange and the policy above it.
pub(super) struct Ends {
    transport: Rc<dyn Transport>,
    /// The site that the request began with.
    policy: Rc<dyn Policy>,
}

/// The state of an exchange that takes longer than a call.
#[derive(Default)]
pub(crate) struct Extras {
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
    /// Ends the response's body, if that has no end of its own.
    pub(super) early_end: Option<EarlyEnd>,
    /// The callbacks that edit the headers of the response.
    pub(super) header_edits: Vec<EditHeaders>,
    /// The reason why no more of the body comes.
    pub(super) failure: Option<BodyError>,
    /// The callbacks for the end of the exchange.
    pub(super) on_finish: Vec<OnFinish>,
    /// The number of bytes of the response's body, where it is counted.
    pub(super) bytes: u64,
    /// The name of the authenticated user.
    pub(super) user: Option<Rc<str>>,
    /// The id for logs.
    pub(super) id: Option<Rc<str>>,
    /// The group of the route, if it has state.
    pub(super) group_state: Option<Rc<dyn GroupState>>,
    /// The values that the program keeps with the request, one of each type.
    extensions: TypeMap,
}

/// Carries exchanges: an HTTP/1 connection, or memory in tests.
///
/// No method but [`upgrade`](Transport::upgrade) calls listeners or handlers.
pub(crate) trait Transport {
    /// Returns the peer of an exchange that has no connection. The default is `None`.
    fn peer(&self) -> Option<Address> {
        None
    }

    /// Returns whether an exchange that has no connection is encrypted. The default is `false`.
    fn is_secure(&self) -> bool {
        false
    }

    /// Returns whether the connection closes: nothing is sent any more.
    fn is_closing(&self) -> bool;

    /// Polls for the next piece of the body, of which `taken` bytes were read before. Fails with [`BodyError::TooLong`] as
    /// soon as more than `limit` bytes are announced.
    fn poll_body(
        &self,
        exchange: &Exchange,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>>;

    /// Lets the body, or the end of one that was received, come to listeners.
    fn resume_body(&self, exchange: &Exchange);

    /// Sends a whole response; one that has begun already is the caller's error. Returns `false` when the connection closes.
    fn respond(&self, exchange: &Exchange, head: &Head<'_>, body: Piece<'_>) -> bool;

    /// Sends an interim response with status 103; returns whether it is sent. The default is that it is not.
    fn send_early_hints(&self, headers: &HeaderMap) -> bool {
        let _ = headers;
        false
    }

    /// Sends the head of a response whose body follows in pieces; returns `false` when nothing can be sent any more.
    fn start(&self, exchange: &Exchange, head: &Head<'_>, length: ResponseBody) -> bool;

    /// Returns whether the body of a response that has begun is sent at all: not to `HEAD`, nor with a status that has none.
    fn sends_body(&self, exchange: &Exchange) -> bool;

    /// Sends a piece of the body; returns `false` when the writer should wait, or nothing is taken.
    fn write(&self, exchange: &Exchange, piece: Piece<'_>) -> bool;

    /// Sends a file as the whole body; returns `true` when it is sent, and the file when it is to be read and written instead.
    fn write_file(&self, exchange: &Exchange, range: FileRange) -> Result<bool, FileRange>;

    /// Ends a response that has begun; returns `false` when there is none.
    fn finish(&self, exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool;

    /// Returns whether so much waits to be sent that no more is written.
    fn is_full(&self) -> bool;

    /// Makes this exchange the last one of the connection.
    fn set_last(&self);

    /// Breaks a response off, so that the client cannot take a part for the whole.
    fn cut(&self);

    /// Sends the head, and hands the channel over to another protocol; returns whether the head is sent.
    fn upgrade(&self, exchange: &Exchange, head: &Head<'_>, upgrade: Upgrade) -> bool;
}

/// The error pages, the callbacks for responses, and the limit of bodies: the site that a request began with.
pub(crate) trait Policy {
    /// Returns the number of bytes up to which a body is read whole.
    fn body_limit(&self) -> usize;

    /// Returns whether [`finish`](Policy::finish) does anything.
    fn finishes(&self) -> bool;

    /// Passes a response through the callbacks.
    fn finish(&self, exchange: &Rc<Exchange>, response: Response) -> Response;

    /// Returns the id of the server.
    fn server(&self) -> Option<Id>;

    /// Returns the state of the server.
    fn states(&self) -> Rc<TypeMap>;

    /// Returns the error in place of an upgrade, while the server shuts down.
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
            ends: RefCell::new(None),
            handle: Cell::new(None),
            body: Cell::default(),
            consumer: Cell::default(),
            response: Cell::default(),
            expects: Cell::new(false),
            long: Cell::new(false),
            held_up: Cell::new(false),
            edits_headers: Cell::new(false),
            start: Cell::default(),
            extras: RefCell::new(None),
        }
    }
}

impl Exchange {
    /// Connects the exchange with its transport and its site, before it is shared.
    #[inline]
    pub(crate) fn connect(&mut self, transport: Rc<dyn Transport>, policy: Rc<dyn Policy>) {
        *self.ends.get_mut() = Some(Ends { transport, policy });
    }

    /// Returns the site that the request began with, unless the exchange is over.
    pub(super) fn policy(&self) -> Option<Rc<dyn Policy>> {
        let ends = self.ends.borrow();
        ends.as_ref().map(|ends| Rc::clone(&ends.policy))
    }

    /// Returns whether callbacks of the server or the request see the response.
    #[inline]
    pub(super) fn finishes(&self) -> bool {
        let ends = self.ends.borrow();
        self.edits_headers.get() || ends.as_ref().is_some_and(|ends| ends.policy.finishes())
    }

    /// Returns the transport, unless the exchange is over.
    #[inline]
    pub(crate) fn transport(&self) -> Option<Rc<dyn Transport>> {
        let ends = self.ends.borrow();
        ends.as_ref().map(|ends| Rc::clone(&ends.transport))
    }

    /// Returns the transport, unless the exchange is over or its connection closes.
    #[inline]
    pub(crate) fn live(&self) -> Option<Rc<dyn Transport>> {
        self.transport().filter(|transport| !transport.is_closing())
    }

    /// Returns whether the exchange is over.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.ends.borrow().is_none()
    }

    /// Returns whether the response has begun.
    #[inline]
    pub(crate) fn is_started(&self) -> bool {
        self.response.get() >= ResponseProgress::Started
    }

    /// Returns whether the response is written whole.
    #[inline]
    pub(crate) fn is_done(&self) -> bool {
        self.response.get() == ResponseProgress::Done
    }

    /// Returns whether all of the body was read.
    #[inline]
    pub(crate) fn is_received(&self) -> bool {
        matches!(
            self.body.get(),
            BodyProgress::Received | BodyProgress::EndDue
        )
    }

    /// Calls `f` with the listeners of the request, unless the exchange is over.
    pub(super) fn request_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        (!self.is_over()).then(|| self.extras(|extras| f(&mut extras.listeners)))
    }

    /// Calls `f` with the listeners of the responder, unless the exchange is over.
    pub(super) fn responder_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        (!self.is_over()).then(|| self.extras(|extras| f(&mut extras.responder)))
    }

    /// Calls `f` with the extras, which are made now if need be.
    pub(super) fn extras<R>(&self, f: impl FnOnce(&mut Extras) -> R) -> R {
        f(self.extras.borrow_mut().get_or_insert_default())
    }

    /// Calls `f` with the extras, if there are any.
    #[inline]
    pub(super) fn extras_if_any<R>(&self, f: impl FnOnce(&mut Extras) -> R) -> Option<R> {
        self.extras.borrow_mut().as_deref_mut().map(f)
    }

    /// Keeps the task of the exchange, which is cancelled when the client goes away.
    pub(crate) fn keep_task(&self, task: JoinHandle<()>) {
        if self.live().is_some() {
            // The one before has done its part.
            let before = self.extras(|extras| extras.task.replace(task));
            drop(before);
        } else {
            task.cancel();
        }
    }

    /// Takes the task of the exchange.
    pub(crate) fn take_task(&self) -> Option<JoinHandle<()>> {
        self.extras_if_any(|extras| extras.task.take()).flatten()
    }

    /// Returns the id of the server.
    pub(crate) fn server(&self) -> Option<Id> {
        self.policy()?.server()
    }

    /// Returns what ends the response's body, if that has no end of its own.
    pub(crate) fn early_end(&self) -> Option<EarlyEnd> {
        self.extras_if_any(|extras| extras.early_end).flatten()
    }

    /// Returns the group of the route, if it has state.
    pub(super) fn group_state(&self) -> Option<Rc<dyn GroupState>> {
        self.extras_if_any(|extras| extras.group_state.clone())
            .flatten()
    }

    /// Sets the waker of the body's reader.
    pub(crate) fn set_reader(&self, waker: Waker) {
        self.extras(|extras| extras.reader = Some(waker));
    }

    /// Takes the waker of the body's reader.
    #[inline]
    pub(crate) fn take_reader(&self) -> Option<Waker> {
        self.extras_if_any(|extras| extras.reader.take()).flatten()
    }

    /// Takes the waker of a writer that waits for room.
    pub(crate) fn take_writer(&self) -> Option<Waker> {
        self.extras_if_any(|extras| extras.writer.take()).flatten()
    }

    /// Keeps the fields behind the body.
    pub(crate) fn set_trailers(&self, trailers: Trailers) {
        self.extras(|extras| extras.trailers = Some(trailers));
    }

    /// Keeps a value in the place of the one of its type; an exchange that is over keeps none.
    pub(crate) fn set_extension<E: 'static>(&self, extension: E) {
        if self.is_over() {
            return;
        }
        let before = self.extras(|extras| extras.extensions.set(extension));
        // It is dropped when nothing is borrowed.
        drop(before);
    }

    /// Returns the value of a type that the program has kept.
    pub(crate) fn extension<E: 'static>(&self) -> Option<Rc<E>> {
        let id = TypeId::of::<E>();
        let found = self.extras_if_any(|extras| extras.extensions.get(id));
        found.flatten()?.downcast().ok()
    }

    /// Returns the names of the types of the values that the program has kept.
    pub(super) fn extension_names(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        self.extras_if_any(|extras| extras.extensions.add_names(&mut names));
        names
    }

    /// Returns the reason why no more of the body comes.
    pub(crate) fn failure(&self) -> Option<BodyError> {
        self.extras_if_any(|extras| extras.failure.clone())
            .flatten()
    }

    /// Notes why no more of the body comes; the first reason stays.
    pub(crate) fn fail_body(&self, failure: BodyError) {
        self.extras(|extras| {
            extras.failure.get_or_insert(failure);
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
