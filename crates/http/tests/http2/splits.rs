//! The division of the input does not change the responses.

use proptest::prelude::*;
use proptest::sample::select;

use crate::invariants::{PATHS, check, check_valid, frame, frames_of, request};

/// Windows that have room for all responses.
fn start() -> Vec<u8> {
    let setting = [0, 4, 0, 0x10, 0, 0];
    let update = 0x0100_0000_u32.to_be_bytes();
    [frame(4, 0, 0, &setting), frame(8, 0, 0, &update)].concat()
}

/// A request: path, method, pieces of a body, and padding.
type Part = (&'static str, &'static str, Vec<Vec<u8>>, Option<u8>);

fn part() -> impl Strategy<Value = Part> {
    let piece = prop::collection::vec(any::<u8>(), 0..300);
    (
        select(PATHS),
        select(vec!["GET", "POST", "HEAD", "PUT"]),
        prop::collection::vec(piece, 0..4),
        prop::option::of(0..20_u8),
    )
}

/// Returns the frames of requests whose bodies alternate.
fn interleaved(parts: &[Part]) -> Vec<u8> {
    let mut input = start();
    for (n, (path, method, pieces, _)) in parts.iter().enumerate() {
        input.extend(request(2 * n as u32 + 1, method, path, pieces.is_empty()));
    }
    for round in 0..4 {
        for (n, (_, _, pieces, padding)) in parts.iter().enumerate() {
            let Some(piece) = pieces.get(round) else {
                continue;
            };
            let end = u8::from(round + 1 == pieces.len());
            let (flags, payload) = match padding {
                None => (end, piece.clone()),
                Some(length) => {
                    let padding = vec![0; usize::from(*length)];
                    (end | 8, [&[*length], &piece[..], &padding[..]].concat())
                }
            };
            input.extend(frame(0, flags, 2 * n as u32 + 1, &payload));
        }
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn requests_have_the_same_responses_for_any_division_of_the_input(
        parts in prop::collection::vec(part(), 1..6),
        size in 1..200_usize,
    ) {
        check_valid(&interleaved(&parts), size);
    }

    #[test]
    fn any_sequence_of_frames_is_handled(
        script in prop::collection::vec(any::<u8>(), 0..120),
        size in 1..200_usize,
    ) {
        check(&frames_of(&script), size);
    }

    #[test]
    fn any_bytes_are_handled(bytes in prop::collection::vec(any::<u8>(), 0..300), size in 1..50_usize) {
        check(&bytes, size);
        check(&[start(), bytes].concat(), size);
    }
}
