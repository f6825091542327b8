//! The state of a stream, a bit each.

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Flags: u64 {
        /// The descriptor is a socket.
        const SOCKET = 1 << 0;
        /// The listeners of the new stream have been added.
        const STARTED = 1 << 1;
        /// Registered with the poller.
        const WATCHED = 1 << 2;
        /// The user wants no data now.
        const PAUSED = 1 << 3;
        /// Data is read also without a listener.
        const FLOWING = 1 << 4;
        /// There may be something to read that no event will report.
        const READ_READY = 1 << 5;
        /// The poller has seen the peer's end or a reset: read until it shows.
        const HANGUP = 1 << 6;
        /// The stream is on the list of those to be read in the next iteration.
        const READ_QUEUED = 1 << 7;
        /// The descriptor gives no more bytes: the peer has ended, or the stream is write-only.
        const READ_OVER = 1 << 8;
        /// Nothing can be written: the stream is read-only, or its writing side has ended.
        const WRITE_OVER = 1 << 9;
        /// The descriptor takes no more bytes until the poller reports that it is writable.
        const BLOCKED = 1 << 10;
        /// The stream is on the list of those to be flushed.
        const FLUSH_QUEUED = 1 << 11;
        /// `write` has returned `false`: `drain` is due.
        const FULL = 1 << 12;
        /// More was written than the hard limit allows.
        const OVERFLOW = 1 << 13;
        /// `end` was called.
        const ENDING = 1 << 14;
        /// `shutdown_write` was called: once the queue is empty, this side ends.
        const SHUTTING = 1 << 15;
        /// This side has ended, and the peer sees it.
        const SHUT = 1 << 16;
        /// The stream stays open after the peer's end.
        const HALF_OPEN = 1 << 17;
        /// The `close` listeners are running.
        const CLOSING = 1 << 18;
        /// There are filters.
        const FILTERED = 1 << 19;
        /// The filters are running.
        const FILTERING = 1 << 20;
        /// A limit depends on when the stream was last active.
        const TIMED = 1 << 21;
        /// The descriptor has no readiness: jobs read and write it.
        const JOBS = 1 << 22;
        /// A write has failed inside a callback. Nothing is read before the end of the iteration, which emits the error.
        const FAILED = 1 << 23;
        /// A filter takes no more before the filters are resumed.
        const FILTER_WAITS = 1 << 24;
        /// No data is emitted any more, because `end` is: by the end of the descriptor, or by that of a layer, behind which
        /// the descriptor may still have bytes.
        const ENDED = 1 << 25;
        /// Files wait behind what is in the queue.
        const FILES = 1 << 26;
        /// Written bytes wait for the filters.
        const GATHERED = 1 << 27;
        /// The descriptor may have duplicates, which keep its watch when it is closed.
        const SHARED = 1 << 28;
        /// The descriptor is a Unix socket, of which a read stops behind passed descriptors.
        const UNIX = 1 << 29;
        /// A read that leaves room has emptied the descriptor, unless the poller or the read itself says otherwise.
        const SHORT_READ_ENDS = 1 << 30;
        /// The poller has seen urgent data, at which reads stop: read until one blocks.
        const URGENT = 1 << 31;
        /// This side has ended, and the stream waits for the peer's end.
        const LINGERS = 1 << 32;
        /// The peer has sent all that it will, so that this side closes without waiting for the peer's end.
        const PEER_DONE = 1 << 33;
    }
}

impl Flags {
    /// Clears a flag; returns whether it was set.
    #[inline]
    pub(super) fn take(&mut self, other: Flags) -> bool {
        let was = self.intersects(other);
        self.remove(other);
        was
    }
}
