//! Streams of the items, such as lines or frames, that are decoded from the bytes of another stream.

mod entry;
mod traits;

use std::cell::RefCell;
use std::marker::PhantomData;
use std::rc::Rc;

use bytes::Bytes;
use uptick_emitter::{Event, Listeners, emit};
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token, catch};

use crate::contract::ReadableStream;
#[cfg(feature = "json")]
use crate::decode::JsonDecoder;
use crate::decode::{Decoder, DelimiterDecoder, LengthPrefix, LengthPrefixDecoder, LineDecoder};
use crate::error::Error;
use crate::object::ObjectStream;
use crate::source::{ErasedSource, ReadableSource, SourceReader};
use entry::{DecodeStep, DecodedEntry};

/// A readable stream of the items that a [`Decoder`] decodes from the bytes of another stream.
///
/// [`LineStream`], [`DelimiterStream`], [`LengthPrefixStream`] and `JsonStream` are streams of this type. A `Copy` handle;
/// the thread owns the stream until it closes. The stream reads the bytes of its source, so the source should have no other
/// `data` listener. If the source is a connection, it can be written to as before.
///
/// # Events
/// | event | payload | emitted |
/// |---|---|---|
/// | `data` | the decoder's item | an item is complete |
/// | `end` | `()` | the source has ended, after all items |
/// | `error` | [`Error`] | the source failed, or its bytes are not valid; `close` follows |
/// | `close` | `()` | the stream is closed |
///
/// The order is the same as for a [`ReadableStream`]. `pause` stops `data` at once, even between two items of one chunk, and
/// pauses the source. Nothing is read before there is a `data` listener or [`resume`](DecodedStream::resume) was called.
///
/// After an `error` the source is closed, unless a listener of `error` has ended it: `conn.end_with("line too long\n")`
/// reaches the client. When the source is ended or closed by the program, the rest of its last chunk is discarded.
///
/// # Limits
/// A frame has at most 64 KiB by default; see the setters of the decoders. The stream buffers a partial frame and the rest of one chunk.
pub struct DecodedStream<D> {
    untyped: UntypedStream,
    decoder: PhantomData<*const D>,
}

/// A readable stream of the lines of another stream, without their `\n` or `\r\n`; see [`LineDecoder`].
///
/// # Limits
/// A line of more than 64 KiB is an `error`: [`Error::FrameTooLong`]. For another limit, use
/// [`DecodedStream::with_decoder`].
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use uptick_emitter::Emitter;
/// use uptick_stream::{LineStream, ThroughStream};
///
/// let conn = ThroughStream::new();
/// LineStream::new(conn).on("data", move |line: Bytes| {
///     assert_eq!(line, "exit");
///     conn.close();
/// });
/// conn.write("ex");
/// conn.write("it\r\n");
/// assert!(!conn.is_open());
/// ```
pub type LineStream = DecodedStream<LineDecoder>;

/// A readable stream of the bytes between the delimiters of another stream; see [`DelimiterDecoder`].
pub type DelimiterStream = DecodedStream<DelimiterDecoder>;

/// A readable stream of the length-prefixed frames of another stream; see [`LengthPrefixDecoder`].
pub type LengthPrefixStream = DecodedStream<LengthPrefixDecoder>;

/// A readable stream of the values in the lines of another stream (NDJSON); see [`JsonDecoder`].
///
/// The event key of the values is [`DATA`](DecodedStream::DATA); `"data"` works for `serde_json::Value` only.
///
/// # Examples
/// ```
/// use uptick_emitter::Emitter;
/// use uptick_stream::{JsonStream, ThroughStream};
///
/// let input = ThroughStream::new();
/// let points = JsonStream::<(i32, i32)>::new(input);
/// points.on(JsonStream::DATA, |(x, y)| assert_eq!(x + y, 3));
/// input.end_with("[1, 2]\n[0, 3]\n");
/// ```
#[cfg(feature = "json")]
pub type JsonStream<T> = DecodedStream<JsonDecoder<T>>;

impl LineStream {
    /// Creates a stream of the lines of `source`, of at most 64 KiB each.
    pub fn new(source: impl ReadableStream) -> Self {
        Self::with_decoder(source, LineDecoder::new())
    }
}

