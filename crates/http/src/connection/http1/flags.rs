//! Flags of a connection.

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct ConnectionFlags: u16 {
        /// No byte has been received yet.
        const FRESH = 1 << 0;
        /// A part of a head was received, and the head timeout runs.
        const IN_HEAD = 1 << 1;
        /// The connection ends after this exchange.
        const LAST = 1 << 2;
        /// The actions of the connection are running.
        const ADVANCING = 1 << 3;
        /// End of stream was read from the client.
        const PEER_ENDED = 1 << 4;
        /// The client has half-closed the connection. Received bytes before the end of stream may still be unread.
        const HALF_OPEN = 1 << 5;
        /// Reading is paused.
        const PAUSED = 1 << 6;
        /// The write queue is full.
        const FULL = 1 << 7;
        /// The connection is closing. All other state is ignored.
        const CLOSING = 1 << 8;
        /// The server is shutting down: this exchange is the last one.
        const DRAINING = 1 << 9;
    }
}
