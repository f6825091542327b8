use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const BOUNDARY: &str = "----x";

/// The names of the parts with their bytes, if they are complete, and `true` if the body has ended.
type Parts = (Vec<(String, Option<Vec<u8>>)>, bool);

fn decode<'a>(
    limits: MultipartLimits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Parts, MultipartError> {
    let mut decoder = MultipartDecoder::new(BOUNDARY, limits);
    let (mut parts, mut data) = (Vec::new(), Vec::new());
    for piece in pieces {
        decoder.push(piece)?;
        while let Some(event) = decoder.next()? {
            match event {
                MultipartEvent::Head(head) => parts.push((head.name().to_owned(), None)),
                MultipartEvent::Data(bytes) => {
                    assert!(!bytes.is_empty());
                    data.extend_from_slice(&bytes);
                }
                MultipartEvent::PartEnd => {
                    parts.last_mut().unwrap().1 = Some(std::mem::take(&mut data))
                }
            }
        }
    }
    Ok((parts, decoder.is_over()))
}

fn whole(body: &str) -> Result<Parts, MultipartError> {
    decode(MultipartLimits::default(), [body.as_bytes()])
}

fn part(name: &str, data: &str) -> String {
    format!("------x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{data}\r\n")
}

fn expected(parts: &[(&str, &str)]) -> Parts {
    let parts = parts.iter().map(|(name, data)| {
        let data = Some(data.as_bytes().to_vec());
        ((*name).to_owned(), data)
    });
    (parts.collect(), true)
}

#[test]
fn parts_with_any_content_are_decoded() {
    let data = "\r\n--\r\n----x\r\r\n------\r\n\r\n-";
    let body = part("a", "1") + &part("b", data) + &part("", "") + "------x--\r\n";
    let parts = expected(&[("a", "1"), ("b", data), ("", "")]);
    assert_eq!(whole(&body), Ok(parts));
}

#[test]
fn the_preamble_and_the_epilogue_are_ignored() {
    let body = format!(
        "This is\r\na preamble.\r\n{}------x--epilogue\r\n------x",
        part("a", "1")
    );
    assert_eq!(whole(&body), Ok(expected(&[("a", "1")])));
    let padded = part("a", "1").replace("x\r\n", "x \t\r\n");
    assert_eq!(
        whole(&format!("{padded}------x--")),
        Ok(expected(&[("a", "1")]))
    );
    assert_eq!(whole("------x--"), Ok(expected(&[])));
}

#[test]
fn a_truncated_body_has_not_ended() {
    let body = part("a", "1") + "------x--";
    for end in 0..body.len() {
        let (_, over) = whole(&body[..end]).unwrap();
        assert!(!over, "{end}");
    }
}

#[test]
fn malformed_bodies_are_refused() {
    for body in [
        part("a", "1") + "------xy\r\n",
        part("a", "1") + "------x-\r\n",
        "------x\r\n\r\n".to_owned(),
        "------x\r\nContent-Type: text/plain\r\n\r\n".to_owned(),
        "------x\r\nContent-Disposition: form-data\r\n\r\n".to_owned(),
        "------x\r\nContent-Disposition: attachment; name=a\r\n\r\n".to_owned(),
        "------x\r\nno colon\r\n\r\n".to_owned(),
        format!("------x{}\r\n", " ".repeat(200)),
    ] {
        let error = whole(&body);
        assert!(
            matches!(error, Err(MultipartError::Malformed { .. })),
            "{body}: {error:?}"
        );
    }
}

#[test]
fn every_limit_is_enforced() {
    let body = part("a", "12345") + &part("b", "1") + "------x--";
    let body = body.as_bytes();
    let exact = MultipartLimits {
        parts: 2,
        head: 40,
        field: 5,
        file: 0,
        total: body.len() as u64,
    };
    assert!(decode(exact, [body]).is_ok());
    let cases = [
        (
            MultipartLimits { parts: 1, ..exact },
            MultipartError::TooManyParts { limit: 1 },
        ),
        (
            MultipartLimits { field: 4, ..exact },
            MultipartError::PartTooLong { limit: 4 },
        ),
        (
            MultipartLimits { head: 20, ..exact },
            MultipartError::HeadTooLong { limit: 20 },
        ),
        (
            MultipartLimits { total: 99, ..exact },
            MultipartError::TooLong { limit: 99 },
        ),
    ];
    for (limits, error) in cases {
        assert_eq!(decode(limits, [body]), Err(error.clone()));
        assert_eq!(decode(limits, body.chunks(1)), Err(error));
    }
    let file =
        "------x\r\nContent-Disposition: form-data; name=a; filename=b\r\n\r\n1\r\n------x--";
    let limits = MultipartLimits { head: 100, ..exact };
    let error = MultipartError::PartTooLong { limit: 0 };
    assert_eq!(decode(limits, [file.as_bytes()]), Err(error));
}

#[test]
fn the_preamble_and_the_epilogue_are_not_buffered() {
    let mut decoder = MultipartDecoder::new(BOUNDARY, MultipartLimits::default());
    for _ in 0..100 {
        decoder.push(&[b'-'; 1000]).unwrap();
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.buffer.len() <= decoder.delimiter.len());
    }
    decoder.push(b"\r\n------x--").unwrap();
    for _ in 0..100 {
        assert_eq!(decoder.next(), Ok(None));
        decoder.push(&[b'-'; 1000]).unwrap();
        assert!(decoder.buffer.is_empty());
    }
}

proptest! {
    #[test]
    fn the_division_of_the_body_does_not_change_the_parts(
        data in vec("[\r\n\\-x]{0,30}", 0..5),
        cuts in vec(1..20_usize, 1..20),
    ) {
        // The data must not contain the boundary.
        let data: Vec<String> = data.iter().map(|data| data.replace("----x", "")).collect();
        prop_assume!(data.iter().all(|data| !format!("\r\n{data}\r\n").contains("\r\n------x")));
        let mut body: String = data.iter().map(|data| part("n", data)).collect();
        body += "------x--\r\n";
        let parts: Vec<_> = data.iter().map(|data| ("n", data.as_str())).collect();
        prop_assert_eq!(whole(&body), Ok(expected(&parts)));

        let (mut rest, mut pieces) = (body.as_bytes(), Vec::new());
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(decode(MultipartLimits::default(), pieces), Ok(expected(&parts)));
    }

    #[test]
    fn any_bytes_are_parts_or_an_error(body in vec(any::<u8>(), 0..200), lines in "(------x|\r\n|:|form-data|--| |\"|;|a=|name=|Content-Disposition){0,20}") {
        let _ = decode(MultipartLimits::default(), [body.as_slice(), lines.as_bytes()]);
    }
}
