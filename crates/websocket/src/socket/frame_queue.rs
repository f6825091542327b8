//! Frames queued while the connection's write queue is full.
//!
//! The write queue of a connection contains bytes without frame boundaries, and with TLS they are already encrypted. Therefore frames beyond the
//! soft limit are queued here and move to the connection as it drains, and a pong can be sent ahead of them.

use std::collections::VecDeque;

use bytes::Bytes;

/// Length in bytes from which the next short frame starts a new chunk: 16 KiB.
const CHUNK_SIZE: usize = 16 * 1024;

/// Complete frames, in order.
#[derive(Debug, Default)]
pub(super) struct FrameChunk {
    /// Short frames, followed by the head of the frame with `payload`, if there is one.
    pub(super) bytes: Vec<u8>,
    /// The payload of a long frame, or a whole encoded frame.
    pub(super) payload: Bytes,
}

/// The queued frames of a WebSocket.
#[derive(Debug, Default)]
pub(super) struct FrameQueue {
    /// The payload of the latest unanswered ping.
    pong: Option<Vec<u8>>,
    chunks: VecDeque<FrameChunk>,
    len: usize,
}

/// The next item to write.
#[derive(Debug)]
pub(super) enum QueuedItem {
    Pong(Vec<u8>),
    Frames(FrameChunk),
}

impl FrameQueue {
    /// Returns the number of bytes in the queued frames.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a frame: the bytes that `append` appends, followed by `payload`.
    pub(super) fn push(&mut self, payload: Bytes, append: impl FnOnce(&mut Vec<u8>)) {
        let has_room = self
            .chunks
            .back()
            .is_some_and(|last| last.payload.is_empty() && last.bytes.len() < CHUNK_SIZE);
        if !has_room {
            self.chunks.push_back(FrameChunk::default());
        }
        if let Some(last) = self.chunks.back_mut() {
            let before = last.bytes.len();
            append(&mut last.bytes);
            self.len += last.bytes.len().saturating_sub(before) + payload.len();
            last.payload = payload;
        }
    }

    /// Sets the payload of the next pong, replacing an earlier one (RFC 6455, section 5.5.3).
    pub(super) fn set_pong(&mut self, payload: &[u8]) {
        let pong = self.pong.get_or_insert_default();
        pong.clear();
        pong.extend_from_slice(payload);
    }

    /// Removes the next item to write: first the pong, then the frames in order.
    pub(super) fn pop(&mut self) -> Option<QueuedItem> {
        if let Some(pong) = self.pong.take() {
            return Some(QueuedItem::Pong(pong));
        }
        let chunk = self.chunks.pop_front()?;
        self.len = self
            .len
            .saturating_sub(chunk.bytes.len() + chunk.payload.len());
        Some(QueuedItem::Frames(chunk))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(queue: &mut FrameQueue) -> Vec<(usize, usize)> {
        let next = || match queue.pop()? {
            QueuedItem::Frames(chunk) => Some((chunk.bytes.len(), chunk.payload.len())),
            QueuedItem::Pong(pong) => Some((pong.len(), usize::MAX)),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn short_frames_share_a_chunk_and_a_long_frame_ends_it() {
        let mut queue = FrameQueue::default();
        let short = |out: &mut Vec<u8>| out.extend([1; 1000]);
        for _ in 0..20 {
            queue.push(Bytes::new(), short);
        }
        queue.push(Bytes::from(vec![2; 50_000]), |out| out.extend([0; 4]));
        queue.push(Bytes::from(vec![2; 5000]), |_| ());
        queue.push(Bytes::new(), short);
        queue.set_pong(b"first");
        queue.set_pong(b"last");
        assert_eq!(queue.len(), 76_004);
        assert_eq!(
            chunks(&mut queue),
            [
                (4, usize::MAX),
                (17_000, 0),
                (3004, 50_000),
                (0, 5000),
                (1000, 0)
            ]
        );
        assert_eq!(queue.len(), 0);
    }
}
