//! Forms with files: `multipart/form-data` (RFC 7578).

use std::cell::RefCell;
use std::fmt::{self, Debug, Formatter};
use std::io;
use std::path::Path;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use futures::stream::{self, StreamExt as _};
use http::HeaderValue;

use super::{Content, Pieces, RequestBody};
use crate::error::{Error, ErrorKind};
use crate::transport::OutgoingBody;

/// Maximum size of a form in memory that is copied into one piece, in bytes.
const COPY_LIMIT: usize = 64 * 1024;

/// A form with files, sent as `multipart/form-data`.
///
/// The length of the form is sent if the length of each part is known. The request can be repeated if the body of each part can.
///
/// # Examples
///
/// ```
/// use uptick_http_client::MultipartForm;
///
/// let form = MultipartForm::new()
///     .text("title", "A picture")
///     .bytes("picture", "dot.gif", "image/gif", &b"GIF89a"[..]);
/// # let _ = form;
/// ```
pub struct MultipartForm {
    boundary: String,
    parts: Vec<FormPart>,
    /// The first error, reported when the form is sent.
    error: Option<Error>,
}

struct FormPart {
    /// The delimiter and the headers, up to the empty line.
    head: Bytes,
    body: RequestBody,
}

impl MultipartForm {
    /// Creates an empty form with a random boundary.
    pub fn new() -> MultipartForm {
        let mut random = [0; 16];
        let error = getrandom::fill(&mut random).err().map(|error| {
            let reason = format!("creating the boundary of the form failed: {error}");
            Error::new(ErrorKind::Other, reason)
        });
        MultipartForm {
            boundary: format!("uptick-{:032x}", u128::from_be_bytes(random)),
            parts: Vec::new(),
            error,
        }
    }

    /// Adds a text value.
    pub fn text(self, name: &str, value: impl Into<String>) -> MultipartForm {
        self.add(name, None, None, RequestBody::from(value.into()))
    }

    /// Adds a file from memory.
    pub fn bytes(
        self,
        name: &str,
        file_name: &str,
        content_type: &str,
        bytes: impl Into<Bytes>,
    ) -> MultipartForm {
        self.part(
            name,
            file_name,
            content_type,
            RequestBody::from(bytes.into()),
        )
    }

    /// Adds a file with its name and the content type `application/octet-stream`. The file is opened now, and read while the form is sent.
    ///
    /// # Errors
    ///
    /// The error of opening the file, or of reading its length.
    pub fn file(self, name: &str, path: impl AsRef<Path>) -> io::Result<MultipartForm> {
        let path = path.as_ref();
        let file_name = path.file_name().unwrap_or_default().to_string_lossy();
        let body = RequestBody::file(path)?;
        Ok(self.part(name, &file_name, "application/octet-stream", body))
    }

    /// Adds a file with any body, such as a stream. A content type that is not valid in a header is reported when the form is sent.
    pub fn part(
        self,
        name: &str,
        file_name: &str,
        content_type: &str,
        body: impl Into<RequestBody>,
    ) -> MultipartForm {
        self.add(name, Some(file_name), Some(content_type), body.into())
    }

    fn add(
        mut self,
        name: &str,
        file_name: Option<&str>,
        content_type: Option<&str>,
        body: RequestBody,
    ) -> MultipartForm {
        let mut head = format!(
            "--{}\r\nContent-Disposition: form-data; name=\"{}\"",
            self.boundary,
            escaped(name)
        );
        if let Some(file_name) = file_name {
            head.push_str(&format!("; filename=\"{}\"", escaped(file_name)));
        }
        if let Some(content_type) = content_type {
            if HeaderValue::from_str(content_type).is_err() {
                let reason = format!(
                    "the content type {content_type:?} of a part of the form is not a valid header"
                );
                let error = Error::new(ErrorKind::InvalidRequest, reason);
                self.error.get_or_insert(error);
            }
            head.push_str(&format!("\r\nContent-Type: {content_type}"));
        }
        head.push_str("\r\n\r\n");
        self.parts.push(FormPart {
            head: head.into(),
            body,
        });
        self
    }

    /// Returns the boundary between the parts.
    pub fn boundary(&self) -> &str {
        &self.boundary
    }

    /// Converts the form to a body with its content type.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] if a content type is not valid in a header, [`ErrorKind::Other`] if the system returned no random bytes for the
    /// boundary.
    pub fn into_body(self) -> Result<RequestBody, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let content_type =
            HeaderValue::try_from(format!("multipart/form-data; boundary={}", self.boundary))
                .map_err(|error| {
                    let reason = format!("the content type of the form is not valid: {error}");
                    Error::new(ErrorKind::Other, reason)
                })?;
        let end = Bytes::from(format!("--{}--\r\n", self.boundary));
        let mut parts = self.parts;
        let length = parts.iter().try_fold(end.len() as u64, |sum, part| {
            let framing = part.head.len() as u64 + 2;
            sum.checked_add(framing)?.checked_add(part.body.length()?)
        });
        if let Some(bytes) = copied(&parts, &end, length) {
            return Ok(RequestBody::from(bytes).with_content_type(content_type));
        }
        let content = match parts.iter().all(|part| part.body.is_repeatable()) {
            true => {
                let parts = Rc::new(RefCell::new(parts));
                Content::Repeatable(Rc::new(move || pieces(&mut parts.borrow_mut(), &end)))
            }
            false => Content::Once(Some(pieces(&mut parts, &end))),
        };
        let mut body = RequestBody::of(content).with_content_type(content_type);
        body.length = length;
        Ok(body)
    }
}

/// Returns the form in one piece, if it is short and in memory.
fn copied(parts: &[FormPart], end: &Bytes, length: Option<u64>) -> Option<Bytes> {
    let length = usize::try_from(length?)
        .ok()
        .filter(|length| *length <= COPY_LIMIT)?;
    let mut bytes = BytesMut::with_capacity(length);
    for part in parts {
        bytes.extend_from_slice(&part.head);
        match part.body.outgoing() {
            OutgoingBody::Empty => {}
            OutgoingBody::Bytes(body) => bytes.extend_from_slice(&body),
            OutgoingBody::Sized(_) | OutgoingBody::Stream => return None,
        }
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(end);
    Some(bytes.freeze())
}

/// Returns the pieces of the form. A part that was already sent is left out.
fn pieces(parts: &mut [FormPart], end: &Bytes) -> Pieces {
    let mut streams: Vec<Pieces> = Vec::with_capacity(3 * parts.len() + 1);
    for part in parts {
        if let Some(body) = part.body.open() {
            streams.extend([
                single(part.head.clone()),
                body,
                single(Bytes::from_static(b"\r\n")),
            ]);
        }
    }
    streams.push(single(end.clone()));
    stream::iter(streams).flatten().boxed_local()
}

fn single(bytes: Bytes) -> Pieces {
    stream::once(async { Ok(bytes) }).boxed_local()
}

/// Escapes a name as browsers do.
fn escaped(name: &str) -> String {
    name.replace('"', "%22")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

impl Default for MultipartForm {
    fn default() -> MultipartForm {
        MultipartForm::new()
    }
}

impl Debug for MultipartForm {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("MultipartForm")
            .field("boundary", &self.boundary)
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}
