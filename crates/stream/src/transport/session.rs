//! The receiver of what a stream emits: a session that the stream owns, or its listeners.
//!
//! Cost of a chunk: one indirect call. The session gets the loop's read buffer itself; a listener gets a part of it as
//! [`Bytes`], without a copy.

use std::any::Any;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use uptick_emitter::{Event, emit, emit_frequent};

use super::flags::Flags;
use super::stream::{Visit, hold, with_entry};
use super::{Entry, Transport};

/// A protocol on a stream, in place of listeners: the stream owns it, and drops it after its [`close`](Session::close).
///
/// The methods are called while nothing is borrowed: they may use the stream in any way. A panic in one of them fails the stream,
/// like one in a listener.
pub trait Session<T: Transport>: Any {
    /// Bytes were received. `data` listeners are not called.
    ///
    /// They are lent: the buffer is the loop's, and is used for the next read. They may be changed in place; parts that are
    /// split off the buffer are kept without a copy, and what is left in it is discarded.
    fn data(&self, stream: &Visit<T>, bytes: &mut BytesMut);

    /// The peer has ended its side; then this side ends too, unless it stays half-open. `end` listeners are not called.
    fn end(&self, stream: &Visit<T>);

    /// The peer has ended its side, but the stream is paused: [`end`](Session::end) follows once it is resumed and what came
    /// before is read. May be called several times.
    fn end_pending(&self, stream: &Visit<T>) {
        let _ = stream;
    }

    /// The write queue has fallen below its soft limit again. `drain` listeners are not called.
    fn drain(&self, stream: &Visit<T>) {
        let _ = stream;
    }

    /// The stream failed, and `close` follows. `error` listeners are called after it, and nothing is logged when there
    /// are none.
    fn error(&self, stream: &Visit<T>, error: &T::Error) {
        let _ = (stream, error);
    }

    /// The stream closes. `close` listeners are called after it.
    fn close(&self, stream: &Visit<T>);
}

/// A protocol that serves any channel of bytes: a session that does not depend on what carries the bytes.
///
/// It is the [`Session`] of every stream whose errors are of type `E`; other channels call it in the same way. The methods are those of
/// [`Session`], without the stream.
pub trait ChannelSession<E>: Any {
    /// Bytes were received; see [`Session::data`].
    fn data(&self, bytes: &mut BytesMut);

    /// The peer has ended its side; see [`Session::end`].
    fn end(&self);

    /// The write queue has fallen below its soft limit again; see [`Session::drain`].
    fn drain(&self) {}

    /// The channel failed, and `close` follows; see [`Session::error`].
    fn error(&self, error: &E) {
        let _ = error;
    }

    /// The channel closes; see [`Session::close`].
    fn close(&self);
}

impl<T: Transport, S: ChannelSession<T::Error>> Session<T> for S {
    #[inline]
    fn data(&self, _: &Visit<T>, bytes: &mut BytesMut) {
        ChannelSession::data(self, bytes);
    }

    fn end(&self, _: &Visit<T>) {
        ChannelSession::end(self);
    }

    fn drain(&self, _: &Visit<T>) {
        ChannelSession::drain(self);
    }

    fn error(&self, _: &Visit<T>, error: &T::Error) {
        ChannelSession::error(self, error);
    }

    fn close(&self, _: &Visit<T>) {
        ChannelSession::close(self);
    }
}

/// Makes a session serve the stream from now on, in place of the one before. Data comes without a listener for it.
pub fn set_session<T: Transport>(stream: T, session: Rc<dyn Session<T>>) {
    let mut session = Some(session);
    with_entry(stream, |entry, id| {
        std::mem::swap(&mut entry.session, &mut session);
        entry.schedule_read(id);
    });
    // The one before is dropped after the borrow: it may use the stream.
    drop(session);
}

/// Takes the session off the stream, which is neither paused nor resumed then: data comes with the first `data` listener.
pub fn clear_session<T: Transport>(stream: T) {
    let session = with_entry(stream, |entry, id| {
        entry.flags.remove(Flags::PAUSED | Flags::FLOWING);
        let session = entry.session.take();
        entry.schedule_read(id);
        session
    });
    drop(session);
}

