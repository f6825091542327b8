//! The encoding of frames between workers.

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use uptick_workers::bus::frame::{Frame, FrameDecoder, FrameError, append};
use uptick_workers::bus::{MESSAGE_LIMIT, TOPIC_LIMIT};

fn encode<'a>(frames: impl IntoIterator<Item = Frame<'a>>) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in frames {
        append(&mut out, &frame);
    }
    out
}

/// Decodes pieces of bytes; returns the frames as text, and the error that ended decoding.
fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<String>, Option<FrameError>) {
    let mut decoder = FrameDecoder::new();
    let mut frames = Vec::new();
    for piece in pieces {
        let mut piece = BytesMut::from(piece);
        decoder.push(&mut piece);
        assert!(piece.is_empty());
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(decoder.next(), Err(error.clone()));
                    return (frames, Some(error));
                }
            }
        }
    }
    (frames, None)
}

fn error(bytes: &[u8]) -> FrameError {
    decode([bytes]).1.unwrap()
}

#[test]
fn frames_survive_a_round_trip() {
    let topic = "t".repeat(TOPIC_LIMIT);
    let frames = [
        Frame::Hello(1),
        Frame::Subscribe(""),
        Frame::Subscribe("grüezi"),
        Frame::Unsubscribe(&topic),
        Frame::Reset,
        Frame::Ready,
        Frame::Message {
            topic: &topic,
            payload: Bytes::from(vec![7; MESSAGE_LIMIT]),
        },
        Frame::Message {
            topic: "",
            payload: Bytes::new(),
        },
    ];
    let texts: Vec<String> = frames.iter().map(|frame| format!("{frame:?}")).collect();
    let bytes = encode(frames);
    assert_eq!(decode([&bytes[..]]), (texts.clone(), None));
    assert_eq!(decode(bytes.chunks(65_536)), (texts, None));
}

#[test]
fn a_payload_that_arrives_in_one_piece_is_not_copied() {
    let bytes = encode([Frame::Message {
        topic: "t",
        payload: Bytes::from(vec![7; 1000]),
    }]);
    let mut pushed = BytesMut::from(&bytes[..]);
    let place = pushed.as_ptr_range();
    let mut decoder = FrameDecoder::new();
    decoder.push(&mut pushed);
    let Ok(Some(Frame::Message { payload, .. })) = decoder.next() else {
        panic!("not a message");
    };
    assert!(place.contains(&payload.as_ptr()));
}

#[test]
fn malformed_frames_are_refused() {
    for (bytes, expected) in [
        (&b"\0\0\0\0"[..], FrameError::Kind(0)),
        (b"\x01\0\0\0\0", FrameError::Kind(0)),
        (b"\x01\0\0\0\x07", FrameError::Kind(7)),
        (b"\x05\0\0\0\x01UPTB", FrameError::Body(1)),
        (b"\x06\0\0\0\x01UPTA\x01", FrameError::Body(1)),
        (b"\x07\0\0\0\x01UPTB\x01\0", FrameError::Body(1)),
        (b"\x02\0\0\0\x02\0", FrameError::Body(2)),
        (b"\x02\0\0\0\x05\0", FrameError::Body(5)),
        (b"\x02\0\0\0\x03\xff", FrameError::Body(3)),
        (b"\x02\0\0\0\x04\xff", FrameError::Body(4)),
        (b"\x02\0\0\0\x06\0", FrameError::Body(6)),
        (b"\x03\0\0\0\x06\x01\0", FrameError::Body(6)),
        (b"\x04\0\0\0\x06\x01\0\xff", FrameError::Body(6)),
    ] {
        assert_eq!(error(bytes), expected, "{bytes:?}");
    }
    let limit = 1 + 2 + TOPIC_LIMIT + MESSAGE_LIMIT;
    let length = u32::try_from(limit + 1).unwrap().to_le_bytes();
    let too_long = FrameError::TooLong {
        length: limit + 1,
        limit,
    };
    assert_eq!(error(&length), too_long);

    let mut long_topic = u32::try_from(TOPIC_LIMIT + 2)
        .unwrap()
        .to_le_bytes()
        .to_vec();
    long_topic.push(3);
    long_topic.resize(4 + TOPIC_LIMIT + 2, b't');
    assert_eq!(error(&long_topic), FrameError::Body(3));
    let mut long_payload = u32::try_from(3 + MESSAGE_LIMIT + 1)
        .unwrap()
        .to_le_bytes()
        .to_vec();
    long_payload.extend_from_slice(&[6, 0, 0]);
    long_payload.resize(4 + 3 + MESSAGE_LIMIT + 1, 0);
    assert_eq!(error(&long_payload), FrameError::Body(6));
}

/// Generates encoded frames.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let payload = prop::collection::vec(any::<u8>(), 0..300);
    (0..6_u8, ".{0,20}", payload).prop_map(|(kind, topic, payload)| {
        encode([match kind {
            0 => Frame::Hello(payload.first().copied().unwrap_or_default()),
            1 => Frame::Ready,
            2 => Frame::Subscribe(&topic),
            3 => Frame::Unsubscribe(&topic),
            4 => Frame::Reset,
            _ => Frame::Message {
                topic: &topic,
                payload: payload.into(),
            },
        }])
    })
}

/// Splits bytes at positions.
fn split<'a>(bytes: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = at.iter().map(|at| at.index(bytes.len() + 1)).collect();
    at.sort_unstable();
    let mut pieces = Vec::new();
    let mut begin = 0;
    for end in at.into_iter().chain([bytes.len()]) {
        pieces.push(&bytes[begin..end]);
        begin = end;
    }
    pieces
}

proptest! {
    #[test]
    fn any_split_decodes_to_the_same_frames(
        frames in prop::collection::vec(any_frame(), 0..10),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes = frames.concat();
        let whole = decode([&bytes[..]]);
        prop_assert_eq!(whole.0.len(), frames.len());
        prop_assert_eq!(&decode(split(&bytes, &at)), &whole);
        prop_assert_eq!(decode(bytes.chunks(1)), whole);
    }

    #[test]
    fn any_split_of_arbitrary_bytes_has_the_same_result(
        frame in any_frame(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        tail in prop::collection::vec(any::<u8>(), 0..40),
        at in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let mut bytes = frame;
        let place = place.index(bytes.len());
        bytes[place] = byte;
        bytes.extend(tail);
        prop_assert_eq!(decode(split(&bytes, &at)), decode([&bytes[..]]));
    }
}