impl DelimiterStream {
    /// Creates a stream of the frames between the delimiters in `source`, of at most 64 KiB each.
    pub fn new(source: impl ReadableStream, delimiter: impl AsRef<[u8]>) -> Self {
        Self::with_decoder(source, DelimiterDecoder::new(delimiter))
    }
}

impl LengthPrefixStream {
    /// Creates a stream of the frames in `source`, of at most 64 KiB each.
    pub fn new(source: impl ReadableStream, prefix: LengthPrefix) -> Self {
        Self::with_decoder(source, LengthPrefixDecoder::new(prefix))
    }
}

#[cfg(feature = "json")]
impl<T: serde::de::DeserializeOwned + Clone + 'static> JsonStream<T> {
    /// Creates a stream of the values in the lines of `source`, of at most 64 KiB each.
    pub fn new(source: impl ReadableStream) -> Self {
        Self::with_decoder(source, JsonDecoder::new())
    }
}

impl<D: Decoder> DecodedStream<D> {
    /// Emitted for each item.
    pub const DATA: Event<Self, D::Item> = Event::new("data", DATA);
    /// Emitted when the source has ended, after all items.
    pub const END: Event<Self, ()> = Event::new("end", 1);
    /// Emitted when the stream is closed.
    pub const CLOSE: Event<Self, ()> = Event::new("close", 2);
    /// Emitted when the source failed, or its bytes are not valid; `close` follows.
    pub const ERROR: Event<Self, Error> = Event::new("error", 3).warn();

    /// Creates a stream of the items that `decoder` decodes from `source`.
    ///
    /// The stream is closed from the start if the source is not readable or the thread is ending.
    ///
    /// # Examples
    /// ```
    /// use bytes::Bytes;
    /// use uptick_emitter::Emitter;
    /// use uptick_stream::decode::LineDecoder;
    /// use uptick_stream::{DecodedStream, Error, ThroughStream};
    ///
    /// let input = ThroughStream::new();
    /// let lines = DecodedStream::with_decoder(input, LineDecoder::new().max_length(4));
    /// lines.on("error", |error: Error| assert!(error.to_string().contains("the limit is 4")));
    /// lines.on("data", |line: Bytes| assert_eq!(line, "1234"));
    /// input.write("1234\n12345\n");
    /// assert!(!lines.is_open());
    /// ```
    pub fn with_decoder(source: impl ReadableStream, decoder: D) -> Self {
        let source: Rc<dyn ErasedSource<UntypedStream>> = Rc::new(ReadableSource::new(source));
        let entry = DecodedEntry {
            listeners: Listeners::new(),
            source: Rc::clone(&source),
            decoder: Some(Box::new(decoder)),
            deliver: Self::deliver,
            fail: Self::emit_error,
            close: Self::emit_close,
            input: Default::default(),
            failure: None,
            state: Default::default(),
        };
        let id = STREAMS.try_with(|streams| streams.borrow_mut().table.insert(entry));
        let stream = DecodedStream::from_untyped(UntypedStream {
            id: id.ok().flatten(),
        });
        if stream.untyped.id.is_none() {
            source.close();
        } else if source.is_readable() {
            source.listen(stream.untyped);
        } else {
            stream.untyped.close(false);
        }
        stream
    }

    fn from_untyped(untyped: UntypedStream) -> Self {
        DecodedStream {
            untyped,
            decoder: PhantomData,
        }
    }

    /// Stops `data` and `end` at once, until [`resume`](DecodedStream::resume).
    pub fn pause(self) {
        self.untyped.pause();
    }

    /// Resumes `data` and `end`; without a `data` listener the items are discarded.
    pub fn resume(self) {
        self.untyped.resume();
    }

    /// Returns whether `data` may still be emitted.
    pub fn is_readable(self) -> bool {
        self.untyped.is_readable()
    }

