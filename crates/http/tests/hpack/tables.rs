//! Maximum sizes of the tables, their changes, and the encoder's choice of representations.

use uptick_http::h2::hpack::{DecodeError, Decoder, Encoder, Indexing, StaticName, write_literal};

use crate::support::{OwnedField, decode, encode, field, fields, hex, to_hex};

/// Returns the size updates at the beginning of the next block.
fn updates(encoder: &mut Encoder) -> String {
    let mut block = Vec::new();
    encoder.begin(&mut block);
    to_hex(&block)
}

#[test]
fn a_change_of_the_size_is_announced_once() {
    let mut encoder = Encoder::new();
    assert_eq!(updates(&mut encoder), "");
    encoder.set_max_table_size(30);
    assert_eq!(updates(&mut encoder), "3e");
    assert_eq!(updates(&mut encoder), "");
    encoder.set_max_table_size(30);
    assert_eq!(updates(&mut encoder), "");
    encoder.set_max_table_size(100);
    assert_eq!(updates(&mut encoder), "3f45");
}

#[test]
fn two_changes_between_blocks_announce_the_smaller_and_the_last_size() {
    let mut encoder = Encoder::new();
    encoder.set_max_table_size(10);
    encoder.set_max_table_size(20);
    encoder.set_max_table_size(4096);
    assert_eq!(updates(&mut encoder), "2a3fe11f");
    encoder.set_max_table_size(20);
    encoder.set_max_table_size(10);
    assert_eq!(updates(&mut encoder), "2a");
    // The entries are gone, even if the size is the same as before.
    let mut encoder = Encoder::new();
    encode(&mut encoder, &fields(&[("a", "b")]), Indexing::Add);
    encoder.set_max_table_size(0);
    encoder.set_max_table_size(4096);
    assert_eq!(encoder.table_size(), 0);
    assert_eq!(updates(&mut encoder), "203fe11f");
}

#[test]
fn the_limit_of_the_encoder_applies_to_the_setting_of_the_peer() {
    let mut encoder = Encoder::new();
    encoder.set_max_table_size(1 << 30);
    assert_eq!(updates(&mut encoder), "");
    let mut encoder = Encoder::with_limit(8192);
    assert_eq!(updates(&mut encoder), "");
    encoder.set_max_table_size(1 << 30);
    assert_eq!(updates(&mut encoder), "3fe13f");
    let mut encoder = Encoder::with_limit(0);
    assert_eq!(updates(&mut encoder), "20");
    let block = encode(&mut encoder, &fields(&[("a", "b")]), Indexing::Add);
    assert_eq!(
        (to_hex(&block).as_str(), encoder.table_size()),
        ("0001610162", 0)
    );
}

#[test]
fn the_decoder_applies_size_updates() {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, &hex("40 0161 0162 40 0163 0164")).unwrap();
    assert_eq!(decoder.table_size(), 68);
    // To 40 bytes, and then to 4,096.
    let block = hex("3f09 3fe11f be");
    assert_eq!(decode(&mut decoder, &block), Ok(fields(&[("c", "d")])));
    assert_eq!(decoder.table_size(), 34);
    assert_eq!(decode(&mut decoder, &hex("20")), Ok(vec![]));
    assert_eq!(
        decode(&mut decoder, &hex("be")),
        Err(DecodeError::InvalidIndex)
    );
}

#[test]
fn a_reduced_limit_requires_a_size_update() {
    let mut decoder = Decoder::new(4096);
    decoder.set_max_table_size(100);
    assert_eq!(
        decode(&mut decoder, &hex("82")),
        Err(DecodeError::MissingSizeUpdate)
    );
    assert_eq!(
        decode(&mut decoder, &hex("3f46 82")),
        Err(DecodeError::InvalidSizeUpdate)
    );
    assert_eq!(
        decode(&mut decoder, &hex("3f45 82")),
        Ok(fields(&[(":method", "GET")]))
    );
    assert_eq!(
        decode(&mut decoder, &hex("82")),
        Ok(fields(&[(":method", "GET")]))
    );
    // A larger limit does not change the table before the peer does.
    decoder.set_max_table_size(200);
    let block = encode(
        &mut Encoder::new(),
        &fields(&[("x", &"v".repeat(100))]),
        Indexing::Add,
    );
    decode(&mut decoder, &block).unwrap();
    assert_eq!(decoder.table_size(), 0);
    decode(&mut decoder, &hex("3fa901")).unwrap();
    decode(&mut decoder, &block).unwrap();
    assert_eq!(decoder.table_size(), 133);
}

