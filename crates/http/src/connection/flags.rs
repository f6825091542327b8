//! The state of a connection beside its exchange, a bit each.

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct Flags: u16 {
        /// No byte was received yet.
        const FRESH = 1 << 0;
        /// A part of a head has come, and the time for the rest is running.
        const IN_HEAD = 1 << 1;
        /// The connection ends with this exchange.
        const LAST = 1 << 2;
        /// The steps of the connection are running.
        const ADVANCING = 1 << 3;
        /// The client has ended its side.
        const PEER_ENDED = 1 << 4;
        /// The client has ended its side, perhaps behind bytes that are not read yet.
        const HALF_OPEN = 1 << 5;
        /// Reading is paused.
        const PAUSED = 1 << 6;
        /// So much waits to be sent that no more is written.
        const FULL = 1 << 7;
        /// The connection is ending, and nothing of it is looked at any more.
        const CLOSING = 1 << 8;
        /// The server shuts down: this exchange is the last one.
        const DRAINING = 1 << 9;
    }
}
