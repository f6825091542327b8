//! Accepts uploads of any size and writes them to files chunk by chunk. A client is read no faster than the disk accepts its
//! data, so a large upload needs no more memory than a small one.
//!
//! Run it. Uploads are stored in a default directory, which it creates, or in the given one:
//! ```text
//! $ cargo run --example 23-streaming-upload
//! $ cargo run --example 23-streaming-upload -- [::1]:9000 /tmp/uploads
//! ```
//! Try it: upload a large file, and one that is too large. An upload that is interrupted leaves no file behind.
//! ```text
//! $ truncate -s 1G large
//! $ curl -T large http://localhost:8080/uploads/large
//! $ truncate -s 9G too-large
//! $ curl -T too-large http://localhost:8080/uploads/too-large
//! ```

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use futures::{AsyncWriteExt, StreamExt};
use uptick::prelude::*;

/// The maximum size of an upload. A larger one is refused with 413 while it is being sent.
const MAX_UPLOAD: u64 = 8 << 30;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8080".into());
    let directory = PathBuf::from(args.next().unwrap_or("uploads".into()));
    fs::create_dir_all(&directory)
        .map_err(|e| format!("creating the directory {} failed: {e}", directory.display()))?;

    let http = HttpServer::new();
    let uploads = Rc::new(Cell::new(0));
    http.put("/uploads/{name}", move |req: Request| {
        let directory = directory.clone();
        uploads.set(uploads.get() + 1);
        let number = uploads.get();
        async move { upload(req, &directory, number).await }
    });
    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

async fn upload(
    req: Request,
    directory: &Path,
    number: u64,
) -> Result<(StatusCode, String), HttpError> {
    let name = req.param("name").unwrap_or_default().to_owned();
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\0']) {
        return Err(HttpError::bad_request("invalid file name"));
    }
    let part = PartialFile(directory.join(format!(".{number}.part")));
    let mut file = WritableResourceStream::create(&part.0)?.into_async_write();
    let mut body = req.body_stream();
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        length += chunk.len() as u64;
        if length > MAX_UPLOAD {
            return Err(HttpError::from_status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        // The next chunk is read from the client only after this one is written.
        file.write_all(&chunk).await?;
    }
    file.close().await?;
    fs::rename(&part.0, directory.join(&name))?;
    println!("{name}: {length} bytes");
    Ok((StatusCode::CREATED, format!("{name}: {length} bytes\n")))
}

/// An incomplete file, which is removed when the upload fails or this future is dropped because the client has disconnected.
struct PartialFile(PathBuf);

impl Drop for PartialFile {
    fn drop(&mut self) {
        // The file does not exist any more if it has been renamed.
        let _ = fs::remove_file(&self.0);
    }
}
