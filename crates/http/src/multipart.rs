//! Forms with files: `multipart/form-data` (RFC 7578).
//!
//! The crate `multer` is not used, because it buffers all available bytes of a body before it returns a part, and has no limit for the headers
//! of a part.

mod decoder;
mod head;
mod limits;
mod saved;

use std::error::Error as StdError;
use std::fmt;
use std::path::Path;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};

use decoder::{MultipartDecoder, MultipartEvent};
use head::PartHead;

use crate::{MultipartError, Request};

pub use limits::MultipartLimits;
pub use saved::SavedFile;

/// A reader of a `multipart/form-data` body, which returns one part after the other. Requires the feature `multipart`.
///
/// # Limits
/// [`MultipartLimits`]. Only one chunk of the body is buffered at a time; a part is kept in memory only if the program collects it.
///
/// # Examples
/// ```
/// use uptick_http::{HttpError, Multipart, Request};
///
/// async fn upload(req: Request) -> Result<String, HttpError> {
///     let mut form = req.multipart()?;
///     let mut saved = 0;
///     while let Some(part) = form.next_part().await? {
///         if part.file_name().is_some() {
///             // The file is removed on drop unless it is kept.
///             saved += part.save(std::env::temp_dir()).await?.len();
///         } else {
///             println!("{}: {}", part.name().to_owned(), part.text().await?);
///         }
///     }
///     Ok(format!("{saved} bytes"))
/// }
/// # let _ = upload;
/// ```
pub struct Multipart {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, MultipartError>>>>,
    decoder: MultipartDecoder,
    /// Set while the end of the current part has not been read.
    unfinished: bool,
    failed: Option<MultipartError>,
}

impl Multipart {
    /// Creates a reader for a body with this `Content-Type`.
    ///
    /// # Errors
    /// [`MultipartError::NotMultipart`] if the type is not `multipart/form-data`, and [`MultipartError::NoBoundary`] if it has no valid boundary.
    pub fn new<S, E>(
        content_type: &str,
        body: S,
        limits: MultipartLimits,
    ) -> Result<Multipart, MultipartError>
    where
        S: Stream<Item = Result<Bytes, E>> + 'static,
        E: StdError + Send + Sync + 'static,
    {
        let boundary = head::boundary(content_type)?;
        let body = body.map(|chunk| chunk.map_err(MultipartError::reading));
        Ok(Multipart {
            body: Box::pin(body),
            decoder: MultipartDecoder::new(&boundary, limits),
            unfinished: false,
            failed: None,
        })
    }

    /// Returns the next part, or `None` after the last one. The unread rest of the previous part is skipped.
    ///
    /// # Errors
    /// If the body is malformed, exceeds a limit, or is incomplete. All later calls return the same error.
    pub async fn next_part(&mut self) -> Result<Option<FormPart<'_>>, MultipartError> {
        loop {
            match self.event().await? {
                None => return Ok(None),
                Some(MultipartEvent::Head(head)) => {
                    self.unfinished = true;
                    return Ok(Some(FormPart { form: self, head }));
                }
                Some(MultipartEvent::Data(_) | MultipartEvent::PartEnd) => {}
            }
        }
    }

    async fn event(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let event = self.read_event().await;
        if let Err(error) = &event {
            self.failed = Some(error.clone());
        }
        event
    }

    async fn read_event(&mut self) -> Result<Option<MultipartEvent>, MultipartError> {
        loop {
            if let Some(event) = self.decoder.next()? {
                self.unfinished &= event != MultipartEvent::PartEnd;
                return Ok(Some(event));
            }
            match self.body.next().await.transpose()? {
                Some(chunk) => self.decoder.push(&chunk)?,
                None if self.decoder.is_over() => return Ok(None),
                None => return Err(MultipartError::Incomplete),
            }
        }
    }
}

impl fmt::Debug for Multipart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Multipart")
            .field("decoder", &self.decoder)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// A part of a form: a field or a file.
#[derive(Debug)]
pub struct FormPart<'a> {
    form: &'a mut Multipart,
    head: PartHead,
}

impl FormPart<'_> {
    /// Returns the name of the form field.
    pub fn name(&self) -> &str {
        self.head.name()
    }

    /// Returns the file name that the client sent as `filename`, or with a charset as `filename*` (RFC 8187); `None` if the part is not a
    /// file.
    ///
    /// The name is not checked: never use it as a path to write to.
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name()
    }

    /// Returns the `Content-Type` of the part, as sent by the client.
    pub fn content_type(&self) -> Option<&str> {
        self.head.content_type()
    }

    /// Returns the next bytes of the part, or `None` at its end.
    ///
    /// # Errors
    /// The same as [`Multipart::next_part`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        if !self.form.unfinished {
            return Ok(None);
        }
        match self.form.event().await? {
            Some(MultipartEvent::Data(bytes)) => Ok(Some(bytes)),
            Some(MultipartEvent::PartEnd | MultipartEvent::Head(_)) | None => Ok(None),
        }
    }

    /// Reads all bytes of the part, within its limit.
    ///
    /// # Errors
    /// The same as [`Multipart::next_part`].
    pub async fn bytes(mut self) -> Result<Bytes, MultipartError> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    /// Reads the part as text.
    ///
    /// # Errors
    /// The same as [`Multipart::next_part`], and [`MultipartError::Malformed`] if it is not UTF-8.
    pub async fn text(self) -> Result<String, MultipartError> {
        let bytes = Vec::from(self.bytes().await?);
        String::from_utf8(bytes).map_err(|_| MultipartError::malformed("a part is not UTF-8"))
    }

    /// Writes the part to a new file with a unique name in a directory. Only the current user can read it. The file is removed when the
    /// [`SavedFile`] is dropped, unless it was [kept](SavedFile::keep), and when reading the part fails.
    ///
    /// # Errors
    /// The same as [`Multipart::next_part`], and [`MultipartError::Save`] if the file cannot be written.
    pub async fn save(mut self, directory: impl AsRef<Path>) -> Result<SavedFile, MultipartError> {
        let mut writer = saved::PartWriter::create(directory.as_ref()).await?;
        while let Some(bytes) = self.chunk().await? {
            writer.write(bytes).await?;
        }
        writer.finish().await
    }
}

impl Request {
    /// Returns a reader of the body as a form with files, with the default [`MultipartLimits`]. Requires the feature `multipart`.
    ///
    /// # Errors
    /// The same as [`multipart_with`](Request::multipart_with).
    pub fn multipart(&self) -> Result<Multipart, MultipartError> {
        self.multipart_with(MultipartLimits::default())
    }

    /// Returns a reader of the body as a form with files, with these limits. Requires the feature `multipart`.
    ///
    /// # Errors
    /// [`MultipartError::NotMultipart`] if the body has a different type, and [`MultipartError::NoBoundary`] if the type has no valid boundary.
    pub fn multipart_with(&self, limits: MultipartLimits) -> Result<Multipart, MultipartError> {
        let content_type = self.header("content-type").unwrap_or_default();
        let total = usize::try_from(limits.total).unwrap_or(usize::MAX);
        Multipart::new(content_type, self.body_stream().limited(total), limits)
    }
}

#[cfg(test)]
mod tests;
