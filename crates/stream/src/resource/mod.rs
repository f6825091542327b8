//! Streams over any descriptor: pipes, terminals, sockets, files.

mod descriptor;
mod duplex;
mod readable;
mod writable;

pub use duplex::DuplexResourceStream;
pub use readable::{ReadableResourceStream, stdin};
pub use writable::{WritableResourceStream, stderr, stdout};

/// Makes a handle a [`Transport`](crate::transport::Transport) with a table of its own.
macro_rules! transport {
    ($Handle:ident, $data:expr, $end:expr, $drain:expr) => {
        impl uptick_emitter::Emitter for $Handle {
            type Events = $Handle;

            #[inline]
            fn with_listeners<R>(
                &self,
                f: impl FnOnce(&mut uptick_emitter::Listeners<bytes::Bytes>) -> R,
            ) -> Option<R> {
                use crate::transport::Transport;
                Self::streams(|all| all.with_listeners(*self, f)).flatten()
            }

            fn listener_added(&self, slot: u8) {
                crate::transport::listener_added(*self, slot);
            }
        }

        impl crate::transport::Transport for $Handle {
            type Error = crate::Error;
            type Extra = crate::resource::descriptor::Resource;

            const DATA: uptick_emitter::Event<Self, bytes::Bytes> = $data;
            const END: uptick_emitter::Event<Self, ()> = $end;
            const DRAIN: uptick_emitter::Event<Self, ()> = $drain;
            const ERROR: uptick_emitter::Event<Self, crate::Error> = $Handle::ERROR;
            const CLOSE: uptick_emitter::Event<Self, ()> = $Handle::CLOSE;
            const DRIVER: &'static dyn uptick_event_loop::driver::Driver =
                &crate::transport::TransportDriver::<$Handle>::new();

            #[inline]
            fn from_id(id: uptick_event_loop::Id) -> Self {
                $Handle {
                    id,
                    local: std::marker::PhantomData,
                }
            }

            #[inline]
            fn to_id(self) -> uptick_event_loop::Id {
                self.id
            }

            #[inline]
            fn streams<R>(f: impl FnOnce(&crate::transport::Streams<Self>) -> R) -> Option<R> {
                thread_local! {
                    static STREAMS: crate::transport::Streams<$Handle> =
                        const { crate::transport::Streams::new() };
                }
                STREAMS.try_with(f).ok()
            }

            fn to_error(resource: &Self::Extra, error: crate::Error) -> crate::Error {
                resource.error(error)
            }
        }

        impl $Handle {
            fn start(
                opened: crate::resource::descriptor::Opened,
                readable: bool,
                writable: bool,
            ) -> Result<Self, crate::Error> {
                let options = crate::transport::TransportOptions {
                    readable,
                    writable,
                    ..opened.options
                };
                let stream: Self = crate::transport::open(opened.fd, options, opened.resource)?;
                if !options.is_socket {
                    // Behind a pipe or a terminal sits a program or a person who may take a break.
                    crate::transport::set_stall_limit(stream, None);
                }
                crate::transport::start(stream);
                Ok(stream)
            }

            /// Returns a handle of no stream: it is closed, as one that was closed before.
            pub const fn closed() -> Self {
                $Handle {
                    id: uptick_event_loop::Id::NONE,
                    local: std::marker::PhantomData,
                }
            }

            /// Whether the stream is there: false once its `close` listeners have run.
            pub fn is_open(self) -> bool {
                use crate::transport::Transport;
                Self::streams(|all| all.contains(self)).unwrap_or(false)
            }

            /// Closes at once: what is not written yet is lost. `close` listeners run before this returns.
            pub fn close(self) {
                crate::transport::close(self);
            }

            /// Sets for how long the stream may be without a byte in either direction before it gets an `error` and
            /// closes. `None` switches the limit off. Default: off.
            pub fn set_idle_timeout(self, limit: Option<std::time::Duration>) {
                crate::transport::set_idle_limit(self, limit);
            }
        }

        impl std::fmt::Debug for $Handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_tuple(stringify!($Handle)).field(&self.id).finish()
            }
        }
    };
}