#[test]
fn a_limit_that_the_table_already_keeps_requires_no_update() {
    let mut decoder = Decoder::new(4096);
    decode(&mut decoder, &hex("3f45")).unwrap();
    decoder.set_max_table_size(100);
    assert_eq!(
        decode(&mut decoder, &hex("82")),
        Ok(fields(&[(":method", "GET")]))
    );
}

#[test]
fn the_tables_of_both_sides_evict_the_same_fields() {
    let (mut encoder, mut decoder) = (Encoder::with_limit(200), Decoder::new(4096));
    for step in 0..500_usize {
        let list = [
            field("counter", step.to_string()),
            field("even", (step / 2).to_string()),
            field(format!("name-{}", step % 3), "x".repeat(step % 150)),
            field("always", "same"),
        ];
        let block = encode(&mut encoder, &list, Indexing::Add);
        assert_eq!(decode(&mut decoder, &block), Ok(list.to_vec()));
        assert_eq!(decoder.table_size(), encoder.table_size());
        assert!(encoder.table_size() <= 200);
    }
}

#[test]
fn a_repeated_field_takes_one_byte() {
    let list = fields(&[
        ("content-type", "text/plain; charset=utf-8"),
        ("x-name", "value"),
    ]);
    let mut encoder = Encoder::new();
    assert!(encode(&mut encoder, &list, Indexing::Add).len() > 20);
    assert_eq!(to_hex(&encode(&mut encoder, &list, Indexing::Add)), "bfbe");
}

#[test]
fn a_name_of_the_dynamic_table_is_not_repeated() {
    let mut encoder = Encoder::new();
    let mut decoder = Decoder::new(4096);
    let first = encode(&mut encoder, &fields(&[("x-name", "1")]), Indexing::Add);
    decode(&mut decoder, &first).unwrap();
    for (indexing, expected) in [
        (Indexing::Without, "0f2f 0132"),
        (Indexing::Never, "1f2f 0132"),
        (Indexing::Add, "7e 0132"),
    ] {
        let mut block = Vec::new();
        encoder.field(b"x-name", b"2", indexing, &mut block);
        assert_eq!(to_hex(&block), to_hex(&hex(expected)));
        let sensitive = indexing == Indexing::Never;
        let expected = OwnedField {
            sensitive,
            ..field("x-name", "2")
        };
        assert_eq!(decode(&mut decoder, &block), Ok(vec![expected]));
    }
}

#[test]
fn a_sensitive_field_is_never_an_index() {
    let mut encoder = Encoder::new();
    let list = fields(&[
        ("authorization", "secret"),
        (":method", "GET"),
        ("x-key", "k"),
    ]);
    encode(&mut encoder, &list, Indexing::Add);
    let mut block = Vec::new();
    for field in &list {
        encoder.field(&field.name, &field.value, Indexing::Never, &mut block);
    }
    let expected = "1f08 8441 4961 53 12 0347 4554 1f2f 016b";
    assert_eq!(to_hex(&block), to_hex(&hex(expected)));
    let mut decoder = Decoder::new(4096);
    decode(
        &mut decoder,
        &encode(&mut Encoder::new(), &list, Indexing::Add),
    )
    .unwrap();
    let found = decode(&mut decoder, &block).unwrap();
    assert!(found.len() == 3 && found.iter().all(|field| field.sensitive));
    assert_eq!(decoder.table_size(), encoder.table_size());
}

