//! Request smuggling: messages whose end could be ambiguous (RFC 9112, sections 6 and 11.2).

use crate::{accepted, assert_refused, decode};

fn post(fields: &str, rest: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n{rest}")
}

#[test]
fn a_length_and_chunks_together_are_refused() {
    let chunks = "5\r\nhello\r\n0\r\n\r\n";
    assert_refused(
        400,
        post("Content-Length: 4\r\nTransfer-Encoding: chunked", chunks),
    );
    assert_refused(
        400,
        post("Transfer-Encoding: chunked\r\nContent-Length: 4", chunks),
    );
    assert_refused(
        400,
        post("Content-Length: 0\r\nTransfer-Encoding: chunked", chunks),
    );
    assert_refused(
        400,
        post(
            "Transfer-Encoding: chunked\r\nX: y\r\ncontent-length: 15",
            chunks,
        ),
    );
    assert_refused(
        400,
        post("Transfer-Encoding: chunked\r\nContent-Length:", chunks),
    );
}

#[test]
fn the_only_transfer_encoding_is_chunked() {
    for value in ["chunked", "CHUNKED", "\tchunked ", "Chunked"] {
        assert_eq!(
            accepted(post(
                &format!("Transfer-Encoding:{value}"),
                "1\r\na\r\n0\r\n\r\n"
            )),
            (1, b"a".to_vec())
        );
    }
    for value in [
        "gzip, chunked",
        "gzip,deflate ,\tChunked",
        "identity",
        "gzip",
        "xchunked",
        "chunkedd",
        "x",
    ] {
        assert_refused(
            501,
            post(&format!("Transfer-Encoding: {value}"), "0\r\n\r\n"),
        );
    }
    for value in [
        "",
        "chunked, chunked",
        "chunked, gzip",
        "chunked, identity",
        "chunked,",
        ",chunked",
        "chunked;q=1",
        "\"chunked\"",
        "chun ked",
        "chunked gzip",
        "chunked\u{b}",
        "\u{b}chunked",
        "chunked\0",
        "chunked\u{e4}",
        "gzip;a=b, chunked",
        "gzip, identity",
        "chunked\r\n gzip",
        "\r\n chunked",
        "chunked, , chunked",
    ] {
        assert_refused(
            400,
            post(&format!("Transfer-Encoding: {value}"), "0\r\n\r\n"),
        );
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-encoding: identity",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: y\n Transfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "Transfer\0-Encoding: chunked",
        "Transfer-Encoding\r\n: chunked",
    ] {
        assert_refused(400, post(fields, "0\r\n\r\n"));
    }
    assert_refused(
        501,
        post(
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "0\r\n\r\n",
        ),
    );
}

#[test]
fn http_1_0_has_no_transfer_encoding() {
    for connection in ["close", "keep-alive"] {
        assert_refused(
            400,
            format!(
                "POST / HTTP/1.0\r\nConnection: {connection}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
        );
    }
}

#[test]
fn a_length_is_one_number() {
    for value in ["5", " 5 ", "005", "\t5\t"] {
        assert_eq!(
            accepted(post(&format!("Content-Length:{value}"), "hello")),
            (1, b"hello".to_vec()),
            "{value:?}"
        );
    }
    for value in [
        "", "+5", "-5", "-0", "5,5", "5, 5", "5 5", "0x5", "5a", "5.0", "5e0", "\u{b}5", "5\u{c}",
        "\u{660}", "5;", "\"5\"", "1_0", "5\r\n 5",
    ] {
        assert_refused(400, post(&format!("Content-Length: {value}"), "hello"));
    }
    for value in ["18446744073709551616", "99999999999999999999999999999999"] {
        assert_refused(413, post(&format!("Content-Length: {value}"), "hello"));
    }
    for fields in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\ncontent-length: 6",
        "Content-Length : 5",
    ] {
        assert_refused(400, post(fields, "hello"));
    }
    assert!(
        decode(post("Content-Length: 18446744073709551615", "hello")).requests[0].body == b"hello"
    );
}

#[test]
fn without_length_and_chunks_there_is_no_body() {
    let next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(accepted(post("X: y", next)), (2, vec![]));
    assert_eq!(accepted(post("Content-Length: 0", next)), (2, vec![]));
    assert_eq!(
        accepted(post(
            "Content_Length: 5\r\nTransfer_Encoding: chunked",
            next
        )),
        (2, vec![])
    );
}

#[test]
fn connect_has_no_body() {
    for fields in ["Content-Length: 5", "Transfer-Encoding: chunked"] {
        assert_refused(
            400,
            format!("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\nhello"),
        );
    }
}