/// Returns the session of a stream, if it has one of this type.
#[inline]
pub fn session<T: Transport, S: Session<T>>(stream: T) -> Option<Rc<S>> {
    let session = with_entry(stream, |entry, _| entry.session.clone()).flatten()?;
    let session: Rc<dyn Any> = session;
    session.downcast().ok()
}

/// Calls `f` with the session of a stream, if it has one of this type; `f` uses no stream.
#[inline]
pub fn with_session<T: Transport, S: Session<T>, R>(
    stream: T,
    f: impl FnOnce(&S) -> R,
) -> Option<R> {
    with_entry(stream, |entry, _| session_as(entry).map(f)).flatten()
}

/// Returns the session of an entry, if it has one of this type.
#[inline]
pub(super) fn session_as<T: Transport, S: Session<T>>(entry: &Entry<T>) -> Option<&S> {
    let session: &dyn Any = entry.session.as_deref()?;
    session.downcast_ref()
}

/// Unreads `bytes`, to be delivered before all that is still to come, in a later iteration; if `end` is set, end of stream
/// follows them.
///
/// For bytes that a session took and that belong to the next protocol.
pub fn unshift<T: Transport>(stream: T, bytes: Bytes, end: bool) {
    if bytes.is_empty() && !end {
        return;
    }
    with_entry(stream, |entry, id| {
        let rare = entry.rare();
        if !bytes.is_empty() {
            rare.held.push_front(bytes);
        }
        rare.held_end |= end;
        if end {
            entry.flags.remove(Flags::ENDED);
        }
        entry.flags.insert(Flags::FILTERED);
        entry.schedule_read(id);
    });
}

/// Calls `f` with a visit to the stream, in which further calls find it without a look into its table; `None` when the handle
/// is stale.
pub fn visit<T: Transport, R>(stream: T, f: impl FnOnce(&Visit<T>) -> R) -> Option<R> {
    hold(stream).map(|visit| f(&visit))
}

#[inline]
fn session_of<T: Transport>(stream: &Visit<T>) -> Option<Rc<dyn Session<T>>> {
    stream.with(|entry, _| entry.session.clone()).flatten()
}

/// Delivers what is in the read buffer, and leaves it empty.
#[inline(always)]
pub(super) fn data<T: Transport>(
    stream: &Visit<T>,
    session: Option<Rc<dyn Session<T>>>,
    buffer: &mut BytesMut,
) {
    match session {
        Some(session) => {
            session.data(stream, buffer);
            buffer.clear();
        }
        None => drop(emit_frequent(stream, T::DATA, buffer.split().freeze())),
    }
}

/// Delivers bytes that were kept.
pub(super) fn kept<T: Transport>(stream: &Visit<T>, bytes: Bytes) {
    match session_of(stream) {
        Some(session) => session.data(stream, &mut bytes.into()),
        None => drop(emit_frequent(stream, T::DATA, bytes)),
    }
}

pub(super) fn end<T: Transport>(stream: &Visit<T>) {
    match session_of(stream) {
        Some(session) => session.end(stream),
        None => drop(emit(stream, T::END, ())),
    }
}

pub(super) fn end_pending<T: Transport>(stream: &Visit<T>) {
    if let Some(session) = session_of(stream) {
        session.end_pending(stream);
    }
}

pub(super) fn drain<T: Transport>(stream: &Visit<T>) {
    match session_of(stream) {
        Some(session) => session.drain(stream),
        None => drop(emit(stream, T::DRAIN, ())),
    }
}

pub(super) fn error<T: Transport>(stream: &Visit<T>, error: T::Error) {
    if let Some(session) = session_of(stream) {
        session.error(stream, &error);
        if !listens(stream, T::ERROR) {
            return;
        }
    }
    emit(stream, T::ERROR, error);
}

/// Calls the session's part of a `close`.
pub(super) fn close<T: Transport>(stream: &Visit<T>) {
    if let Some(session) = session_of(stream) {
        session.close(stream);
    }
}

fn listens<T: Transport, P>(stream: &Visit<T>, event: Event<T, P>) -> bool {
    let slot = event.slot();
    let listens = stream.with(|entry: &mut Entry<T>, _| entry.listeners.has(slot));
    listens.unwrap_or(false)
}