#[test]
fn a_field_that_is_larger_than_the_table_does_not_empty_it() {
    let mut encoder = Encoder::with_limit(100);
    let mut decoder = Decoder::new(4096);
    let small = fields(&[("a", "b")]);
    decode(&mut decoder, &encode(&mut encoder, &small, Indexing::Add)).unwrap();
    let large = [field("a", "x".repeat(68))];
    let block = encode(&mut encoder, &large, Indexing::Add);
    assert_eq!(decode(&mut decoder, &block), Ok(large.to_vec()));
    assert_eq!((encoder.table_size(), decoder.table_size()), (34, 34));
    let fitting = [field("a", "x".repeat(67))];
    decode(&mut decoder, &encode(&mut encoder, &fitting, Indexing::Add)).unwrap();
    assert_eq!((encoder.table_size(), decoder.table_size()), (100, 100));
}

#[test]
fn all_status_codes_are_encoded() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    for status in (100..1000).chain(100..1000) {
        let mut block = Vec::new();
        encoder.status(status, &mut block);
        let indexed = [200, 204, 206, 304, 400, 404, 500].contains(&status);
        assert_eq!(block.len() == 1 && block[0] < 0xbe, indexed);
        let expected = [field(":status", status.to_string())];
        assert_eq!(decode(&mut decoder, &block), Ok(expected.to_vec()));
    }
}

#[test]
fn content_lengths_are_not_added_to_the_table() {
    let mut encoder = Encoder::new();
    for length in [
        0,
        7,
        12,
        999,
        1000,
        54_321,
        99_999,
        100_000,
        1_000_000,
        u64::MAX,
    ] {
        let mut block = Vec::new();
        encoder.content_length(length, &mut block);
        let expected = [field("content-length", length.to_string())];
        assert_eq!(decode(&mut Decoder::new(0), &block), Ok(expected.to_vec()));
    }
    assert_eq!(encoder.table_size(), 0);
}

#[test]
fn a_separate_literal_is_valid_on_every_connection() {
    let date = b"Mon, 30 Nov 2026 04:00:00 GMT";
    let mut literal = Vec::new();
    write_literal(b"date", date, &mut literal);
    write_literal(b"x-other", b"value", &mut literal);
    let expected = [field("date", date), field("x-other", "value")];
    let mut used = Decoder::new(4096);
    decode(&mut used, &hex("40 0161 0162")).unwrap();
    for mut decoder in [Decoder::new(0), Decoder::new(4096), used] {
        let size = decoder.table_size();
        assert_eq!(decode(&mut decoder, &literal), Ok(expected.to_vec()));
        assert_eq!(decoder.table_size(), size);
    }
}

#[test]
fn static_names_are_the_same_as_their_text() {
    let (mut by_name, mut by_text) = (Encoder::new(), Encoder::new());
    for indexing in [
        Indexing::Add,
        Indexing::Add,
        Indexing::Without,
        Indexing::Never,
    ] {
        for (name, value) in [
            (StaticName::SERVER, "uptick"),
            (StaticName::METHOD, "POST"),
            (StaticName::PATH, "/index.html"),
            (StaticName::ACCEPT_ENCODING, "gzip, deflate"),
            (StaticName::AGE, ""),
        ] {
            let (mut first, mut second) = (Vec::new(), Vec::new());
            let value = value.as_bytes();
            by_name.static_field(name, value, indexing, &mut first);
            by_text.field(name.as_str().as_bytes(), value, indexing, &mut second);
            assert_eq!(first, second);
        }
    }
}

#[test]
fn debug_output_has_no_fields() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(4096));
    let block = encode(
        &mut encoder,
        &fields(&[("cookie", "secret")]),
        Indexing::Add,
    );
    decode(&mut decoder, &block).unwrap();
    let text = format!("{encoder:?} {decoder:?}");
    assert!(
        text.contains("fields: 1") && !text.contains("secret"),
        "{text}"
    );
}
