//! What the peer has acknowledged, as opposed to what the kernel has accepted for it.
//!
//! A kernel buffers megabytes for a slow peer, and reports the socket as writable only once a good part of them is gone
//! (Linux: a third of the buffer). In between, a peer that reads steadily shows only in the length of the kernel's queue.
//!
//! Cost: one system call for each question. Nothing is asked while data flows.

use std::ffi::c_int;
use std::os::fd::AsFd;

use rustix::ioctl::{Getter, Opcode, ioctl};

use super::flags::Flags;
use super::{Entry, Timestamp, Transport, with_entry};

/// Returns how many of the bytes written to the descriptor the peer has acknowledged: all but those that are still in the
/// kernel's send queue. 0 when the stream is gone.
///
/// Acknowledged bytes are in the peer's kernel; its program may not have read them yet. With filters such as TLS, these are
/// the bytes on the wire. On a Unix socket of Linux, bytes count when the peer has read the whole buffer that they are in
/// (about 36 KiB), and the buffers' own overhead counts as not acknowledged: the number may fall as more is written, and
/// is exact once the queue is empty. For what is no socket, and on systems other than Linux, written bytes count as
/// acknowledged.
///
/// Cost: a system call.
pub fn acknowledged<T: Transport>(stream: T) -> u64 {
    with_entry(stream, |entry, _| {
        entry.bytes_written.saturating_sub(entry.unacknowledged())
    })
    .unwrap_or(0)
}

impl<T: Transport> Entry<T> {
    /// Returns how many bytes the kernel has that the peer has not acknowledged.
    fn unacknowledged(&self) -> u64 {
        if !self.is_socket() {
            return 0;
        }
        // The end of this side counts as one in the kernel's queue.
        let end = u64::from(self.flags.contains(Flags::SHUT));
        send_queue_length(&self.fd).saturating_sub(end)
    }

    /// Asks the kernel what the peer has not acknowledged yet, and counts what it has acknowledged since the last look as
    /// progress and activity.
    pub(super) fn look_at_peer(&mut self) -> Look {
        if !self.is_socket() {
            return Look::default();
        }
        let unacknowledged = self.unacknowledged();
        // The low half is enough to tell whether it has changed.
        let acknowledged = self.bytes_written.wrapping_sub(unacknowledged) as u32;
        let rare = self.rare();
        let look = Look {
            last: rare.looked.replace(Timestamp::now()),
            progressed: acknowledged != std::mem::replace(&mut rare.acknowledged, acknowledged),
            waits: unacknowledged > 0,
        };
        self.flags.set(Flags::UNACKNOWLEDGED, look.waits);
        look
    }
}

/// What a look at the kernel's queue has shown.
#[derive(Default)]
pub(super) struct Look {
    /// The time of the look before, if there was one.
    pub(super) last: Option<Timestamp>,
    /// Something was acknowledged since then.
    pub(super) progressed: bool,
    /// Something is not acknowledged yet.
    pub(super) waits: bool,
}

/// Whether the kernel reports the length of a socket's send queue under [`SIOCOUTQ`]: Linux, on architectures with the
/// generic number.
///
/// kqueue reports a socket as writable for every few KiB that are acknowledged, so what was written is close enough there.
const HAS_SIOCOUTQ: bool = cfg!(all(
    any(target_os = "linux", target_os = "android"),
    not(any(
        target_arch = "mips",
        target_arch = "mips64",
        target_arch = "powerpc",
        target_arch = "powerpc64",
        target_arch = "sparc",
        target_arch = "sparc64"
    ))
));

const SIOCOUTQ: Opcode = 0x5411;

/// Returns the length of a socket's send queue in the kernel: what is not sent or not acknowledged.
fn send_queue_length(socket: impl AsFd) -> u64 {
    if !HAS_SIOCOUTQ {
        return 0;
    }
    #[allow(unsafe_code)]
    // SAFETY: `SIOCOUTQ` writes a `c_int`, and nothing else.
    let queued = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) };
    queued
        .ok()
        .and_then(|queued| u64::try_from(queued).ok())
        .unwrap_or(0)
}
