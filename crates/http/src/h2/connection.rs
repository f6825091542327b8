//! The state of a connection.

use std::fmt;
use std::time::Duration;

use super::error::{ConnectionError, ErrorCode};
use super::event::Event;
use super::frame::{PREFACE, write_go_away, write_ping, write_reset, write_window_update};
use super::glitches::Bucket;
use super::hpack::{Decoder, Encoder};
use super::limits::Limits;
use super::priority::Priority;
use super::reader::Reader;
use super::resets::RecentResets;
use super::settings::{INITIAL_HEADER_TABLE, PeerSettings, Role, write_initial};
use super::streams::{StreamFlags, StreamKey, StreamTable};
use super::window::{INITIAL_WINDOW, MAX_WINDOW, ReceiveWindow, SendWindow};

/// Capacity of the control queue that is kept for later frames, in bytes.
const KEPT_CONTROL: usize = 64;

/// An HTTP/2 connection without a socket: received bytes in and [`Event`]s out, messages in and bytes out. `T` is the data that the program
/// keeps for each stream.
///
/// After [`receive`](Connection::receive) has returned `None`, the program writes the control frames ([`write_control`](Connection::write_control)).
/// It does not read while [`wants_input`](Connection::wants_input) returns `false`. A stream uses one of the
/// [concurrent streams](Limits::concurrent_streams) until the program [removes](Connection::remove) it.
pub struct Connection<T> {
    pub(super) role: Role,
    pub(super) flags: ConnectionFlags,
    pub(super) limits: Limits,
    pub(super) reader: Reader,
    pub(super) decoder: Decoder,
    pub(super) encoder: Encoder,
    pub(super) peer: PeerSettings,
    pub(super) streams: StreamTable<T>,
    pub(super) send_window: SendWindow,
    pub(super) receive_window: ReceiveWindow,
    /// Encoded control frames.
    pub(super) control: Vec<u8>,
    pub(super) glitches: Bucket,
    pub(super) overhead: Bucket,
    /// The time passed to the last call of `receive`.
    pub(super) now: Duration,
    /// Number of SETTINGS frames that the peer has not acknowledged.
    pub(super) unacknowledged: u8,
    /// Greatest identifier of a stream of the peer.
    pub(super) last_peer: u32,
    /// The last range of identifiers that the peer left out.
    pub(super) skipped: (u32, u32),
    /// The next identifier of a local stream.
    pub(super) next_local: u32,
    /// The last stream in a GOAWAY frame that was sent.
    pub(super) last_accepted: u32,
    pub(super) resets: RecentResets,
    /// The priority of a stream that is not open yet.
    pub(super) early_priority: (u32, Priority),
    /// An error that [`receive`](Connection::receive) will report.
    pub(super) error: Option<ConnectionError>,
}

bitflags::bitflags! {
    /// The state of a connection.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct ConnectionFlags: u8 {
        /// The connection failed: received bytes are dropped.
        const CLOSED = 1 << 0;
        /// A window for sending has grown since the last event.
        const WINDOW_GREW = 1 << 1;
        /// Reduced initial windows apply after the peer has acknowledged them.
        const WINDOW_REDUCED = 1 << 2;
        /// The peer has sent GOAWAY.
        const PEER_GOING_AWAY = 1 << 3;
        /// The peer has acknowledged a PING frame.
        const PING_ACKNOWLEDGED = 1 << 4;
    }
}

impl<T> Connection<T> {
    /// Creates the server side of a connection. The first control frames are queued.
    pub fn server(limits: &Limits) -> Connection<T> {
        Connection::new(limits, Role::Server)
    }

