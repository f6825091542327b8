//! The tag of a worker, with which the ids of its sessions and sockets begin.
//!
//! Other workers know by it where to find them. It is no secret: behind it, ids have 96 random bits.

use crate::random;

/// The number of characters of a tag.
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
