//! The codecs of single content codings.

#[cfg(feature = "compression")]
use super::broken;
use crate::error::Failure;

/// Maximum window of a Zstandard frame, as an exponent of two: 8 MiB.
#[cfg(feature = "zstd")]
const ZSTD_WINDOW_LOG: u32 = 23;

/// The decoder of one coding.
pub(super) enum Codec {
    #[cfg(feature = "compression")]
    Gzip(Inflater),
    #[cfg(feature = "compression")]
    Deflate(Inflater),
    #[cfg(feature = "brotli")]
    Brotli(Box<BrotliDecoder>),
    #[cfg(feature = "zstd")]
    Zstd(ZstdDecoder),
}

/// Creates the decoder of a coding.
pub(super) type CreateCodec = fn() -> Result<Codec, Failure>;

/// Returns the coding with this name, in any case; `None` if it is unknown or not compiled in.
pub(super) fn find(name: &[u8]) -> Option<CreateCodec> {
    let codings: &[(&[u8], CreateCodec)] = &[
        #[cfg(feature = "compression")]
        (b"gzip", Codec::gzip),
        #[cfg(feature = "compression")]
        (b"x-gzip", Codec::gzip),
        #[cfg(feature = "compression")]
        (b"deflate", Codec::deflate),
        #[cfg(feature = "brotli")]
        (b"br", Codec::brotli),
        #[cfg(feature = "zstd")]
        (b"zstd", Codec::zstd),
    ];
    codings
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, create)| *create)
}

impl Codec {
    #[cfg(feature = "compression")]
    fn gzip() -> Result<Codec, Failure> {
        Ok(Codec::Gzip(Inflater::default()))
    }

    #[cfg(feature = "compression")]
    fn deflate() -> Result<Codec, Failure> {
        Ok(Codec::Deflate(Inflater::default()))
    }

    #[cfg(feature = "brotli")]
    fn brotli() -> Result<Codec, Failure> {
        Ok(Codec::Brotli(Box::new(BrotliDecoder::new())))
    }

    #[cfg(feature = "zstd")]
    fn zstd() -> Result<Codec, Failure> {
        ZstdDecoder::new().map(Codec::Zstd)
    }

    /// Returns the name of the coding.
    pub(super) fn name(&self) -> &'static str {
        match *self {
            #[cfg(feature = "compression")]
            Codec::Gzip(_) => "gzip",
            #[cfg(feature = "compression")]
            Codec::Deflate(_) => "deflate",
            #[cfg(feature = "brotli")]
            Codec::Brotli(_) => "br",
            #[cfg(feature = "zstd")]
            Codec::Zstd(_) => "zstd",
        }
    }

    /// Returns `true` at the end of a stream, member or frame.
    pub(super) fn is_at_end(&self) -> bool {
        match *self {
            #[cfg(feature = "compression")]
            Codec::Gzip(ref inflater) | Codec::Deflate(ref inflater) => inflater.is_at_end,
            #[cfg(feature = "brotli")]
            Codec::Brotli(ref decoder) => decoder.is_at_end,
            #[cfg(feature = "zstd")]
            Codec::Zstd(ref decoder) => decoder.is_at_end,
        }
    }

    /// Decodes bytes. Returns the number of bytes consumed and produced.
    #[cfg_attr(not(feature = "compression"), allow(unused_variables))]
    pub(super) fn decode(
        &mut self,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<(usize, usize), Failure> {
        match *self {
            #[cfg(feature = "compression")]
            Codec::Gzip(ref mut inflater) => {
                // A gzip body consists of any number of members.
                if inflater.is_at_end && !input.is_empty() {
                    *inflater = Inflater::default();
                }
                inflater.decode("gzip", input, output, |_| flate2::Decompress::new_gzip(15))
            }
            #[cfg(feature = "compression")]
            Codec::Deflate(ref mut inflater) => {
                inflater.decode("deflate", input, output, |first| {
                    // Some servers send raw deflate data without the zlib header. The first byte of the header has the method 8 in its low bits; raw data
                    // with these bits would be a stored block with non-zero padding, which no encoder writes.
                    flate2::Decompress::new(first & 0x0f == 8)
                })
            }
            #[cfg(feature = "brotli")]
            Codec::Brotli(ref mut decoder) => decoder.decode(input, output),
            #[cfg(feature = "zstd")]
            Codec::Zstd(ref mut decoder) => decoder.decode(input, output),
        }
    }
}

