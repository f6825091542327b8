//! The allowed characters of a part of a head do not depend on their position: near the start, next to the boundary of a block that is
//! scanned as a whole, or near the end.

use uptick_http::h1::{Decoder, Event, Limits, RequestHead};

/// Lengths around the length of one block and of two blocks.
const LENGTHS: [usize; 7] = [1, 14, 15, 16, 17, 32, 33];

fn head_in(input: &[u8]) -> Option<RequestHead> {
    let mut decoder = Decoder::new();
    decoder.push(input.to_vec().into());
    match decoder.next(&Limits::default()) {
        Some(Event::Head(head)) => Some(head),
        _ => None,
    }
}

/// Tests each character, except those in `ends`, at each position of a part between `start` and `end` of a head.
#[track_caller]
fn assert_positions(
    start: &str,
    end: &str,
    ends: &[u8],
    is_allowed: impl Fn(u8) -> bool,
    part_of: impl Fn(&RequestHead) -> Option<&[u8]>,
) {
    for length in LENGTHS {
        for position in 0..length {
            for byte in (0..=u8::MAX).filter(|byte| !ends.contains(byte)) {
                let mut part = vec![b'a'; length];
                part[position] = byte;
                for more in ["\r\n", "X-More: and more of it\r\n\r\n"] {
                    let parts = [start.as_bytes(), &part, end.as_bytes(), more.as_bytes()];
                    let input = parts.concat();
                    let head = head_in(&input);
                    let decoded = head.as_ref().and_then(&part_of);
                    let expected = is_allowed(byte).then(|| part.trim_ascii());
                    assert_eq!(decoded, expected, "{}", input.escape_ascii());
                }
            }
        }
    }
}

#[test]
fn a_name_is_a_token() {
    assert_positions(
        "GET / HTTP/1.1\r\nHost: h\r\n",
        ":y\r\n",
        b":",
        |byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte),
        |head| {
            let (name, value) = head.fields().nth(1)?;
            assert_eq!((head.field(name), value), (Some(value), &b"y"[..]));
            Some(name.as_bytes())
        },
    );
}

#[test]
fn a_value_has_no_control_characters_but_tabs() {
    assert_positions(
        "GET / HTTP/1.1\r\nHost: h\r\nX: ",
        "\r\n",
        b"",
        |byte| byte == b'\t' || !byte.is_ascii_control(),
        |head| head.field("x"),
    );
}

#[test]
fn a_target_has_only_visible_characters() {
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
    let end = " HTTP/1.1\r\nHost: h\r\n";
    assert_positions("GET /", end, b" ?", is_allowed, |head| {
        head.raw_path().as_bytes().strip_prefix(b"/")
    });
    assert_positions("PUT /?", end, b" ", is_allowed, |head| {
        head.query().map(str::as_bytes)
    });
}

#[test]
fn a_host_is_a_name_or_an_address() {
    assert_positions(
        "GET / HTTP/1.1\r\nHost: ",
        "a:80\r\n",
        b":\t %",
        |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte),
        |head| head.host()?.as_bytes().strip_suffix(b"a:80"),
    );
}

#[test]
fn a_port_is_a_number() {
    for host in [
        "h",
        "localhost",
        "a-host-of-14-b",
        "a-host-of-15-by",
        "a.host.of.more.than.one.block",
    ] {
        for (port, is_valid) in [
            ("", true),
            (":", true),
            (":8", true),
            (":8080", true),
            (":65535", true),
            (":65536", false),
            (":080808", false),
            (":80a", false),
            (":a", false),
            (":80:", false),
            (":80 ", true),
            (":8 0", false),
            (":-1", false),
        ] {
            for more in ["", "X-More: and more of it\r\n"] {
                let input = format!("GET / HTTP/1.1\r\nHost: {host}{port}\r\n{more}\r\n");
                let head = head_in(input.as_bytes());
                assert_eq!(head.is_some(), is_valid, "{input}");
                if let Some(head) = head {
                    assert_eq!(head.host(), Some(format!("{host}{port}").trim()));
                }
            }
        }
    }
}
