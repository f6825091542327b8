//! Decoding and encoding of lists of fields.

use uptick_http::h2::hpack::{
    DecodeError, Decoded, Decoder, Encoder, Field, Indexing, ListLimits, StaticName,
};

/// A field with owned text, and whether it is sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnedField {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
    pub(crate) sensitive: bool,
}

/// Returns a field that is not sensitive.
pub(crate) fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> OwnedField {
    let (name, value) = (name.as_ref().to_vec(), value.as_ref().to_vec());
    OwnedField {
        name,
        value,
        sensitive: false,
    }
}

/// Returns fields that are not sensitive.
pub(crate) fn fields(list: &[(&str, &str)]) -> Vec<OwnedField> {
    list.iter()
        .map(|(name, value)| field(name, value))
        .collect()
}

/// Limits that no block of these tests exceeds.
pub(crate) const UNLIMITED: ListLimits = ListLimits {
    fields: usize::MAX,
    bytes: usize::MAX,
};

/// Decodes a block within limits, and returns the fields that were passed on.
pub(crate) fn decode_within(
    decoder: &mut Decoder,
    block: &[u8],
    limits: ListLimits,
) -> Result<(Decoded, Vec<OwnedField>), DecodeError> {
    let mut found = Vec::new();
    let mut collect = |decoded: Field<'_>| {
        assert_eq!(decoded.static_name, StaticName::find(decoded.name));
        let sensitive = decoded.sensitive;
        found.push(OwnedField {
            sensitive,
            ..field(decoded.name, decoded.value)
        });
    };
    let decoded = decoder.decode(block, limits, &mut collect)?;
    Ok((decoded, found))
}

/// Decodes a block.
pub(crate) fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<OwnedField>, DecodeError> {
    let (decoded, fields) = decode_within(decoder, block, UNLIMITED)?;
    assert_eq!(decoded, Decoded::Complete);
    Ok(fields)
}

/// Encodes a block.
pub(crate) fn encode(encoder: &mut Encoder, fields: &[OwnedField], indexing: Indexing) -> Vec<u8> {
    let mut block = Vec::new();
    encoder.begin(&mut block);
    for field in fields {
        let indexing = if field.sensitive {
            Indexing::Never
        } else {
            indexing
        };
        encoder.field(&field.name, &field.value, indexing, &mut block);
    }
    block
}

/// Returns the bytes of a hexadecimal text with spaces.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text
        .bytes()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let pairs = digits
        .chunks(2)
        .map(|pair| std::str::from_utf8(pair).unwrap());
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

/// Returns a hexadecimal text.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
