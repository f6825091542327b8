//! What is true of the handshake, whatever comes. The tests and the fuzzer call it.

use bytes::Bytes;
use uptick_websocket::protocol::deflate::Config;
use uptick_websocket::protocol::handshake::client::{Answer, Content, Failure, Request};
use uptick_websocket::protocol::handshake::{Extension, accept_key};

/// What an answer in pieces comes to, with all that is behind it.
fn read(mut reads: Answer, answer: &str, size: usize) -> String {
    let mut pieces = answer.as_bytes().chunks(size);
    while let Some(piece) = pieces.next() {
        match reads.push(piece.into()) {
            Ok(None) => {}
            Ok(Some(mut agreed)) => {
                pieces.for_each(|piece| agreed.rest.extend_from_slice(piece));
                assert!(agreed.protocol.as_ref().is_none_or(|name| name == "chat"));
                return format!("{agreed:?}");
            }
            Err(failure) => {
                let mut content = Vec::new();
                let mut is_over = !matches!(failure, Failure::Status { .. });
                while !is_over {
                    match reads.next_content() {
                        Some(Content::Piece(piece)) => content.extend_from_slice(&piece),
                        Some(Content::End) => is_over = true,
                        None => match pieces.next() {
                            Some(piece) => reads.push_content(Bytes::copy_from_slice(piece)),
                            None => break,
                        },
                    }
                }
                return format!("{failure:?} {content:?} {is_over}");
            }
        }
    }
    "more".into()
}

/// Checks an answer to a client, in which `{accept}` stands for the right one.
pub(crate) fn check_answer(answer: &str, size: usize) {
    let wants = Config::new().client_max_window_bits(12);
    let request = Request::new("localhost", "/")
        .protocol("chat")
        .deflate(wants);
    let Ok((request, reads)) = request.finish() else {
        return;
    };
    let request = String::from_utf8_lossy(&request);
    let key = request
        .lines()
        .find_map(|line| line.strip_prefix("sec-websocket-key: "));
    let answer = answer.replace("{accept}", &accept_key(key.unwrap_or_default()));
    let whole = read(reads.clone(), &answer, answer.len().max(1));
    assert_eq!(read(reads.clone(), &answer, size.max(1)), whole);
    assert_eq!(read(reads, &answer, 1), whole);
}

/// Checks what a server answers to the extensions that a client offers, or a client makes of those of a server.
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
    let wants = Config::new()
        .server_no_context_takeover(number & 1 != 0)
        .client_no_context_takeover(number & 2 != 0)
        .server_max_window_bits(9 + (number >> 2) % 7)
        .client_max_window_bits(9 + (number >> 5) % 7);
    if let Some((agreed, answer)) = wants.accept(&list) {
        assert!(agreed.server_bits() <= wants.server_bits());
        assert!(wants.server_keeps_context() || !agreed.server_keeps_context());
        assert!(wants.client_keeps_context() || !agreed.client_keeps_context());
        let answer = Extension::parse(answer.as_bytes()).unwrap_or_default();
        assert_eq!(answer.len(), 1);
        // A client that has offered all there is understands it in the same way.
        let offered = Config::new().agree(&answer[0]);
        assert_eq!(offered, Some(agreed));
    }
    for extension in &list {
        if let Some(agreed) = wants.agree(extension) {
            assert!(agreed.server_bits() <= wants.server_bits());
            assert!(agreed.client_bits() <= wants.client_bits());
            assert!(wants.server_keeps_context() || !agreed.server_keeps_context());
        }
    }
}
