//! Invariants of HPACK, for the property tests and the fuzz target.

use uptick_http::h2::hpack::{
    DecodeError, Decoded, Decoder, Encoder, FIELD_OVERHEAD, Field, Indexing, ListLimits, StaticName,
};

/// A name, a value, and `true` if the field is sensitive.
pub(crate) type ListedField = (Vec<u8>, Vec<u8>, bool);

/// Decodes a block, and checks that the fields are within the limits.
pub(crate) fn decode(
    decoder: &mut Decoder,
    block: &[u8],
    limits: ListLimits,
) -> Result<(Decoded, Vec<ListedField>), DecodeError> {
    let mut fields = Vec::new();
    let mut size = 0;
    let decoded = decoder.decode(block, limits, &mut |field: Field<'_>| {
        assert_eq!(field.static_name, StaticName::find(field.name));
        size += field.name.len() + field.value.len() + FIELD_OVERHEAD;
        fields.push((field.name.to_vec(), field.value.to_vec(), field.sensitive));
    });
    assert!(size <= limits.bytes && fields.len() <= limits.fields);
    Ok((decoded?, fields))
}

/// Checks that any bytes are decoded within the limits, that the limits do not change the dynamic table, and that the decoded fields can be encoded
/// again.
pub(crate) fn check_decoder(blocks: &[&[u8]], max_table_size: u32, tight: ListLimits) {
    let wide = ListLimits {
        fields: 10_000,
        bytes: 1 << 20,
    };
    let (mut decoder, mut limited) = (Decoder::new(max_table_size), Decoder::new(max_table_size));
    let (mut encoder, mut second) = (Encoder::new(), Decoder::new(Encoder::DEFAULT_LIMIT));
    for (number, block) in blocks.iter().enumerate() {
        let whole = decode(&mut decoder, block, wide);
        let part = decode(&mut limited, block, tight);
        let (decoded, fields) = match (whole, part) {
            (Ok(whole), Ok((Decoded::Complete, fields))) => {
                assert_eq!(whole, (Decoded::Complete, fields.clone()));
                whole
            }
            (Ok(whole), Ok((Decoded::TooLarge, fields))) => {
                assert!(whole.1.starts_with(&fields));
                whole
            }
            (whole, part) => {
                assert_eq!(whole.err(), part.err());
                return;
            }
        };
        assert_eq!(decoder.table_size(), limited.table_size());
        assert!(decoder.table_size() <= max_table_size as usize);
        let indexing = [Indexing::Add, Indexing::Without][number % 2];
        let block = encode(&mut encoder, &fields, indexing);
        let again = decode(&mut second, &block, wide);
        assert_eq!(again, Ok((Decoded::Complete, fields)));
        assert_eq!(encoder.table_size(), second.table_size());
        if decoded == Decoded::TooLarge {
            return;
        }
    }
}

/// Encodes a block. Sensitive fields are never indexed.
pub(crate) fn encode(encoder: &mut Encoder, fields: &[ListedField], indexing: Indexing) -> Vec<u8> {
    let mut block = Vec::new();
    encoder.begin(&mut block);
    for (name, value, is_sensitive) in fields {
        let indexing = if *is_sensitive {
            Indexing::Never
        } else {
            indexing
        };
        encoder.field(name, value, indexing, &mut block);
    }
    block
}
