//! Encoding of header blocks.
//!
//! A field in a table costs a hash of its value, a comparison with the hashes of the table, and one comparison of the text. Strings are
//! Huffman-coded if that is shorter.

use std::fmt;

use super::dynamic_table::{AddedName, DynamicTable};
use super::static_table::STATIC_LEN;
use super::{FIELD_OVERHEAD, StaticName, huffman, integer};

/// HPACK encoder for the header blocks of one connection.
///
/// A block begins with [`begin`](Encoder::begin). All methods append to `out`, and all blocks have to be sent in the order in which they were
/// encoded.
pub struct Encoder {
    table: DynamicTable<FieldHashes>,
    limit: usize,
    /// The smallest maximum size of the table since the last block, if the size changed.
    smallest_change: Option<usize>,
}

/// Treatment of a field by the dynamic table of the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Indexing {
    /// The field is added, so that its repetition takes one or two bytes. For values that are repeated.
    Add,
    /// The field is not added. For values that are different each time.
    Without,
    /// The field is not added, and proxies must not do so either (RFC 7541, 7.1.3). For values that are secret and could be guessed.
    Never,
}

/// Hashes of a field in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FieldHashes {
    /// The index of the name in the static table, or a hash above these indices.
    name: u32,
    /// The hash of the name and the value.
    field: u32,
}

impl Encoder {
    /// The limit for the size of the table, in bytes, unless another one is set.
    pub const DEFAULT_LIMIT: u32 = 4096;

    /// Creates an encoder whose table has at most [`DEFAULT_LIMIT`](Encoder::DEFAULT_LIMIT) bytes.
    pub fn new() -> Encoder {
        Encoder::with_limit(Encoder::DEFAULT_LIMIT)
    }

    /// Creates an encoder whose table has at most `limit` bytes, even if the peer allows more. Zero disables the table. Larger values than
    /// 65,536 are reduced to it. Default: 4,096 bytes.
    pub fn with_limit(limit: u32) -> Encoder {
        let limit = (limit as usize).min(DynamicTable::<FieldHashes>::LARGEST);
        // The initial value of `SETTINGS_HEADER_TABLE_SIZE`.
        let initial = 4096;
        Encoder {
            table: DynamicTable::new(limit.min(initial)),
            limit,
            smallest_change: (limit < initial).then_some(limit),
        }
    }

    /// Sets the maximum size of the table to the `SETTINGS_HEADER_TABLE_SIZE` of the peer, or to the limit of the encoder if that is less. The next
    /// block announces the change.
    pub fn set_max_table_size(&mut self, size: u32) {
        let size = (size as usize).min(self.limit);
        if size != self.table.max_size() {
            let smallest = self.smallest_change.unwrap_or(size);
            self.smallest_change = Some(smallest.min(size));
            self.table.set_max_size(size);
        }
    }

    /// Returns the size of the fields in the dynamic table, in bytes: with 32 bytes of overhead for each field.
    pub fn table_size(&self) -> usize {
        self.table.size()
    }

    /// Starts a block, and appends the size updates if the maximum size of the table has changed.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(smallest) = self.smallest_change.take() {
            let current = self.table.max_size();
            if smallest < current {
                integer::encode(smallest, 5, 0x20, out);
            }
            integer::encode(current, 5, 0x20, out);
        }
    }

    /// Appends the field `:status`.
    #[inline]
    pub fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        match status {
            200 => out.push(0x88),
            204 => out.push(0x89),
            206 => out.push(0x8a),
            304 => out.push(0x8b),
            400 => out.push(0x8c),
            404 => out.push(0x8d),
            500 => out.push(0x8e),
            _ => {
                let digits = Digits::new(u64::from(status));
                self.static_field(StaticName::STATUS, digits.text(), Indexing::Add, out);
            }
        }
    }

    /// Appends the field `content-length`, without adding it to the table.
    #[inline]
    pub fn content_length(&mut self, length: u64, out: &mut Vec<u8>) {
        const INDEX: u64 = StaticName::CONTENT_LENGTH.index() as u64;
        if length >= 100_000 {
            integer::encode(INDEX as usize, 4, 0, out);
            return encode_string(Digits::new(length).text(), out);
        }
        // The field has at most eight bytes, the first of which is the least significant one. Huffman code would save at most one of them.
        let (mut field, mut count, mut rest) = (0, 0, length);
        loop {
            field = field << 8 | (u64::from(b'0') + rest % 10);
            count += 1;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        field = field << 24 | count << 16 | (INDEX - 0x0f) << 8 | 0x0f;
        let end = out.len() + 3 + count as usize;
        // Copying a fixed number of bytes is faster.
        out.extend_from_slice(&field.to_le_bytes());
        out.truncate(end);
    }

    /// Appends a field. The name is in lower case.
    ///
    /// A field that is larger than the table is never added.
    #[inline]
    pub fn field(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        match StaticName::find(name) {
            Some(name) => self.static_field(name, value, indexing, out),
            None => self.other_field(name, value, indexing, out),
        }
    }

    /// Appends a field whose name is in the static table. This is the same as [`field`](Encoder::field), without the look-up of the name.
    pub fn static_field(
        &mut self,
        name: StaticName,
        value: &[u8],
        indexing: Indexing,
        out: &mut Vec<u8>,
    ) {
        if indexing != Indexing::Never
            && let Some(index) = name.index_of(value)
        {
            integer::encode(index, 7, 0x80, out);
            return;
        }
        let index = name.index();
        if indexing != Indexing::Add {
            integer::encode(index, 4, indexing.flags(), out);
            return encode_string(value, out);
        }
        // The hash of the name is its index, so that only the values are compared.
        let hashes = FieldHashes::new(index as u32, value);
        match self
            .table
            .find(|found| found == hashes, |field| field.value == value)
        {
            Some(index) => integer::encode(STATIC_LEN + 1 + index, 7, 0x80, out),
            None => self.add(name.as_str().as_bytes(), value, hashes, Some(index), out),
        }
    }

    /// Appends a field whose name is not in the static table.
    fn other_field(&mut self, name: &[u8], value: &[u8], indexing: Indexing, out: &mut Vec<u8>) {
        let name_hash = FieldHashes::of_name(name);
        let hashes = FieldHashes::new(name_hash, value);
        if indexing == Indexing::Add
            && let Some(index) = self.table.find(
                |found| found == hashes,
                |field| field.value == value && field.name == name,
            )
        {
            return integer::encode(STATIC_LEN + 1 + index, 7, 0x80, out);
        }
        let index = self
            .table
            .find(|found| found.name == name_hash, |field| field.name == name);
        let index = index.map(|index| STATIC_LEN + 1 + index);
        if indexing == Indexing::Add {
            return self.add(name, value, hashes, index, out);
        }
        encode_literal_name(name, index, 4, indexing.flags(), out);
        encode_string(value, out);
    }

    /// Appends a literal field whose name has an index, if any, and adds it to the table.
    #[cold]
    fn add(
        &mut self,
        name: &[u8],
        value: &[u8],
        hashes: FieldHashes,
        index: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        let size = name
            .len()
            .saturating_add(value.len())
            .saturating_add(FIELD_OVERHEAD);
        if size > self.table.max_size() {
            encode_literal_name(name, index, 4, Indexing::Without.flags(), out);
            return encode_string(value, out);
        }
        encode_literal_name(name, index, 6, Indexing::Add.flags(), out);
        encode_string(value, out);
        self.table.add(AddedName::Text(name), value, hashes);
    }
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder::new()
    }
}

