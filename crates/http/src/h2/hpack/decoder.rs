//! Decoding of header blocks.
//!
//! An indexed field costs a look-up in a table. A string costs nothing if it is not Huffman-coded, because it is passed on as a part of the block.

use std::fmt;

use super::dynamic_table::{AddedName, DynamicTable};
use super::limits::ListBudget;
use super::scratch::Scratch;
use super::static_table::{self, STATIC_LEN};
use super::{DecodeError, ListLimits, StaticName, huffman, integer};

/// The maximum number of size updates of a block (RFC 7541, 4.2).
const MAX_SIZE_UPDATES: usize = 2;

/// HPACK decoder for the header blocks of one connection.
pub struct Decoder {
    /// The data is the name, if it is in the static table.
    table: DynamicTable<Option<StaticName>>,
    /// The largest size that the peer may choose for the table.
    max_table_size: usize,
    /// `true` if the next block has to begin with a size update.
    is_update_required: bool,
}

/// Result of decoding a valid header block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// All fields were passed to the sink.
    Complete,
    /// The fields exceed a limit. The ones in front of the first field beyond the limit were passed to the sink. The others were only read as far as
    /// the dynamic table requires.
    TooLarge,
}

/// A decoded field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name. It is not checked: it may be empty or contain upper case and control characters.
    pub name: &'a [u8],
    /// The value. It is not checked.
    pub value: &'a [u8],
    /// The name, if it is in the static table, however it was encoded.
    pub static_name: Option<StaticName>,
    /// `true` if the value must not be compressed when it is forwarded (never indexed: RFC 7541, 7.1.3).
    pub sensitive: bool,
}

/// The receiver of decoded fields. Implemented for closures.
pub trait FieldSink {
    /// Receives the next field.
    fn field(&mut self, field: Field<'_>);
}

impl<F: FnMut(Field<'_>)> FieldSink for F {
    #[inline]
    fn field(&mut self, field: Field<'_>) {
        self(field);
    }
}

impl Decoder {
    /// The largest table size that a decoder supports, in bytes.
    pub const MAX_TABLE_SIZE: u32 = 1 << 16;

    /// Creates a decoder whose table has at most `max_table_size` bytes, which is 4,096 on a new HTTP/2 connection. Larger values than
    /// [`MAX_TABLE_SIZE`](Decoder::MAX_TABLE_SIZE) are reduced to it.
    pub fn new(max_table_size: u32) -> Decoder {
        let max_table_size = max_table_size.min(Decoder::MAX_TABLE_SIZE) as usize;
        Decoder {
            table: DynamicTable::new(max_table_size),
            max_table_size,
            is_update_required: false,
        }
    }

    /// Sets the maximum size of the table after the peer has acknowledged another `SETTINGS_HEADER_TABLE_SIZE`. If the table is larger, the next
    /// block has to begin with a size update. Larger values than [`MAX_TABLE_SIZE`](Decoder::MAX_TABLE_SIZE) are reduced to it.
    pub fn set_max_table_size(&mut self, max_table_size: u32) {
        self.max_table_size = max_table_size.min(Decoder::MAX_TABLE_SIZE) as usize;
        self.is_update_required = self.table.max_size() > self.max_table_size;
    }

    /// Returns the size of the fields in the dynamic table, in bytes: with 32 bytes of overhead for each field.
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Decodes a complete header block, and calls `sink` for each field within the limits.
    ///
    /// # Errors
    ///
    /// The block is not valid. The decoder must not be used any more.
    ///
    /// # Limits
    ///
    /// A field beyond `limits` is not decoded. If it has to be added to the dynamic table, at most the size of the table is decoded.
    pub fn decode(
        &mut self,
        block: &[u8],
        limits: ListLimits,
        sink: &mut impl FieldSink,
    ) -> Result<Decoded, DecodeError> {
        let mut input = block;
        let is_update = input.first().is_some_and(|first| first & 0xe0 == 0x20);
        if is_update || self.is_update_required {
            self.update_size(&mut input)?;
        }
        let mut budget = ListBudget::new(limits);
        loop {
            self.indexed_run(&mut input, &mut budget, sink)?;
            let Some((&first, rest)) = input.split_first() else {
                break;
            };
            input = rest;
            self.other_representation(first, &mut input, &mut budget, sink)?;
        }
        Ok(match budget.is_exceeded() {
            true => Decoded::TooLarge,
            false => Decoded::Complete,
        })
    }

