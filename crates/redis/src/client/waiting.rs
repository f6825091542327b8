//! Commands that wait for a connection.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use uptick_event_loop::Id;

use crate::protocol::{Arguments, encode_command};

/// Encoded commands in one buffer, in order.
#[derive(Debug, Default)]
pub(super) struct WaitingCommands {
    bytes: BytesMut,
    commands: VecDeque<WaitingCommand>,
    /// The buffer in which a command is encoded.
    encoded: Vec<u8>,
}

#[derive(Debug)]
struct WaitingCommand {
    reply: Option<Id>,
    length: usize,
    /// The time at which the command fails.
    deadline: Duration,
}

impl WaitingCommands {
    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn push(
        &mut self,
        reply: Option<Id>,
        arguments: &impl Arguments,
        deadline: Duration,
    ) {
        self.encoded.clear();
        encode_command(&mut self.encoded, arguments);
        self.bytes.extend_from_slice(&self.encoded);
        self.commands.push_back(WaitingCommand {
            reply,
            length: self.encoded.len(),
            deadline,
        });
        // A large command must not keep its memory.
        self.encoded.shrink_to(4096);
    }

    /// Returns the deadline of the first command.
    pub(super) fn deadline(&self) -> Option<Duration> {
        self.commands.front().map(|command| command.deadline)
    }

    /// Removes the first command, if its deadline is not after `now`.
    pub(super) fn expire(&mut self, now: Duration) -> Option<Option<Id>> {
        if self.deadline()? > now {
            return None;
        }
        let command = self.commands.pop_front()?;
        self.bytes.advance(command.length);
        Some(command.reply)
    }

    /// Takes all commands: their bytes, and their replies in order.
    pub(super) fn take(&mut self) -> (BytesMut, Vec<Option<Id>>) {
        let all = std::mem::take(self);
        let replies = all.commands.into_iter().map(|command| command.reply);
        (all.bytes, replies.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_commands_are_removed_with_their_bytes() {
        let mut waiting = WaitingCommands::default();
        waiting.push(None, &"A", Duration::from_secs(1));
        waiting.push(None, &("B", "x"), Duration::from_secs(2));
        assert_eq!(waiting.deadline(), Some(Duration::from_secs(1)));
        assert!(waiting.expire(Duration::from_secs(1)).is_some());
        assert!(waiting.expire(Duration::from_secs(1)).is_none());
        let (bytes, replies) = waiting.take();
        assert_eq!(
            (&bytes[..], replies.len()),
            (&b"*2\r\n$1\r\nB\r\n$1\r\nx\r\n"[..], 1)
        );
        assert!(waiting.len() == 0 && waiting.size() == 0);
    }
}
