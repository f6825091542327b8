use proptest::prelude::*;
use redis_protocol::resp3;
use redis_protocol::resp3::types::BytesFrame;

use super::*;

fn decode_in(pieces: &[&[u8]], limits: Limits) -> (Vec<Value>, Option<ProtocolError>) {
    let mut decoder = Decoder::with_limits(limits);
    let mut values = Vec::new();
    for piece in pieces {
        decoder.push(BytesMut::from(*piece));
        loop {
            match decoder.decode() {
                Ok(Some(value)) => values.push(value),
                Ok(None) => break,
                Err(error) => return (values, Some(error)),
            }
        }
    }
    (values, None)
}

fn one(input: &str) -> Value {
    let (mut values, error) = decode_in(&[input.as_bytes()], Limits::new());
    assert_eq!((values.len(), error), (1, None), "{input:?}");
    values.remove(0)
}

fn error(input: &str) -> ProtocolError {
    error_with(input, Limits::new())
}

fn error_with(input: &str, limits: Limits) -> ProtocolError {
    decode_in(&[input.as_bytes()], limits).1.unwrap()
}

fn bulk(text: &'static str) -> Value {
    Value::Bulk(text.into())
}

#[test]
fn each_type_is_decoded() {
    assert_eq!(one("+OK\r\n"), Value::Simple("OK".into()));
    assert_eq!(one("+a b\r\n"), Value::Simple("a b".into()));
    assert_eq!(one(":-42\r\n"), Value::Integer(-42));
    assert_eq!(one("$5\r\na\r\nbc\r\n"), bulk("a\r\nbc"));
    assert_eq!(one("$0\r\n\r\n"), bulk(""));
    assert_eq!(one("_\r\n"), Value::Null);
    assert_eq!(one("$-1\r\n"), Value::Null);
    assert_eq!(one("*-1\r\n"), Value::Null);
    assert_eq!(one("#t\r\n"), Value::Boolean(true));
    assert_eq!(one(",-1.5e3\r\n"), Value::Double(-1500.0));
    assert_eq!(one(",inf\r\n"), Value::Double(f64::INFINITY));
    assert_eq!(
        one("(-123456789012345678901234\r\n"),
        Value::BigNumber("-123456789012345678901234".into())
    );
    let verbatim = Value::Verbatim {
        format: *b"txt",
        text: "Hi".into(),
    };
    assert_eq!(one("=6\r\ntxt:Hi\r\n"), verbatim);
    assert_eq!(
        one("*2\r\n:1\r\n*0\r\n"),
        Value::Array(vec![Value::Integer(1), Value::Array(vec![])])
    );
    assert_eq!(one("~1\r\n$1\r\na\r\n"), Value::Set(vec![bulk("a")]));
    assert_eq!(
        one("%1\r\n$1\r\na\r\n:1\r\n"),
        Value::Map(vec![(bulk("a"), Value::Integer(1))])
    );
    assert_eq!(
        one(">2\r\n$1\r\na\r\n:1\r\n"),
        Value::Push(vec![bulk("a"), Value::Integer(1)])
    );
    let Value::Error(error) = one("-WRONGTYPE Operation against\r\n") else {
        panic!()
    };
    assert_eq!(
        (error.code(), &*error.message()),
        ("WRONGTYPE", "Operation against")
    );
    assert_eq!(
        one("!9\r\nERR a\r\nbc\r\n"),
        Value::Error(ServerError::new("ERR a\r\nbc"))
    );
}

#[test]
fn attributes_are_skipped_everywhere() {
    assert_eq!(one("|1\r\n+ttl\r\n:9\r\n:1\r\n"), Value::Integer(1));
    let nested = "*2\r\n|1\r\n+a\r\n%1\r\n+b\r\n*1\r\n:2\r\n:1\r\n|0\r\n:2\r\n";
    assert_eq!(
        one(nested),
        Value::Array(vec![Value::Integer(1), Value::Integer(2)])
    );
}

