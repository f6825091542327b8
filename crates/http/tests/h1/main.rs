//! Tests of the HTTP/1.1 codec.
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
mod positions;
mod reference;
mod smuggling;
mod splits;

use uptick_http::h1::{Decoder, Event, InvalidMessage, Limits, RequestHead};

/// The result of decoding bytes, with concatenated bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) requests: Vec<Decoded>,
    /// Status and reason of the error at the end.
    pub(crate) refused: Option<(u16, &'static str)>,
    pub(crate) left: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Decoded {
    /// The debug representation of the head.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<Vec<(String, Vec<u8>)>>,
    pub(crate) complete: bool,
}

/// Decodes bytes that are received in pieces ending at these offsets.
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
    assert_eq!(outcome.refused, None, "{event:?} after an error");
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
    let request = outcome
        .requests
        .last_mut()
        .expect("the first event is a head");
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

/// Decodes bytes that are received in one piece.
pub(crate) fn decode(input: impl AsRef<[u8]>) -> Outcome {
    decode_split(input.as_ref(), &[], &Limits::default())
}

/// Returns the head of the only request.
#[track_caller]
pub(crate) fn head_of(input: &str) -> RequestHead {
    let mut decoder = Decoder::new();
    decoder.push(input.to_owned().into());
    match decoder.next(&Limits::default()) {
        Some(Event::Head(head)) => head,
        other => panic!("{input:?} is decoded as {other:?}"),
    }
}

/// Returns the error for the first request, which is refused before any event, both in one piece and byte by byte.
#[track_caller]
pub(crate) fn refusal_of(input: impl AsRef<[u8]>) -> InvalidMessage {
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

/// Returns the number of requests, which are all complete, and the body of the first.
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
