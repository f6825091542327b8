use std::io::Write as _;

use bytes::BytesMut;
use proptest::prelude::*;

use super::{ACCEPT_ENCODING, BodyDecoder, DecodeProgress};
use crate::ErrorKind;
use crate::error::Failure;

const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

fn encode(coding: &str, bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::default();
    match coding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "deflate" => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "raw" => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        "br" => {
            let mut out = Vec::new();
            let params = brotli::enc::BrotliEncoderParams {
                quality: 4,
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &bytes[..], &mut out, &params).unwrap();
            out
        }
        "zstd" => zstd::stream::encode_all(bytes, 3).unwrap(),
        _ => panic!("unknown coding {coding}"),
    }
}

fn decoder(value: &str) -> BodyDecoder {
    BodyDecoder::of([value.as_bytes()].into_iter())
        .unwrap()
        .unwrap()
}

fn decode_with(value: &str, pieces: &[&[u8]], limit: u64) -> Result<Vec<u8>, Failure> {
    let mut decoder = decoder(value);
    let mut out = BytesMut::new();
    for piece in pieces {
        decoder.push(piece, &mut out, limit)?;
    }
    decoder.finish()?;
    Ok(out.to_vec())
}

fn decode(value: &str, bytes: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    decode_with(value, &[bytes], u64::MAX).map_err(|failure| failure.kind)
}

fn sample() -> Vec<u8> {
    (0..100_000_u32)
        .flat_map(|index| (index / 7).to_le_bytes())
        .collect()
}

#[test]
fn each_coding_is_decoded() {
    assert_eq!(ACCEPT_ENCODING, "gzip, deflate, br, zstd");
    for coding in CODINGS {
        for body in [b"".to_vec(), b"x".to_vec(), sample()] {
            assert_eq!(
                decode(coding, &encode(coding, &body)).unwrap(),
                body,
                "{coding}"
            );
        }
    }
}

#[test]
fn names_are_compared_in_any_case() {
    for name in ["GZIP", "x-gzip", "X-GZip", " gzip ,", "identity, gzip"] {
        assert_eq!(
            decode(name, &encode("gzip", b"hello")).unwrap(),
            b"hello",
            "{name}"
        );
    }
    assert_eq!(decode("BR", &encode("br", b"hello")).unwrap(), b"hello");
    assert_eq!(decode("Zstd", &encode("zstd", b"hello")).unwrap(), b"hello");
}

#[test]
fn bodies_without_a_known_coding_are_passed_on() {
    for values in [
        &[][..],
        &[""],
        &["identity"],
        &["compress"],
        &["gzip, foo"],
        &["foo", "gzip"],
        &["gzip;q=1"],
    ] {
        let result = BodyDecoder::of(values.iter().map(|value| value.as_bytes()));
        assert!(result.unwrap().is_none(), "{values:?}");
    }
}

#[test]
fn stacked_codings_are_decoded_in_reverse_order() {
    let body = sample();
    let mut encoded = body.clone();
    for coding in ["gzip", "br", "zstd", "deflate", "gzip"] {
        encoded = encode(coding, &encoded);
    }
    assert_eq!(
        decode("gzip, br, zstd, deflate, gzip", &encoded).unwrap(),
        body
    );
    let values = ["gzip", "br, zstd", "deflate,gzip"].map(str::as_bytes);
    let mut decoder = BodyDecoder::of(values.into_iter()).unwrap().unwrap();
    let mut out = BytesMut::new();
    for byte in encoded {
        decoder.push(&[byte], &mut out, u64::MAX).unwrap();
    }
    decoder.finish().unwrap();
    assert_eq!(out, body);
}

#[test]
fn more_than_five_codings_are_refused() {
    let result = BodyDecoder::of([&b"gzip, gzip, gzip"[..], b"gzip, gzip, gzip"].into_iter());
    assert_eq!(result.err().unwrap().kind, ErrorKind::Decompression);
}

#[test]
fn an_empty_body_is_empty() {
    for coding in CODINGS {
        assert_eq!(decode(coding, b"").unwrap(), b"");
        let stacked = format!("{coding}, gzip");
        assert_eq!(decode(&stacked, b"").unwrap(), b"");
        assert_eq!(decode(&stacked, &encode("gzip", b"")).unwrap(), b"");
    }
}

