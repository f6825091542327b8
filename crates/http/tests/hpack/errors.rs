//! Invalid blocks.

use uptick_http::h2::hpack::{DecodeError, Decoder};

use crate::support::{decode, hex};

#[track_caller]
fn check(error: DecodeError, blocks: &[&str]) {
    for block in blocks {
        let mut decoder = Decoder::new(4096);
        // A field, so that the index 62 exists.
        decode(&mut decoder, &hex("40 0161 0162")).unwrap();
        assert_eq!(decode(&mut decoder, &hex(block)), Err(error), "{block}");
    }
}

#[test]
fn the_index_zero_and_indices_beyond_the_tables_are_refused() {
    let (huge, huge_name) = ("ff 80ffffff0f", "7f 80ffffff0f 00");
    check(
        DecodeError::InvalidIndex,
        &[
            "80",
            "bf",
            "ff00",
            "7f01 0162",
            "0f31 0162",
            huge,
            huge_name,
        ],
    );
    let mut decoder = Decoder::new(4096);
    assert_eq!(
        decode(&mut decoder, &hex("be")),
        Err(DecodeError::InvalidIndex)
    );
}

#[test]
fn a_block_that_ends_inside_of_a_field_is_refused() {
    check(
        DecodeError::Truncated,
        &[
            // The index.
            "ff",
            "ff80",
            "7f",
            "0f",
            "1f80",
            // The name.
            "40",
            "4001",
            "4003 6161",
            "00",
            "1085 1f",
            // The value.
            "41",
            "4103 6162",
            "40 0161",
            "40 0161 0162 40 0161 02 62",
            "0485 61",
            // The length of a string.
            "007f",
            "007f 8080",
            "0000 ff",
            // A size update.
            "3f",
            "3f80",
        ],
    );
}

#[test]
fn integers_above_32_bits_are_refused() {
    check(
        DecodeError::IntegerTooLarge,
        &[
            "ff ffffffff7f",
            "ff 808080808000",
            "ff ffffffffffffffffffff01",
            "7f ffffffff7f 00",
            "0f ffffffff7f 00",
            "00 7f ffffffff7f",
            "00 00 ff ffffffff7f",
            "3f ffffffff7f",
        ],
    );
}

#[test]
fn a_string_that_is_longer_than_the_block_is_truncated() {
    check(
        DecodeError::Truncated,
        &["00 7f ffffffff0e 61", "00 0161 ff ffffffff0e 61"],
    );
}

#[test]
fn invalid_huffman_code_is_refused_in_names_and_values() {
    for code in [
        // The padding has zeros, or more than seven bits.
        "81 00",
        "81 ff",
        "82 07ff",
        // The end-of-string symbol.
        "84 ffffffff",
        "85 07ffffffff",
    ] {
        for field in [
            format!("00 {code} 00"),
            format!("40 {code} 00"),
            format!("10 0161 {code}"),
            format!("41 {code}"),
        ] {
            check(DecodeError::InvalidHuffman, &[&field]);
        }
    }
}

#[test]
fn size_updates_are_refused_after_a_field_above_the_limit_and_after_two_others() {
    check(
        DecodeError::InvalidSizeUpdate,
        &[
            "82 20",
            "40 0161 0162 3e",
            "20 82 20",
            // 4,097 bytes.
            "3f e21f",
            "20 3f e21f",
            "3f 80ffffff0f",
            "20 20 20",
            "20 21 22",
        ],
    );
}

#[test]
fn the_error_texts_say_what_failed() {
    assert_eq!(
        DecodeError::InvalidIndex.to_string(),
        "decoding a header block failed: an index is not in the tables"
    );
}