#[test]
fn malformed_values_are_errors() {
    assert_eq!(error("x"), ProtocolError::UnknownType(b'x'));
    assert_eq!(error(":1a\r\n"), ProtocolError::Malformed("an integer"));
    assert_eq!(error("#x\r\n"), ProtocolError::Malformed("a boolean"));
    assert_eq!(error(",infinity\r\n"), ProtocolError::Malformed("a double"));
    assert_eq!(error("(1.0\r\n"), ProtocolError::Malformed("a big number"));
    assert_eq!(error("_x\r\n"), ProtocolError::Malformed("a null"));
    assert_eq!(
        error("=3\r\nabc\r\n"),
        ProtocolError::Malformed("a verbatim string")
    );
    assert_eq!(error("$1\r\nabc"), ProtocolError::InvalidLine);
    assert_eq!(error("+a\rb"), ProtocolError::InvalidLine);
    assert_eq!(error("+a\nb\r\n"), ProtocolError::InvalidLine);
    assert_eq!(error("%-1\r\n"), ProtocolError::InvalidLength);
    assert_eq!(error("$-5\r\n"), ProtocolError::InvalidLength);
    assert_eq!(error("*1\r\n>0\r\n"), ProtocolError::NestedPush);
    for streamed in ["$?\r\n", "*?\r\n", "%?\r\n", ";", "."] {
        assert_eq!(error(streamed), ProtocolError::Streamed);
    }
}

#[test]
fn limits_are_enforced_before_memory_is_used() {
    assert_eq!(
        error(&"*1\r\n".repeat(33)),
        ProtocolError::TooDeep { limit: 32 }
    );
    assert_eq!(
        error("*9000000000\r\n"),
        ProtocolError::TooManyElements { limit: 1 << 20 }
    );
    assert_eq!(
        error("%9223372036854775807\r\n"),
        ProtocolError::TooManyElements { limit: 1 << 20 }
    );
    let size = 64 * 1024 * 1024 + 1;
    let limit = size - 1;
    assert_eq!(
        error(&format!("${size}\r\n")),
        ProtocolError::BulkTooLarge { size, limit }
    );
    assert_eq!(
        error(&format!("+{}", "x".repeat(70_000))),
        ProtocolError::LineTooLong { limit: 65_536 }
    );
    let small = Limits {
        total: 20,
        elements: 3,
        ..Limits::new()
    };
    assert_eq!(
        error_with("*2\r\n$9\r\n123456789\r\n$9\r\n", small),
        ProtocolError::TooLarge { limit: 20 }
    );
    assert_eq!(
        error_with("*2\r\n*2\r\n", small),
        ProtocolError::TooManyElements { limit: 3 }
    );
    // Each value has the full limits.
    assert_eq!(
        decode_in(&[b":1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n"], small)
            .0
            .len(),
        6
    );
}

#[test]
fn an_error_is_permanent() {
    let mut decoder = Decoder::new();
    decoder.push(BytesMut::from("?"));
    assert_eq!(decoder.decode(), Err(ProtocolError::UnknownType(b'?')));
    decoder.push(BytesMut::from("+OK\r\n"));
    assert_eq!(decoder.decode(), Err(ProtocolError::UnknownType(b'?')));
}

#[test]
fn a_long_string_in_small_pieces_is_assembled() {
    let text = "0123456789".repeat(10_000);
    let input = format!("*2\r\n${}\r\n{text}\r\n:1\r\n", text.len());
    let pieces: Vec<&[u8]> = input.as_bytes().chunks(7).collect();
    let (values, error) = decode_in(&pieces, Limits::new());
    assert_eq!(
        (values, error),
        (
            vec![Value::Array(vec![
                Value::Bulk(text.into()),
                Value::Integer(1)
            ])],
            None
        )
    );
}

/// Converts a frame of the reference decoder.
fn converted(frame: BytesFrame) -> Value {
    let all = |frames: Vec<BytesFrame>| frames.into_iter().map(converted).collect();
    match frame {
        BytesFrame::BlobString { data, .. } => Value::Bulk(data),
        BytesFrame::SimpleString { data, .. } => Value::Simple(data),
        BytesFrame::BlobError { data, .. } => Value::Error(ServerError::new(data)),
        BytesFrame::SimpleError { data, .. } => Value::Error(ServerError::new(data.into_inner())),
        BytesFrame::Boolean { data, .. } => Value::Boolean(data),
        BytesFrame::Null => Value::Null,
        BytesFrame::Number { data, .. } => Value::Integer(data),
        BytesFrame::Double { data, .. } => Value::Double(data),
        BytesFrame::BigNumber { data, .. } => Value::BigNumber(data),
        BytesFrame::VerbatimString { data, .. } => Value::Verbatim {
            format: *b"txt",
            text: data,
        },
        BytesFrame::Array { data, .. } => Value::Array(all(data)),
        BytesFrame::Push { data, .. } => Value::Push(all(data)),
        other => panic!("{other:?}"),
    }
}

