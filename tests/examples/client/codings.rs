//! Encoders of the content codings.
//!
//! Those of Brotli and Zstandard do not compress: they are enough to write any stream that a test needs, without another library.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

/// 64 MiB of zeros in Brotli.
const BROTLI_ZEROS: &str = "cbffff3ff82700e2b14020f7fe8fffff7ff04f00c4611180eefd1fffffffe09f0088c30200ddfb3ffeffffc13f0110870500baf77ffcffff837f02200e0b0074ef\
     fff8ffff07ff04401c1600e8defff1ffff0ffe0980382c00d0bdffcbffff3ffc1300715800a07bff07";
/// `Hello, World! `, 1000 times, in Brotli.
const BROTLI_HELLO: &str =
    "1baf36f89d0976ac152b5d52be066141ba52656fc526d721646c6fe2c178002e178068f904";
/// `Hello, World! `, 1000 times, in Zstandard.
const ZSTANDARD_HELLO: &str = "28b52ffd0068b500007048656c6c6f2c20576f726c64212001009f36f8a904";

/// Maximum size of a block of Zstandard, in bytes.
const BLOCK: usize = 128 * 1024;

pub(crate) fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn zlib(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Returns a deflate stream without the wrapper of zlib.
pub(crate) fn raw_deflate(data: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Returns a Brotli stream of uncompressed meta-blocks (RFC 7932, section 9.2).
pub(crate) fn brotli(data: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (number, piece) in data.chunks(64 * 1024).enumerate() {
        let header = (piece.len() as u32 - 1) << 3 | 1 << 19;
        // The first meta-block follows one bit for a window of 64 KiB.
        let header = if number == 0 { header << 1 } else { header };
        stream.extend_from_slice(&header.to_le_bytes()[..3]);
        stream.extend_from_slice(piece);
    }
    // The last meta-block is empty.
    stream.push(if data.is_empty() { 6 } else { 3 });
    stream
}

/// Returns a Zstandard frame of blocks (RFC 8878) with a window of 1 MiB: blocks of equal bytes are run-length encoded.
pub(crate) fn zstandard(data: &[u8]) -> Vec<u8> {
    zstandard_with_window(data, 20)
}

/// Returns a Zstandard frame with a window of two to the power of this number.
pub(crate) fn zstandard_with_window(data: &[u8], window: u8) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window - 10) << 3];
    let mut blocks: Vec<&[u8]> = data.chunks(BLOCK).collect();
    if blocks.is_empty() {
        blocks.push(&[]);
    }
    let count = blocks.len();
    for (number, block) in blocks.into_iter().enumerate() {
        let is_run = block.len() > 1 && block.windows(2).all(|pair| pair[0] == pair[1]);
        let is_last = u32::from(number + 1 == count);
        let header = (block.len() as u32) << 3 | u32::from(is_run) << 1 | is_last;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.extend_from_slice(if is_run { &block[..1] } else { block });
    }
    frame
}

/// Returns 64 MiB of zeros in Brotli.
pub(crate) fn brotli_zeros() -> Vec<u8> {
    from_hex(BROTLI_ZEROS)
}

/// Returns a text of 14,000 bytes that an encoder of Brotli has compressed.
pub(crate) fn brotli_hello() -> Vec<u8> {
    from_hex(BROTLI_HELLO)
}

/// Returns a text of 14,000 bytes that an encoder of Zstandard has compressed.
pub(crate) fn zstandard_hello() -> Vec<u8> {
    from_hex(ZSTANDARD_HELLO)
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().collect();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}
