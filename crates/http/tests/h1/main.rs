//! The behaviour of the codec of HTTP/1.1.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

mod bodies;
mod client;
mod encoder;
mod heads;
mod limits;
mod places;
mod reference;
mod smuggling;
mod splits;

use uptick_http::h1::{Decoder, Event, Invalid, Limits, RequestHead};

/// What a decoder makes of some bytes, with the pieces of a body put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) requests: Vec<Decoded>,
    /// Status and reason of the error at the end.
    pub(crate) refused: Option<(u16, &'static str)>,
    pub(crate) left: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// All that its head says.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Vec<(String, Vec<u8>)>>,
    pub(crate) complete: bool,
}

/// Decodes bytes that come in pieces which end at some places.
pub(crate) fn decode_split(input: &[u8], ends: &[usize], limits: &Limits) -> Outcome {
    let mut decoder = Decoder::new();
    let mut outcome = Outcome::default();
    let mut start = 0;
    for &end in ends.iter().chain([&input.len()]) {
        decoder.push(input[start..end].to_vec().into());
        start = end;
        while let Some(event) = decoder.next(limits) {
            take(&mut outcome, event);
        }
    }
    outcome.left = decoder.buffered();
    outcome
}

fn take(outcome: &mut Outcome, event: Event) {
    assert_eq!(outcome.refused, None, "after an error, {event:?}");
    if let Event::Head(head) = &event {
        assert!(
            outcome
                .requests
                .last()
                .is_none_or(|request| request.complete),
            "{event:?} in a request"
        );
        let host = head.host().map(str::to_owned);
        let query = head.query().map(str::to_owned);
        let head = format!(
            "{head:?} {} {} {query:?} {host:?}",
            head.target(),
            head.raw_path()
        );
        outcome.requests.push(Decoded {
            head,
            ..Decoded::default()
        });
        return;
    }
    if let Event::Error(invalid) = event {
        outcome.refused = Some((invalid.status().as_u16(), invalid.reason()));
        return;
    }
    let request = outcome.requests.last_mut().expect("a head comes first");
    assert!(!request.complete, "{event:?} after the end");
    match event {
        Event::Body(piece) => {
            assert!(!piece.is_empty() && request.trailers.is_none());
            request.body.extend_from_slice(&piece);
        }
        Event::Trailers(trailers) => {
            assert_eq!(request.trailers, None);
            let fields = trailers
                .fields()
                .map(|(name, value)| (name.to_owned(), value.to_vec()));
            request.trailers = Some(fields.collect());
        }
        _ => request.complete = true,
    }
}

/// Decodes bytes that come whole.
pub(crate) fn decode(input: impl AsRef<[u8]>) -> Outcome {
    decode_split(input.as_ref(), &[], &Limits::default())
}

/// The head of the only request in some bytes.
#[track_caller]
pub(crate) fn head_of(input: &str) -> RequestHead {
    let mut decoder = Decoder::new();
    decoder.push(input.to_owned().into());
    match decoder.next(&Limits::default()) {
        Some(Event::Head(head)) => head,
        other => panic!("{input:?} gave {other:?}"),
    }
}

/// Why the first request in some bytes is refused: before anything of it was handed on, whole or in bytes.
#[track_caller]
pub(crate) fn refusal_of(input: impl AsRef<[u8]>) -> Invalid {
    let input = input.as_ref();
    let limits = Limits::default();
    let mut decoder = Decoder::new();
    decoder.push(input.to_vec().into());
    let Some(Event::Error(whole)) = decoder.next(&limits) else {
        panic!("{} is not refused", input.escape_ascii());
    };
    decoder.push("GET /canary HTTP/1.1\r\nHost: a\r\n\r\n".into());
    assert!(
        decoder.next(&limits).is_none() && !decoder.is_idle(),
        "{}",
        input.escape_ascii()
    );
    let bytewise = decode_split(input, &(1..input.len()).collect::<Vec<_>>(), &limits);
    assert_eq!(
        bytewise.refused,
        Some((whole.status().as_u16(), whole.reason())),
        "{}",
        input.escape_ascii()
    );
    assert!(bytewise.requests.is_empty());
    whole
}

#[track_caller]
pub(crate) fn assert_refused(status: u16, input: impl AsRef<[u8]>) {
    let refusal = refusal_of(&input);
    assert_eq!(
        refusal.status(),
        status,
        "{}: {refusal}",
        input.as_ref().escape_ascii()
    );
}

/// The number of whole requests and the body of the first.
#[track_caller]
pub(crate) fn accepted(input: impl AsRef<[u8]>) -> (usize, Vec<u8>) {
    let outcome = decode(&input);
    assert_eq!(outcome.refused, None, "{}", input.as_ref().escape_ascii());
    assert!(
        outcome.requests.iter().all(|request| request.complete),
        "{}",
        input.as_ref().escape_ascii()
    );
    (outcome.requests.len(), outcome.requests[0].body.clone())
}
