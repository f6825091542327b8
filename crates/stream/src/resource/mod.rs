//! StreamTable over any descriptor: pipes, terminals, sockets, files.

mod descriptor;
mod duplex;
mod readable;
mod writable;

pub use duplex::DuplexResourceStream;
pub use readable::{ReadableResourceStream, stdin};
pub use writable::{WritableResourceStream, stderr, stdout};

/// Implements [`Transport`](crate::transport::Transport) for a handle with its own stream table.
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
            type Attachment = crate::resource::descriptor::Resource;

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
            fn streams<R>(f: impl FnOnce(&crate::transport::StreamTable<Self>) -> R) -> Option<R> {
                thread_local! {
                    static STREAMS: crate::transport::StreamTable<$Handle> =
                        const { crate::transport::StreamTable::new() };
                }
                STREAMS.try_with(f).ok()
            }

            fn to_error(resource: &Self::Attachment, error: crate::Error) -> crate::Error {
                resource.error(error)
            }
        }

        impl $Handle {
            fn start(
                opened: crate::resource::descriptor::OpenedResource,
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
                    // The reader of a pipe or a terminal may pause for an unlimited time.
                    crate::transport::set_stall_limit(stream, None);
                }
                crate::transport::start(stream);
                Ok(stream)
            }

            /// Returns a handle that names no stream; it acts like the handle of a closed stream.
            pub const fn closed() -> Self {
                $Handle {
                    id: uptick_event_loop::Id::NONE,
                    local: std::marker::PhantomData,
                }
            }

            /// Returns whether the stream is open: `false` once its `close` listeners have run.
            pub fn is_open(self) -> bool {
                use crate::transport::Transport;
                Self::streams(|all| all.contains(self)).unwrap_or(false)
            }

            /// Closes at once: unwritten data is lost. `close` listeners run before this returns.
            pub fn close(self) {
                crate::transport::close(self);
            }

            /// Sets the maximum time without a byte in either direction; after it, the stream emits `error` and closes.
            /// `None` disables the limit. Default: off.
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

/// Implements the methods of a readable stream.
macro_rules! readable_methods {
    ($Handle:ident) => {
        impl $Handle {
            /// Stops `data` and `end` until [`resume`](Self::resume).
            pub fn pause(self) {
                crate::transport::pause(self);
            }

            /// Resumes `data` and `end`; without a `data` listener the data is discarded.
            pub fn resume(self) {
                crate::transport::resume(self);
            }

            /// Returns whether `data` may still be emitted.
            pub fn is_readable(self) -> bool {
                crate::transport::is_readable(self)
            }

            /// Returns the number of bytes read.
            pub fn bytes_read(self) -> u64 {
                crate::transport::byte_counts(self).0
            }

            /// Writes all data of this stream to `destination`: see [`ReadableStream::pipe`](crate::ReadableStream::pipe).
            pub fn pipe<W: crate::WritableStream>(self, destination: W) -> W {
                crate::ReadableStream::pipe(self, destination)
            }

            /// Like [`pipe`](Self::pipe), with options.
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

/// Implements the methods of a writable stream.
macro_rules! writable_methods {
    ($Handle:ident) => {
        impl $Handle {
            /// Writes bytes: text, slices, vectors, [`Bytes`](bytes::Bytes).
            ///
            /// The bytes are sent in the order of the calls: at the end of the event of this stream that the loop is
            /// handling, otherwise at the end of the loop's iteration, together with everything written by then. If 64 KiB
            /// or more are queued ([`set_write_limits`](Self::set_write_limits)), the call itself tries to write them.
            ///
            /// Returns `false` if that many bytes are still queued: the chunk is accepted, and `drain` follows. Also returns
            /// `false`, without a later `drain`, if the stream is not writable: it is ending, closed or gone.
            ///
            /// # Limits
            /// If 16 MiB are already queued, the chunk is dropped, and the stream emits `error` and closes.
            #[inline]
            pub fn write(self, chunk: impl crate::Chunk) -> bool {
                crate::transport::write(self, chunk)
            }

            /// Sends all written data, then closes.
            pub fn end(self) {
                crate::transport::end(self);
            }

            /// Writes `chunk`, then calls [`end`](Self::end).
            pub fn end_with(self, chunk: impl crate::Chunk) {
                self.write(chunk);
                self.end();
            }

            /// Returns whether [`write`](Self::write) accepts data.
            pub fn is_writable(self) -> bool {
                crate::transport::is_writable(self)
            }

            /// Returns the number of queued bytes.
            pub fn buffered(self) -> usize {
                crate::transport::buffered(self)
            }

            /// Returns the number of bytes written to the descriptor.
            pub fn bytes_written(self) -> u64 {
                crate::transport::byte_counts(self).1
            }

            /// Sets the soft and the hard limit of the write queue, in bytes. At the soft limit `write` returns `false`; at
            /// the hard limit the next write fails the stream.
            ///
            /// A soft limit above the hard limit is reduced to it, and a soft limit of 0 is raised to 1. One write is always
            /// accepted whole, so the queue may exceed the hard limit after a single call. Default: 64 KiB and 16 MiB.
            pub fn set_write_limits(self, soft: usize, hard: usize) {
                crate::transport::set_write_limits(self, Some(soft), Some(hard));
            }

            /// Sets the maximum time without an acknowledgement from the peer while bytes are queued; after it, the stream
            /// emits `error` and closes. `None` disables the limit. Default: 30 s for sockets, off for everything else.
            pub fn set_write_timeout(self, limit: Option<std::time::Duration>) {
                crate::transport::set_stall_limit(self, limit);
            }
        }
    };
}

pub(crate) use {readable_methods, transport, writable_methods};
