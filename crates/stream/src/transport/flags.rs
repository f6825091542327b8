//! The state of a stream as bit flags.

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct StreamFlags: u64 {
        /// The descriptor is a socket.
        const SOCKET = 1 << 0;
        /// The listeners of the new stream have been added.
        const STARTED = 1 << 1;
        /// Registered with the poller.
        const WATCHED = 1 << 2;
        /// `data` and `end` are paused.
        const PAUSED = 1 << 3;
        /// Data is read even without a listener.
        const FLOWING = 1 << 4;
        /// There may be data to read that no event will report.
        const READ_READY = 1 << 5;
        /// The poller has reported the peer's end of stream or a reset; the stream is read until a read returns it.
        const HANGUP = 1 << 6;
        /// A read of the stream is scheduled for the next iteration.
        const READ_QUEUED = 1 << 7;
        /// No more bytes can be read: the peer has ended, or the stream is write-only.
        const READ_ENDED = 1 << 8;
        /// The stream cannot be written: it is read-only, or its writing side has ended.
        const WRITE_ENDED = 1 << 9;
        /// The descriptor accepts no more bytes until the poller reports that it is writable.
        const BLOCKED = 1 << 10;
        /// A flush of the stream is scheduled.
        const FLUSH_QUEUED = 1 << 11;
        /// `write` has returned `false`; `drain` is due.
        const FULL = 1 << 12;
        /// More was written than the hard limit allows.
        const OVERFLOW = 1 << 13;
        /// `end` was called.
        const ENDING = 1 << 14;
        /// `shutdown_write` was called: the writing side ends once the queue is empty.
        const SHUTDOWN_PENDING = 1 << 15;
        /// The writing side has ended, and the peer sees the end.
        const SHUTDOWN_SENT = 1 << 16;
        /// The stream stays open after the peer's end of stream.
        const HALF_OPEN = 1 << 17;
        /// The `close` listeners are running.
        const CLOSING = 1 << 18;
        /// The stream has filters.
        const FILTERED = 1 << 19;
        /// The filters are running.
        const FILTERING = 1 << 20;
        /// A limit depends on the time of the last activity.
        const TIMED = 1 << 21;
        /// The descriptor has no readiness: blocking jobs read and write it.
        const JOBS = 1 << 22;
        /// A write has failed inside a callback. Nothing is read until the end of the iteration, when the error is emitted.
        const FAILED = 1 << 23;
        /// A filter accepts no more input until the filters are resumed.
        const FILTERS_WAITING = 1 << 24;
        /// `end` was emitted, at the end of the descriptor or of a layer, and no data is emitted any more. After the end of
        /// a layer, the descriptor may still have bytes.
        const END_EMITTED = 1 << 25;
        /// Files are queued after the bytes in the queue.
        const FILES = 1 << 26;
        /// Written bytes have not passed the filters yet.
        const GATHERED = 1 << 27;
        /// The descriptor may have duplicates, which keep its registration with the poller when it is closed.
        const SHARED = 1 << 28;
        /// The descriptor is a Unix socket, on which a read stops after passed descriptors.
        const UNIX = 1 << 29;
        /// A short read has emptied the descriptor, unless the poller or the read itself reports otherwise.
        const SHORT_READ_ENDS = 1 << 30;
        /// The poller has reported urgent data, at which reads stop; the stream is read until it blocks.
        const URGENT = 1 << 31;
        /// The writing side has ended, and the stream waits for the peer's end of stream.
        const LINGERING = 1 << 32;
        /// The peer has sent all its data, so the stream closes without waiting for the peer's end of stream.
        const PEER_DONE = 1 << 33;
        /// Input is delivered before a write error fails the stream.
        const READS_BEFORE_ERROR = 1 << 34;
        /// A write has failed, and the stream fails when its input is read.
        const WRITE_FAILED = 1 << 35;
    }
}

impl StreamFlags {
    /// Clears a flag; returns whether it was set.
    #[inline]
    pub(super) fn take(&mut self, other: StreamFlags) -> bool {
        let was = self.intersects(other);
        self.remove(other);
        was
    }
}
