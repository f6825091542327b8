use futures::stream;
use uptick_event_loop::block_on;

use super::*;

const TYPE: &str = "multipart/form-data; boundary=x";

const BODY: &str = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nfirst\r\n\
                    --x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"../f.txt\"\r\n\
                    Content-Type: text/plain\r\n\r\ncontent\r\n--x--\r\n";

/// Creates a reader of a body that arrives in chunks of `size` bytes.
fn form(body: &str, size: usize) -> Multipart {
    let pieces: Vec<_> = body
        .as_bytes()
        .chunks(size)
        .map(Bytes::copy_from_slice)
        .collect();
    let body = stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    Multipart::new(TYPE, body, MultipartLimits::default()).unwrap()
}

#[test]
fn parts_are_read_whole_or_in_chunks() {
    for size in [1, 7, 1000] {
        let mut form = form(BODY, size);
        let read = async move {
            let part = form.next_part().await?.unwrap();
            assert_eq!((part.name(), part.file_name()), ("a", None));
            assert_eq!(part.text().await?, "first");
            let mut part = form.next_part().await?.unwrap();
            assert_eq!((part.name(), part.file_name()), ("f", Some("../f.txt")));
            assert_eq!(part.content_type(), Some("text/plain"));
            let mut content = Vec::new();
            while let Some(bytes) = part.chunk().await? {
                content.extend(bytes);
            }
            assert_eq!(content, b"content");
            assert_eq!(part.chunk().await?, None);
            assert!(form.next_part().await?.is_none());
            assert!(form.next_part().await?.is_none());
            Ok::<_, MultipartError>(())
        };
        block_on(read).unwrap().unwrap();
    }
}

#[test]
fn the_unread_rest_of_a_part_is_skipped() {
    let mut form = form(BODY, 3);
    let names = async move {
        let mut names = Vec::new();
        while let Some(mut part) = form.next_part().await? {
            names.push(part.name().to_owned());
            part.chunk().await?;
        }
        Ok::<_, MultipartError>(names)
    };
    assert_eq!(block_on(names).unwrap().unwrap(), ["a", "f"]);
}

#[test]
fn a_truncated_body_is_an_error_that_every_later_call_returns() {
    let mut form = form(&BODY[..BODY.len() - 8], 10);
    let read = async move {
        form.next_part().await?;
        form.next_part().await?;
        let first = form.next_part().await.map(|part| part.is_some());
        assert_eq!(first, Err(MultipartError::Incomplete));
        form.next_part().await.map(|part| part.is_some())
    };
    assert_eq!(block_on(read).unwrap(), Err(MultipartError::Incomplete));
}

#[test]
fn a_saved_part_is_removed_unless_it_is_kept() {
    let directory = std::env::temp_dir().join(format!("uptick-http-save-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let large = BODY.replace("content", &"0123456789".repeat(20_000));
    let place = directory.clone();
    let save = async move {
        let mut form = form(&large, 1000);
        form.next_part().await?;
        let saved = form.next_part().await?.unwrap().save(&place).await?;
        assert_eq!(saved.len(), 200_000);
        assert!(!saved.is_empty());
        let path = saved.path().to_owned();
        assert_eq!(path.parent(), Some(place.as_path()));
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 200_000);
        drop(saved);
        assert!(!path.exists());

        let mut form = self::form(BODY, 1000);
        form.next_part().await?;
        let saved = form.next_part().await?.unwrap().save(&place).await?;
        saved.keep(place.join("kept")).await?;
        assert_eq!(std::fs::read(place.join("kept")).unwrap(), b"content");

        let mut form = self::form(&BODY[..BODY.len() - 8], 1000);
        form.next_part().await?;
        let broken = form.next_part().await?.unwrap().save(&place).await;
        assert!(matches!(broken, Err(MultipartError::Incomplete)));
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 1);

        let mut form = self::form(BODY, 1000);
        let part = form.next_part().await?.unwrap();
        let error = part.save(place.join("none")).await.unwrap_err();
        assert!(error.to_string().contains("(os error 2)"), "{error}");
        Ok::<_, MultipartError>(())
    };
    let result = block_on(save);
    std::fs::remove_dir_all(directory).unwrap();
    result.unwrap().unwrap();
}
