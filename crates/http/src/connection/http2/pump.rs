//! Queued output: written in the order of priorities, as far as the windows and the connection accept it.

use uptick_event_loop::driver::Timestamp;

use super::flags::{ConnectionFlags, StreamFlags};
use super::output::{OutputWriter, ignore};
use super::state::{ConnectionState, Http2Connection};
use super::stream::{Http2Stream, SOFT_LIMIT, StreamState};

/// Maximum number of bytes of a stream that are written before another stream of the same urgency, in bytes.
const QUANTUM: usize = 16 * 1024;

impl Http2Connection {
    /// Writes queued output. Streams whose queues have room again, or that have ended, are listed. No callback is called.
    pub(super) fn pump(&self) {
        let has_listed = {
            let mut state = self.state();
            let before = state.listed.len();
            while state.write_next(&self.conn) {}
            if state.queued > 0 && !state.flags.contains(ConnectionFlags::CLOSING) {
                self.await_window(&mut state);
            }
            state.listed.len() > before && !state.flags.contains(ConnectionFlags::ADVANCING)
        };
        if has_listed {
            self.advance_later();
        }
    }
}

impl ConnectionState {
    /// Writes output of the stream that is next. Returns `false` if there is none, or no room.
    fn write_next(&mut self, writer: &impl OutputWriter) -> bool {
        if self
            .flags
            .intersects(ConnectionFlags::FULL | ConnectionFlags::CLOSING)
        {
            return false;
        }
        let Some(key) = self.codec.next_pending() else {
            return false;
        };
        let Some(stream) = self.codec.get(key).cloned() else {
            self.codec.set_pending(key, false);
            return true;
        };
        let mut of_stream = stream.state();
        match of_stream.channel.clone() {
            Some(channel) => {
                drop(of_stream);
                self.write_of_channel(writer, &stream, &channel);
            }
            None => self.write_of_stream(writer, &stream, &mut of_stream),
        }
        true
    }

    fn write_of_stream(
        &mut self,
        writer: &impl OutputWriter,
        stream: &Http2Stream,
        of_stream: &mut StreamState,
    ) {
        let key = stream.key();
        let front = of_stream.output.front();
        let count = front.len().min(QUANTUM).min(self.codec.capacity(key));
        if count > 0 {
            let ends = count == of_stream.output.len()
                && of_stream.flags.contains(StreamFlags::ENDING)
                && of_stream.trailers.is_none();
            let codec = &mut self.codec;
            let open =
                writer.append(|out| ignore(codec.send_data(key, &front[..count], ends, out)));
            self.written(open);
            of_stream.output.consume(count);
            of_stream.progress = Timestamp::now();
            self.progress = of_stream.progress;
            self.queued = self.queued.saturating_sub(count);
            if ends {
                of_stream.flags.insert(StreamFlags::ENDED);
                self.list_now(stream, of_stream);
            }
        }
        if of_stream.output.is_empty() || count == 0 {
            self.codec.set_pending(key, false);
        }
        if of_stream.output.is_empty()
            && of_stream.flags.contains(StreamFlags::ENDING)
            && !of_stream.flags.contains(StreamFlags::ENDED)
        {
            self.write_end(writer, stream, of_stream);
        }
        if of_stream.flags.contains(StreamFlags::FULL) && of_stream.output.len() < SOFT_LIMIT {
            self.list_now(stream, of_stream);
        }
    }

    /// Writes the end of a stream after all of its output: the trailers, or an empty frame.
    pub(super) fn write_end(
        &mut self,
        writer: &impl OutputWriter,
        stream: &Http2Stream,
        of_stream: &mut StreamState,
    ) {
        if of_stream.flags.contains(StreamFlags::ENDED) {
            return;
        }
        let (codec, key) = (&mut self.codec, stream.key());
        let trailers = of_stream.trailers.take();
        let open = writer.append(|out| match &trailers {
            Some(trailers) => ignore(codec.send_trailers(key, trailers, out)),
            None => ignore(codec.send_data(key, &[], true, out)),
        });
        self.written(open);
        of_stream.flags.insert(StreamFlags::ENDED);
        self.list_now(stream, of_stream);
    }

    /// Lists a stream for its deferred actions, which the caller starts.
    pub(super) fn list_now(&mut self, stream: &Http2Stream, of_stream: &mut StreamState) {
        if !of_stream.flags.contains(StreamFlags::LISTED) {
            of_stream.flags.insert(StreamFlags::LISTED);
            self.listed.push(stream.key());
        }
    }
}
