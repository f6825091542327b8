//! What a file has in it, in memory or piece by piece.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream;
use uptick_event_loop::spawn_blocking;

use crate::{Body, BodyStream};

/// What is read at once, and what a file may have to be sent from memory: reading it takes no job of its own then.
pub(super) const PIECE: u64 = 64 * 1024;

/// A part of a file, to be sent.
#[derive(Debug)]
pub(super) enum Content {
    Empty,
    Bytes(Bytes),
    File { file: File, first: u64, length: u64 },
}

impl Content {
    /// A part of a file; a small one is read at once, so this blocks.
    ///
    /// # Errors
    /// Those of reading; `UnexpectedEof` when the file has become shorter.
    pub(super) fn read(file: File, first: u64, length: u64) -> io::Result<Content> {
        if length > PIECE {
            return Ok(Content::File {
                file,
                first,
                length,
            });
        }
        piece(&file, first, length).map(Content::Bytes)
    }

    pub(super) fn into_body(self) -> Body {
        match self {
            Content::Empty => Body::Empty,
            Content::Bytes(bytes) => bytes.into(),
            Content::File {
                file,
                first,
                length,
            } => pieces(file, first, length).into(),
        }
    }
}

/// Reads a file as fast as the client takes it, each piece on the pool of blocking jobs.
///
/// Of a file that grows meanwhile, only the part that was announced is sent. One that becomes shorter is an error.
fn pieces(file: File, first: u64, length: u64) -> BodyStream {
    let start = (Arc::new(file), first, length);
    let pieces = stream::try_unfold(start, |(file, offset, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let length = left.min(PIECE);
        let reading = Arc::clone(&file);
        let job = spawn_blocking(move || piece(&reading, offset, length));
        let bytes = job.await.map_err(io::Error::other)??;
        Ok::<_, io::Error>(Some((bytes, (file, offset + length, left - length))))
    });
    BodyStream::new(pieces).with_length(length)
}

/// So many bytes of a file, of a piece at most.
fn piece(file: &File, offset: u64, length: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(length.min(PIECE)).unwrap_or_default()];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use uptick_event_loop::block_on;

    use super::*;

    /// A file without a name, of so many bytes.
    fn file(length: u64) -> File {
        let name = format!("uptick-http-content-{}-{length}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        std::fs::write(&path, bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    fn streamed(file: File, first: u64, length: u64) -> (Vec<u8>, Option<String>) {
        let body = Content::read(file, first, length).unwrap().into_body();
        let Body::Stream(mut stream) = body else {
            panic!("{body:?} is in memory");
        };
        assert_eq!(stream.length, Some(length));
        let pieces = async move {
            let mut bytes = Vec::new();
            while let Some(piece) = stream.pieces.next().await {
                match piece {
                    Ok(piece) => bytes.extend(piece),
                    Err(error) => return (bytes, Some(error.to_string())),
                }
            }
            (bytes, None)
        };
        block_on(pieces).unwrap()
    }

    #[test]
    fn a_small_part_is_read_at_once() {
        let content = Content::read(file(300_000), 10, 20).unwrap();
        let body = content.into_body();
        let expected: Vec<u8> = (10..30).collect();
        assert_eq!(body.as_bytes(), Some(expected.as_slice()));
    }

    #[test]
    fn a_large_part_comes_in_pieces_and_whole() {
        let (bytes, error) = streamed(file(200_000), 251, 150_000);
        assert_eq!(error, None);
        assert_eq!(bytes.len(), 150_000);
        let expected = (0..150_000_u32).map(|index| (index % 251) as u8);
        assert!(bytes.into_iter().eq(expected));
    }

    #[test]
    fn a_file_that_has_become_shorter_is_an_error_after_what_is_left() {
        let file = file(200_001);
        file.set_len(100_000).unwrap();
        let (bytes, error) = streamed(file, 0, 200_001);
        assert_eq!(bytes.len() as u64, PIECE);
        assert!(error.is_some());
    }

    #[test]
    fn a_file_is_read_only_as_far_as_it_is_asked_for() {
        let file = file(200_002);
        let writer = file.try_clone().unwrap();
        let mut pieces = pieces(file, 0, 200_002).pieces;
        let read = async move {
            let first = pieces.next().await.unwrap().map(|piece| piece.len());
            writer.set_len(0).unwrap();
            (first.unwrap() as u64, pieces.next().await.unwrap().is_err())
        };
        assert_eq!(block_on(read).unwrap(), (PIECE, true));
    }
}
