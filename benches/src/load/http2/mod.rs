//! HTTP/2 clients without TLS, by prior knowledge: requests on several streams at a time, idle connections, and WebSockets
//! (RFC 8441).

mod connection;
mod idle;
mod requests;
mod websocket;

pub(crate) use self::idle::Http2IdleConnections;
pub(crate) use self::requests::RequestStreams;
pub(crate) use self::websocket::Http2Echoes;

/// The number of bytes read at a time.
const BUFFER: usize = 64 * 1024;

/// Appends a header field without Huffman coding (RFC 7541, section 6.2): `first` is the byte that selects the representation
/// and, unless its index is 0, the name.
///
/// Name and value are shorter than 127 bytes.
fn append_literal(block: &mut Vec<u8>, first: u8, name: &str, value: &str) {
    block.push(first);
    for text in [name, value] {
        if !text.is_empty() {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
}
