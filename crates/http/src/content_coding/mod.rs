//! Content codings and their negotiation.

mod negotiate;

#[cfg(feature = "compression")]
use std::io::{self, Write as _};

use crate::HeaderValue;

pub(crate) use negotiate::negotiate;

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Coding {
    /// `br` (RFC 7932), with the feature `brotli`.
    Brotli,
    /// `zstd` (RFC 8878), with the feature `zstd`.
    Zstd,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Coding {
    /// All codings, best compression first.
    pub(crate) const ALL: [Self; 3] = [Self::Brotli, Self::Zstd, Self::Gzip];

    /// The codings that this build supports, in the same order.
    #[cfg(feature = "compression")]
    pub(crate) const AVAILABLE: &[Self] = &[
        #[cfg(feature = "brotli")]
        Self::Brotli,
        #[cfg(feature = "zstd")]
        Self::Zstd,
        Self::Gzip,
    ];

    fn from_name(name: &str) -> Option<Self> {
        let is = |other| name.eq_ignore_ascii_case(other);
        if is("gzip") || is("x-gzip") {
            Some(Self::Gzip)
        } else if is("br") {
            Some(Self::Brotli)
        } else if is("zstd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Returns the extension of files in this coding.
    #[cfg(feature = "files")]
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// Returns the value of `Content-Encoding`.
    pub(crate) fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        })
    }

    /// Compresses bytes at a fast level.
    #[cfg(feature = "compression")]
    pub(crate) fn compress(self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        let out = Vec::with_capacity(bytes.len() / 2);
        match self {
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::new(5));
                encoder.write_all(bytes)?;
                encoder.finish()
            }
            #[cfg(feature = "brotli")]
            Self::Brotli => {
                let mut out = out;
                let params = brotli::enc::BrotliEncoderParams {
                    quality: 4,
                    size_hint: bytes.len(),
                    ..Default::default()
                };
                brotli::BrotliCompress(&mut &bytes[..], &mut out, &params)?;
                Ok(out)
            }
            #[cfg(feature = "zstd")]
            Self::Zstd => {
                drop(out);
                zstd::bulk::compress(bytes, 3)
            }
            #[allow(
                unreachable_patterns,
                reason = "codings that are not built are not offered"
            )]
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn gzip_round_trips() {
        let text = "hello ".repeat(1000);
        let small = Coding::Gzip.compress(text.as_bytes()).unwrap();
        let mut out = String::new();
        let mut decoder = flate2::read::GzDecoder::new(&small[..]);
        decoder.read_to_string(&mut out).unwrap();
        assert!(small.len() < 200);
        assert_eq!(out, text);
    }

    #[cfg(feature = "brotli")]
    #[test]
    fn brotli_round_trips() {
        let text = "hello ".repeat(1000);
        let small = Coding::Brotli.compress(text.as_bytes()).unwrap();
        let mut out = Vec::new();
        brotli::BrotliDecompress(&mut &small[..], &mut out).unwrap();
        assert!(small.len() < 200);
        assert_eq!(out, text.as_bytes());
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_round_trips() {
        let text = "hello ".repeat(1000);
        let small = Coding::Zstd.compress(text.as_bytes()).unwrap();
        assert!(small.len() < 200);
        assert_eq!(
            zstd::bulk::decompress(&small, 10_000).unwrap(),
            text.as_bytes()
        );
    }
}
