//! The body of a response.

use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use uptick_http::Channel;
use uptick_http::h1::Trailers;

use super::attempt::Running;
use super::deadline::Deadline;
use super::progress::Progress;
use crate::decoding::{BodyDecoder, DecodeProgress};
use crate::error::{Error, ErrorKind, Failure};

/// Maximum size of a decoded piece, in bytes.
const DECODED_PIECE: usize = 64 * 1024;

/// The body of a response, which is decompressed as it is read. Dropping it before its end cancels the exchange.
pub(crate) struct ResponseBody {
    running: Running,
    decoder: Option<BodyDecoder>,
    /// Received bytes that are not decoded yet.
    encoded: Bytes,
    decoded: BytesMut,
    /// `true` if the decoder has more output for the bytes that it has taken.
    is_full: bool,
    /// Maximum size of the body, in bytes.
    limit: u64,
    /// Number of bytes read.
    length: u64,
    deadline: Deadline,
    progress: Progress,
    trailers: Option<Trailers>,
    /// The end of the body.
    outcome: Option<Result<(), Error>>,
}

impl ResponseBody {
    pub(super) fn new(
        running: Running,
        decoder: Option<BodyDecoder>,
        limit: Option<u64>,
        deadline: Deadline,
        progress: Progress,
    ) -> ResponseBody {
        if decoder.is_none() {
            running.exchange.limit_body(limit.unwrap_or(u64::MAX));
        }
        ResponseBody {
            running,
            decoder,
            encoded: Bytes::new(),
            decoded: BytesMut::new(),
            is_full: false,
            limit: limit.unwrap_or(u64::MAX),
            length: 0,
            deadline,
            progress,
            trailers: None,
            outcome: None,
        }
    }

    pub(super) fn set_limit(&mut self, limit: Option<u64>) {
        self.limit = limit.unwrap_or(u64::MAX);
        if self.decoder.is_none() {
            self.running.exchange.limit_body(self.limit);
        }
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(crate) fn trailers(&self) -> Option<&Trailers> {
        self.trailers.as_ref()
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Trailers> {
        self.trailers.take()
    }

    /// Takes the channel after a response with status 101.
    pub(crate) fn take_upgraded(&mut self) -> Option<Channel> {
        self.running.take_upgraded()
    }

    fn finish(&mut self, result: Result<(), Failure>) -> Result<(), Error> {
        self.deadline.cancel();
        let result = result.map_err(|failure| self.progress.error(failure));
        match &result {
            Ok(()) => self.trailers = self.running.exchange.take_trailers(),
            Err(_) => self.running.exchange.cancel(),
        }
        self.outcome = Some(result.clone());
        result
    }

    /// Waits for the next piece of the body; `None` at its end.
    pub(crate) fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        match &self.outcome {
            Some(Ok(())) => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.clone()))),
            None => {}
        }
        // A body whose bytes are always available does not extend the time.
        let is_over = !self.running.exchange.is_done() && self.deadline.poll(context).is_ready();
        let polled = match is_over {
            true => Poll::Ready(Err(self.deadline.failure())),
            false => self.poll_piece(context),
        };
        match polled {
            Poll::Ready(Ok(Some(piece))) => Poll::Ready(Some(Ok(piece))),
            Poll::Ready(Ok(None)) => Poll::Ready(self.finish(Ok(())).err().map(Err)),
            Poll::Ready(Err(failure)) => Poll::Ready(self.finish(Err(failure)).err().map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Failure>> {
        self.running.poll_send(context)?;
        loop {
            if let Some(piece) = self.decode_piece()? {
                return Poll::Ready(Ok(Some(piece)));
            }
            let piece = ready!(self.running.exchange.poll_body(context)).transpose()?;
            match (piece, &self.decoder) {
                (Some(piece), Some(_)) => self.encoded = piece,
                (Some(piece), None) => {
                    self.length += piece.len() as u64;
                    let is_within = self.length <= self.limit;
                    return Poll::Ready(
                        is_within
                            .then_some(Some(piece))
                            .ok_or_else(|| self.too_large()),
                    );
                }
                (None, decoder) => {
                    let finished = decoder.as_ref().map_or(Ok(()), BodyDecoder::finish);
                    return Poll::Ready(finished.map(|()| None));
                }
            }
        }
    }

    /// Decodes a part of the received bytes, so that a small compressed piece does not become a large one in memory.
    fn decode_piece(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(None);
        };
        if self.encoded.is_empty() && !self.is_full {
            return Ok(None);
        }
        let mut input = &self.encoded[..];
        let left = self.limit - self.length;
        let progress = decoder.decode(&mut input, &mut self.decoded, DECODED_PIECE, left)?;
        self.is_full = progress == DecodeProgress::Full;
        let taken = self.encoded.len() - input.len();
        self.encoded.advance(taken);
        self.length += self.decoded.len() as u64;
        Ok((!self.decoded.is_empty()).then(|| self.decoded.split().freeze()))
    }

    fn too_large(&self) -> Failure {
        let reason = format!("the body exceeds the limit of {} bytes", self.limit);
        Failure::new(ErrorKind::TooLarge, reason)
    }

    /// Waits for the whole rest of the body.
    pub(crate) fn poll_collected(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Bytes, Error>> {
        if let Some(Err(error)) = &self.outcome {
            return Poll::Ready(Err(error.clone()));
        }
        let result = match self.running.poll_send(context) {
            Err(failure) => Poll::Ready(Err(failure)),
            Ok(()) if self.decoder.is_some() => self.poll_decoded(context),
            Ok(()) => self.running.exchange.poll_collected(context),
        };
        match result {
            Poll::Ready(Ok(body)) if body.len() as u64 > self.limit => {
                let failure = self.too_large();
                Poll::Ready(self.finish(Err(failure)).map(|()| body))
            }
            Poll::Ready(Ok(body)) => Poll::Ready(self.finish(Ok(())).map(|()| body)),
            Poll::Ready(Err(failure)) => {
                Poll::Ready(self.finish(Err(failure)).map(|()| Bytes::new()))
            }
            Poll::Pending => {
                ready!(self.deadline.poll(context));
                let failure = self.deadline.failure();
                Poll::Ready(self.finish(Err(failure)).map(|()| Bytes::new()))
            }
        }
    }

    fn poll_decoded(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes, Failure>> {
        let Some(decoder) = &mut self.decoder else {
            return Poll::Ready(Ok(Bytes::new()));
        };
        let left = self.limit - self.length;
        loop {
            let encoded = std::mem::take(&mut self.encoded);
            decoder.push(&encoded, &mut self.decoded, left)?;
            self.encoded = match ready!(self.running.exchange.poll_body(context)).transpose()? {
                Some(piece) => piece,
                None => {
                    decoder.finish()?;
                    return Poll::Ready(Ok(self.decoded.split().freeze()));
                }
            };
        }
    }
}
