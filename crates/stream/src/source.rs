//! The type-erased readable stream that another stream reads from.

use std::cell::{Cell, RefCell};

use bytes::Bytes;
use uptick_emitter::ListenerId;

use crate::contract::ReadableStream;
use crate::error::Error;

/// The stream that reads from an [`ErasedSource`].
pub(crate) trait SourceReader: Copy + 'static {
    fn data(self, chunk: Bytes);
    fn ended(self);
    fn failed(self, error: Error);
    fn closed(self);
}

/// A readable stream with an erased type.
pub(crate) trait ErasedSource<R> {
    /// Registers the reader for the end, the error and the close.
    fn listen(&self, reader: R);
    /// Registers the reader for data; until then the stream buffers it.
    fn forward(&self, reader: R);
    fn is_readable(&self) -> bool;
    fn pause(&self);
    fn resume(&self);
    /// Removes the listeners of the reader.
    fn detach(&self);
    /// Removes the listeners of the reader and closes the stream.
    fn close(&self);
}

pub(crate) struct ReadableSource<S> {
    stream: S,
    ids: RefCell<Vec<ListenerId>>,
    forwarding: Cell<bool>,
}

impl<S: ReadableStream> ReadableSource<S> {
    pub(crate) fn new(stream: S) -> Self {
        ReadableSource {
            stream,
            ids: RefCell::default(),
            forwarding: Cell::new(false),
        }
    }
}

impl<S: ReadableStream, R: SourceReader> ErasedSource<R> for ReadableSource<S> {
    fn listen(&self, reader: R) {
        let end = self.stream.on(S::END, move |()| reader.ended());
        let error = self.stream.on(S::ERROR, move |error| {
            reader.failed(Error::from_stream(error))
        });
        let close = self.stream.on(S::CLOSE, move |()| reader.closed());
        self.ids.borrow_mut().extend([end, error, close]);
    }

    fn forward(&self, reader: R) {
        if !self.forwarding.replace(true) {
            let data = self.stream.on(S::DATA, move |chunk| reader.data(chunk));
            self.ids.borrow_mut().push(data);
        }
    }

    fn is_readable(&self) -> bool {
        self.stream.is_readable()
    }

    fn pause(&self) {
        self.stream.pause();
    }

    fn resume(&self) {
        self.stream.resume();
    }

    fn detach(&self) {
        for id in self.ids.take() {
            self.stream.off(id);
        }
    }

    fn close(&self) {
        ErasedSource::<R>::detach(self);
        self.stream.close();
    }
}
