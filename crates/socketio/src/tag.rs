//! The tag of a worker, with which the ids of its sessions and sockets begin.
//!
//! Other workers know by it where to find them. It is no secret: behind it, ids have 96 random bits.

use crate::socket_id::fill;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The number of characters of a tag.
pub(crate) const LENGTH: usize = 4;

thread_local! {
    static OWN: [u8; LENGTH] = {
        let mut random = [0; LENGTH / 4 * 3];
        fill(&mut random);
        let mut tag = [b'A'; LENGTH];
        // 3 bytes are exactly 4 characters.
        let _ = URL_SAFE_NO_PAD.encode_slice(random, &mut tag);
        tag
    };
}

/// Returns the tag of this thread.
pub(crate) fn own() -> [u8; LENGTH] {
    OWN.try_with(|tag| *tag).unwrap_or([b'-'; LENGTH])
}
