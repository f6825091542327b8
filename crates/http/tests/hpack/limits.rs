//! Limits for the fields of a block.

use uptick_http::h2::hpack::{Decoded, Decoder, Encoder, Indexing, ListLimits};

use crate::support::{UNLIMITED, decode, decode_within, encode, field, fields, hex};

fn bytes(bytes: usize) -> ListLimits {
    ListLimits { bytes, ..UNLIMITED }
}

#[test]
fn each_field_counts_with_its_name_its_value_and_32_bytes() {
    let list = fields(&[
        (":method", "GET"),
        ("name", "value"),
        (":authority", "example.com"),
    ]);
    let size = (7 + 3 + 32) + (4 + 5 + 32) + (10 + 11 + 32);
    for indexing in [Indexing::Add, Indexing::Without] {
        let block = encode(&mut Encoder::new(), &list, indexing);
        let all = decode_within(&mut Decoder::new(4096), &block, bytes(size));
        assert_eq!(all, Ok((Decoded::Complete, list.clone())));
        let part = decode_within(&mut Decoder::new(4096), &block, bytes(size - 1));
        assert_eq!(part, Ok((Decoded::TooLarge, list[..2].to_vec())));
    }
}

#[test]
fn the_number_of_fields_is_limited() {
    let list = fields(&[("cookie", "a"), ("cookie", "b"), ("cookie", "c")]);
    let block = encode(&mut Encoder::new(), &list, Indexing::Add);
    for count in 0..4 {
        let limits = ListLimits {
            fields: count,
            ..UNLIMITED
        };
        let (decoded, found) = decode_within(&mut Decoder::new(4096), &block, limits).unwrap();
        assert_eq!(found, list[..count]);
        assert_eq!(decoded == Decoded::Complete, count == 3);
    }
}

#[test]
fn no_field_is_passed_on_after_one_beyond_the_limit() {
    let list = fields(&[("first", "1"), ("long", &"x".repeat(100)), ("small", "2")]);
    let block = encode(&mut Encoder::new(), &list, Indexing::Without);
    let found = decode_within(&mut Decoder::new(4096), &block, bytes(120));
    assert_eq!(found, Ok((Decoded::TooLarge, list[..1].to_vec())));
}

#[test]
fn a_block_of_indices_of_a_large_field_is_limited() {
    let large = field("x", "v".repeat(4000));
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(4096);
    let block = encode(&mut encoder, std::slice::from_ref(&large), Indexing::Add);
    assert_eq!(decode(&mut decoder, &block), Ok(vec![large.clone()]));
    let found = decode_within(&mut decoder, &[0xbe; 16_000], ListLimits::default());
    assert_eq!(found, Ok((Decoded::TooLarge, vec![large; 4])));
}

#[test]
fn the_table_stays_in_step_after_a_list_that_is_too_large() {
    let list = fields(&[
        ("first", "one"),
        ("second", "two"),
        ("third", &"w".repeat(90)),
        ("fourth", "4"),
    ]);
    let next = fields(&[
        ("fourth", "4"),
        ("third", &"w".repeat(90)),
        ("second", "three"),
        ("first", "one"),
    ]);
    for limit in [0, 10, 32, 40, 80, 150] {
        let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
        let block = encode(&mut encoder, &list, Indexing::Add);
        let (decoded, _) = decode_within(&mut decoder, &block, bytes(limit)).unwrap();
        assert_eq!(decoded, Decoded::TooLarge);
        assert_eq!(decoder.table_size(), encoder.table_size());
        let block = encode(&mut encoder, &next, Indexing::Add);
        assert_eq!(decode(&mut decoder, &block), Ok(next.clone()));
    }
}

#[test]
fn a_field_that_is_larger_than_the_table_empties_it_even_beyond_the_limits() {
    // 80 times "0", as Huffman code of 50 bytes and as text.
    let huffman = format!("b2 {}", "00".repeat(50));
    let text = format!("50 {}", "30".repeat(80));
    for string in [huffman, text] {
        for limit in [0, 50, 1000] {
            let mut decoder = Decoder::new(100);
            decode(&mut decoder, &hex("40 0161 0162")).unwrap();
            assert_eq!(decoder.table_size(), 34);
            let value = hex(&format!("40 0161 {string}"));
            let (decoded, found) = decode_within(&mut decoder, &value, bytes(limit)).unwrap();
            let expected = match limit {
                1000 => (Decoded::Complete, vec![field("a", "0".repeat(80))]),
                _ => (Decoded::TooLarge, vec![]),
            };
            assert_eq!((decoded, found), expected);
            assert_eq!(decoder.table_size(), 0);
            let name = hex(&format!("40 {string} 00"));
            decode(&mut decoder, &hex("40 0161 0162")).unwrap();
            decode_within(&mut decoder, &name, bytes(limit)).unwrap();
            assert_eq!(decoder.table_size(), 0);
        }
    }
}

#[test]
fn invalid_huffman_code_beyond_the_limit_is_refused() {
    let block = hex("00 82 0000 82 ffff");
    assert!(decode_within(&mut Decoder::new(0), &block, bytes(0)).is_err());
    assert!(decode_within(&mut Decoder::new(0), &block, UNLIMITED).is_err());
}

#[test]
fn the_limits_begin_again_with_each_block() {
    let list = fields(&[("name", "value")]);
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    for _ in 0..5 {
        let block = encode(&mut encoder, &list, Indexing::Add);
        let found = decode_within(
            &mut decoder,
            &block,
            ListLimits {
                fields: 1,
                bytes: 41,
            },
        );
        assert_eq!(found, Ok((Decoded::Complete, list.clone())));
    }
}
