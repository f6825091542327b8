//! The opening handshake (RFC 6455, section 4).

pub mod client;
mod extensions;
pub mod server;

pub use extensions::{Extension, Malformed};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The version of the protocol, for `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

/// The GUID that is hashed with the key, which proves that the server supports the protocol (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Length of a key, in bytes.
const KEY_LENGTH: usize = 16;

/// Returns the `Sec-WebSocket-Accept` for a `Sec-WebSocket-Key` (RFC 6455, section 4.2.2).
///
/// # Examples
///
/// ```
/// use uptick_websocket::protocol::handshake::accept_key;
///
/// assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// ```
pub fn accept_key(key: &str) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    STANDARD.encode(hash.finalize())
}

/// Returns `true` for a valid key: 16 bytes in Base64.
fn is_key(key: &[u8]) -> bool {
    // Larger than a key, because the library needs room for the bytes of four more characters.
    let mut bytes = [0; KEY_LENGTH + 8];
    key.len() == 24 && STANDARD.decode_slice(key, &mut bytes) == Ok(KEY_LENGTH)
}
