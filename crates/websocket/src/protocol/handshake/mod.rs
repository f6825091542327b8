//! The handshake that makes a WebSocket of an HTTP connection (RFC 6455, 4).

pub mod client;
mod extensions;
pub mod server;

pub use extensions::{Extension, Malformed};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// The version of the protocol, in `Sec-WebSocket-Version`.
pub const VERSION: &str = "13";

/// What is hashed with the key, by which a server shows that it knows the protocol (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The number of bytes in a key.
const KEY: usize = 16;

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455, 4.2.2).
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

/// Whether it is a key: 16 bytes in Base64.
fn is_key(key: &[u8]) -> bool {
    // Room for what the library may write of a length of four characters more than a key has.
    let mut bytes = [0; KEY + 8];
    key.len() == 24 && STANDARD.decode_slice(key, &mut bytes) == Ok(KEY)
}