/// The methods of a stream that is read.
macro_rules! reading {
    ($Handle:ident) => {
        impl $Handle {
            /// Stops `data` and `end` until [`resume`](Self::resume).
            pub fn pause(self) {
                crate::transport::pause(self);
            }

            /// Lets `data` and `end` come; without a `data` listener the data is discarded.
            pub fn resume(self) {
                crate::transport::resume(self);
            }

            /// Whether `data` may still come.
            pub fn is_readable(self) -> bool {
                crate::transport::is_readable(self)
            }

            /// How many bytes were read.
            pub fn bytes_read(self) -> u64 {
                crate::transport::byte_counts(self).0
            }

            /// Writes all that comes out of this stream to `destination`: see
            /// [`ReadableStream::pipe`](crate::ReadableStream::pipe).
            pub fn pipe<W: crate::WritableStream>(self, destination: W) -> W {
                crate::ReadableStream::pipe(self, destination)
            }

            /// As [`pipe`](Self::pipe), with options.
            pub fn pipe_with<W: crate::WritableStream>(
                self,
                destination: W,
                options: crate::PipeOptions,
            ) -> W {
                crate::ReadableStream::pipe_with(self, destination, options)
            }
        }
    };
}

/// The methods of a stream that is written.
macro_rules! writing {
    ($Handle:ident) => {
        impl $Handle {
            /// Writes bytes: text, slices, vectors, [`Bytes`](bytes::Bytes).
            ///
            /// They leave in the order of the calls: at the end of the event of this stream that the loop is handling,
            /// otherwise at the end of the loop's iteration, with all that was written by then. When 64 KiB or more wait
            /// ([`set_write_limits`](Self::set_write_limits)), the call itself tries to write them.
            ///
            /// Returns `false` when that much still waits: the chunk is taken, and `drain` follows. Also returns
            /// `false`, and no `drain` follows, when the stream takes nothing: it is ending, closed or gone.
            ///
            /// # Limits
            /// A write that finds 16 MiB waiting is not taken: the stream gets an `error` and closes.
            #[inline]
            pub fn write(self, chunk: impl crate::Chunk) -> bool {
                crate::transport::write(self, chunk)
            }

            /// Sends what is written, then closes.
            pub fn end(self) {
                crate::transport::end(self);
            }

            /// Writes, then [`end`](Self::end)s.
            pub fn end_with(self, chunk: impl crate::Chunk) {
                self.write(chunk);
                self.end();
            }

            /// Whether [`write`](Self::write) takes anything.
            pub fn is_writable(self) -> bool {
                crate::transport::is_writable(self)
            }

            /// How many bytes wait to be written.
            pub fn buffered(self) -> usize {
                crate::transport::buffered(self)
            }

            /// How many bytes were written to the descriptor.
            pub fn bytes_written(self) -> u64 {
                crate::transport::byte_counts(self).1
            }

            /// Sets from how many waiting bytes on `write` gives `false`, and from how many on a further write fails
            /// the stream. Default: 64 KiB and 16 MiB.
            ///
            /// A soft limit above the hard one counts as the hard one, one of 0 as 1.
            ///
            /// What is above the hard limit was written in one call that found less waiting: one write is always
            /// taken whole.
            pub fn set_write_limits(self, soft: usize, hard: usize) {
                crate::transport::set_write_limits(self, Some(soft), Some(hard));
            }

            /// Sets for how long the other side may acknowledge nothing while bytes wait for it, before the stream gets an
            /// `error` and closes. `None` switches the limit off. Default: 30 s for sockets, off for all else.
            pub fn set_write_timeout(self, limit: Option<std::time::Duration>) {
                crate::transport::set_stall_limit(self, limit);
            }
        }
    };
}

pub(crate) use {reading, transport, writing};
