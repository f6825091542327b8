//! Invariants of the handshake for any input, shared by the tests and the fuzz target.

use bytes::Bytes;
use uptick_websocket::protocol::deflate::Config;
use uptick_websocket::protocol::handshake::client::{
    BodyChunk, HandshakeError, Request, ResponseDecoder,
};
use uptick_websocket::protocol::handshake::{Extension, accept_key};

/// Returns the outcome of a response received in pieces, including the bytes after it.
fn read(mut decoder: ResponseDecoder, response: &str, size: usize) -> String {
    let mut pieces = response.as_bytes().chunks(size);
    while let Some(piece) = pieces.next() {
        match decoder.push(piece.into()) {
            Ok(None) => {}
            Ok(Some(mut agreed)) => {
                pieces.for_each(|piece| agreed.rest.extend_from_slice(piece));
                assert!(agreed.protocol.as_ref().is_none_or(|name| name == "chat"));
                return format!("{agreed:?}");
            }
            Err(failure) => {
                let mut content = Vec::new();
                let mut is_complete = !matches!(failure, HandshakeError::Status { .. });
                while !is_complete {
                    match decoder.next_body_chunk() {
                        Some(BodyChunk::Piece(piece)) => content.extend_from_slice(&piece),
                        Some(BodyChunk::End) => is_complete = true,
                        None => match pieces.next() {
                            Some(piece) => decoder.push_body(Bytes::copy_from_slice(piece)),
                            None => break,
                        },
                    }
                }
                return format!("{failure:?} {content:?} {is_complete}");
            }
        }
    }
    "more".into()
}

/// Checks a response to a client, in which `{accept}` is replaced with the correct value.
pub(crate) fn check_response(response: &str, size: usize) {
    let config = Config::new().client_max_window_bits(12);
    let request = Request::new("localhost", "/")
        .protocol("chat")
        .deflate(config);
    let Ok((request, decoder)) = request.finish() else {
        return;
    };
    let request = String::from_utf8_lossy(&request);
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let response = response.replace("{accept}", &accept_key(key.unwrap_or_default()));
    let whole = read(decoder.clone(), &response, response.len().max(1));
    assert_eq!(read(decoder.clone(), &response, size.max(1)), whole);
    assert_eq!(read(decoder, &response, 1), whole);
}

/// Checks the negotiation of extensions that a client offers or a server responds with.
pub(crate) fn check_extensions(field: &[u8], number: u8) {
    let Ok(list) = Extension::parse(field) else {
        return;
    };
    for extension in &list {
        let mut written = extension.name().to_owned();
        for (name, value) in extension.parameters() {
            written += ";";
            written += name;
            written += &value
                .map(|value| format!("=\"{value}\""))
                .unwrap_or_default();
        }
        assert_eq!(
            Extension::parse(written.as_bytes()).ok().as_deref(),
            Some(&[extension.clone()][..])
        );
    }
    let config = Config::new()
        .server_no_context_takeover(number & 1 != 0)
        .client_no_context_takeover(number & 2 != 0)
        .server_max_window_bits(9 + (number >> 2) % 7)
        .client_max_window_bits(9 + (number >> 5) % 7);
    if let Some((agreed, response)) = config.accept(&list) {
        assert!(agreed.server_bits() <= config.server_bits());
        assert!(config.server_keeps_context() || !agreed.server_keeps_context());
        assert!(config.client_keeps_context() || !agreed.client_keeps_context());
        let response = Extension::parse(response.as_bytes()).unwrap_or_default();
        assert_eq!(response.len(), 1);
        // A client that has offered all parameters negotiates the same.
        let offered = Config::new().agree(&response[0]);
        assert_eq!(offered, Some(agreed));
    }
    for extension in &list {
        if let Some(agreed) = config.agree(extension) {
            assert!(agreed.server_bits() <= config.server_bits());
            assert!(agreed.client_bits() <= config.client_bits());
            assert!(config.server_keeps_context() || !agreed.server_keeps_context());
        }
    }
}
