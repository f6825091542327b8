//! A protocol that serves streams in place of listeners: one static object for all of them, and a key for each.
//!
//! Cost: 24 bytes in each stream and one indirect call for each event; no box for each listener, which an idle stream
//! would have to keep.

use bytes::{Bytes, BytesMut};
use uptick_emitter::{Event, emit};
use uptick_event_loop::Id;

use super::flags::Flags;
use super::gathering::{self, Gathered};
use super::reading::Came;
use super::{Transport, Transports, reading, with_entry, writing};

/// Serves streams of one kind, without a listener for each event of each stream.
///
/// The methods are called with the key that was given to [`set_protocol`], while nothing is borrowed: they may use the
/// stream in any way. A panic in one of them fails the stream, like one in a listener.
pub trait Protocol<T: Transport>: Sync {
    /// Bytes have come. `data` listeners are not called.
    fn data(&self, stream: T, key: Id, chunk: Bytes);

    /// Bytes have come from the descriptor, through no filter: they are nobody else's, and may be changed in place. They go to
    /// [`data`](Protocol::data) unless a protocol has a use for that.
    #[inline]
    fn read(&self, stream: T, key: Id, chunk: BytesMut) {
        self.data(stream, key, chunk.freeze());
    }

    /// The peer has ended its side; then this side ends too, unless it stays half-open. `end` listeners are not called.
    fn end(&self, stream: T, key: Id);

    /// Reports the peer's end of stream while the stream is paused: [`end`](Protocol::end) follows once it is resumed and what came
    /// before is read. May be called several times.
    fn end_pending(&self, stream: T, key: Id) {
        let _ = (stream, key);
    }

    /// The write queue has fallen below its soft limit again. `drain` listeners are not called.
    fn drain(&self, stream: T, key: Id) {
        let _ = (stream, key);
    }

    /// Something failed, and `close` follows. `error` listeners are called after it, and nothing is logged when there
    /// are none.
    fn error(&self, stream: T, key: Id, error: &T::Error) {
        let _ = (stream, key, error);
    }

    /// The stream closes. `close` listeners are called after it.
    fn close(&self, stream: T, key: Id);
}

/// Who serves a stream, and under which key.
pub(super) struct Served<T: Transport> {
    pub(super) protocol: &'static dyn Protocol<T>,
    pub(super) key: Id,
}

impl<T: Transport> Clone for Served<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Transport> Copy for Served<T> {}

/// Has a protocol serve the stream from now on: see [`Protocol`]. `data` comes without a listener for it.
pub fn set_protocol<T: Transport>(stream: T, protocol: &'static dyn Protocol<T>, key: Id) {
    with_entry(stream, |entry, token| {
        entry.served = Some(Served { protocol, key });
        reading::schedule(entry, token);
    });
}

/// Gives the stream back to its listeners, neither paused nor resumed: data comes with the first `data` listener.
pub fn clear_protocol<T: Transport>(stream: T) {
    with_entry(stream, |entry, token| {
        entry.served = None;
        entry.flags.remove(Flags::PAUSED | Flags::FLOWING);
        reading::schedule(entry, token);
    });
}

/// Puts bytes back in front of all that is still to come, and the peer's end behind them where `end` says so: whoever
/// takes the stream over gets them first, in a later iteration.
///
/// For bytes that a protocol took and that belong to the next one.
pub fn unshift<T: Transport>(stream: T, bytes: Bytes, end: bool) {
    if bytes.is_empty() && !end {
        return;
    }
    with_entry(stream, |entry, token| {
        let rare = entry.rare();
        if !bytes.is_empty() {
            rare.held.push_front(bytes);
        }
        rare.held_end |= end;
        if end {
            entry.flags.remove(Flags::ENDED);
        }
        entry.flags.insert(Flags::FILTERED);
        reading::schedule(entry, token);
    });
}

/// Appends to the write queue what `f` appends to a buffer in which there may be bytes already; `None`, and `f` not
/// called, when the stream takes nothing. Otherwise as [`write`](super::write()).
///
/// `f` is called inside of the borrow of a table and calls no stream.
#[inline]
pub fn write_with<T: Transport>(stream: T, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
    let taken = T::with_transports(|all| {
        let token = all.token(stream.to_id());
        let Transports { table, spare, .. } = all;
        let entry = table.get_mut(stream.to_id())?;
        if !entry.is_writable() {
            return None;
        }
        Some(match entry.flags.contains(Flags::FILTERED) {
            true => gathering::gather(entry, token, spare, f),
            false => Gathered::Taken(writing::append_with(entry, token, spare, f)),
        })
    });
    Some(match taken.flatten()? {
        Gathered::Taken(taken) => taken,
        Gathered::Enough => gathering::press(stream),
    })
}

#[inline]
pub(super) fn served<T: Transport>(stream: T) -> Option<Served<T>> {
    with_entry(stream, |entry, _| entry.served).flatten()
}

/// Tells a protocol of bytes that have come.
#[inline]
pub(super) fn tell_came<T: Transport>(stream: T, served: Served<T>, chunk: Came) {
    match chunk {
        Came::Read(bytes) => served.protocol.read(stream, served.key, bytes),
        Came::Passed(bytes) => served.protocol.data(stream, served.key, bytes),
    }
}

/// Tells of bytes that have come from the descriptor.
#[inline]
pub(super) fn tell_read<T: Transport>(stream: T, bytes: BytesMut) {
    match served(stream) {
        Some(Served { protocol, key }) => protocol.read(stream, key, bytes),
        None => drop(emit(&stream, T::DATA, bytes.freeze())),
    }
}

/// Tells of bytes that have come through filters.
#[inline]
pub(super) fn tell_data<T: Transport>(stream: T, bytes: Bytes) {
    match served(stream) {
        Some(Served { protocol, key }) => protocol.data(stream, key, bytes),
        None => drop(emit(&stream, T::DATA, bytes)),
    }
}

pub(super) fn tell_end<T: Transport>(stream: T) {
    match served(stream) {
        Some(Served { protocol, key }) => protocol.end(stream, key),
        None => drop(emit(&stream, T::END, ())),
    }
}

pub(super) fn tell_end_pending<T: Transport>(stream: T) {
    if let Some(Served { protocol, key }) = served(stream) {
        protocol.end_pending(stream, key);
    }
}

pub(super) fn tell_drain<T: Transport>(stream: T) {
    match served(stream) {
        Some(Served { protocol, key }) => protocol.drain(stream, key),
        None => drop(emit(&stream, T::DRAIN, ())),
    }
}

pub(super) fn tell_error<T: Transport>(stream: T, error: T::Error) {
    if let Some(Served { protocol, key }) = served(stream) {
        protocol.error(stream, key, &error);
        if !listens(stream, T::ERROR) {
            return;
        }
    }
    emit(&stream, T::ERROR, error);
}

/// The protocol's part of a `close`.
pub(super) fn tell_close<T: Transport>(stream: T) {
    if let Some(Served { protocol, key }) = served(stream) {
        protocol.close(stream, key);
    }
}

fn listens<T: Transport, P>(stream: T, event: Event<T, P>) -> bool {
    stream
        .with_listeners(|listeners| listeners.has(event.slot()))
        .unwrap_or(false)
}
