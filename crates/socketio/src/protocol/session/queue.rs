//! The send queue of a session.

use std::collections::VecDeque;

use uptick_websocket::Message;

/// A queue of frames, with their total size.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    frames: VecDeque<Message>,
    bytes: usize,
}

impl SendQueue {
    pub(super) fn push(&mut self, frame: Message) {
        self.bytes += frame.as_bytes().len();
        self.frames.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Message> + Clone {
        self.frames.iter()
    }

    /// Removes and returns the first frame.
    pub(super) fn pop(&mut self) -> Option<Message> {
        let frame = self.frames.pop_front()?;
        self.bytes -= frame.as_bytes().len();
        Some(frame)
    }

    /// Removes all frames.
    pub(super) fn clear(&mut self) {
        self.bytes = 0;
        self.frames.clear();
    }

    /// Frees the memory of an empty queue.
    pub(super) fn shrink(&mut self) {
        if self.frames.is_empty() {
            self.frames = VecDeque::new();
        }
    }
}
