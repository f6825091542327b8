//! Flags of a session and of its streams.

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct SessionFlags: u16 {
        /// Received bytes or deferred actions are being handled, after which pending output is written.
        const ADVANCING = 1 << 0;
        /// Reading is paused.
        const PAUSED = 1 << 1;
        /// The write queue of the connection is full.
        const FULL = 1 << 2;
        /// The connection is closing. All other state is ignored.
        const CLOSING = 1 << 3;
        /// No further request is sent: the connection closes after its streams.
        const RETIRED = 1 << 4;
        /// The owner was informed that the session is retired.
        const RETIREMENT_REPORTED = 1 << 5;
        /// The session is idle, and does not keep the loop running.
        const IDLE = 1 << 6;
        /// A PING frame was sent, and nothing was received since.
        const PINGED = 1 << 7;
        /// A stream was removed, and the owner was not informed yet.
        const ROOM_FREED = 1 << 8;
        /// The owner was informed of room since the last reception.
        const ROOM_REPORTED = 1 << 9;
    }
}

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct StreamFlags: u16 {
        /// The end of the request follows the queued output.
        const ENDING = 1 << 0;
        /// The end of the request was passed to the connection, or the rest of it is not sent.
        const ENDED = 1 << 1;
        /// The connection has sent the end of the request, and the first-byte timeout runs.
        const SENT = 1 << 2;
        /// The connection still had output when the deadline was checked after the end of the request.
        const SENDING = 1 << 3;
        /// The final head was received.
        const ANSWERED = 1 << 4;
        /// The reader has paused the response.
        const PAUSED = 1 << 5;
        /// The queue of the stream is full, so that `writable` follows.
        const FULL = 1 << 6;
        /// The stream is listed for deferred actions.
        const LISTED = 1 << 7;
        /// The stream was removed from its session.
        const CLOSED = 1 << 8;
    }
}
