//! Takes uploads of any size and writes them to files piece by piece. A client is read no faster than the disk takes what it sends,
//! so a large upload needs no more memory than a small one.
//!
//! Run it. It keeps what it gets in a directory that it makes, or in one that you name:
//! ```text
//! $ cargo run --example 23-streaming-upload
//! $ cargo run --example 23-streaming-upload -- [::1]:9000 /tmp/uploads
//! ```
//! Poke it: upload a large file, and one that is larger than it takes. Break off in the middle: nothing is kept.
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

/// What is larger is refused with 413, while it is still being sent.
const LARGEST: u64 = 8 << 30;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8080".into());
    let directory = PathBuf::from(args.next().unwrap_or("uploads".into()));
    fs::create_dir_all(&directory)
        .map_err(|e| format!("making the directory {} failed: {e}", directory.display()))?;

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
        return Err(HttpError::bad_request("this cannot be the name of a file"));
    }
    let part = Part(directory.join(format!(".{number}.part")));
    let mut file = WritableResourceStream::create(&part.0)?.into_async_write();
    let mut body = req.body_stream();
    let mut length = 0;
    while let Some(chunk) = body.next().await {
        let chunk = chunk?;
        length += chunk.len() as u64;
        if length > LARGEST {
            return Err(HttpError::from_status(StatusCode::PAYLOAD_TOO_LARGE));
        }
        // Until the file has room for more, nothing more is read from the client.
        file.write_all(&chunk).await?;
    }
    file.close().await?;
    fs::rename(&part.0, directory.join(&name))?;
    println!("{name}: {length} bytes");
    Ok((StatusCode::CREATED, format!("{name}: {length} bytes\n")))
}

/// A file that is not complete. It goes when the upload does, also when the client leaves and this future is dropped.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // It is there no more when it has been renamed.
        let _ = fs::remove_file(&self.0);
    }
}
