//! Invariants of multipart forms for any input: no panic, the same parts for any division of the input, and no exceeded limit.

use bytes::Bytes;
use futures::{FutureExt as _, stream};
use uptick_http::{Multipart, MultipartError, MultipartLimits};

const HEAD: usize = 200;
const FIELD: usize = 50;
const FILE: usize = 100;
const PARTS: usize = 5;

/// The readable parts of a form: their headers and bytes, and the error, if there is one.
#[derive(Debug, Default, PartialEq, Eq)]
struct Read {
    parts: Vec<(String, Vec<u8>)>,
    error: Option<String>,
}

/// Checks the invariants for a form, whole, in pieces of `size` bytes and in single bytes.
pub(crate) fn check(content_type: &str, body: &[u8], size: usize) {
    let Some(whole) = read(content_type, body, body.len().max(1)) else {
        return;
    };
    assert!(whole.parts.len() <= PARTS);
    for (head, bytes) in &whole.parts {
        let limit = if head.contains("file: Some") {
            FILE
        } else {
            FIELD
        };
        assert!(bytes.len() <= limit, "{head}: {} bytes", bytes.len());
    }
    for size in [size.max(1), 1] {
        let pieces = read(content_type, body, size).unwrap_or_default();
        assert_eq!(pieces.error, whole.error, "in pieces of {size}");
        if whole.error.is_none() {
            assert_eq!(pieces, whole, "in pieces of {size}");
        }
        // The number of returned bytes of a refused part depends on the division.
        let complete = |read: &Read| {
            read.parts.len() - usize::from(read.error.is_some() && !read.parts.is_empty())
        };
        let count = complete(&whole).min(complete(&pieces));
        assert_eq!(pieces.parts[..count], whole.parts[..count]);
    }
}

/// Reads a form whose body is received in pieces; `None` if the `Content-Type` is not multipart/form-data.
fn read(content_type: &str, body: &[u8], size: usize) -> Option<Read> {
    let limits = MultipartLimits::new()
        .head(HEAD)
        .field(FIELD as u64)
        .file(FILE as u64)
        .parts(PARTS);
    let pieces: Vec<_> = body.chunks(size).map(Bytes::copy_from_slice).collect();
    let pieces = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let mut form = Multipart::new(content_type, pieces, limits).ok()?;
    let mut read = Read::default();
    let parts = &mut read.parts;
    let reading = async {
        while let Some(mut part) = form.next_part().await? {
            let (name, file) = (part.name().to_owned(), part.file_name().map(str::to_owned));
            parts.push((
                format!("{name:?} file: {file:?} {:?}", part.content_type()),
                Vec::new(),
            ));
            let bytes = &mut parts.last_mut().expect("a part was added").1;
            while let Some(chunk) = part.chunk().await? {
                assert!(!chunk.is_empty());
                bytes.extend_from_slice(&chunk);
            }
        }
        Ok::<_, MultipartError>(())
    };
    let ended = reading.now_or_never().expect("all pieces are ready");
    read.error = ended.err().map(|error| error.to_string());
    Some(read)
}
