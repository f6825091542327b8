//! The tag of a worker: the prefix of the ids of its sessions and sockets.
//!
//! Other workers use it to find the worker that owns a session or socket. It is not secret: the remaining part of an id has 96 random bits.

use crate::random;

/// Number of characters in a tag.
pub(crate) const LENGTH: usize = 4;

thread_local! {
    static OWN: [u8; LENGTH] = {
        let mut tag = [0; LENGTH];
        random::characters(&mut tag);
        tag
    };
}

/// Returns the tag of this thread.
pub(crate) fn own() -> [u8; LENGTH] {
    OWN.try_with(|tag| *tag).unwrap_or([b'-'; LENGTH])
}
