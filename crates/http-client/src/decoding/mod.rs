//! Content codings of responses: gzip, deflate, Brotli and Zstandard.

mod codec;
#[cfg(test)]
#[cfg(all(feature = "brotli", feature = "zstd"))]
mod tests;

use bytes::BytesMut;

use crate::error::{ErrorKind, Failure};
use codec::Codec;

/// Maximum number of codings of a body.
const MAX_CODINGS: usize = 5;
/// Size of the buffer between two codings, in bytes.
const BUFFER: usize = 8 * 1024;

/// The value of `Accept-Encoding`; empty if no coding is compiled in.
pub(crate) const ACCEPT_ENCODING: &str = if cfg!(all(feature = "brotli", feature = "zstd")) {
    "gzip, deflate, br, zstd"
} else if cfg!(feature = "brotli") {
    "gzip, deflate, br"
} else if cfg!(feature = "zstd") {
    "gzip, deflate, zstd"
} else if cfg!(feature = "compression") {
    "gzip, deflate"
} else {
    ""
};

/// The result of [`BodyDecoder::decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodeProgress {
    /// All input is decoded.
    NeedsInput,
    /// The requested number of bytes was decoded. The decoder may hold more output.
    Full,
}

/// Decoder of a body with one or more content codings.
///
/// Besides its output it holds a buffer of 8 KiB and a window for each coding: 32 KiB for gzip and deflate, at most 16 MiB for Brotli, at most 8 MiB
/// for Zstandard.
pub(crate) struct BodyDecoder {
    /// The codings in the order in which they are decoded.
    stages: Vec<Stage>,
    /// Number of decoded bytes.
    produced: u64,
}

/// One coding with its output.
struct Stage {
    codec: Codec,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// `true` if the codec may hold more output, as the last call filled the buffer.
    may_hold_output: bool,
    has_begun: bool,
    /// Number of bytes of output in all.
    produced: u64,
}

impl BodyDecoder {
    /// Creates the decoder for the values of `Content-Encoding`. Returns `None` if the body is passed on as received: it has no coding or an unknown
    /// one.
    pub(crate) fn of<'a>(
        values: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Option<BodyDecoder>, Failure> {
        let mut codecs = Vec::new();
        for name in values.flat_map(|value| value.split(|byte| *byte == b',')) {
            let name = name.trim_ascii();
            if name.is_empty() || name.eq_ignore_ascii_case(b"identity") {
                continue;
            }
            match codec::find(name) {
                // One more than the limit is enough to detect that it is exceeded.
                Some(create) if codecs.len() <= MAX_CODINGS => codecs.push(create),
                Some(_) => {}
                None => return Ok(None),
            }
        }
        if codecs.is_empty() {
            return Ok(None);
        }
        if codecs.len() > MAX_CODINGS {
            let reason = format!("the body has more than {MAX_CODINGS} content codings");
            return Err(Failure::new(ErrorKind::Decompression, reason));
        }
        let stages: Result<Vec<Stage>, Failure> = codecs
            .iter()
            .rev()
            .map(|create| create().map(Stage::new))
            .collect();
        Ok(Some(BodyDecoder {
            stages: stages?,
            produced: 0,
        }))
    }

    /// Decodes `input` and appends the result to `out`. Fails with [`ErrorKind::TooLarge`] as soon as `out` has more than `limit` bytes.
    pub(crate) fn push(
        &mut self,
        mut input: &[u8],
        out: &mut BytesMut,
        limit: u64,
    ) -> Result<(), Failure> {
        self.decode(&mut input, out, usize::MAX, limit).map(drop)
    }

    /// Decodes from `input`, which is advanced, until it is empty or `room` bytes are appended to `out`. After [`DecodeProgress::Full`] it is called
    /// again, even if `input` is empty.
    pub(crate) fn decode(
        &mut self,
        input: &mut &[u8],
        out: &mut BytesMut,
        room: usize,
        limit: u64,
    ) -> Result<DecodeProgress, Failure> {
        let mut room = room;
        // The limit of the whole body, including the bytes that were taken from `out` since.
        let total = self
            .produced
            .saturating_add(limit.saturating_sub(out.len() as u64));
        loop {
            let has_output = match self.stages.last() {
                Some(stage) if stage.start == stage.end => fill(&mut self.stages, input, total)?,
                _ => true,
            };
            let Some(last) = self.stages.last_mut().filter(|_| has_output) else {
                return Ok(DecodeProgress::NeedsInput);
            };
            if room == 0 {
                return Ok(DecodeProgress::Full);
            }
            let left = total.saturating_sub(self.produced);
            let count = (last.end - last.start).min(room);
            let allowed = usize::try_from(left).map_or(count, |left| count.min(left));
            out.extend_from_slice(&last.buffer[last.start..last.start + allowed]);
            last.start += allowed;
            room -= allowed;
            self.produced += allowed as u64;
            if allowed < count {
                return Err(too_large(total));
            }
        }
    }

    /// Ends the body. Fails if it is not complete. A body without any byte is empty.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match self
            .stages
            .iter()
            .find(|stage| stage.has_begun && !stage.codec.is_at_end())
        {
            None => Ok(()),
            Some(stage) => Err(broken(stage.codec.name(), "it ends early")),
        }
    }
}

impl Stage {
    fn new(codec: Codec) -> Stage {
        Stage {
            codec,
            buffer: vec![0; BUFFER].into(),
            start: 0,
            end: 0,
            may_hold_output: false,
            has_begun: false,
            produced: 0,
        }
    }
}

/// Fills the empty buffer of the last stage. Returns `false` if this requires more input.
fn fill(stages: &mut [Stage], input: &mut &[u8], limit: u64) -> Result<bool, Failure> {
    let Some((stage, earlier)) = stages.split_last_mut() else {
        return Ok(false);
    };
    loop {
        let source = match earlier.last() {
            None => *input,
            Some(previous) => &previous.buffer[previous.start..previous.end],
        };
        if !source.is_empty() || (stage.may_hold_output && !stage.codec.is_at_end()) {
            stage.has_begun = true;
            let (consumed, produced) = stage.codec.decode(source, &mut stage.buffer)?;
            let is_stuck = consumed == 0 && produced == 0 && !source.is_empty();
            match earlier.last_mut() {
                None => *input = &input[consumed..],
                Some(previous) => previous.start += consumed,
            }
            stage.start = 0;
            stage.end = produced;
            stage.may_hold_output = produced == BUFFER;
            stage.produced += produced as u64;
            // A coding expands its input by little if it cannot compress it.
            if stage.produced > limit.saturating_add(limit / 8).saturating_add(64 * 1024) {
                return Err(too_large(limit));
            }
            if produced > 0 {
                return Ok(true);
            }
            if is_stuck {
                return Err(broken(stage.codec.name(), "it is malformed"));
            }
            continue;
        }
        if !fill(earlier, input, limit)? {
            return Ok(false);
        }
    }
}

fn too_large(limit: u64) -> Failure {
    Failure::new(
        ErrorKind::TooLarge,
        format!("the decompressed body exceeds the limit of {limit} bytes"),
    )
}

fn broken(coding: &str, cause: &str) -> Failure {
    Failure::new(
        ErrorKind::Decompression,
        format!("decompressing the body ({coding}) failed: {cause}"),
    )
}
