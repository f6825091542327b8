//! MessagePack reader. Lengths are validated, and recursion is bounded.

use bytes::{Buf, Bytes};
use indexmap::IndexMap;

use crate::protocol::Value;
use crate::protocol::packet::PacketError;

/// The remaining bytes.
pub(crate) struct Reader {
    bytes: Bytes,
    max_depth: usize,
}

impl Reader {
    pub(crate) fn new(bytes: Bytes, max_depth: usize) -> Reader {
        Reader { bytes, max_depth }
    }

    /// Checks that no bytes remain.
    pub(crate) fn end(&self) -> Result<(), PacketError> {
        self.bytes
            .is_empty()
            .then_some(())
            .ok_or(PacketError::InvalidPayload)
    }

    fn take(&mut self, length: usize) -> Result<Bytes, PacketError> {
        if length > self.bytes.len() {
            return Err(PacketError::InvalidPayload);
        }
        Ok(self.bytes.split_to(length))
    }

    /// Reads an unsigned integer of `size` bytes.
    fn unsigned(&mut self, size: usize) -> Result<u64, PacketError> {
        let bytes = self.bytes.get(..size).ok_or(PacketError::InvalidPayload)?;
        let number = bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        self.bytes.advance(size);
        Ok(number)
    }

    /// Reads a signed integer of `size` bytes, at most 8.
    fn signed(&mut self, size: usize) -> Result<i64, PacketError> {
        let unused = 64 - 8 * size;
        Ok((self.unsigned(size)? << unused).cast_signed() >> unused)
    }

    fn length(&mut self, size: usize) -> Result<usize, PacketError> {
        usize::try_from(self.unsigned(size)?).map_err(|_| PacketError::InvalidPayload)
    }

    fn text(&mut self, length: usize) -> Result<String, PacketError> {
        let bytes = self
            .bytes
            .get(..length)
            .ok_or(PacketError::InvalidPayload)?;
        let text = str::from_utf8(bytes).map_err(|_| PacketError::InvalidPayload)?;
        let text = text.to_owned();
        self.bytes.advance(length);
        Ok(text)
    }

    /// Reads the head of a map, and returns the number of its entries.
    pub(crate) fn map_length(&mut self) -> Result<usize, PacketError> {
        match self.unsigned(1)? {
            fixed @ 0x80..0x90 => Ok((fixed & 0x0f) as usize),
            0xde => self.length(2),
            0xdf => self.length(4),
            _ => Err(PacketError::InvalidPayload),
        }
    }

    /// Reads the key of a map entry, which must be a string.
    pub(crate) fn key(&mut self) -> Result<String, PacketError> {
        match self.value(self.max_depth)? {
            Some(Value::String(key)) => Ok(key),
            _ => Err(PacketError::InvalidPayload),
        }
    }

    /// Reads a value that is nested in `depth` arrays and maps; `None` for `undefined`.
    pub(crate) fn value(&mut self, depth: usize) -> Result<Option<Value>, PacketError> {
        let prefix = self.unsigned(1)?;
        let fixed = (prefix & 0x0f) as usize;
        Ok(Some(match prefix {
            0x00..0x80 => Value::Number(prefix.into()),
            0x80..0x90 => self.map(fixed, depth)?,
            0x90..0xa0 => self.array(fixed, depth)?,
            0xa0..0xc0 => Value::String(self.text((prefix & 0x1f) as usize)?),
            0xe0.. => Value::Number((prefix.cast_signed() - 256).into()),
            0xc0 => Value::Null,
            0xc2 => Value::Bool(false),
            0xc3 => Value::Bool(true),
            0xc4..=0xc6 => {
                let length = self.length(1 << (prefix - 0xc4))?;
                Value::Binary(self.take(length)?)
            }
            0xc7..=0xc9 => {
                let length = self.length(1 << (prefix - 0xc7))?;
                match self.signed(1)? {
                    // An ArrayBuffer.
                    0 => Value::Binary(self.take(length)?),
                    kind => self.extension(kind, length)?,
                }
            }
            0xca => {
                let bits = self.unsigned(4)?;
                Value::from_f64(f64::from(f32::from_bits(
                    u32::try_from(bits).unwrap_or_default(),
                )))
            }
            0xcb => Value::from_f64(f64::from_bits(self.unsigned(8)?)),
            0xcc..=0xcf => Value::Number(self.unsigned(1 << (prefix - 0xcc))?.into()),
            0xd0..=0xd3 => Value::Number(self.signed(1 << (prefix - 0xd0))?.into()),
            0xd4..=0xd8 => match (self.signed(1)?, prefix) {
                (0, 0xd4) => {
                    self.take(1)?;
                    return Ok(None);
                }
                // A date in milliseconds.
                (0, 0xd7) => Value::Number(self.signed(8)?.into()),
                (kind, _) => self.extension(kind, 1 << (prefix - 0xd4))?,
            },
            0xd9..=0xdb => {
                let length = self.length(1 << (prefix - 0xd9))?;
                Value::String(self.text(length)?)
            }
            0xdc | 0xdd => {
                let length = self.length(2 << (prefix - 0xdc))?;
                self.array(length, depth)?
            }
            0xde | 0xdf => {
                let length = self.length(2 << (prefix - 0xde))?;
                self.map(length, depth)?
            }
            _ => return Err(PacketError::InvalidPayload),
        }))
    }

    fn extension(&mut self, kind: i64, length: usize) -> Result<Value, PacketError> {
        Ok(Value::Array(vec![
            Value::from(kind),
            Value::Binary(self.take(length)?),
        ]))
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<Value, PacketError> {
        self.check_depth(depth)?;
        let mut array = Vec::new();
        for _ in 0..length {
            array.push(self.value(depth + 1)?.unwrap_or_default());
        }
        Ok(Value::Array(array))
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<Value, PacketError> {
        self.check_depth(depth)?;
        let mut object = IndexMap::new();
        for _ in 0..length {
            let key = self.key()?;
            // Entries whose value is `undefined` are left out, as in JSON.
            if let Some(value) = self.value(depth + 1)? {
                object.insert(key, value);
            }
        }
        Ok(Value::Object(object))
    }

    fn check_depth(&self, depth: usize) -> Result<(), PacketError> {
        match depth < self.max_depth {
            true => Ok(()),
            false => Err(PacketError::TooDeep {
                limit: self.max_depth - 1,
            }),
        }
    }
}
