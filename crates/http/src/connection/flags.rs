//! The state of a connection, a bit each.

use std::ops::BitOr;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags(u32);

impl Flags {
    /// Not an octet has come yet.
    pub(super) const FRESH: Flags = Flags(1 << 0);
    /// A part of a head has come, and the time for the rest is running.
    pub(super) const IN_HEAD: Flags = Flags(1 << 1);
    /// An exchange is under way.
    pub(super) const ACTIVE: Flags = Flags(1 << 2);
    /// The request has come whole, with its body.
    pub(super) const RECEIVED: Flags = Flags(1 << 3);
    /// The answer has begun.
    pub(super) const STARTED: Flags = Flags(1 << 4);
    /// The answer is written whole.
    pub(super) const ANSWERED: Flags = Flags(1 << 5);
    /// The connection ends with this exchange.
    pub(super) const LAST: Flags = Flags(1 << 6);
    /// The method is HEAD.
    pub(super) const TO_HEAD: Flags = Flags(1 << 7);
    /// The client speaks HTTP/1.0.
    pub(super) const OLD: Flags = Flags(1 << 8);
    /// The client waits for `100 Continue`.
    pub(super) const EXPECTS: Flags = Flags(1 << 9);
    /// Somebody holds the responder.
    pub(super) const HELD: Flags = Flags(1 << 10);
    /// The body is wanted: a reader waits for it, or there are `data` listeners.
    pub(super) const WANTED: Flags = Flags(1 << 11);
    /// The body goes to listeners.
    pub(super) const PUSHED: Flags = Flags(1 << 12);
    /// [`steps::advance`](super::steps::advance) is running.
    pub(super) const ADVANCING: Flags = Flags(1 << 13);
    /// The peer has ended its side.
    pub(super) const PEER_ENDED: Flags = Flags(1 << 14);
    /// Reading is paused.
    pub(super) const PAUSED: Flags = Flags(1 << 15);
    /// So much waits to be sent that no more is written.
    pub(super) const FULL: Flags = Flags(1 << 16);
    /// The connection is ending, and nothing of it is looked at any more.
    pub(super) const CLOSING: Flags = Flags(1 << 17);
    /// The server shuts down: this exchange is the last one.
    pub(super) const DRAINING: Flags = Flags(1 << 18);
    /// The body was refused, or has ended too early.
    pub(super) const BODY_FAILED: Flags = Flags(1 << 19);
    /// More of the body than is worth throwing away is still to come.
    pub(super) const LONG: Flags = Flags(1 << 20);
    /// The user was not ready for the body in this window of time: nobody can blame the client.
    pub(super) const HELD_UP: Flags = Flags(1 << 21);

    /// The body had ended when its listeners came: they are still to be told.
    pub(super) const END_DUE: Flags = Flags(1 << 22);

    /// The client has ended its side, perhaps behind bytes that are not read yet.
    pub(super) const HALF_OPEN: Flags = Flags(1 << 24);

    /// What is known of an exchange.
    pub(super) const OF_EXCHANGE: Flags = Flags(
        Self::ACTIVE.0
            | Self::RECEIVED.0
            | Self::STARTED.0
            | Self::ANSWERED.0
            | Self::TO_HEAD.0
            | Self::OLD.0
            | Self::EXPECTS.0
            | Self::HELD.0
            | Self::WANTED.0
            | Self::PUSHED.0
            | Self::BODY_FAILED.0
            | Self::LONG.0
            | Self::HELD_UP.0
            | Self::END_DUE.0,
    );

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
