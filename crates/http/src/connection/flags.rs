//! The state of a connection beside its exchange, a bit each.

use std::ops::BitOr;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u16);

impl Flags {
    /// No byte was received yet.
    pub(super) const FRESH: Flags = Flags(1 << 0);
    /// A part of a head has come, and the time for the rest is running.
    pub(super) const IN_HEAD: Flags = Flags(1 << 1);
    /// The connection ends with this exchange.
    pub(super) const LAST: Flags = Flags(1 << 2);
    /// The steps of the connection are running.
    pub(super) const ADVANCING: Flags = Flags(1 << 3);
    /// The client has ended its side.
    pub(super) const PEER_ENDED: Flags = Flags(1 << 4);
    /// The client has ended its side, perhaps behind bytes that are not read yet.
    pub(super) const HALF_OPEN: Flags = Flags(1 << 5);
    /// Reading is paused.
    pub(super) const PAUSED: Flags = Flags(1 << 6);
    /// So much waits to be sent that no more is written.
    pub(super) const FULL: Flags = Flags(1 << 7);
    /// The connection is ending, and nothing of it is looked at any more.
    pub(super) const CLOSING: Flags = Flags(1 << 8);
    /// The server shuts down: this exchange is the last one.
    pub(super) const DRAINING: Flags = Flags(1 << 9);

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

    #[inline]
    pub(super) const fn set(&mut self, other: Flags, on: bool) {
        if on {
            self.insert(other);
        } else {
            self.remove(other);
        }
    }

    #[inline]
    pub(super) const fn or(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }
}

impl BitOr for Flags {
    type Output = Flags;

    fn bitor(self, other: Flags) -> Flags {
        self.or(other)
    }
}
