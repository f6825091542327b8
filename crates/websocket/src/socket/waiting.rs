//! Frames that wait while the connection's write queue is full.
//!
//! The queue of a connection is bytes without boundaries, and over TLS it is encrypted already. So frames are kept here from the soft
//! limit on, and move to the connection as it drains: a pong for a ping that comes meanwhile overtakes them.

use std::collections::VecDeque;

use bytes::Bytes;

/// The number of bytes from which on the next short frame begins a new piece: 16 KiB.
const PIECE: usize = 16 * 1024;

/// Whole frames, in order.
#[derive(Debug, Default)]
pub(super) struct Piece {
    /// Short frames behind one another, and then the head of the frame that has `payload`, if there is any.
    pub(super) bytes: Vec<u8>,
    /// The payload of a long frame, or all of one.
    pub(super) payload: Bytes,
}

/// The frames that wait for the connection of a WebSocket.
#[derive(Debug, Default)]
pub(super) struct WaitingFrames {
    /// The payload of the latest ping that was not answered yet.
    pong: Option<Vec<u8>>,
    pieces: VecDeque<Piece>,
    len: usize,
}

/// The next thing to be written.
#[derive(Debug)]
pub(super) enum Waiting {
    Pong(Vec<u8>),
    Frames(Piece),
}

impl WaitingFrames {
    /// The number of bytes in frames.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a frame: what `append` appends, with `payload` behind it.
    pub(super) fn push(&mut self, payload: Bytes, append: impl FnOnce(&mut Vec<u8>)) {
        let open = self
            .pieces
            .back()
            .is_some_and(|last| last.payload.is_empty() && last.bytes.len() < PIECE);
        if !open {
            self.pieces.push_back(Piece::default());
        }
        if let Some(last) = self.pieces.back_mut() {
            let before = last.bytes.len();
            append(&mut last.bytes);
            self.len += last.bytes.len().saturating_sub(before) + payload.len();
            last.payload = payload;
        }
    }

    /// Remembers a ping that is to be answered, in place of the one before (RFC 6455, 5.5.3).
    pub(super) fn set_pong(&mut self, payload: &[u8]) {
        let pong = self.pong.get_or_insert_default();
        pong.clear();
        pong.extend_from_slice(payload);
    }

    /// Takes what is to be written next: the pong, and then the frames in their order.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        if let Some(pong) = self.pong.take() {
            return Some(Waiting::Pong(pong));
        }
        let piece = self.pieces.pop_front()?;
        self.len = self
            .len
            .saturating_sub(piece.bytes.len() + piece.payload.len());
        Some(Waiting::Frames(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(waiting: &mut WaitingFrames) -> Vec<(usize, usize)> {
        let next = || match waiting.pop()? {
            Waiting::Frames(piece) => Some((piece.bytes.len(), piece.payload.len())),
            Waiting::Pong(pong) => Some((pong.len(), usize::MAX)),
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn short_frames_share_pieces_and_a_long_one_ends_its_piece() {
        let mut waiting = WaitingFrames::default();
        let short = |out: &mut Vec<u8>| out.extend([1; 1000]);
        for _ in 0..20 {
            waiting.push(Bytes::new(), short);
        }
        waiting.push(Bytes::from(vec![2; 50_000]), |out| out.extend([0; 4]));
        waiting.push(Bytes::from(vec![2; 5000]), |_| ());
        waiting.push(Bytes::new(), short);
        waiting.set_pong(b"first");
        waiting.set_pong(b"last");
        assert_eq!(waiting.len(), 76_004);
        assert_eq!(
            pieces(&mut waiting),
            [
                (4, usize::MAX),
                (17_000, 0),
                (3004, 50_000),
                (0, 5000),
                (1000, 0)
            ]
        );
        assert_eq!(waiting.len(), 0);
    }
}