    /// Reads the size updates at the beginning of a block.
    #[inline(never)]
    fn update_size(&mut self, input: &mut &[u8]) -> Result<(), DecodeError> {
        let mut updates = 0;
        while let Some((&first, rest)) = input.split_first()
            && first & 0xe0 == 0x20
        {
            *input = rest;
            let size = integer::decode(first, 5, input)?;
            updates += 1;
            if size > self.max_table_size || updates > MAX_SIZE_UPDATES {
                return Err(DecodeError::InvalidSizeUpdate);
            }
            self.table.set_max_size(size);
            self.is_update_required = false;
        }
        if self.is_update_required {
            return Err(DecodeError::MissingSizeUpdate);
        }
        Ok(())
    }

    /// Reads indices of one byte, which are the most frequent representation, until there is another one.
    #[inline]
    fn indexed_run(
        &self,
        input: &mut &[u8],
        budget: &mut ListBudget,
        sink: &mut impl FieldSink,
    ) -> Result<(), DecodeError> {
        // Copies, which stay in registers.
        let (mut rest, mut left) = (*input, *budget);
        while let Some((&first, after)) = rest.split_first()
            && first > 0x80
            && first < 0xff
        {
            rest = after;
            let field = self.indexed(usize::from(first & 0x7f))?;
            if left.take(field.name.len() + field.value.len()) {
                sink.field(field);
            }
        }
        (*input, *budget) = (rest, left);
        Ok(())
    }

    /// Reads a representation that is not an index of one byte.
    #[inline(never)]
    fn other_representation(
        &mut self,
        first: u8,
        input: &mut &[u8],
        budget: &mut ListBudget,
        sink: &mut impl FieldSink,
    ) -> Result<(), DecodeError> {
        if first & 0x80 != 0 {
            let field = self.indexed(integer::decode(first, 7, input)?)?;
            if budget.take(field.name.len() + field.value.len()) {
                sink.field(field);
            }
            return Ok(());
        }
        if first & 0xe0 == 0x20 {
            return Err(DecodeError::InvalidSizeUpdate);
        }
        self.literal(first, input, budget, sink)
    }

    /// Returns the field with an index of both tables.
    #[inline]
    fn indexed(&self, index: usize) -> Result<Field<'_>, DecodeError> {
        if let Some((static_name, name, value)) = static_table::entry(index) {
            let (name, value) = (name.as_bytes(), value.as_bytes());
            return Ok(Field {
                name,
                value,
                static_name: Some(static_name),
                sensitive: false,
            });
        }
        let field = index
            .checked_sub(STATIC_LEN + 1)
            .and_then(|index| self.table.get(index));
        let field = field.ok_or(DecodeError::InvalidIndex)?;
        let (name, value, static_name) = (field.name, field.value, field.data);
        Ok(Field {
            name,
            value,
            static_name,
            sensitive: false,
        })
    }