#[test]
fn members_and_frames_are_concatenated() {
    for coding in ["gzip", "zstd"] {
        let mut encoded = encode(coding, b"hello ");
        encoded.extend(encode(coding, b""));
        encoded.extend(encode(coding, &sample()));
        encoded.extend(encode(coding, b"end"));
        let expected = [b"hello ", &sample()[..], b"end"].concat();
        assert_eq!(decode(coding, &encoded).unwrap(), expected);
        let pieces: Vec<&[u8]> = encoded.chunks(1).collect();
        assert_eq!(decode_with(coding, &pieces, u64::MAX).unwrap(), expected);
    }
}

#[test]
fn output_that_ends_with_a_full_buffer_is_complete() {
    for coding in CODINGS {
        for length in [8191, 8192, 8193, 16_384, 131_072] {
            let body = vec![b'x'; length];
            assert_eq!(
                decode(coding, &encode(coding, &body)).unwrap(),
                body,
                "{coding} {length}"
            );
        }
    }
}

#[test]
fn cut_bodies_are_refused() {
    for coding in CODINGS {
        let encoded = encode(coding, b"hello, hello, hello");
        for length in 1..encoded.len() {
            let result = decode(coding, &encoded[..length]);
            assert_eq!(result, Err(ErrorKind::Decompression), "{coding} {length}");
        }
    }
    for coding in ["gzip", "zstd"] {
        let mut encoded = encode(coding, b"hello");
        let length = encoded.len();
        encoded.extend(encode(coding, b"world"));
        for length in length + 1..encoded.len() {
            assert_eq!(
                decode(coding, &encoded[..length]),
                Err(ErrorKind::Decompression),
                "{coding} {length}"
            );
        }
    }
}

#[test]
fn data_after_the_end_is_refused() {
    for coding in CODINGS {
        let mut encoded = encode(coding, b"hello");
        encoded.extend(b"garbage");
        assert_eq!(
            decode(coding, &encoded),
            Err(ErrorKind::Decompression),
            "{coding}"
        );
        let (valid, rest) = encoded.split_at(encoded.len() - 7);
        let result = decode_with(coding, &[valid, rest], u64::MAX);
        assert_eq!(
            result.unwrap_err().kind,
            ErrorKind::Decompression,
            "{coding}"
        );
    }
}

#[test]
fn malformed_bodies_are_refused() {
    for coding in CODINGS {
        for body in [
            &b"this is not compressed"[..],
            b"<html></html>",
            b"{\"a\":1}",
            &[0xff; 64],
            b"\x1f\x8b\x08",
            b"\x1f",
        ] {
            assert_eq!(
                decode(coding, body),
                Err(ErrorKind::Decompression),
                "{coding} {body:?}"
            );
        }
    }
    let mut encoded = encode("gzip", b"hello");
    let checksum = encoded.len() - 8;
    encoded[checksum] ^= 1;
    assert_eq!(decode("gzip", &encoded), Err(ErrorKind::Decompression));
    let failure = decode_with("gzip", &[b"hello"], 1).unwrap_err();
    assert!(
        failure
            .reason
            .starts_with("decompressing the body (gzip) failed: "),
        "{}",
        failure.reason
    );
}

#[test]
fn deflate_data_without_a_header_is_accepted() {
    for body in [&b""[..], b"x", b"hello, hello, hello", &sample()] {
        assert_eq!(decode("deflate", &encode("raw", body)).unwrap(), body);
    }
    let cut = encode("raw", b"hello, hello");
    assert_eq!(
        decode("deflate", &cut[..cut.len() - 1]),
        Err(ErrorKind::Decompression)
    );
}

#[test]
fn output_is_limited() {
    let body = sample();
    let length = body.len() as u64;
    for coding in CODINGS {
        let encoded = encode(coding, &body);
        assert_eq!(decode_with(coding, &[&encoded], length).unwrap(), body);
        let mut out = BytesMut::new();
        let failure = decoder(coding)
            .push(&encoded, &mut out, length - 1)
            .unwrap_err();
        assert_eq!(failure.kind, ErrorKind::TooLarge, "{coding}");
        assert_eq!(out, body[..body.len() - 1]);
        assert_eq!(
            decode_with(coding, &[&encoded], 0).unwrap_err().kind,
            ErrorKind::TooLarge
        );
        assert_eq!(
            decode_with(coding, &[&encode(coding, b"")], 0).unwrap(),
            b""
        );
    }
}

