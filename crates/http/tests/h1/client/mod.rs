//! The client side of the codec: decoding of responses and encoding of requests.

mod requests;
mod responses;
mod splits;

use http::Method;
use uptick_http::h1::Limits;
use uptick_http::h1::client::{Decoder, Event};

/// The result of decoding the bytes of a connection, with concatenated bodies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Outcome {
    interim: Vec<u16>,
    responses: Vec<Decoded>,
    error: Option<&'static str>,
    left: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Decoded {
    status: u16,
    head: String,
    body: Vec<u8>,
    trailers: usize,
    complete: bool,
}

/// Decodes the responses to requests with these methods, from bytes that are received in pieces ending at these offsets, followed by the end of
/// the connection.
fn decode_split(methods: &[Method], input: &[u8], ends: &[usize], limits: &Limits) -> Outcome {
    let (mut decoder, mut outcome) = (Decoder::new(), Outcome::default());
    let mut methods = methods.iter();
    let mut start = 0;
    for &end in ends.iter().chain([&input.len()]) {
        decoder.push(input[start..end].to_vec().into());
        start = end;
        loop {
            if decoder.is_idle()
                && let Some(method) = methods.next()
            {
                assert!(decoder.expect(method));
            }
            let Some(event) = decoder.next(limits) else {
                break;
            };
            take(&mut outcome, event);
        }
    }
    outcome.left = decoder.buffered();
    if let Some(event) = decoder.end() {
        take(&mut outcome, event);
    }
    assert!(decoder.end().is_none() && decoder.next(limits).is_none());
    outcome
}

fn take(outcome: &mut Outcome, event: Event) {
    assert_eq!(outcome.error, None, "{event:?} after an error");
    let last = outcome.responses.last_mut();
    match event {
        Event::Interim(head) => {
            assert!(last.is_none_or(|response| response.complete));
            outcome.interim.push(head.status().as_u16());
        }
        Event::Head(head) => {
            assert!(last.is_none_or(|response| response.complete));
            outcome.responses.push(Decoded {
                status: head.status().as_u16(),
                head: format!("{head:?} {:?}", head.fields().collect::<Vec<_>>()),
                ..Decoded::default()
            });
        }
        Event::Body(piece) => {
            let response = last.unwrap();
            assert!(!piece.is_empty() && !response.complete && response.trailers == 0);
            response.body.extend_from_slice(&piece);
        }
        Event::Trailers(trailers) => last.unwrap().trailers = trailers.fields().count(),
        Event::Complete => last.unwrap().complete = true,
        Event::Error(invalid) => {
            assert_eq!(invalid.status(), 502);
            outcome.error = Some(invalid.reason());
        }
    }
}

fn decode(method: Method, input: &str) -> Outcome {
    let limits = Limits::default();
    let bytes = input.as_bytes();
    let whole = decode_split(std::slice::from_ref(&method), bytes, &[], &limits);
    let ends: Vec<_> = (1..input.len()).collect();
    let bytewise = decode_split(&[method], bytes, &ends, &limits);
    assert_eq!(bytewise, whole, "{input:?}");
    whole
}

/// Returns the body of the only response, which is complete.
#[track_caller]
fn body(method: Method, input: &str) -> String {
    let outcome = decode(method, input);
    assert_eq!((outcome.error, outcome.left), (None, 0), "{input:?}");
    let [response] = &outcome.responses[..] else {
        panic!("{outcome:?}")
    };
    assert!(response.complete);
    String::from_utf8(response.body.clone()).unwrap()
}

#[track_caller]
fn assert_refused(input: &str, reason: &str) {
    let error = decode(Method::GET, input).error.unwrap_or("no error");
    assert!(error.contains(reason), "{input:?}: {error}");
}

fn response(fields: &str, rest: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}\r\n{rest}")
}