    /// Reads a literal field, of any of the three kinds.
    fn literal(
        &mut self,
        first: u8,
        input: &mut &[u8],
        budget: &mut ListBudget,
        sink: &mut impl FieldSink,
    ) -> Result<(), DecodeError> {
        let scratch = &mut Scratch::default();
        let is_added = first & 0x40 != 0;
        let index = integer::decode(first, if is_added { 6 } else { 4 }, input)?;
        let allowance = if is_added {
            budget.allowance().max(self.table.max_size())
        } else {
            budget.allowance()
        };
        let indexed = if index == 0 {
            None
        } else {
            Some(self.indexed(index)?)
        };
        let name = match indexed {
            Some(field) => StringLocation::outside(field.name.len()),
            None => StringLocation::read(input, 0, allowance, scratch)?,
        };
        let left = allowance.saturating_sub(name.length);
        let value = StringLocation::read(input, name.scratch_end, left, scratch)?;
        if !name.is_available || !value.is_available {
            budget.exceed();
            if is_added {
                self.table.clear();
            }
            return Ok(());
        }
        let name_text = match indexed {
            Some(field) => field.name,
            None => name.text(scratch),
        };
        let static_name = match indexed {
            Some(field) => field.static_name,
            None => StaticName::find(name_text),
        };
        let value = value.text(scratch);
        if budget.take(name_text.len() + value.len()) {
            let sensitive = first & 0xf0 == 0x10;
            sink.field(Field {
                name: name_text,
                value,
                static_name,
                sensitive,
            });
        }
        if is_added {
            let added = match index.checked_sub(STATIC_LEN + 1) {
                Some(index) => AddedName::Indexed(index),
                // The names of the static table and of the block do not borrow the table.
                None => match static_table::entry(index) {
                    Some((_, name, _)) => AddedName::Text(name.as_bytes()),
                    None => AddedName::Text(name.text(scratch)),
                },
            };
            self.table.add(added, value, static_name);
        }
        Ok(())
    }
}

impl fmt::Debug for Decoder {
    /// Leaves out the fields, because they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("fields", &self.table.len())
            .field("table_size", &self.table.size())
            .field("max_table_size", &self.max_table_size)
            .finish_non_exhaustive()
    }
}

/// The location of a string of a literal field.
#[derive(Clone, Copy, Debug)]
struct StringLocation<'a> {
    /// The string, if it is a part of the block.
    plain: Option<&'a [u8]>,
    length: usize,
    /// The end of the string in the scratch memory. It begins `length` bytes before that.
    scratch_end: usize,
    /// `false` if the string is longer than the allowance, and was not decoded.
    is_available: bool,
}

impl<'a> StringLocation<'a> {
    /// Returns the location of a name in a table.
    fn outside(length: usize) -> StringLocation<'a> {
        StringLocation {
            plain: None,
            length,
            scratch_end: 0,
            is_available: true,
        }
    }

    /// Reads a string. A Huffman-coded one is decoded behind the first `used` bytes of the scratch memory, if it has at most `allowance` bytes.
    #[inline]
    fn read(
        input: &mut &'a [u8],
        used: usize,
        allowance: usize,
        scratch: &mut Scratch,
    ) -> Result<StringLocation<'a>, DecodeError> {
        let (&first, rest) = input.split_first().ok_or(DecodeError::Truncated)?;
        *input = rest;
        let length = integer::decode(first, 7, input)?;
        let (text, rest) = input
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        *input = rest;
        if first & 0x80 == 0 {
            let is_available = true;
            return Ok(StringLocation {
                plain: Some(text),
                length,
                scratch_end: used,
                is_available,
            });
        }
        let mut room = huffman::max_decoded_len(length);
        if room > allowance {
            room = huffman::decoded_len(text)?;
            if room > allowance {
                return Ok(StringLocation {
                    plain: None,
                    length: room,
                    scratch_end: used,
                    is_available: false,
                });
            }
        }
        // The Huffman decoder requires one more byte.
        let end = used + room + 1;
        let length = match scratch.at_least(end).get_mut(used..end) {
            Some(output) => huffman::decode(text, output)?,
            None => 0,
        };
        Ok(StringLocation {
            plain: None,
            length,
            scratch_end: used + length,
            is_available: true,
        })
    }

    #[inline]
    fn text<'b>(&self, scratch: &'b Scratch) -> &'b [u8]
    where
        'a: 'b,
    {
        match self.plain {
            Some(text) => text,
            None => scratch
                .bytes()
                .get(self.scratch_end - self.length..self.scratch_end)
                .unwrap_or_default(),
        }
    }
}
