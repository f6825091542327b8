//! The receiver of a stream's events: a session that the stream owns, or its listeners.
//!
//! A chunk costs one indirect call. A session receives the loop's read buffer itself; a listener receives a part of it as
//! [`Bytes`], without a copy.

use std::any::Any;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use uptick_emitter::{Event, emit, emit_frequent};

use super::flags::StreamFlags;
use super::stream::{Visit, hold, with_entry};
use super::{StreamEntry, Transport};

/// A protocol that receives a stream's events in place of listeners. The stream owns it, and drops it after its
/// [`close`](Session::close).
///
/// The methods are called without a borrow: they may use the stream in any way. A panic in a method fails the stream, as a
/// panic in a listener does.
pub trait Session<T: Transport>: Any {
    /// Called with received bytes. `data` listeners are not called.
    ///
    /// The buffer is the loop's read buffer, which is reused for the next read. The bytes may be changed in place; parts
    /// split off the buffer can be kept without a copy, and bytes left in it are discarded.
    fn data(&self, stream: &Visit<T>, bytes: &mut BytesMut);

    /// Called at the peer's end of stream; then the writing side ends too, unless the stream stays half-open. `end` listeners are not
    /// called.
    fn end(&self, stream: &Visit<T>);

    /// Called when the peer has ended, but the stream is paused: [`end`](Session::end) follows once the stream is resumed
    /// and the data before the end is read. May be called several times.
    fn end_pending(&self, stream: &Visit<T>) {
        let _ = stream;
    }

    /// Called when the write queue has fallen below its soft limit. `drain` listeners are not called.
    fn drain(&self, stream: &Visit<T>) {
        let _ = stream;
    }

    /// Called when the stream has failed; `close` follows. `error` listeners are called afterwards; if there are none,
    /// nothing is logged.
    fn error(&self, stream: &Visit<T>, error: &T::Error) {
        let _ = (stream, error);
    }

    /// Called when the stream closes. `close` listeners are called afterwards.
    fn close(&self, stream: &Visit<T>);
}

/// A protocol that serves any byte channel: a session that does not depend on the kind of channel.
///
/// It is a [`Session`] for every stream with errors of type `E`; other channels call it in the same way. The methods are
/// the methods of [`Session`], without the stream.
pub trait ChannelSession<E>: Any {
    /// Called with received bytes; see [`Session::data`].
    fn data(&self, bytes: &mut BytesMut);

    /// Called at the peer's end of stream; see [`Session::end`].
    fn end(&self);

    /// Called when the write queue has fallen below its soft limit; see [`Session::drain`].
    fn drain(&self) {}

    /// Called when the channel has failed; see [`Session::error`].
    fn error(&self, error: &E) {
        let _ = error;
    }

    /// Called when the channel closes; see [`Session::close`].
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

/// Sets the session of a stream, replacing the previous one. Data is delivered without a `data` listener.
pub fn set_session<T: Transport>(stream: T, session: Rc<dyn Session<T>>) {
    let mut session = Some(session);
    with_entry(stream, |entry, id| {
        std::mem::swap(&mut entry.session, &mut session);
        entry.schedule_read(id);
    });
    // The previous session is dropped after the borrow, as it may use the stream.
    drop(session);
}

/// Removes the session of a stream. The stream is then neither paused nor resumed: data is delivered from the first `data`
/// listener on.
pub fn clear_session<T: Transport>(stream: T) {
    let session = with_entry(stream, |entry, id| {
        entry
            .flags
            .remove(StreamFlags::PAUSED | StreamFlags::FLOWING);
        let session = entry.session.take();
        entry.schedule_read(id);
        session
    });
    drop(session);
}

/// Returns the session of a stream, if it is of type `S`.
#[inline]
pub fn session<T: Transport, S: Session<T>>(stream: T) -> Option<Rc<S>> {
    let session = with_entry(stream, |entry, _| entry.session.clone()).flatten()?;
    let session: Rc<dyn Any> = session;
    session.downcast().ok()
}

/// Calls `f` with the session of a stream, if it is of type `S`; `f` must not use any stream.
#[inline]
pub fn with_session<T: Transport, S: Session<T>, R>(
    stream: T,
    f: impl FnOnce(&S) -> R,
) -> Option<R> {
    with_entry(stream, |entry, _| session_as(entry).map(f)).flatten()
}

/// Returns the session of an entry, if it is of type `S`.
#[inline]
pub(super) fn session_as<T: Transport, S: Session<T>>(entry: &StreamEntry<T>) -> Option<&S> {
    let session: &dyn Any = entry.session.as_deref()?;
    session.downcast_ref()
}

/// Unreads `bytes`: they are delivered in a later iteration, before all later data. If `end` is set, end of stream follows
/// them.
///
/// Meant for bytes that a session received and that belong to the next protocol.
pub fn unshift<T: Transport>(stream: T, bytes: Bytes, end: bool) {
    if bytes.is_empty() && !end {
        return;
    }
    with_entry(stream, |entry, id| {
        let extended = entry.extended();
        if !bytes.is_empty() {
            extended.undelivered.push_front(bytes);
        }
        extended.undelivered_end |= end;
        if end {
            entry.flags.remove(StreamFlags::END_EMITTED);
        }
        entry.flags.insert(StreamFlags::FILTERED);
        entry.schedule_read(id);
    });
}

/// Calls `f` with a visit to the stream, through which further calls need no lookup; returns `None` if the handle is stale.
pub fn visit<T: Transport, R>(stream: T, f: impl FnOnce(&Visit<T>) -> R) -> Option<R> {
    hold(stream).map(|visit| f(&visit))
}

#[inline]
fn session_of<T: Transport>(stream: &Visit<T>) -> Option<Rc<dyn Session<T>>> {
    stream.with(|entry, _| entry.session.clone()).flatten()
}

/// Delivers the content of the read buffer, and empties the buffer.
#[inline(always)]
pub(super) fn deliver_buffer<T: Transport>(
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

/// Delivers bytes that are not in the read buffer.
pub(super) fn deliver_bytes<T: Transport>(stream: &Visit<T>, bytes: Bytes) {
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

/// Calls the session's `close`.
pub(super) fn close<T: Transport>(stream: &Visit<T>) {
    if let Some(session) = session_of(stream) {
        session.close(stream);
    }
}

fn listens<T: Transport, P>(stream: &Visit<T>, event: Event<T, P>) -> bool {
    let slot = event.slot();
    let listens = stream.with(|entry: &mut StreamEntry<T>, _| entry.listeners.has(slot));
    listens.unwrap_or(false)
}