/// Decoder of gzip, zlib and raw deflate data, created at the first byte.
#[cfg(feature = "compression")]
#[derive(Default)]
pub(super) struct Inflater {
    state: Option<flate2::Decompress>,
    is_at_end: bool,
}

#[cfg(feature = "compression")]
impl Inflater {
    fn decode(
        &mut self,
        coding: &'static str,
        input: &[u8],
        output: &mut [u8],
        create: fn(u8) -> flate2::Decompress,
    ) -> Result<(usize, usize), Failure> {
        use flate2::{FlushDecompress, Status};

        let state = match (&mut self.state, input.first()) {
            (Some(state), _) => state,
            (None, Some(first)) => self.state.insert(create(*first)),
            (None, None) => return Ok((0, 0)),
        };
        if self.is_at_end {
            return match input.is_empty() {
                true => Ok((0, 0)),
                false => Err(broken(coding, "data follows its end")),
            };
        }
        let (consumed, produced) = (state.total_in(), state.total_out());
        let status = state
            .decompress(input, output, FlushDecompress::None)
            .map_err(|error| broken(coding, error.message().unwrap_or("it is malformed")))?;
        self.is_at_end = status == Status::StreamEnd;
        let consumed = state.total_in() - consumed;
        let produced = state.total_out() - produced;
        Ok((consumed as usize, produced as usize))
    }
}

#[cfg(feature = "brotli")]
pub(super) struct BrotliDecoder {
    state: brotli::BrotliState<
        brotli::enc::StandardAlloc,
        brotli::enc::StandardAlloc,
        brotli::enc::StandardAlloc,
    >,
    is_at_end: bool,
}

#[cfg(feature = "brotli")]
impl BrotliDecoder {
    /// Creates a decoder without support for windows above 16 MiB.
    fn new() -> BrotliDecoder {
        BrotliDecoder {
            state: brotli::BrotliState::new_strict(
                brotli::enc::StandardAlloc::default(),
                brotli::enc::StandardAlloc::default(),
                brotli::enc::StandardAlloc::default(),
            ),
            is_at_end: false,
        }
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), Failure> {
        if self.is_at_end {
            return match input.is_empty() {
                true => Ok((0, 0)),
                false => Err(broken("br", "data follows its end")),
            };
        }
        let (mut consumed, mut produced, mut total) = (0, 0, 0);
        let (mut available_in, mut available_out) = (input.len(), output.len());
        let result = brotli::BrotliDecompressStream(
            &mut available_in,
            &mut consumed,
            input,
            &mut available_out,
            &mut produced,
            output,
            &mut total,
            &mut self.state,
        );
        match result {
            brotli::BrotliResult::ResultSuccess => self.is_at_end = true,
            brotli::BrotliResult::ResultFailure => return Err(broken("br", "it is malformed")),
            brotli::BrotliResult::NeedsMoreInput | brotli::BrotliResult::NeedsMoreOutput => {}
        }
        Ok((consumed, produced))
    }
}

#[cfg(feature = "zstd")]
pub(super) struct ZstdDecoder {
    decoder: zstd::stream::raw::Decoder<'static>,
    is_at_end: bool,
}

#[cfg(feature = "zstd")]
impl ZstdDecoder {
    fn new() -> Result<ZstdDecoder, Failure> {
        use zstd::stream::raw::{DParameter, Decoder};

        let create = || {
            let mut decoder = Decoder::new()?;
            decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG))?;
            Ok(decoder)
        };
        let decoder =
            create().map_err(|error: std::io::Error| broken("zstd", &error.to_string()))?;
        Ok(ZstdDecoder {
            decoder,
            is_at_end: false,
        })
    }

    fn decode(&mut self, input: &[u8], output: &mut [u8]) -> Result<(usize, usize), Failure> {
        use zstd::stream::raw::Operation as _;

        let status = self
            .decoder
            .run_on_buffers(input, output)
            .map_err(|error| broken("zstd", &error.to_string()))?;
        self.is_at_end = status.remaining == 0;
        Ok((status.bytes_read, status.bytes_written))
    }
}
