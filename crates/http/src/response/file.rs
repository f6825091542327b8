//! Files as streams.

use std::io;

use bytes::Bytes;
use futures::{Stream, stream};
use uptick_event_loop::spawn_blocking;
use uptick_stream::FileRange;

/// Number of bytes read at a time.
const PIECE: usize = 64 * 1024;

/// Returns the pieces of a file range.
pub(super) fn pieces(range: FileRange) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(range, |mut range| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let job = spawn_blocking(move || range.read(PIECE).map(|bytes| (bytes, range)));
        job.await.map_err(io::Error::other)?.map(Some)
    })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use futures::StreamExt as _;
    use uptick_event_loop::block_on;

    use super::*;
    use crate::{Body, BodyStream};

    /// Creates an unlinked file with this number of bytes.
    fn file(length: u64) -> File {
        let name = format!("uptick-http-file-{}-{length}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let bytes: Vec<u8> = (0..length).map(|index| (index % 251) as u8).collect();
        std::fs::write(&path, bytes).unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file
    }

    fn streamed(file: File, first: u64, length: u64) -> (Vec<u8>, Option<String>) {
        let stream = BodyStream::file(FileRange::new(file, first, length));
        assert_eq!(stream.length, Some(length));
        let mut pieces = stream.into_parts().0;
        let pieces = async move {
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.next().await {
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
    fn a_large_range_is_streamed_completely() {
        let (bytes, error) = streamed(file(200_000), 251, 150_000);
        assert_eq!(error, None);
        assert_eq!(bytes.len(), 150_000);
        let expected = (0..150_000_u32).map(|index| (index % 251) as u8);
        assert!(bytes.into_iter().eq(expected));
    }

    #[test]
    fn a_file_that_shrinks_is_an_error_after_the_remaining_bytes() {
        let file = file(200_001);
        file.set_len(100_000).unwrap();
        let (bytes, error) = streamed(file, 0, 200_001);
        assert_eq!(bytes.len(), PIECE);
        assert!(error.is_some());
    }

    #[test]
    fn a_file_is_read_on_demand() {
        let file = file(200_002);
        let writer = file.try_clone().unwrap();
        let mut pieces = BodyStream::file(FileRange::new(file, 0, 200_002))
            .into_parts()
            .0;
        let read = async move {
            let first = pieces.next().await.unwrap().map(|piece| piece.len());
            writer.set_len(0).unwrap();
            (first.unwrap(), pieces.next().await.unwrap().is_err())
        };
        assert_eq!(block_on(read).unwrap(), (PIECE, true));
    }

    #[test]
    fn a_file_body_has_the_length_of_its_range() {
        let body = Body::from(FileRange::new(file(1_000), 10, 20));
        assert_eq!((body.len(), body.as_bytes()), (Some(20), None));
        let none = Body::from(FileRange::new(file(1_001), 10, 0));
        assert!(matches!(none, Body::Empty));
    }
}
