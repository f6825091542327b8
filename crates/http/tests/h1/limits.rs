//! Input below, at and above each limit.

use uptick_http::h1::Limits;

use crate::{Outcome, decode_split};

/// Decodes bytes in one piece and byte by byte, which must have the same result.
#[track_caller]
fn outcome_of(input: &str, limits: &Limits) -> Outcome {
    let whole = decode_split(input.as_bytes(), &[], limits);
    let bytewise = decode_split(
        input.as_bytes(),
        &(1..input.len()).collect::<Vec<_>>(),
        limits,
    );
    assert_eq!(whole, bytewise);
    whole
}

#[track_caller]
fn assert_limit(status: u16, limits: &Limits, below: &str, at: &str, above: &str) {
    for (input, refused) in [(below, None), (at, None), (above, Some(status))] {
        let outcome = outcome_of(input, limits);
        assert_eq!(
            outcome.refused.map(|(status, _)| status),
            refused,
            "{} bytes",
            input.len()
        );
        assert_eq!(
            outcome
                .requests
                .first()
                .is_some_and(|request| request.complete),
            refused.is_none()
        );
    }
}

#[test]
fn a_first_line_has_a_limit() {
    let request = |length: usize| {
        format!(
            "GET /{} HTTP/1.1\r\nHost: h\r\n\r\n",
            "a".repeat(length - 14)
        )
    };
    assert_limit(
        414,
        &Limits::default().request_line(50),
        &request(49),
        &request(50),
        &request(51),
    );
    let endless = "a".repeat(16 * 1024 + 2);
    assert_eq!(
        outcome_of(&endless, &Limits::default())
            .refused
            .map(|(status, _)| status),
        Some(414)
    );
    assert_eq!(outcome_of(&endless[1..], &Limits::default()).refused, None);
}

#[test]
fn a_header_section_has_a_limit() {
    let request = |length: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\nX: {}\r\n\r\n",
            "a".repeat(length - 16)
        )
    };
    assert_limit(
        431,
        &Limits::default().header_section(100),
        &request(99),
        &request(100),
        &request(101),
    );
    let endless = format!("GET / HTTP/1.1\r\nHost: {}", "h".repeat(100));
    let outcome = outcome_of(&endless, &Limits::default().header_section(100));
    assert_eq!(outcome.refused.map(|(status, _)| status), Some(431));
}

#[test]
fn the_number_of_fields_has_a_limit() {
    let request = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    assert_limit(
        431,
        &Limits::default().fields(5),
        &request(4),
        &request(5),
        &request(6),
    );
    assert_limit(
        431,
        &Limits::default(),
        &request(99),
        &request(100),
        &request(101),
    );
    assert_limit(
        431,
        &Limits::default().fields(101),
        &request(100),
        &request(101),
        &request(102),
    );
    assert_limit(
        431,
        &Limits::default().fields(usize::MAX),
        &request(999),
        &request(1000),
        &request(1001),
    );
    let unfinished = format!("GET / HTTP/1.1\r\nHost: h\r\n{}", "X:\r\n".repeat(100));
    assert_eq!(
        outcome_of(&unfinished, &Limits::default())
            .refused
            .map(|(status, _)| status),
        Some(431)
    );
}

fn chunked(body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
}

#[test]
fn the_chunk_extensions_of_a_body_have_a_common_limit() {
    let request = |length: usize| {
        chunked(&format!(
            "1;{}\r\na\r\n2;{}\r\nbc\r\n0;xx\r\n\r\n",
            "a".repeat(10),
            "b".repeat(length - 15)
        ))
    };
    assert_limit(
        413,
        &Limits::default().chunk_extensions(30),
        &request(29),
        &request(30),
        &request(31),
    );
}

#[test]
fn trailers_have_limits() {
    let request = |length: usize| chunked(&format!("0\r\nX: {}\r\n\r\n", "a".repeat(length - 7)));
    assert_limit(
        431,
        &Limits::default().trailer_section(30),
        &request(29),
        &request(30),
        &request(31),
    );
    let request = |count: usize| chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(count)));
    assert_limit(
        431,
        &Limits::default().fields(5),
        &request(4),
        &request(5),
        &request(6),
    );
    let endless = chunked(&format!("0\r\nX: {}", "a".repeat(27)));
    assert_eq!(
        outcome_of(&endless, &Limits::default().trailer_section(30))
            .refused
            .map(|(status, _)| status),
        Some(431)
    );
}

#[test]
fn a_limit_below_the_shortest_message_refuses_all_messages() {
    let limits = Limits::default()
        .request_line(0)
        .header_section(0)
        .fields(0)
        .trailer_section(0);
    assert_eq!(
        outcome_of("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &limits)
            .refused
            .map(|(status, _)| status),
        Some(414)
    );
}
