//! The state of a stream, a bit each.

use std::ops::BitOr;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u64);

impl Flags {
    /// The descriptor is a socket.
    pub(super) const SOCKET: Flags = Flags(1 << 0);
    /// The listeners of the new stream have been added.
    pub(super) const STARTED: Flags = Flags(1 << 1);
    /// Registered with the poller.
    pub(super) const WATCHED: Flags = Flags(1 << 2);
    /// The user wants no data now.
    pub(super) const PAUSED: Flags = Flags(1 << 3);
    /// Data is read also without a listener.
    pub(super) const FLOWING: Flags = Flags(1 << 4);
    /// There may be something to read that no event will report.
    pub(super) const READ_READY: Flags = Flags(1 << 5);
    /// The poller has seen the peer's end or a reset: read until it shows.
    pub(super) const HANGUP: Flags = Flags(1 << 6);
    /// The stream is on the list of those to be read in the next iteration.
    pub(super) const READ_QUEUED: Flags = Flags(1 << 7);
    /// The descriptor gives no more bytes: the peer has ended, or the stream is write-only.
    pub(super) const READ_OVER: Flags = Flags(1 << 8);
    /// Nothing can be written: the stream is read-only, or its writing side has ended.
    pub(super) const WRITE_OVER: Flags = Flags(1 << 9);
    /// The descriptor takes no more bytes until the poller reports that it is writable.
    pub(super) const BLOCKED: Flags = Flags(1 << 10);
    /// The stream is on the list of those to be flushed.
    pub(super) const FLUSH_QUEUED: Flags = Flags(1 << 11);
    /// `write` has returned `false`: `drain` is due.
    pub(super) const FULL: Flags = Flags(1 << 12);
    /// More was written than the hard limit allows.
    pub(super) const OVERFLOW: Flags = Flags(1 << 13);
    /// `end` was called.
    pub(super) const ENDING: Flags = Flags(1 << 14);
    /// `shutdown_write` was called: once the queue is empty, this side ends.
    pub(super) const SHUTTING: Flags = Flags(1 << 15);
    /// This side has ended, and the peer sees it.
    pub(super) const SHUT: Flags = Flags(1 << 16);
    /// The stream stays open after the peer's end.
    pub(super) const HALF_OPEN: Flags = Flags(1 << 17);
    /// The `close` listeners are running.
    pub(super) const CLOSING: Flags = Flags(1 << 18);
    /// There are filters.
    pub(super) const FILTERED: Flags = Flags(1 << 19);
    /// The filters are running.
    pub(super) const FILTERING: Flags = Flags(1 << 20);
    /// A limit depends on when the stream was last active.
    pub(super) const TIMED: Flags = Flags(1 << 21);
    /// The descriptor has no readiness: jobs read and write it.
    pub(super) const JOBS: Flags = Flags(1 << 22);
    /// A write has failed inside a callback. Nothing is read before the end of the iteration, which emits the error.
    pub(super) const FAILED: Flags = Flags(1 << 23);
    /// A filter takes no more before the filters are resumed.
    pub(super) const FILTER_WAITS: Flags = Flags(1 << 24);
    /// No data is emitted any more, because `end` is: by the end of the descriptor, or by that of a layer, behind which
    /// the descriptor may still have bytes.
    pub(super) const ENDED: Flags = Flags(1 << 25);
    /// Files wait behind what is in the queue.
    pub(super) const FILES: Flags = Flags(1 << 26);
    /// Written bytes wait for the filters.
    pub(super) const GATHERED: Flags = Flags(1 << 27);
    /// The descriptor may have duplicates, which keep its watch when it is closed.
    pub(super) const SHARED: Flags = Flags(1 << 28);
    /// The descriptor is a Unix socket, of which a read stops behind passed descriptors.
    pub(super) const UNIX: Flags = Flags(1 << 29);
    /// A read that leaves room has emptied the descriptor, unless the poller or the read itself says otherwise.
    pub(super) const SHORT_READ_ENDS: Flags = Flags(1 << 30);
    /// The poller has seen urgent data, at which reads stop: read until one blocks.
    pub(super) const URGENT: Flags = Flags(1 << 31);

    /// This side has ended, and the stream waits for the peer's end.
    pub(super) const LINGERS: Flags = Flags(1 << 32);
    /// The peer has sent all that it will, so that this side closes without waiting for the peer's end.
    pub(super) const PEER_DONE: Flags = Flags(1 << 33);

    /// The flags of both, in constants.
    pub(super) const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    #[inline]
    pub(super) const fn contains(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    #[inline]
    pub(super) const fn intersects(self, other: Flags) -> bool {
        self.0 & other.0 != 0
    }

    #[inline]
    pub(super) const fn insert(&mut self, other: Flags) {
        self.0 |= other.0;
    }

    #[inline]
    pub(super) const fn remove(&mut self, other: Flags) {
        self.0 &= !other.0;
    }

    pub(super) const fn set(&mut self, other: Flags, on: bool) {
        if on {
            self.insert(other);
        } else {
            self.remove(other);
        }
    }

    /// Clears a flag; gives whether it was set.
    #[inline]
    pub(super) const fn take(&mut self, other: Flags) -> bool {
        let was = self.intersects(other);
        self.remove(other);
        was
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}
