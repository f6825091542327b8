//! Forms with files in them: `multipart/form-data` (RFC 7578).
//!
//! The syntax is taken apart here and not by `multer`, which takes in all that there is of a body before it
//! gives a part of it out, and has no limit for the fields of a part.

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

use decoder::{Decoder, Event};
use head::PartHead;

use crate::{MultipartError, Request};

pub use limits::MultipartLimits;
pub use saved::SavedFile;

/// The parts of a `multipart/form-data` body, one after the other, read as they are asked for. Needs the feature `multipart`.
///
/// # Limits
/// [`MultipartLimits`]. One piece of the body is in memory, as it came, and a part only as far as it is read.
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
///             // It is removed again unless it is kept.
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
    decoder: Decoder,
    /// A part whose end has not come.
    unfinished: bool,
    failed: Option<MultipartError>,
}

impl Multipart {
    /// Takes a body apart that is of this `Content-Type`.
    ///
    /// # Errors
    /// [`MultipartError::NotMultipart`] and [`MultipartError::NoBoundary`].
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
        let body = body.map(|piece| piece.map_err(MultipartError::reading));
        Ok(Multipart {
            body: Box::pin(body),
            decoder: Decoder::new(&boundary, limits),
            unfinished: false,
            failed: None,
        })
    }

    /// The next part, or `None` after the last one. What was not read of the one before is skipped.
    ///
    /// # Errors
    /// What is malformed, over a limit, or did not come; then there is no further part.
    pub async fn next_part(&mut self) -> Result<Option<Part<'_>>, MultipartError> {
        loop {
            match self.event().await? {
                None => return Ok(None),
                Some(Event::Head(head)) => {
                    self.unfinished = true;
                    return Ok(Some(Part { form: self, head }));
                }
                Some(Event::Data(_) | Event::PartEnd) => {}
            }
        }
    }

    async fn event(&mut self) -> Result<Option<Event>, MultipartError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let event = self.read_event().await;
        if let Err(error) = &event {
            self.failed = Some(error.clone());
        }
        event
    }

    async fn read_event(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            if let Some(event) = self.decoder.next()? {
                self.unfinished &= event != Event::PartEnd;
                return Ok(Some(event));
            }
            match self.body.next().await.transpose()? {
                Some(piece) => self.decoder.push(&piece)?,
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
pub struct Part<'a> {
    form: &'a mut Multipart,
    head: PartHead,
}

impl Part<'_> {
    /// The name of the field.
    pub fn name(&self) -> &str {
        self.head.name()
    }

    /// The file name that the client sent, as `filename` or, with its charset, as `filename*` (RFC 8187); `None` when the part is
    /// not a file.
    ///
    /// It may be anything: never use it as a path to write to.
    pub fn file_name(&self) -> Option<&str> {
        self.head.file_name()
    }

    /// The `Content-Type` that the client gives the part.
    pub fn content_type(&self) -> Option<&str> {
        self.head.content_type()
    }

    /// The next bytes of the part, or `None` at its end.
    ///
    /// # Errors
    /// As [`Multipart::next_part`].
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        if !self.form.unfinished {
            return Ok(None);
        }
        match self.form.event().await? {
            Some(Event::Data(bytes)) => Ok(Some(bytes)),
            Some(Event::PartEnd | Event::Head(_)) | None => Ok(None),
        }
    }

    /// All bytes of the part, within the limit for it.
    ///
    /// # Errors
    /// As [`Multipart::next_part`].
    pub async fn bytes(mut self) -> Result<Bytes, MultipartError> {
        let mut whole = BytesMut::new();
        while let Some(bytes) = self.chunk().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole.freeze())
    }

    /// The part as text.
    ///
    /// # Errors
    /// As [`Multipart::next_part`], and [`MultipartError::Malformed`] when it is not UTF-8.
    pub async fn text(self) -> Result<String, MultipartError> {
        let bytes = Vec::from(self.bytes().await?);
        String::from_utf8(bytes).map_err(|_| MultipartError::malformed("a part is not UTF-8"))
    }

    /// Writes the part to a new file in a directory, with a name of its own that only this user can read. The file is
    /// removed when the [`SavedFile`] is dropped without having been kept, also when the rest of the part does not come.
    ///
    /// # Errors
    /// As [`Multipart::next_part`], and [`MultipartError::Save`] when it cannot be written.
    pub async fn save(mut self, directory: impl AsRef<Path>) -> Result<SavedFile, MultipartError> {
        let mut saving = saved::Saving::create(directory.as_ref()).await?;
        while let Some(bytes) = self.chunk().await? {
            saving.write(bytes).await?;
        }
        saving.finish().await
    }
}

impl Request {
    /// The body as a form with files, with the default [`MultipartLimits`]. Needs the feature `multipart`.
    ///
    /// # Errors
    /// As [`multipart_with`](Request::multipart_with).
    pub fn multipart(&self) -> Result<Multipart, MultipartError> {
        self.multipart_with(MultipartLimits::default())
    }

    /// The body as a form with files, within these limits. Needs the feature `multipart`.
    ///
    /// # Errors
    /// [`MultipartError::NotMultipart`] when the body is of another type, [`MultipartError::NoBoundary`].
    pub fn multipart_with(&self, limits: MultipartLimits) -> Result<Multipart, MultipartError> {
        let content_type = self.header("content-type").unwrap_or_default();
        let total = usize::try_from(limits.total).unwrap_or(usize::MAX);
        Multipart::new(content_type, self.body_stream().limited(total), limits)
    }
}

#[cfg(test)]
mod tests;