    pub(super) fn new(limits: &Limits, role: Role) -> Connection<T> {
        let mut control = Vec::with_capacity(KEPT_CONTROL);
        if role == Role::Client {
            control.extend_from_slice(PREFACE);
        }
        write_initial(&mut control, limits, role);
        let reduced = limits.stream_window < INITIAL_WINDOW;
        // The table of the peer has its initial size until a size update.
        let mut decoder = Decoder::new(INITIAL_HEADER_TABLE);
        if limits.header_table > INITIAL_HEADER_TABLE {
            decoder.set_max_table_size(limits.header_table);
        }
        Connection {
            role,
            flags: match reduced {
                true => ConnectionFlags::WINDOW_REDUCED,
                false => ConnectionFlags::empty(),
            },
            limits: *limits,
            reader: Reader::new(role),
            decoder,
            encoder: Encoder::with_limit(limits.header_table),
            peer: PeerSettings::INITIAL,
            streams: StreamTable::new(),
            send_window: SendWindow::new(INITIAL_WINDOW),
            receive_window: ReceiveWindow::new(limits.connection_window),
            control,
            glitches: limits.glitch_bucket(),
            overhead: limits.overhead_bucket(),
            now: Duration::ZERO,
            unacknowledged: 1,
            last_peer: 0,
            skipped: (0, 0),
            next_local: 1,
            last_accepted: MAX_WINDOW,
            resets: RecentResets::default(),
            early_priority: (0, Priority::default()),
            error: None,
        }
    }

    /// Returns the size of the queued control frames, in bytes.
    #[inline]
    pub fn control_len(&self) -> usize {
        self.control.len()
    }

    /// Appends the queued control frames to `out`: acknowledgements, window updates, resets and GOAWAY. Write them before
    /// bytes of responses that are encoded later, and only while the transport has space for more: otherwise their
    /// [limit](Limits::queued_control) has no effect.
    #[inline]
    pub fn write_control(&mut self, out: &mut Vec<u8>) {
        if self.control.is_empty() {
            return;
        }
        out.extend_from_slice(&self.control);
        match self.control.capacity() > KEPT_CONTROL {
            true => self.control = Vec::new(),
            false => self.control.clear(),
        }
    }

    /// Returns `false` while more control frames are queued than the [limit](Limits::queued_control) allows. The program then stops
    /// reading until they are written.
    #[inline]
    pub fn wants_input(&self) -> bool {
        self.control.len() < self.limits.queued_control as usize
    }

    /// Returns `true` if a header block, or a frame other than DATA, was received in part.
    pub fn is_mid_frame(&self) -> bool {
        self.reader.is_mid_frame()
    }

    /// Returns `true` if a header block was received in part.
    pub fn is_mid_head(&self) -> bool {
        self.reader.is_mid_head()
    }

    /// Returns `true` once the peer has acknowledged the settings.
    pub fn is_settings_acknowledged(&self) -> bool {
        self.unacknowledged == 0
    }

    /// Returns `true` if the connection failed, or if it ended with an error code.
    pub fn is_closed(&self) -> bool {
        self.flags.contains(ConnectionFlags::CLOSED)
    }

    /// Returns `true` if the peer accepts the extended CONNECT method (RFC 8441).
    pub fn accepts_connect_protocol(&self) -> bool {
        self.peer.connect_protocol
    }