    /// Returns whether the stream is open: `false` once its `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.untyped.entry(|_| ()).is_some()
    }

    /// Closes the stream and its source at once. `close` listeners run before this returns.
    pub fn close(self) {
        self.untyped.close(true);
    }

    /// Writes each item to `destination`, at the pace of the destination, and ends the destination at the end. Returns
    /// `destination`.
    pub fn pipe_objects<Out: Clone + 'static>(
        self,
        destination: ObjectStream<D::Item, Out>,
    ) -> ObjectStream<D::Item, Out> {
        crate::object::pipe_from(
            self,
            crate::pipe::PipeSource {
                data: Self::DATA,
                end: Self::END,
                close: Self::CLOSE,
                is_readable: Self::is_readable,
                pause: Self::pause,
                resume: Self::resume,
            },
            destination,
        )
    }

    fn emit_error(untyped: UntypedStream, error: Error) {
        emit(&Self::from_untyped(untyped), Self::ERROR, error);
    }

    fn emit_close(untyped: UntypedStream) {
        emit(&Self::from_untyped(untyped), Self::CLOSE, ());
    }

    /// Decodes input and emits its items while `data` may be emitted.
    fn deliver(untyped: UntypedStream) {
        let Some(mut decoder) = untyped.entry(DecodedEntry::take_decoder).flatten() else {
            return;
        };
        let result = catch(|| match decoder.downcast_mut() {
            Some(decoder) => Self::decode(untyped, decoder),
            None => Ok(()),
        });
        // If the stream has closed in the meantime, the decoder is dropped.
        untyped.entry(|entry| {
            entry.state.delivering = false;
            entry.decoder = Some(decoder);
        });
        match result {
            Ok(Ok(())) => untyped.finish_delivery(),
            Ok(Err(error)) => untyped.fail(error),
            Err(message) => untyped.fail(Error::Panic {
                message: message.into(),
            }),
        }
    }

    fn decode(untyped: UntypedStream, decoder: &mut D) -> Result<(), Error> {
        let stream = Self::from_untyped(untyped);
        while let Some(step) = untyped.next_step() {
            match step {
                DecodeStep::Decode(mut input) => {
                    while let Some(item) = decoder.decode(&mut input)? {
                        emit(&stream, Self::DATA, item);
                        if !untyped.accepts_data() {
                            untyped.entry(|entry| entry.put_back(input));
                            return Ok(());
                        }
                    }
                }
                DecodeStep::Finish => match decoder.finish()? {
                    Some(item) => {
                        emit(&stream, Self::DATA, item);
                    }
                    None => {
                        untyped.entry(|entry| entry.state.finished = true);
                    }
                },
                DecodeStep::End => {
                    emit(&stream, Self::END, ());
                    untyped.close(false);
                }
            }
        }
        Ok(())
    }
}

const DATA: u8 = 0;

#[derive(Default)]
struct DecodedStreams {
    table: Table<DecodedEntry>,
    driver: Option<DriverId>,
}

thread_local! {
    static STREAMS: RefCell<DecodedStreams> = RefCell::default();
}

/// A decoded stream without the type of its decoder.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct UntypedStream {
    /// `None` if the thread's table was full, or the thread is ending.
    id: Option<Id>,
}

impl UntypedStream {
    fn entry<R>(self, f: impl FnOnce(&mut DecodedEntry) -> R) -> Option<R> {
        let id = self.id?;
        STREAMS
            .try_with(|streams| streams.borrow_mut().table.get_mut(id).map(f))
            .ok()?
    }

    fn source(self) -> Option<Rc<dyn ErasedSource<UntypedStream>>> {
        self.entry(|entry| Rc::clone(&entry.source))
    }

    fn accepts_data(self) -> bool {
        self.entry(|entry| entry.accepts_data()) == Some(true) && !self.is_source_closed()
    }

    /// Returns whether the program has ended or closed the source, so that its remaining input is discarded.
    fn is_source_closed(self) -> bool {
        let source = self.entry(|entry| entry.sending_source()).flatten();
        source.is_some_and(|source| !source.is_readable())
    }

    fn next_step(self) -> Option<DecodeStep> {
        if self.is_source_closed() {
            self.entry(|entry| entry.input.clear());
            return None;
        }
        self.entry(DecodedEntry::next_step).flatten()
    }

    fn deliver(self) {
        if let Some(deliver) = self.entry(|entry| entry.deliver) {
            deliver(self);
        }
    }

    fn pause(self) {
        let source = self.entry(|entry| {
            entry.state.paused = true;
            entry.state.flowing = false;
            entry.state.source_paused = true;
            Rc::clone(&entry.source)
        });
        if let Some(source) = source {
            source.pause();
        }
    }