#[test]
fn bytes_that_were_taken_do_not_count() {
    let body = sample();
    for value in ["gzip", "br, gzip"] {
        let mut encoded = body.clone();
        for coding in value.split(", ") {
            encoded = encode(coding, &encoded);
        }
        let mut decoder = decoder(value);
        let mut length = 0;
        for piece in encoded.chunks(100) {
            let mut out = BytesMut::new();
            let left = (body.len() - length) as u64;
            decoder.push(piece, &mut out, left).unwrap();
            length += out.len();
        }
        decoder.finish().unwrap();
        assert_eq!(length, body.len());
    }
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let zeros = vec![0; 4 * 1024 * 1024];
    for coding in CODINGS {
        let bomb = encode(coding, &zeros);
        assert!(bomb.len() < 100_000);
        let mut out = BytesMut::new();
        let failure = decoder(coding).push(&bomb, &mut out, 100_000).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::TooLarge);
        assert!(out.capacity() <= 300_000, "{coding}: {}", out.capacity());
        let twice = encode("gzip", &bomb);
        let failure = decode_with(&format!("{coding}, gzip"), &[&twice], 100_000).unwrap_err();
        assert_eq!(failure.kind, ErrorKind::TooLarge);
    }
}

#[test]
fn output_between_two_codings_is_limited() {
    // The header of the inner member is a file name of 4 MiB, which produces no output.
    let mut inner = vec![0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0];
    inner.resize(4 * 1024 * 1024, b'x');
    let failure = decode_with("gzip, gzip", &[&encode("gzip", &inner)], 1000).unwrap_err();
    assert_eq!(failure.kind, ErrorKind::TooLarge);
}

#[test]
fn decoding_stops_when_the_room_is_filled() {
    let body = sample();
    for value in ["gzip", "deflate", "br", "zstd", "zstd, gzip"] {
        let mut encoded = body.clone();
        for coding in value.split(", ") {
            encoded = encode(coding, &encoded);
        }
        let mut decoder = decoder(value);
        let mut input = &encoded[..];
        let mut decoded = Vec::new();
        loop {
            let mut out = BytesMut::new();
            let progress = decoder
                .decode(&mut input, &mut out, 1000, u64::MAX)
                .unwrap();
            assert!(out.len() <= 1000);
            decoded.extend_from_slice(&out);
            if progress == DecodeProgress::NeedsInput {
                break;
            }
            assert_eq!(out.len(), 1000);
        }
        assert!(input.is_empty());
        decoder.finish().unwrap();
        assert_eq!(decoded, body, "{value}");
    }
}

#[test]
fn zstandard_windows_above_eight_mebibytes_are_refused() {
    let body = vec![b'x'; 100_000];
    let compress = |window_log| {
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(&body).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(decode("zstd", &compress(23)).unwrap(), body);
    assert_eq!(decode("zstd", &compress(24)), Err(ErrorKind::Decompression));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_body_does_not_depend_on_the_split_of_the_input(
        body in proptest::collection::vec(0..4_u8, 0..20_000),
        coding in 0..CODINGS.len(),
        sizes in proptest::collection::vec(1..500_usize, 1..20),
    ) {
        let coding = CODINGS[coding];
        let encoded = encode(coding, &body);
        let mut rest = &encoded[..];
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(decode_with(coding, &pieces, u64::MAX).unwrap(), body);
    }

    #[test]
    fn any_input_ends_with_a_body_or_an_error(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        position in 0..200_usize,
        coding in 0..CODINGS.len(),
    ) {
        let coding = CODINGS[coding];
        let _ = decode_with(coding, &[&bytes], 10_000);
        let mut encoded = encode(coding, &bytes);
        let position = position % encoded.len();
        encoded[position] ^= 0x55;
        let whole = decode_with(coding, &[&encoded], 10_000).map_err(|failure| failure.kind);
        let pieces: Vec<&[u8]> = encoded.chunks(1).collect();
        let split = decode_with(coding, &pieces, 10_000).map_err(|failure| failure.kind);
        prop_assert_eq!(whole, split);
    }
}
