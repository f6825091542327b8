//! The incremental decoder.
//!
//! A value that was received as a whole costs one pass over its bytes; strings are slices of the received buffer. An incomplete value is kept
//! in a separate buffer, and its complete elements are not decoded again.

#[cfg(test)]
mod tests;

use bytes::{Buf, Bytes, BytesMut};

use super::scan::{self, Length};
use super::{Limits, ProtocolError, ServerError, Value};

/// Maximum number of elements for which memory is reserved before they are received.
const MAX_RESERVED_ELEMENTS: usize = 1024;

/// Maximum number of bytes that are reserved for a string before they are received.
const MAX_RESERVED_BYTES: usize = 1024 * 1024;

/// Maximum number of bytes of an incomplete value that are copied out of a shared buffer.
const MAX_COPIED_REST: usize = 4096;

/// Decodes values of RESP2 and RESP3 from bytes.
///
/// Attributes are skipped. Streamed values are errors.
///
/// # Limits
/// See [`Limits`]. Memory is reserved for at most 1,024 elements and 1 MiB before they are received.
#[derive(Debug, Default)]
pub struct Decoder {
    limits: Limits,
    /// Received bytes that are not decoded.
    buffer: BytesMut,
    /// `true` if `buffer` is the one that was pushed, which may be a part of a larger one.
    shared: bool,
    /// The number of bytes after the type byte that have no CR.
    searched: usize,
    /// The string whose header is decoded, but whose bytes are incomplete.
    bulk: Option<BulkHeader>,
    open: Vec<OpenAggregate>,
    /// The number of elements of the current value.
    elements: usize,
    /// The number of decoded bytes of the current value.
    decoded: usize,
    failure: Option<ProtocolError>,
    spare: Vec<Value>,
}

#[derive(Clone, Copy, Debug)]
struct BulkHeader {
    kind: BulkKind,
    length: usize,
}

#[derive(Clone, Copy, Debug)]
enum BulkKind {
    String,
    Verbatim,
    Error,
}

/// An aggregate whose elements are incomplete.
#[derive(Debug)]
struct OpenAggregate {
    kind: AggregateKind,
    left: usize,
    elements: Vec<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AggregateKind {
    Array,
    Set,
    Map,
    Push,
    Attribute,
}

/// The next element of the input.
enum Element {
    Complete(Value),
    Aggregate(AggregateKind, usize),
}

impl Decoder {
    /// Creates a decoder with the default limits.
    pub fn new() -> Self {
        Decoder::default()
    }

    /// Creates a decoder with limits.
    pub fn with_limits(limits: Limits) -> Self {
        Decoder {
            limits,
            ..Decoder::default()
        }
    }

