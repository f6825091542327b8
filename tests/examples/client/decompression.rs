//! Compressed bodies.

use serde_json::{Value, json};

use super::codings::{
    brotli, brotli_hello, brotli_zeros, gzip, raw_deflate, zlib, zstandard, zstandard_hello,
    zstandard_with_window,
};
use super::driver::{ClientProgram, Outcome};
use super::server::ScriptedServer;

const MIB: usize = 1024 * 1024;

/// Returns `true` if the program was built with the codings: those of Brotli and Zstandard are optional.
fn is_supported(codings: &str) -> bool {
    let codings = codings.to_lowercase();
    (cfg!(feature = "brotli") || !codings.contains("br"))
        && (cfg!(feature = "zstd") || !codings.contains("zstd"))
}

/// The optional codings are part of the tests if the features `brotli` and `zstd` are.
fn supported<T>(cases: impl IntoIterator<Item = (&'static str, T)>) -> Vec<(&'static str, T)> {
    cases
        .into_iter()
        .filter(|(codings, _)| is_supported(codings))
        .collect()
}

/// Returns a response with this coding and body.
fn encoded(coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// Requests a page from a server that sends this body with a coding.
#[track_caller]
fn request(client: &mut ClientProgram, coding: &str, body: &[u8], mut members: Value) -> Outcome {
    let server = ScriptedServer::answering(encoded(coding, body));
    members["url"] = json!(server.url("/"));
    client.run(members)
}

#[test]
fn every_coding_is_decoded() {
    let text = "Hello, World! ".repeat(1000).into_bytes();
    let mut client = ClientProgram::start();
    for (coding, body) in supported([
        ("br", brotli_hello()),
        ("zstd", zstandard_hello()),
        ("gzip", gzip(&text)),
        ("x-gzip", gzip(&text)),
        ("GZip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("Deflate", zlib(&text)),
        ("br", brotli(&text)),
        ("BR", brotli(&text)),
        ("zstd", zstandard(&text)),
        ("ZSTD", zstandard(&text)),
        ("identity", text.clone()),
        ("gzip, br", brotli(&gzip(&text))),
        ("br ,\tgzip", gzip(&brotli(&text))),
        ("zstd, deflate, gzip", gzip(&zlib(&zstandard(&text)))),
        (
            "gzip, gzip, gzip, gzip, gzip",
            gzip(&gzip(&gzip(&gzip(&gzip(&text))))),
        ),
        ("gzip\r\nContent-Encoding: br", brotli(&gzip(&text))),
    ]) {
        let result = request(&mut client, coding, &body, json!({}));
        assert_eq!(result.assert_ok().body(), text, "{coding}");
        assert_eq!(result.header("content-length"), [body.len().to_string()]);
        assert!(!result.header("content-encoding").is_empty());
        let result = request(&mut client, coding, &body, json!({"digest": true}));
        assert_eq!(result.assert_ok().0["body_len"], text.len(), "{coding}");
    }
}

#[test]
fn the_accepted_codings_are_sent() {
    let server = ScriptedServer::answering(super::server::OK);
    let mut client = ClientProgram::start();
    client.get(&server.url("/")).assert_ok();
    let request = server.last();
    let accepted = request.field("accept-encoding").unwrap();
    let codings: Vec<&str> = accepted
        .split(',')
        .map(|coding| coding.split(';').next().unwrap().trim())
        .collect();
    for (coding, ()) in supported([("gzip", ()), ("deflate", ()), ("br", ()), ("zstd", ())]) {
        assert!(codings.contains(&coding), "{accepted}");
    }
}

#[test]
fn bodies_are_delivered_as_received_without_decompression() {
    let server = ScriptedServer::answering(encoded("gzip", &gzip(b"text")));
    let mut client = ClientProgram::start();
    let result = client.run(json!({"url": server.url("/"), "decompress": false}));
    assert_eq!(result.assert_ok().body(), gzip(b"text"));
    assert_eq!(server.last().field("accept-encoding"), None);
}

#[test]
fn members_and_frames_are_concatenated() {
    let mut client = ClientProgram::start();
    let members = [gzip(b"one "), gzip(b""), gzip(b"two "), gzip(b"three")].concat();
    let result = request(&mut client, "gzip", &members, json!({}));
    assert_eq!(result.assert_ok().text(), "one two three");
    if !is_supported("zstd") {
        return;
    }
    // A skippable frame of four bytes.
    let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0skip".to_vec();
    let frames = [
        zstandard(b"one "),
        skipped,
        zstandard(b""),
        zstandard(b"two"),
    ]
    .concat();
    let result = request(&mut client, "zstd", &frames, json!({}));
    assert_eq!(result.assert_ok().text(), "one two");
}

#[test]
fn unknown_codings_are_delivered_as_received() {
    let mut client = ClientProgram::start();
    for coding in [
        "compress",
        "unknown",
        "gzip, unknown",
        "unknown, gzip",
        "gzip;q=1",
    ] {
        let body = gzip(b"text");
        let result = request(&mut client, coding, &body, json!({}));
        assert_eq!(result.assert_ok().body(), body, "{coding}");
    }
}

#[test]
fn an_empty_body_is_empty_whatever_its_coding() {
    let mut client = ClientProgram::start();
    for coding in [
        "gzip", "deflate", "br", "zstd", "gzip, br", "identity", "unknown",
    ] {
        let result = request(&mut client, coding, b"", json!({}));
        assert_eq!(result.assert_ok().body(), b"", "{coding}");
        let text = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        );
        let server = ScriptedServer::answering(text);
        assert_eq!(
            client.get(&server.url("/")).assert_ok().body(),
            b"",
            "{coding}"
        );
    }
    for (coding, body) in supported([
        ("gzip", gzip(b"")),
        ("deflate", zlib(b"")),
        ("br", brotli(b"")),
        ("zstd", zstandard(b"")),
    ]) {
        let result = request(&mut client, coding, &body, json!({}));
        assert_eq!(result.assert_ok().body(), b"", "{coding}");
    }
}

#[test]
fn broken_and_cut_bodies_are_refused() {
    let text = (0..20_000_u32)
        .flat_map(u32::to_le_bytes)
        .collect::<Vec<u8>>();
    let mut client = ClientProgram::start();
    for (coding, body) in supported([
        ("gzip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("br", brotli(&text)),
        ("zstd", zstandard(&text)),
    ]) {
        for length in [1, body.len() / 2, body.len() - 1] {
            let result = request(&mut client, coding, &body[..length], json!({}));
            result.assert_kind("decompression");
            assert_eq!(result.status(), Some(200), "{coding} {length}");
        }
        let result = request(
            &mut client,
            coding,
            &body[..body.len() / 2],
            json!({"digest": true}),
        );
        result.assert_kind("decompression");
        // The first byte is not valid in any coding.
        let garbage = if coding == "br" {
            b"\x1cnot compressed at all"
        } else {
            b"\xffnot compressed at all"
        };
        let result = request(&mut client, coding, garbage, json!({}));
        result.assert_kind("decompression");
    }
    let mut wrong_sum = gzip(&text);
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    request(&mut client, "gzip", &wrong_sum, json!({})).assert_kind("decompression");
    let mut wrong_sum = zlib(&text);
    let at = wrong_sum.len() - 1;
    wrong_sum[at] ^= 1;
    request(&mut client, "deflate", &wrong_sum, json!({})).assert_kind("decompression");
}

#[test]
fn bytes_after_the_end_of_a_coding_are_no_content() {
    let mut client = ClientProgram::start();
    for (coding, mut body) in supported([
        ("gzip", gzip(b"text")),
        ("deflate", zlib(b"text")),
        ("br", brotli(b"text")),
        ("zstd", zstandard(b"text")),
    ]) {
        body.extend(b"garbage");
        let result = request(&mut client, coding, &body, json!({}));
        if result.0["ok"] == true {
            assert_eq!(result.text(), "text", "{coding}");
        } else {
            result.assert_kind("decompression");
        }
    }
}

/// Some servers send a deflate stream without the zlib wrapper.
#[test]
fn a_raw_deflate_stream_is_decoded_or_refused() {
    let mut client = ClientProgram::start();
    let result = request(
        &mut client,
        "deflate",
        &raw_deflate(b"text text text"),
        json!({}),
    );
    if result.0["ok"] == true {
        assert_eq!(result.text(), "text text text");
    } else {
        result.assert_kind("decompression");
    }
}

#[test]
fn more_than_five_codings_are_refused() {
    let mut client = ClientProgram::start();
    let mut body = b"text".to_vec();
    for _ in 0..6 {
        body = gzip(&body);
    }
    let result = request(
        &mut client,
        "gzip, gzip, gzip, gzip, gzip, gzip",
        &body,
        json!({}),
    );
    result.assert_kind("decompression");
    let many = "gzip, ".repeat(500) + "gzip";
    request(&mut client, &many, &body, json!({})).assert_kind("decompression");
}

#[test]
fn the_limit_is_that_of_the_decoded_body() {
    let text = vec![b'a'; 100_000];
    let mut client = ClientProgram::start();
    for (coding, body) in supported([
        ("gzip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("br", brotli(&text)),
        ("zstd", zstandard(&text)),
    ]) {
        let result = request(&mut client, coding, &body, json!({"max_body": 100_000}));
        assert_eq!(result.assert_ok().body().len(), 100_000);
        for digest in [false, true] {
            let result = request(
                &mut client,
                coding,
                &body,
                json!({"max_body": 99_999, "digest": digest}),
            );
            result.assert_kind("too_large");
            assert_eq!(result.status(), Some(200), "{coding}");
        }
    }
}

#[test]
fn bombs_do_not_expand_in_memory() {
    let zeros = vec![0; 24 * MIB];
    let mut client = ClientProgram::start();
    let bombs = supported([
        ("gzip", gzip(&zeros)),
        ("deflate", zlib(&zeros)),
        ("zstd", zstandard(&zeros)),
        ("gzip, gzip", gzip(&gzip(&zeros))),
        ("gzip, br, zstd", zstandard(&brotli(&gzip(&zeros)))),
    ]);
    for (coding, body) in &bombs {
        let limits = json!({"max_body": MIB});
        request(&mut client, coding, body, limits).assert_kind("too_large");
    }
    let peak = client.peak_memory();
    assert!(peak < 20 * MIB as u64, "{peak}");
    for (coding, body) in &bombs {
        let limits = json!({"digest": true, "max_body": null});
        let result = request(&mut client, coding, body, limits);
        assert_eq!(result.assert_ok().0["body_len"], zeros.len(), "{coding}");
    }
    if is_supported("br") {
        let limits = json!({"max_body": MIB});
        request(&mut client, "br", &brotli_zeros(), limits).assert_kind("too_large");
    }
    let peak = client.peak_memory();
    assert!(peak < 32 * MIB as u64, "{peak}");
}

#[test]
fn a_large_window_is_refused() {
    if !is_supported("zstd") {
        return;
    }
    let mut client = ClientProgram::start();
    let text = b"text".repeat(1000);
    let body = zstandard_with_window(&text, 23);
    let result = request(&mut client, "zstd", &body, json!({}));
    assert_eq!(result.assert_ok().body(), text);
    for window in [24, 27, 31, 41] {
        let body = zstandard_with_window(&text, window);
        let result = request(&mut client, "zstd", &body, json!({}));
        result.assert_kinds(&["decompression", "too_large"]);
    }
    let peak = client.peak_memory();
    assert!(peak < 64 * MIB as u64, "{peak}");
}

#[test]
fn a_compressed_body_can_arrive_byte_by_byte() {
    let text = "some text ".repeat(30);
    let mut client = ClientProgram::start();
    for (coding, body) in supported([
        ("gzip", gzip(text.as_bytes())),
        ("br", brotli(text.as_bytes())),
        ("zstd", zstandard(text.as_bytes())),
    ]) {
        let bytes = encoded(coding, &body);
        let server = ScriptedServer::start(move |peer| {
            peer.request();
            peer.trickle(&bytes, std::time::Duration::from_micros(200));
        });
        assert_eq!(
            client.get(&server.url("/")).assert_ok().text(),
            text,
            "{coding}"
        );
    }
}

#[test]
fn a_cut_connection_is_reported_before_the_broken_coding() {
    let body = gzip(&[b'a'; 10_000]);
    let bytes = encoded("gzip", &body);
    let cut = bytes[..bytes.len() - 10].to_vec();
    let server = ScriptedServer::closing(cut);
    let mut client = ClientProgram::start();
    client.get(&server.url("/")).assert_kind("closed_in_body");
}

#[test]
fn a_connection_is_used_again_after_a_compressed_body() {
    let server = ScriptedServer::answering(encoded("gzip", &gzip(b"text")));
    let mut client = ClientProgram::start();
    for reused in [false, true, true] {
        let result = client.get(&server.url("/"));
        assert_eq!(result.assert_ok().assert_reused(reused).text(), "text");
    }
}

#[test]
fn a_response_without_a_body_is_not_decoded() {
    let mut client = ClientProgram::start();
    for (method, text) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n",
        ),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n",
        ),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\nContent-Length: 100\r\n\r\n",
        ),
    ] {
        let server = ScriptedServer::answering(text);
        let result = client.run(json!({"url": server.url("/"), "method": method}));
        assert_eq!(result.body(), b"", "{text}");
    }
}