    /// Returns the number of streams that were not removed.
    #[inline]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Returns `true` if all streams were removed.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.streams.len() == 0
    }

    /// Returns the keys of all streams that were not removed, in no particular order.
    pub fn keys(&self) -> impl Iterator<Item = StreamKey> + '_ {
        self.streams.iter().map(|stream| stream.key())
    }

    /// Returns the greatest identifier of a stream that the peer opened, or 0.
    pub fn last_stream(&self) -> u32 {
        self.last_peer
    }

    /// Sets the data of a stream.
    #[inline]
    pub fn accept(&mut self, stream: StreamKey, data: T) {
        if let Some(stream) = self.streams.get_mut(stream.id) {
            stream.data = Some(data);
        }
    }

    /// Returns the data of a stream.
    #[inline]
    pub fn get(&self, stream: StreamKey) -> Option<&T> {
        self.streams.get(stream.id)?.data.as_ref()
    }

    /// Returns the data of a stream.
    #[inline]
    pub fn get_mut(&mut self, stream: StreamKey) -> Option<&mut T> {
        self.streams.get_mut(stream.id)?.data.as_mut()
    }

    /// Returns `true` if more of the message of the peer is expected: its end was not received, and the stream was not reset.
    pub fn is_receiving(&self, stream: StreamKey) -> bool {
        let ended = StreamFlags::PEER_ENDED | StreamFlags::RESET;
        self.streams
            .get(stream.id)
            .is_some_and(|stream| !stream.has(ended))
    }

    /// Returns `true` if more can be sent: the end was not sent, and the stream was not reset.
    pub fn is_sending(&self, stream: StreamKey) -> bool {
        let ended = StreamFlags::ENDED | StreamFlags::RESET;
        self.streams
            .get(stream.id)
            .is_some_and(|stream| !stream.has(ended))
    }

    /// Removes a stream, and returns its data.
    ///
    /// A stream that has not ended on both sides is reset: with `NO_ERROR` if a server has sent the whole response before the end of the request
    /// (RFC 9113, section 8.1), otherwise with `CANCEL`. Received bytes that were not consumed are credited to the connection.
    pub fn remove(&mut self, stream: StreamKey) -> Option<T> {
        let stream = self.streams.get(stream.id)?;
        let (id, flags) = (stream.id, stream.flags);
        let both = StreamFlags::ENDED | StreamFlags::PEER_ENDED;
        if !flags.contains(both) || flags.contains(StreamFlags::QUEUED) {
            self.abandon(id, flags);
        }
        let unconsumed = self.streams.get(id)?.receive_window.unconsumed();
        if unconsumed > 0 {
            self.credit_connection(unconsumed);
        }
        self.streams.remove(id)
    }

    /// Ends a stream that is removed before its end.
    #[cold]
    fn abandon(&mut self, id: u32, flags: StreamFlags) {
        if !flags.contains(StreamFlags::RESET) {
            let is_answered = self.role == Role::Server && flags.contains(StreamFlags::ENDED);
            let code = match is_answered {
                true => ErrorCode::NO_ERROR,
                false => ErrorCode::CANCEL,
            };
            self.reset(StreamKey { id }, code);
        }
        if !flags.contains(StreamFlags::PEER_ENDED) {
            self.resets.add(id);
        }
    }

    /// Discards the rest of the body of the peer, which is credited at once: only its end is an event.
    pub fn discard(&mut self, stream: StreamKey) {
        let id = stream.id;
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        stream.flags.insert(StreamFlags::DISCARDS);
        let unconsumed = stream.receive_window.unconsumed();
        self.consume(id, unconsumed);
    }

    /// Credits body bytes that the program has consumed. WINDOW_UPDATE frames are queued when half of a window was consumed.
    #[inline]
    pub fn consumed(&mut self, stream: StreamKey, bytes: usize) {
        self.consume(stream.id, u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    pub(super) fn consume(&mut self, id: u32, bytes: u32) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let bytes = stream.receive_window.consume(bytes);
        if !stream.has(StreamFlags::PEER_ENDED | StreamFlags::RESET)
            && let Some(increment) = stream.receive_window.increment(self.limits.stream_window)
        {
            write_window_update(&mut self.control, id, increment);
        }
        self.credit_connection(bytes);
    }

    /// Credits received bytes to the window of the connection only, before the program has [consumed](Connection::consumed) them. A program that
    /// does this for all bytes when they are received limits its memory by the windows of the streams, and a stream whose body is not read does not block
    /// the others.
    pub fn credit_connection(&mut self, bytes: u32) {
        let window = &mut self.receive_window;
        window.consume(bytes);
        if let Some(increment) = window.increment(self.limits.connection_window) {
            write_window_update(&mut self.control, 0, increment);
        }
    }

    /// Returns `true` if the program has not consumed half of the window of the connection, so that the peer may wait for it on all streams.
    pub(crate) fn is_consuming_slowly(&self) -> bool {
        self.receive_window.unconsumed() >= self.limits.connection_window / 2
    }

    /// Resets a stream. It uses a slot until it is [removed](Connection::remove). Does nothing if the stream is closed.
    pub fn reset(&mut self, stream: StreamKey, code: ErrorCode) {
        let id = stream.id;
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let both = StreamFlags::ENDED | StreamFlags::PEER_ENDED;
        let is_open = !stream.has(StreamFlags::RESET) && !stream.flags.contains(both);
        if is_open {
            stream.flags.insert(StreamFlags::RESET);
            write_reset(&mut self.control, id, code);
            if code.blames_peer() {
                self.charge_glitch_later();
            }
        }
        if let Some(stream) = self.streams.get_mut(id) {
            stream.flags.remove(StreamFlags::PENDING);
        }
        self.streams.update_queue(id);
    }

    /// Charges a glitch outside of `receive`, which reports the error if the budget is exceeded.
    fn charge_glitch_later(&mut self) {
        if let Err(error) = self.glitch() {
            self.error.get_or_insert(error);
        }
    }

    /// Charges a glitch.
    pub(super) fn glitch(&mut self) -> Result<(), ConnectionError> {
        match self.glitches.charge(1, self.now) {
            true => Ok(()),
            false => Err(ConnectionError::excessive(
                "the peer has caused too many resets or invalid frames",
            )),
        }
    }

    /// Charges a frame that transports little.
    pub(super) fn charge_overhead(&mut self) -> Result<(), ConnectionError> {
        match self.overhead.charge(1, self.now) {
            true => Ok(()),
            false => Err(ConnectionError::excessive(
                "the peer has sent too many frames that transport little",
            )),
        }
    }

    /// Queues a PING frame. A peer that has closed its socket resets the connection.
    pub fn send_ping(&mut self) {
        self.flags.remove(ConnectionFlags::PING_ACKNOWLEDGED);
        write_ping(&mut self.control, 0, &[0; 8]);
    }

    /// Returns `true` if the peer has acknowledged a PING frame since the last call of [`send_ping`](Connection::send_ping).
    #[inline]
    pub fn is_ping_acknowledged(&self) -> bool {
        self.flags.contains(ConnectionFlags::PING_ACKNOWLEDGED)
    }

    /// Returns the limits of the connection.
    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Announces that the connection will be closed: queues GOAWAY without a last stream, so that the peer opens no more streams. Streams
    /// that are opened until [`go_away`](Connection::go_away) are still processed (RFC 9113, section 6.8).
    pub fn announce_go_away(&mut self) {
        write_go_away(&mut self.control, MAX_WINDOW, ErrorCode::NO_ERROR, "");
    }

    /// Queues GOAWAY with the last stream that the peer has opened. Streams opened later are refused. If `code` is not `NO_ERROR`,
    /// received bytes are dropped from now on.
    pub fn go_away(&mut self, code: ErrorCode) {
        self.last_accepted = self.last_accepted.min(self.last_peer);
        write_go_away(&mut self.control, self.last_accepted, code, "");
        if code != ErrorCode::NO_ERROR {
            self.close();
        }
    }

    /// Queues GOAWAY because of an error of the peer.
    #[cold]
    pub(super) fn fail(&mut self, error: ConnectionError) -> Event {
        let last = self.last_accepted.min(self.last_peer);
        write_go_away(&mut self.control, last, error.code(), error.reason());
        self.close();
        Event::Closed(error)
    }

    fn close(&mut self) {
        self.flags.insert(ConnectionFlags::CLOSED);
        self.reader = Reader::new(Role::Client);
    }

    /// Sets whether a stream has data to send that waits for a window or for its turn.
    #[inline]
    pub fn set_pending(&mut self, stream: StreamKey, pending: bool) {
        let id = stream.id;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.flags.set(StreamFlags::PENDING, pending);
            self.streams.update_queue(id);
        }
    }

    /// Returns the pending stream to send next, if its window and the window of the connection are open: the most urgent one (RFC 9218). Streams of
    /// the same urgency are sent one after the other in the order in which they became pending, or alternate if they are incremental or the client
    /// has sent no priority.
    #[inline]
    pub fn next_pending(&mut self) -> Option<StreamKey> {
        match self.send_window.is_open() {
            true => self.streams.next_queued(),
            false => None,
        }
    }

    /// Returns `true` if a stream is pending and can be sent.
    #[inline]
    pub fn can_send(&self) -> bool {
        self.send_window.is_open() && self.streams.any_queued()
    }

    /// Returns `true` if a stream is pending, even if its window is closed.
    pub fn has_pending(&self) -> bool {
        let mut streams = self.streams.iter();
        streams.any(|stream| stream.has(StreamFlags::PENDING))
    }

    /// Frees memory that an idle connection does not need. Call it when the connection has been idle for a while, as the next requests
    /// allocate the memory again.
    pub fn shrink(&mut self) {
        self.streams.shrink();
        self.resets.shrink();
        if self.control.is_empty() {
            self.control = Vec::new();
        }
    }
}

impl<T> fmt::Debug for Connection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role)
            .field("flags", &self.flags)
            .field("streams", &self.streams.len())
            .field("last_peer", &self.last_peer)
            .finish_non_exhaustive()
    }
}
