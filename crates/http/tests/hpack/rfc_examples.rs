//! The examples of RFC 7541, appendix C. The integers of C.1 are tested where they are encoded.

use uptick_http::h2::hpack::{Decoder, Encoder, Indexing};

use crate::support::{OwnedField, decode, encode, field, fields, hex, to_hex};

/// A block of an example: its bytes, its fields, and the size of the table after it.
struct Example {
    block: &'static str,
    fields: &'static [(&'static str, &'static str)],
    table_size: usize,
}

const FIRST_REQUEST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
];
const SECOND_REQUEST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "http"),
    (":path", "/"),
    (":authority", "www.example.com"),
    ("cache-control", "no-cache"),
];
const THIRD_REQUEST: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/index.html"),
    (":authority", "www.example.com"),
    ("custom-key", "custom-value"),
];
const FIRST_RESPONSE: &[(&str, &str)] = &[
    (":status", "302"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const SECOND_RESPONSE: &[(&str, &str)] = &[
    (":status", "307"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:21 GMT"),
    ("location", "https://www.example.com"),
];
const THIRD_RESPONSE: &[(&str, &str)] = &[
    (":status", "200"),
    ("cache-control", "private"),
    ("date", "Mon, 21 Oct 2013 20:13:22 GMT"),
    ("location", "https://www.example.com"),
    ("content-encoding", "gzip"),
    (
        "set-cookie",
        "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ),
];

/// C.3: requests without Huffman code.
const PLAIN_REQUESTS: [Example; 3] = [
    Example {
        block: "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
        fields: FIRST_REQUEST,
        table_size: 57,
    },
    Example {
        block: "8286 84be 5808 6e6f 2d63 6163 6865",
        fields: SECOND_REQUEST,
        table_size: 110,
    },
    Example {
        block: "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        fields: THIRD_REQUEST,
        table_size: 164,
    },
];

/// C.4: requests with Huffman code.
const REQUESTS: [Example; 3] = [
    Example {
        block: "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
        fields: FIRST_REQUEST,
        table_size: 57,
    },
    Example {
        block: "8286 84be 5886 a8eb 1064 9cbf",
        fields: SECOND_REQUEST,
        table_size: 110,
    },
    Example {
        block: "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        fields: THIRD_REQUEST,
        table_size: 164,
    },
];

/// C.5: responses without Huffman code, with a table of 256 bytes.
const PLAIN_RESPONSES: [Example; 3] = [
    Example {
        block: "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133
            2032 303a 3133 3a32 3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70
            6c65 2e63 6f6d",
        fields: FIRST_RESPONSE,
        table_size: 222,
    },
    Example {
        block: "4803 3330 37c1 c0bf",
        fields: SECOND_RESPONSE,
        table_size: 222,
    },
    Example {
        block: "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d
            54c0 5a04 677a 6970 7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049
            5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 3630 303b 2076 6572 7369 6f6e
            3d31",
        fields: THIRD_RESPONSE,
        table_size: 215,
    },
];

/// C.6: responses with Huffman code, with a table of 256 bytes.
const RESPONSES: [Example; 3] = [
    Example {
        block: "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6
            2d1b ff6e 919d 29ad 1718 63c7 8f0b 97c8 e9ae 82ae 43d3",
        fields: FIRST_RESPONSE,
        table_size: 222,
    },
    Example {
        block: "48 83 640e ff c1 c0bf",
        fields: SECOND_RESPONSE,
        table_size: 222,
    },
    Example {
        block: "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab
            77ad 94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f
            9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        fields: THIRD_RESPONSE,
        table_size: 215,
    },
];

fn check_decoder(max_table_size: u32, examples: &[Example]) {
    let mut decoder = Decoder::new(max_table_size);
    for example in examples {
        let found = decode(&mut decoder, &hex(example.block));
        assert_eq!(found, Ok(fields(example.fields)));
        assert_eq!(decoder.table_size(), example.table_size);
    }
}

/// Checks the bytes that the encoder writes for `examples`, which use Huffman code.
fn check_encoder(mut encoder: Encoder, examples: &[Example]) {
    for example in examples {
        let block = encode(&mut encoder, &fields(example.fields), Indexing::Add);
        // The RFC also uses Huffman code where it is not shorter, as for the status 307.
        let expected = example.block.replace("83 640e ff", "03 3330 37");
        assert_eq!(to_hex(&block), to_hex(&hex(&expected)));
        assert_eq!(encoder.table_size(), example.table_size);
    }
}

#[test]
fn fields_of_all_representations_are_decoded() {
    // C.2.1 to C.2.4.
    let key_and_value = "0d63 7573 746f 6d2d 6865 6164 6572";
    let added = format!("400a 6375 7374 6f6d 2d6b 6579 {key_and_value}");
    let sensitive = OwnedField {
        sensitive: true,
        ..field("password", "secret")
    };
    for (block, expected, table_size) in [
        (&added[..], field("custom-key", "custom-header"), 55),
        (
            "040c 2f73 616d 706c 652f 7061 7468",
            field(":path", "/sample/path"),
            0,
        ),
        ("1008 7061 7373 776f 7264 0673 6563 7265 74", sensitive, 0),
        ("82", field(":method", "GET"), 0),
    ] {
        let mut decoder = Decoder::new(4096);
        assert_eq!(decode(&mut decoder, &hex(block)), Ok(vec![expected]));
        assert_eq!(decoder.table_size(), table_size);
    }
}

#[test]
fn requests_without_huffman_code_are_decoded() {
    check_decoder(4096, &PLAIN_REQUESTS);
}

#[test]
fn requests_with_huffman_code_are_decoded() {
    check_decoder(4096, &REQUESTS);
}

#[test]
fn responses_without_huffman_code_are_decoded() {
    check_decoder(256, &PLAIN_RESPONSES);
}

#[test]
fn responses_with_huffman_code_are_decoded() {
    check_decoder(256, &RESPONSES);
}

#[test]
fn requests_are_encoded() {
    check_encoder(Encoder::new(), &REQUESTS);
}

#[test]
fn responses_are_encoded_with_a_small_table() {
    let mut encoder = Encoder::with_limit(256);
    let mut update = Vec::new();
    encoder.begin(&mut update);
    assert_eq!(update, [0x3f, 0xe1, 0x01], "a size update to 256 bytes");
    check_encoder(encoder, &RESPONSES);
}

#[test]
fn fields_that_are_not_added_are_encoded() {
    let mut encoder = Encoder::new();
    let mut block = Vec::new();
    encoder.field(b":path", b"/sample/path", Indexing::Without, &mut block);
    encoder.field(b"password", b"secret", Indexing::Never, &mut block);
    encoder.field(b":method", b"GET", Indexing::Without, &mut block);
    let path = "0489 6103 a6ba 0ac5 634c ff";
    let password = "1086 ac68 4783 d927 8441 4961 53";
    assert_eq!(
        to_hex(&block),
        to_hex(&hex(&format!("{path} {password} 82")))
    );
    assert_eq!(encoder.table_size(), 0);
}
