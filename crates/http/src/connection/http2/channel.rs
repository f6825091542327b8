//! Channels on streams: the bytes of another protocol after an extended CONNECT request (RFC 8441).

use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::catch;
use uptick_event_loop::driver::Timestamp;

use super::flags::{ConnectionFlags, StreamFlags};
use super::output::{OutputWriter, ignore};
use super::state::{ConnectionState, Http2Connection};
use super::stream::Http2Stream;
use crate::Upgrade;
use crate::channel::{Carrier, Channel, VirtualStream};
use crate::exchange::{self, Exchange};
use crate::h2::ErrorCode;

/// Maximum number of bytes of a channel in one frame.
const LONGEST: usize = 16 * 1024;

/// The carrier of a channel: a stream of an HTTP/2 connection.
struct Http2Carrier(Rc<Http2Stream>);

impl Http2Connection {
    /// Passes a stream to another protocol, after the head of the response was sent.
    pub(super) fn switch_protocol(&self, stream: &Rc<Http2Stream>, upgrade: Upgrade) {
        let carrier = Box::new(Http2Carrier(Rc::clone(stream)));
        let channel = Rc::new(VirtualStream::new(self.conn.peer(), carrier));
        let Some(id) = channel.open() else {
            return self.reset(stream, ErrorCode::INTERNAL_ERROR);
        };
        let (finished, received, ended) = {
            let mut of_stream = stream.state();
            of_stream.channel = Some(channel);
            let ended = of_stream.flags.contains(StreamFlags::REMOTE_ENDED);
            let finished: Option<Rc<Exchange>> = of_stream.exchange.take();
            (finished, std::mem::take(&mut of_stream.incoming), ended)
        };
        if let Some(finished) = finished
            && let Err(message) = catch(|| exchange::release(finished))
        {
            tracing::error!(
                "a value of a request's listener panicked while it was dropped: {message}"
            );
        }
        let channel = Channel::of_stream(id);
        channel.unshift(received.freeze(), ended);
        self.service.upgraded(channel);
        if let Err(message) = catch(|| upgrade.run(channel)) {
            tracing::error!("an upgrade callback panicked: {message}");
            channel.close();
        }
    }

    /// Passes received bytes to the protocol of a channel.
    pub(super) fn receive_for_channel(
        &self,
        stream: &Http2Stream,
        channel: &VirtualStream,
        bytes: &mut BytesMut,
        end: bool,
    ) {
        if !bytes.is_empty() {
            channel.receive_now(bytes);
        }
        if end {
            stream.state().flags.insert(StreamFlags::REMOTE_ENDED);
            channel.receive_end();
        }
    }
}

impl ConnectionState {
    /// Writes output of a channel.
    pub(super) fn write_of_channel(
        &mut self,
        writer: &impl OutputWriter,
        stream: &Http2Stream,
        channel: &VirtualStream,
    ) {
        let key = stream.key();
        let room = self.codec.capacity(key).min(LONGEST);
        let codec = &mut self.codec;
        let mut open = Some(true);
        let sent = channel.take_output_with(room, |bytes| {
            open = writer.append(|out| ignore(codec.send_data(key, bytes, false, out)));
        });
        if sent > 0 {
            self.progress = Timestamp::now();
        }
        self.written(open);
        let has_output = channel.buffered() > 0;
        self.codec.set_pending(key, has_output);
        if !has_output && channel.take_end() {
            let codec = &mut self.codec;
            let open = writer.append(|out| ignore(codec.send_data(key, &[], true, out)));
            self.written(open);
            stream.state().flags.insert(StreamFlags::ENDED);
        }
        channel.sent();
    }
}

impl Carrier for Http2Carrier {
    fn send(&self) {
        let stream = &self.0;
        let Some(connection) = stream.connection() else {
            return;
        };
        let Some(channel) = stream.state().channel.clone() else {
            return;
        };
        let mut state = connection.state();
        let closed = state.flags.contains(ConnectionFlags::CLOSING)
            || stream.state().flags.contains(StreamFlags::CLOSED);
        if closed {
            return;
        }
        let key = stream.key();
        let first = channel.buffered();
        // The end of a stream needs no window.
        if first > 0 && !state.accepts(key, first.min(LONGEST)) {
            state.codec.set_pending(key, true);
            // The windows may accept a part.
            let is_pumped_later = state.flags.contains(ConnectionFlags::ADVANCING);
            drop(state);
            if !is_pumped_later {
                connection.pump();
            }
            return;
        }
        state.write_of_channel(&connection.conn, stream, &channel);
        drop(state);
        if first > LONGEST {
            connection.pump();
        }
    }

    fn is_acknowledged(&self) -> bool {
        let connection = self.0.connection();
        connection.is_some_and(|http| !http.conn.is_sending() && http.conn.unsent() == 0)
    }

    fn delivered(&self, count: usize) {
        if let Some(connection) = self.0.connection() {
            connection.consumed(&self.0, count);
        }
    }

    fn closed(&self, reset: bool) {
        let stream = &self.0;
        let Some(connection) = stream.connection() else {
            return;
        };
        let (flags, channel) = {
            let mut of_stream = stream.state();
            (of_stream.flags, of_stream.channel.take())
        };
        connection.service.upgraded_stream_closed();
        if !flags.contains(StreamFlags::CLOSED) {
            if reset {
                connection.reset(stream, ErrorCode::CANCEL);
            } else if !flags.contains(StreamFlags::ENDED) {
                let mut state = connection.state();
                let mut of_stream = stream.state();
                state.write_end(&connection.conn, stream, &mut of_stream);
            }
        }
        let is_closing = connection.state().flags.contains(ConnectionFlags::CLOSING);
        if is_closing {
            // The connection has no more events in which it would remove the stream.
            let removed = connection.state().codec.remove(stream.key());
            drop(removed);
        } else {
            connection.list(stream);
        }
        drop(channel);
    }
}
