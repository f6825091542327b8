//! Properties of decoding and encoding.

use proptest::collection::vec;
use proptest::prelude::*;
use uptick_http::h2::hpack::{Decoded, Decoder, Encoder, Indexing, ListLimits};

use crate::invariants::{ListedField, check_decoder, decode, encode};
use crate::support::UNLIMITED;

const NAMES: [&str; 8] = [
    ":method",
    ":status",
    "content-type",
    "cookie",
    "x-a",
    "x-b",
    "x-c",
    "",
];

/// A step on a connection.
#[derive(Clone, Debug)]
enum Step {
    Block(Vec<ListedField>, Indexing),
    /// The peer changes its setting.
    Resize(u32),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => proptest::sample::select(&NAMES[..]).prop_map(|name| name.as_bytes().to_vec()),
        1 => "[a-z-]{1,20}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..40),
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ab]{0,2}|GET|200|text/html".prop_map(String::into_bytes),
        1 => "[ -~]{0,300}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 0..300),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let field = (name(), value(), proptest::bool::weighted(0.1));
    let indexing = proptest::sample::select(vec![Indexing::Add, Indexing::Without]);
    prop_oneof![
        6 => (vec(field, 0..12), indexing).prop_map(|(fields, indexing)| Step::Block(fields, indexing)),
        1 => prop_oneof![0..300_u32, Just(4096), Just(u32::MAX)].prop_map(Step::Resize),
    ]
}

/// A block that is likely to be valid in part.
fn block() -> impl Strategy<Value = Vec<u8>> {
    let string = (any::<bool>(), vec(any::<u8>(), 0..20)).prop_map(|(is_huffman, text)| {
        let length = text.len() as u8 | if is_huffman { 0x80 } else { 0 };
        [vec![length], text].concat()
    });
    let first = prop_oneof![Just(0x40_u8), Just(0), Just(0x10)];
    let literal = (first, string.clone(), string);
    prop_oneof![
        vec(any::<u8>(), 0..60),
        vec(literal, 0..8).prop_map(|fields| {
            let parts = fields
                .into_iter()
                .map(|(first, name, value)| [vec![first], name, value].concat());
            parts.collect::<Vec<_>>().concat()
        }),
        vec(prop_oneof![0x82..=0xc4_u8, Just(0x7e)], 0..30),
    ]
}

proptest! {
    #[test]
    fn encoded_fields_are_decoded(limit in prop_oneof![0..300_u32, Just(4096), Just(20_000)], steps in vec(step(), 0..20)) {
        let mut encoder = Encoder::with_limit(limit);
        // The limit of the decoder is not tested here, because the encoder may announce a change later.
        let mut decoder = Decoder::new(4096);
        decoder.set_max_table_size(Decoder::MAX_TABLE_SIZE);
        for step in steps {
            match step {
                Step::Resize(size) => encoder.set_max_table_size(size),
                Step::Block(fields, indexing) => {
                    let block = encode(&mut encoder, &fields, indexing);
                    let found = decode(&mut decoder, &block, UNLIMITED);
                    prop_assert_eq!(found, Ok((Decoded::Complete, fields)));
                    prop_assert_eq!(decoder.table_size(), encoder.table_size());
                    prop_assert!(encoder.table_size() <= limit as usize);
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_within_the_limits(
        blocks in vec(block(), 0..6),
        max_table_size in prop_oneof![0..200_u32, Just(4096)],
        fields in 0..20_usize,
        bytes in 0..600_usize,
    ) {
        let blocks: Vec<&[u8]> = blocks.iter().map(Vec::as_slice).collect();
        check_decoder(&blocks, max_table_size, ListLimits { fields, bytes });
    }

    #[test]
    fn a_block_that_is_cut_off_is_an_error_or_has_fewer_fields(fields in vec((name(), value(), any::<bool>()), 1..6)) {
        let block = encode(&mut Encoder::new(), &fields, Indexing::Add);
        for end in 0..block.len() {
            if let Ok((_, found)) = decode(&mut Decoder::new(4096), &block[..end], UNLIMITED) {
                prop_assert!(found.len() < fields.len() && fields.starts_with(&found));
            }
        }
    }
}