    /// Adds received bytes.
    pub fn push(&mut self, bytes: BytesMut) {
        if self.buffer.is_empty() {
            self.buffer = bytes;
            self.shared = true;
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// Returns the number of received bytes that are not decoded.
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Returns the next value, or `None` if it is incomplete.
    ///
    /// # Errors
    /// A [`ProtocolError`] if the bytes are not valid or exceed a limit. Later calls return the same error.
    pub fn decode(&mut self) -> Result<Option<Value>, ProtocolError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let result = self.next_value();
        match &result {
            Err(error) => {
                self.failure = Some(*error);
                self.buffer = BytesMut::new();
                self.open = Vec::new();
            }
            Ok(None) => self.detach(),
            Ok(Some(_)) => {}
        }
        result
    }

    /// Takes back the vector of a decoded push message or array, to be used for the next one.
    pub fn recycle(&mut self, mut elements: Vec<Value>) {
        elements.clear();
        if elements.capacity() <= MAX_RESERVED_ELEMENTS {
            self.spare = elements;
        }
    }

    fn next_value(&mut self) -> Result<Option<Value>, ProtocolError> {
        loop {
            let before = self.buffer.len();
            let Some(element) = self.next_element()? else {
                return Ok(None);
            };
            self.decoded += before - self.buffer.len();
            if self.decoded > self.limits.total {
                return Err(self.too_large());
            }
            let mut value = match element {
                Element::Complete(value) => value,
                Element::Aggregate(kind, 0) => match built(kind, Vec::new()) {
                    Some(value) => value,
                    None => continue,
                },
                Element::Aggregate(kind, length) => {
                    self.open(kind, length)?;
                    continue;
                }
            };
            loop {
                let Some(aggregate) = self.open.last_mut() else {
                    self.elements = 0;
                    self.decoded = 0;
                    return Ok(Some(value));
                };
                aggregate.elements.push(value);
                aggregate.left -= 1;
                if aggregate.left > 0 {
                    break;
                }
                let complete = self.open.pop();
                match complete.and_then(|all| built(all.kind, all.elements)) {
                    Some(outer) => value = outer,
                    None => break,
                }
            }
        }
    }

    fn open(&mut self, kind: AggregateKind, length: usize) -> Result<(), ProtocolError> {
        if self.open.len() >= self.limits.depth {
            let limit = self.limits.depth;
            return Err(ProtocolError::TooDeep { limit });
        }
        let paired = matches!(kind, AggregateKind::Map | AggregateKind::Attribute);
        let limit = self.limits.elements;
        let left = length.checked_mul(if paired { 2 } else { 1 });
        let left = left.filter(|left| *left <= limit.saturating_sub(self.elements));
        let left = left.ok_or(ProtocolError::TooManyElements { limit })?;
        self.elements += left;
        let mut elements = Vec::new();
        if self.open.is_empty() {
            elements = std::mem::take(&mut self.spare);
        }
        elements.reserve_exact(left.min(MAX_RESERVED_ELEMENTS));
        self.open.push(OpenAggregate {
            kind,
            left,
            elements,
        });
        Ok(())
    }

    #[inline]
    fn next_element(&mut self) -> Result<Option<Element>, ProtocolError> {
        if let Some(header) = self.bulk {
            return self.finish_bulk(header);
        }
        let Some((&kind, rest)) = self.buffer.split_first() else {
            return Ok(None);
        };
        if !b"+-:$*_,#(!=%~>|".contains(&kind) {
            return Err(match kind {
                b';' | b'.' => ProtocolError::Streamed,
                kind => ProtocolError::UnknownType(kind),
            });
        }
        let Some(length) = scan::line_length(rest, self.searched, self.limits.line)? else {
            // The last byte may be the CR of an incomplete line end.
            self.searched = rest.len().saturating_sub(1);
            return Ok(None);
        };
        self.searched = 0;
        let line = &rest[..length];
        let value = match kind {
            b':' => Value::Integer(scan::integer(line).ok_or(malformed("an integer"))?),
            b'+' => return self.simple(length).map(Some),
            b'-' => Value::Error(ServerError::new(self.take_text(length)?)),
            b'_' if line.is_empty() => Value::Null,
            b'_' => return Err(malformed("a null")),
            b'#' => Value::Boolean(match line {
                b"t" => true,
                b"f" => false,
                _ => return Err(malformed("a boolean")),
            }),
            b',' => Value::Double(scan::double(line).ok_or(malformed("a double"))?),
            b'(' if scan::is_big_number(line) => Value::BigNumber(self.take_text(length)?),
            b'(' => return Err(malformed("a big number")),
            kind => return self.header(kind, length),
        };
        if !matches!(value, Value::Error(_) | Value::BigNumber(_)) {
            self.buffer.advance(length + 3);
        }
        Ok(Some(Element::Complete(value)))
    }

    fn simple(&mut self, length: usize) -> Result<Element, ProtocolError> {
        // The most frequent replies need no reference to the buffer.
        let text = match &self.buffer[1..=length] {
            b"OK" => Bytes::from_static(b"OK"),
            b"PONG" => Bytes::from_static(b"PONG"),
            b"QUEUED" => Bytes::from_static(b"QUEUED"),
            _ => return Ok(Element::Complete(Value::Simple(self.take_text(length)?))),
        };
        self.buffer.advance(length + 3);
        Ok(Element::Complete(Value::Simple(text)))
    }

    /// Takes the text of the current line.
    fn take_text(&mut self, length: usize) -> Result<Bytes, ProtocolError> {
        self.buffer.advance(1);
        let text = self.buffer.split_to(length).freeze();
        self.buffer.advance(2);
        match memchr::memchr(b'\n', &text) {
            Some(_) => Err(ProtocolError::InvalidLine),
            None => Ok(text),
        }
    }

    /// Decodes the header of a string or of an aggregate.
    #[inline]
    fn header(&mut self, kind: u8, line: usize) -> Result<Option<Element>, ProtocolError> {
        let length = scan::length(&self.buffer[1..=line])?;
        self.buffer.advance(line + 3);
        let Length::Of(length) = length else {
            return match kind {
                b'$' | b'*' => Ok(Some(Element::Complete(Value::Null))),
                _ => Err(ProtocolError::InvalidLength),
            };
        };
        let kind = match kind {
            b'$' => return self.bulk(BulkKind::String, length),
            b'=' => return self.bulk(BulkKind::Verbatim, length),
            b'!' => return self.bulk(BulkKind::Error, length),
            b'*' => AggregateKind::Array,
            b'~' => AggregateKind::Set,
            b'%' => AggregateKind::Map,
            b'|' => AggregateKind::Attribute,
            _ if self.open.is_empty() => AggregateKind::Push,
            _ => return Err(ProtocolError::NestedPush),
        };
        Ok(Some(Element::Aggregate(kind, length)))
    }

    #[inline]
    fn bulk(&mut self, kind: BulkKind, length: usize) -> Result<Option<Element>, ProtocolError> {
        if length > self.limits.bulk {
            return Err(ProtocolError::BulkTooLarge {
                size: length,
                limit: self.limits.bulk,
            });
        }
        if self.decoded.saturating_add(length) > self.limits.total {
            return Err(self.too_large());
        }
        self.finish_bulk(BulkHeader { kind, length })
    }

    #[inline]
    fn finish_bulk(&mut self, header: BulkHeader) -> Result<Option<Element>, ProtocolError> {
        let BulkHeader { kind, length } = header;
        let Some(end) = self.buffer.get(length..length + 2) else {
            let missing = length + 2 - self.buffer.len();
            if self.bulk.is_none() && missing > self.buffer.capacity() - self.buffer.len() {
                self.buffer.reserve(missing.min(MAX_RESERVED_BYTES));
            }
            self.bulk = Some(header);
            return Ok(None);
        };
        if end != b"\r\n" {
            return Err(ProtocolError::InvalidLine);
        }
        self.bulk = None;
        let mut bytes = self.buffer.split_to(length).freeze();
        self.buffer.advance(2);
        Ok(Some(Element::Complete(match kind {
            BulkKind::String => Value::Bulk(bytes),
            BulkKind::Error => Value::Error(ServerError::new(bytes)),
            BulkKind::Verbatim => {
                let Some(&[a, b, c, b':']) = bytes.first_chunk() else {
                    return Err(malformed("a verbatim string"));
                };
                bytes.advance(4);
                Value::Verbatim {
                    format: [a, b, c],
                    text: bytes,
                }
            }
        })))
    }

    /// Moves a short rest of a shared read buffer to a separate buffer, so that the shared one can be reused.
    fn detach(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        } else if self.shared && self.buffer.len() <= MAX_COPIED_REST {
            self.buffer = BytesMut::from(&self.buffer[..]);
            self.shared = false;
        }
    }

    fn too_large(&self) -> ProtocolError {
        let limit = self.limits.total;
        ProtocolError::TooLarge { limit }
    }
}

/// Returns the value of an aggregate; `None` for an attribute, which is skipped.
fn built(kind: AggregateKind, elements: Vec<Value>) -> Option<Value> {
    Some(match kind {
        AggregateKind::Array => Value::Array(elements),
        AggregateKind::Set => Value::Set(elements),
        AggregateKind::Push => Value::Push(elements),
        AggregateKind::Attribute => return None,
        AggregateKind::Map => {
            let mut pairs = Vec::with_capacity(elements.len() / 2);
            let mut elements = elements.into_iter();
            while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                pairs.push((key, value));
            }
            Value::Map(pairs)
        }
    })
}

fn malformed(what: &'static str) -> ProtocolError {
    ProtocolError::Malformed(what)
}
