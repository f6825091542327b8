//! The error for an invalid header block.

/// An invalid header block. The dynamic tables of the two peers are no longer in step, so this is a connection error of type
/// `COMPRESSION_ERROR` (RFC 9113, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A block that ends inside of a field.
    #[error("decoding a header block failed: the block ends inside of a field")]
    Truncated,
    /// An integer above the limit of 32 bits, or with more than five continuation bytes.
    #[error("decoding a header block failed: an integer is too large")]
    IntegerTooLarge,
    /// The index zero, or an index beyond the end of the tables.
    #[error("decoding a header block failed: an index is not in the tables")]
    InvalidIndex,
    /// A string with the end-of-string symbol, with more than seven bits of padding, or with other padding than ones.
    #[error("decoding a header block failed: a string is not valid Huffman code")]
    InvalidHuffman,
    /// A size update that is larger than the limit, follows a field, or is the third of its block.
    #[error("decoding a header block failed: a size update of the table is not allowed here")]
    InvalidSizeUpdate,
    /// A block without the size update that a reduced limit requires (RFC 7541, 4.2).
    #[error(
        "decoding a header block failed: the size update for the reduced limit of the table is missing"
    )]
    MissingSizeUpdate,
}