impl fmt::Debug for Encoder {
    /// Leaves out the fields, because they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder")
            .field("fields", &self.table.len())
            .field("table_size", &self.table.size())
            .field("max_table_size", &self.table.max_size())
            .finish_non_exhaustive()
    }
}

impl Indexing {
    /// Returns the bits above the index of the name.
    fn flags(self) -> u8 {
        match self {
            Indexing::Add => 0x40,
            Indexing::Without => 0,
            Indexing::Never => 0x10,
        }
    }
}

/// Appends a field that no dynamic table is needed for, so that the same bytes are valid in the blocks of all connections. The name is in lower
/// case. For fields that are the same on many connections and change often, such as `date`.
pub fn write_literal(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    let index = StaticName::find(name).map(StaticName::index);
    encode_literal_name(name, index, 4, Indexing::Without.flags(), out);
    encode_string(value, out);
}

#[inline]
fn encode_literal_name(
    name: &[u8],
    index: Option<usize>,
    prefix: u32,
    flags: u8,
    out: &mut Vec<u8>,
) {
    integer::encode(index.unwrap_or(0), prefix, flags, out);
    if index.is_none() {
        encode_string(name, out);
    }
}

/// Appends a string, Huffman-coded if that is shorter.
fn encode_string(text: &[u8], out: &mut Vec<u8>) {
    let length = huffman::encoded_len(text);
    if length < text.len() {
        integer::encode(length, 7, 0x80, out);
        huffman::encode(text, out);
    } else {
        integer::encode(text.len(), 7, 0, out);
        out.extend_from_slice(text);
    }
}

impl FieldHashes {
    fn new(name: u32, value: &[u8]) -> FieldHashes {
        FieldHashes {
            name,
            field: hash(name, value),
        }
    }

    fn of_name(name: &[u8]) -> u32 {
        hash(0, name) | 1 << 31
    }
}

/// Returns a hash of `bytes`. Collisions cost only time, and the number of fields in a table is bounded.
#[inline]
fn hash(seed: u32, bytes: &[u8]) -> u32 {
    let mut state = u64::from(seed) | (bytes.len() as u64) << 32;
    if let Some(last) = bytes.last_chunk::<16>() {
        let mut rest = bytes;
        while let Some((chunk, after)) = rest.split_first_chunk::<16>() {
            state = mix(state, u128::from_le_bytes(*chunk));
            rest = after;
        }
        // The last bytes, some of which may be in the last chunk as well.
        state = mix(state, u128::from_le_bytes(*last));
    } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        let [first, last] = [first, last].map(|chunk| u128::from(u64::from_le_bytes(*chunk)));
        state = mix(state, first | last << 64);
    } else {
        let all = bytes
            .iter()
            .fold(0, |all, &byte| all << 8 | u128::from(byte));
        state = mix(state, all);
    }
    (state ^ state >> 32) as u32
}

#[inline]
fn mix(state: u64, next: u128) -> u64 {
    let (first, second) = (next as u64, (next >> 64) as u64);
    let first = first ^ state ^ 0x9e37_79b9_7f4a_7c15;
    let product = u128::from(first) * u128::from(second ^ 0xd1b5_4a32_d192_ed03);
    product as u64 ^ (product >> 64) as u64
}

/// A number in decimal.
struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    fn new(mut number: u64) -> Digits {
        let mut digits = Digits {
            bytes: [b'0'; 20],
            start: 20,
        };
        loop {
            digits.start -= 1;
            digits.bytes[digits.start] += (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}