/// Encodes a value in RESP3.
fn encode(value: &Value, out: &mut Vec<u8>) {
    let mut bulk = |kind: char, bytes: &[u8]| {
        out.extend(format!("{kind}{}\r\n", bytes.len()).bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"\r\n");
    };
    match value {
        Value::Bulk(bytes) => bulk('$', bytes),
        Value::Verbatim { text, .. } => bulk('=', &[b"txt:", &text[..]].concat()),
        Value::Error(error) => bulk('!', error.as_bytes()),
        Value::Null => out.extend_from_slice(b"_\r\n"),
        Value::Simple(text) => out.extend_from_slice(&[b"+", &text[..], b"\r\n"].concat()),
        Value::BigNumber(text) => out.extend_from_slice(&[b"(", &text[..], b"\r\n"].concat()),
        Value::Integer(number) => out.extend(format!(":{number}\r\n").bytes()),
        Value::Double(number) => out.extend(format!(",{number}\r\n").bytes()),
        Value::Boolean(flag) => out.extend_from_slice(if *flag { b"#t\r\n" } else { b"#f\r\n" }),
        Value::Array(all) | Value::Set(all) | Value::Push(all) => {
            let kind = match value {
                Value::Array(_) => '*',
                Value::Set(_) => '~',
                _ => '>',
            };
            out.extend(format!("{kind}{}\r\n", all.len()).bytes());
            all.iter().for_each(|value| encode(value, out));
        }
        Value::Map(pairs) => {
            out.extend(format!("%{}\r\n", pairs.len()).bytes());
            for (key, value) in pairs {
                encode(key, out);
                encode(value, out);
            }
        }
    }
}

/// Values that the reference decoder supports as well: without sets and maps, which it stores in hash tables.
fn comparable() -> impl Strategy<Value = Value> {
    let text = "[a-zA-Z0-9 ]{0,20}";
    let leaf = prop_oneof![
        any::<i64>().prop_map(Value::Integer),
        any::<bool>().prop_map(Value::Boolean),
        Just(Value::Null),
        (-1e9..1e9_f64).prop_map(Value::Double),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bulk(bytes.into())),
        text.prop_map(|text| Value::Simple(text.into())),
        "[A-Z]{1,9} [a-z ]{0,20}".prop_map(|text| Value::Error(ServerError::new(text))),
        "-?[1-9][0-9]{0,40}".prop_map(|text| Value::BigNumber(text.into())),
        text.prop_map(|text| Value::Verbatim {
            format: *b"txt",
            text: text.into()
        }),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop::collection::vec(inner, 0..6).prop_map(Value::Array)
    })
}

fn any_value() -> impl Strategy<Value = Value> {
    comparable().prop_recursive(4, 40, 6, |inner| {
        let pairs = prop::collection::vec((inner.clone(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::Set),
            pairs.prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn encoded_values_are_decoded_whatever_the_split(
        values in prop::collection::vec(any_value(), 1..5), size in 1_usize..50,
    ) {
        let mut input = Vec::new();
        values.iter().for_each(|value| encode(value, &mut input));
        let pieces: Vec<&[u8]> = input.chunks(size).collect();
        prop_assert_eq!(decode_in(&pieces, Limits::new()), (values, None));
    }

    #[test]
    fn the_reference_decoder_returns_the_same(value in comparable()) {
        let mut input = Vec::new();
        encode(&value, &mut input);
        let bytes = Bytes::from(input);
        let (frame, length) = resp3::decode::complete::decode_bytes(&bytes).unwrap().unwrap();
        prop_assert_eq!(length, bytes.len());
        prop_assert_eq!(converted(frame), value.clone());
        prop_assert_eq!(decode_in(&[&bytes], Limits::new()), (vec![value], None));
    }

    #[test]
    fn arbitrary_bytes_give_the_same_whatever_the_split(
        input in prop::collection::vec(prop_oneof![
            prop::sample::select(b"+-:$*_,#(!=%~>|;.\r\n0123456789?tfinx".to_vec()), any::<u8>(),
            Just(b'\r'), Just(b'\n'), Just(b'1'),
        ], 0..200),
        size in 1_usize..20,
    ) {
        let pieces: Vec<&[u8]> = input.chunks(size).collect();
        prop_assert_eq!(
            format!("{:?}", decode_in(&pieces, Limits::new())),
            format!("{:?}", decode_in(&[&input], Limits::new()))
        );
    }
}
