//! Flags of a connection and of its streams.

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct ConnectionFlags: u16 {
        /// No request has been received yet.
        const FRESH = 1 << 0;
        /// A part of a header block or of a control frame was received, and the head timeout runs.
        const IN_HEAD = 1 << 1;
        /// Received bytes or deferred actions are being handled, after which pending output is written.
        const ADVANCING = 1 << 2;
        /// End of stream was read from the client.
        const PEER_ENDED = 1 << 3;
        /// Reading is paused.
        const PAUSED = 1 << 4;
        /// The write queue of the connection is full.
        const FULL = 1 << 5;
        /// The connection is closing. All other state is ignored.
        const CLOSING = 1 << 6;
        /// The connection ends after its requests: the server is shutting down, or a response has the header `Connection: close`.
        const DRAINING = 1 << 7;
        /// The end of the connection was announced.
        const GOING_AWAY = 1 << 8;
        /// The last stream that is handled was announced.
        const LAST_ANNOUNCED = 1 << 9;
        /// The client has announced that it closes the connection: GOAWAY.
        const PEER_GOING_AWAY = 1 << 10;
    }
}

bitflags::bitflags! {
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(super) struct StreamFlags: u16 {
        /// The client has ended the stream: no more of the body follows.
        const REMOTE_ENDED = 1 << 0;
        /// The end of the stream follows the queued output.
        const ENDING = 1 << 1;
        /// The end of the stream was written.
        const ENDED = 1 << 2;
        /// The stream was reset, or its connection has closed.
        const CLOSED = 1 << 3;
        /// The queue of the stream is full, so that `drain` follows.
        const FULL = 1 << 4;
        /// The body of the response is sent.
        const SENDS_BODY = 1 << 5;
        /// The stream is listed for deferred actions.
        const LISTED = 1 << 6;
        /// The response is complete, and the rest of the request body is discarded.
        const DRAINING = 1 << 7;
        /// The whole response was written, the rest of the request body is discarded, and the linger time runs.
        const LINGERING = 1 << 8;
        /// The request has not started: it waits for others.
        const WAITING = 1 << 9;
    }
}