    fn resume(self) {
        self.entry(|entry| {
            entry.state.paused = false;
            entry.state.flowing = true;
        });
        self.start_flow();
    }

    /// Starts the flow of items: delivers buffered items in the next iteration, or resumes the source if there are none.
    fn start_flow(self) {
        let Some(source) = self.source() else { return };
        source.forward(self);
        if self.entry(|entry| entry.is_idle()) == Some(true) {
            return source.resume();
        }
        let Some(id) = self.id else { return };
        if self.entry(|entry| std::mem::replace(&mut entry.state.scheduled, true)) == Some(false) {
            let token = STREAMS.try_with(|streams| {
                let driver = &mut streams.borrow_mut().driver;
                id.token(*driver.get_or_insert_with(|| driver::register(&DecodedDriver)))
            });
            if let Ok(token) = token {
                driver::ready_later(token, Readiness::empty());
            }
        }
    }

    /// Resumes the source if all its input is decoded, or fails if the source has failed.
    fn finish_delivery(self) {
        let Some((source, failure)) = self.entry(DecodedEntry::finish_delivery).flatten() else {
            return;
        };
        match failure {
            Some(error) => self.fail(error),
            None => source.resume(),
        }
    }

    fn is_readable(self) -> bool {
        let readable = self.entry(|entry| {
            let state = &entry.state;
            let source = (!state.source_ended).then(|| Rc::clone(&entry.source));
            (!state.ended && !state.closing).then_some(source)
        });
        match readable {
            Some(Some(Some(source))) => source.is_readable(),
            Some(Some(None)) => true,
            _ => false,
        }
    }

    /// Emits `error`, then closes.
    fn fail(self, error: Error) {
        let Some((false, fail)) = self.entry(|entry| (entry.state.closing, entry.fail)) else {
            return;
        };
        if let Err(message) = catch(|| fail(self, error)) {
            tracing::error!("a callback panicked as its stream failed: {message}");
        }
        // A source that is ending still sends its queued data.
        let source_open = self.source().is_some_and(|source| source.is_readable());
        self.close(source_open);
    }

    fn close(self, with_source: bool) {
        let parts = self.entry(|entry| {
            let first = !std::mem::replace(&mut entry.state.closing, true);
            first.then(|| (Rc::clone(&entry.source), entry.close))
        });
        let Some(Some((source, close))) = parts else {
            return;
        };
        if with_source {
            source.close();
        } else {
            source.detach();
        }
        if let Err(message) = catch(|| close(self)) {
            tracing::error!("a callback panicked as its stream closed: {message}");
        }
        let id = self.id;
        let entry = STREAMS.try_with(|streams| streams.borrow_mut().table.remove(id?));
        if let Err(message) = catch(|| drop((entry, source))) {
            tracing::error!("a callback panicked as its stream closed: {message}");
        }
    }
}

impl SourceReader for UntypedStream {
    fn data(self, chunk: Bytes) {
        let wanted = self.entry(|entry| {
            entry.input.push_back(chunk);
            let wanted = entry.accepts_data();
            entry.state.source_paused |= !wanted;
            (wanted, Rc::clone(&entry.source))
        });
        match wanted {
            Some((true, _)) => self.deliver(),
            Some((false, source)) => source.pause(),
            None => {}
        }
    }

    fn ended(self) {
        self.entry(|entry| entry.state.source_ended = true);
        self.deliver();
    }

    fn failed(self, error: Error) {
        self.entry(|entry| entry.failure = Some(error));
        self.deliver();
    }

    fn closed(self) {
        let items_pending = self.entry(|entry| entry.state.source_ended || entry.failure.is_some());
        if items_pending == Some(false) {
            self.close(false);
        }
    }
}

struct DecodedDriver;

impl DecodedDriver {
    fn find(token: Token) -> Option<UntypedStream> {
        let found = STREAMS.try_with(|streams| streams.borrow().table.find(token));
        found.ok()?.map(|id| UntypedStream { id: Some(id) })
    }
}

impl Driver for DecodedDriver {
    fn ready(&self, token: Token, _: Readiness) {
        if let Some(stream) = Self::find(token) {
            stream.entry(|entry| entry.state.scheduled = false);
            stream.deliver();
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        if let Some(stream) = Self::find(token) {
            stream.fail(Error::Panic {
                message: message.into(),
            });
        }
    }
}
