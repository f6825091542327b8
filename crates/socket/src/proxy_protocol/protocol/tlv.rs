//! The TLV fields of a version 2 header: type, length, value.

use super::{EncodeError, Invalid};

/// The fields of a version 2 header after the addresses (section 2.2). Each has a type of one byte and a value.
///
/// # Examples
///
/// ```
/// use uptick_socket::proxy_protocol::protocol::Tlvs;
///
/// let mut tlvs = Tlvs::default();
/// tlvs.push(Tlvs::AUTHORITY, b"example.com")?;
/// assert_eq!(tlvs.get(Tlvs::AUTHORITY), Some(&b"example.com"[..]));
/// assert_eq!(tlvs.iter().count(), 1);
/// # Ok::<(), uptick_socket::proxy_protocol::protocol::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs(Vec<u8>);

impl Tlvs {
    /// The application protocol, as negotiated by ALPN.
    pub const ALPN: u8 = 0x01;
    /// The host name that the client requested, as in the SNI extension of TLS.
    pub const AUTHORITY: u8 = 0x02;
    /// The CRC-32C checksum of the header.
    pub const CRC32C: u8 = 0x03;
    /// Padding, which is ignored.
    pub const NOOP: u8 = 0x04;
    /// An identifier of the connection, up to 128 bytes.
    pub const UNIQUE_ID: u8 = 0x05;
    /// The TLS parameters of the client's connection. The value contains further TLVs.
    pub const SSL: u8 = 0x20;
    /// The network namespace.
    pub const NETNS: u8 = 0x30;

    /// Adds a field.
    ///
    /// # Errors
    ///
    /// [`EncodeError::TooLong`] if the value has more than 65,535 bytes.
    pub fn push(&mut self, kind: u8, value: &[u8]) -> Result<(), EncodeError> {
        let length = u16::try_from(value.len()).map_err(|_| EncodeError::TooLong)?;
        self.0.push(kind);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(value);
        Ok(())
    }

    /// Returns the value of the first field with a type.
    pub fn get(&self, kind: u8) -> Option<&[u8]> {
        let mut all = self.iter();
        all.find_map(|(its_kind, value)| (its_kind == kind).then_some(value))
    }

    /// Returns an iterator over the types and values of all fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8])> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (kind, value, after) = split_first(rest)?;
            rest = after;
            Some((kind, value))
        })
    }

    /// Returns `true` if there are no fields.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Parses a block of bytes that must consist of fields.
    pub(super) fn parse(block: &[u8]) -> Result<Self, Invalid> {
        let mut rest = block;
        while !rest.is_empty() {
            let (_, _, after) = split_first(rest).ok_or(Invalid::Tlv)?;
            rest = after;
        }
        Ok(Self(block.into()))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the position of the first checksum's value in the block, and `true` if there is a second checksum.
    pub(super) fn checksum(&self) -> Option<(usize, bool)> {
        let mut position = 0;
        let mut found = None;
        for (kind, value) in self.iter() {
            position += 3;
            if kind == Self::CRC32C {
                match found {
                    None => found = Some((position, false)),
                    Some((first, _)) => return Some((first, true)),
                }
            }
            position += value.len();
        }
        found
    }
}

/// Splits off the first field: returns its type, its value, and the rest of the block.
fn split_first(block: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let ([kind, high, low], rest) = block.split_first_chunk()?;
    let length = u16::from_be_bytes([*high, *low]);
    let (value, rest) = rest.split_at_checked(length.into())?;
    Some((*kind, value, rest))
}
