//! Static files.

mod byteranges;
mod conditional;
mod content;
mod open;
mod path;
mod range;

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use uptick_event_loop::spawn_blocking;
use uptick_stream::FileRange;

use byteranges::Byteranges;
use conditional::{ConditionalOutcome, Validators};
use content::Content;
use open::OpenedPath;
use path::RelativePath;
use range::{ByteRange, RequestedRange};

use crate::content_coding::{Coding, negotiate};
use crate::response::SelectedRepresentation;
use crate::routing::has_plain_segments;
use crate::{HttpError, LocalFuture, Request, Response};

/// A handler that serves the files of a directory. Requires the feature `files`.
///
/// It supports GET and HEAD, entity tags and modification times, conditional requests, and one or several ranges (RFC 9110, sections 13
/// and 14). The content type is derived from the extension.
///
/// No file outside of the directory is served: neither by `..`, in any encoding, nor by symbolic links to other directories. Only regular
/// files are served. Names with a leading dot are not found, unless [`dotfiles`](StaticFiles::dotfiles) is enabled. The response is 404 if
/// the path of the request contains an escaped `/`, `\` or NUL, an empty segment, `.` or `..`. Each file therefore has exactly one path,
/// and a route or middleware that guards this path ([`Request::path`]) cannot be bypassed with another spelling. A file with several names in
/// the file system needs a guard for each name: an index file, which is also sent for its directory; the target of a symbolic link; and
/// every file on a case-insensitive file system (macOS). A regular expression cannot be a guard, because it comes after all other
/// patterns.
///
/// The path of a directory without a trailing slash is redirected to the path with the slash, which is answered with the index file. There
/// are no directory listings.
///
/// Files are opened on the pool of blocking jobs. Small files are read there and sent from memory. Larger files are sent by the kernel as fast
/// as the client receives them ([`sendfile`](StaticFiles::sendfile)). If the kernel cannot send them, as with TLS, and for several ranges,
/// they are read on the pool as fast as the client receives them. If a file becomes shorter while it is sent, the connection is closed.
///
/// # Limits
/// A file is read in pieces of 64 KiB; content of at most this size is sent from memory. A request may have 16 ranges; ranges that overlap or
/// have a gap of at most 80 bytes are joined. If there are more ranges, or if they have as many bytes as the file, the whole file is sent.
///
/// The entity tag is derived from length, modification time, inode and status change time. It does not change if a file is rewritten in place
/// with the same length within one tick of the kernel's clock, 4 ms on most systems.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, StaticFiles};
///
/// let files = StaticFiles::new("public");
/// HttpServer::new().get("/assets/{*path}", files.handler());
/// ```
#[derive(Clone, Debug)]
pub struct StaticFiles {
    settings: Arc<FileSettings>,
}

#[derive(Clone, Debug)]
struct FileSettings {
    root: PathBuf,
    index: Option<PathBuf>,
    dotfiles: bool,
    cache_control: Option<HeaderValue>,
    sendfile: bool,
    precompressed: bool,
}

/// The parts of a request that the response depends on.
#[derive(Clone, Debug)]
struct FileRequest {
    method: Method,
    /// The path in normal form.
    path: Box<str>,
    query: Option<Box<str>>,
    fields: HeaderMap,
}

impl FileRequest {
    fn of(request: &Request) -> FileRequest {
        FileRequest {
            method: request.method().clone(),
            path: request.path().into(),
            query: request.query_string().map(Into::into),
            fields: request.headers(),
        }
    }
}

/// The reply to a request.
enum FileReply {
    Response(Box<FileResponse>),
    /// A redirect to the same path with a trailing slash.
    Redirect,
    Refuse(HttpError),
}

/// A response with the content of a file.
struct FileResponse {
    status: StatusCode,
    fields: HeaderMap,
    content: Content,
    /// The properties of the whole file, if the response does not contain all of it.
    selected: Option<SelectedRepresentation>,
}

impl FileResponse {
    /// Marks the content as compressed.
    fn set_coding(&mut self, coding: Coding) {
        if self.status != StatusCode::NOT_MODIFIED {
            let fields = &mut self.fields;
            fields.insert(header::CONTENT_ENCODING, coding.name());
        }
        if let Some(selected) = &mut self.selected {
            selected.is_encoded = true;
        }
    }

    fn into_response(self, by_kernel: bool) -> Response {
        let body = self.content.into_body(by_kernel);
        let mut response = Response::new(self.status).with_body(body);
        *response.headers_mut() = self.fields;
        match self.selected {
            Some(selected) => response.with_selected(selected),
            None => response,
        }
    }
}

impl StaticFiles {
    /// Creates a handler for the files below a directory. The path of the directory is resolved for each request.
    pub fn new(directory: impl Into<PathBuf>) -> StaticFiles {
        StaticFiles {
            settings: Arc::new(FileSettings {
                root: directory.into(),
                index: Some("index.html".into()),
                dotfiles: false,
                cache_control: None,
                sendfile: true,
                precompressed: false,
            }),
        }
    }

    /// Sets the index file, which is sent for a directory. With `None`, directories are not found. Default: `index.html`.
    pub fn index(mut self, name: impl Into<Option<&'static str>>) -> StaticFiles {
        Arc::make_mut(&mut self.settings).index = name.into().map(PathBuf::from);
        self
    }

    /// Sets whether files and directories with a leading dot in their names are served. Default: `false`.
    pub fn dotfiles(mut self, served: bool) -> StaticFiles {
        Arc::make_mut(&mut self.settings).dotfiles = served;
        self
    }

    /// Sets the `Cache-Control` of the responses. Default: none; clients decide when to revalidate.
    pub fn cache_control(mut self, value: HeaderValue) -> StaticFiles {
        Arc::make_mut(&mut self.settings).cache_control = Some(value);
        self
    }

    /// Sets whether the kernel sends files of more than 64 KiB to clients without TLS, on systems with `sendfile` (Linux).
    ///
    /// This costs a fraction of reading and writing the file, but blocks the thread's loop while the file is fetched from the disk. Disable it
    /// for slow disks, such as network file systems. Default: `true`.
    pub fn sendfile(mut self, by_kernel: bool) -> StaticFiles {
        Arc::make_mut(&mut self.settings).sendfile = by_kernel;
        self
    }

    /// Sets whether `name.br`, `name.zst` or `name.gz` is sent for `name`, if the client accepts that coding and the compressed file is not
    /// older. All responses then have `Vary: Accept-Encoding`.
    ///
    /// The compressed file has its own entity tag, and ranges select bytes of the compressed file. Each coding that the client accepts costs an
    /// attempt to open a file, until one exists. Default: `false`.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::StaticFiles;
    ///
    /// // Run once: gzip --keep public/app.js
    /// let files = StaticFiles::new("public").precompressed(true);
    /// ```
    pub fn precompressed(mut self, served: bool) -> StaticFiles {
        Arc::make_mut(&mut self.settings).precompressed = served;
        self
    }

    /// Returns a handler that sends the file at the route parameter `path`, or the index file of the directory if the route has no such parameter.
    pub fn handler(self) -> impl Fn(Request) -> LocalFuture<Response> + 'static {
        move |request| {
            let path = request.param("path").unwrap_or_default().to_owned();
            Box::pin(self.serve(&request, &path))
        }
    }

    /// Returns the response with the file at a path below the directory. The path is percent-decoded, like the parameters of a route.
    ///
    /// The path of the request must be servable as well, independently of `path`: see [`StaticFiles`].
    pub fn serve(&self, request: &Request, path: &str) -> impl Future<Output = Response> + use<> {
        self.respond(path, FileRequest::of(request))
    }

    fn respond(
        &self,
        decoded: &str,
        request: FileRequest,
    ) -> impl Future<Output = Response> + use<> {
        let settings = Arc::clone(&self.settings);
        let path = match has_plain_segments(&request.path) {
            true => RelativePath::parse(decoded, settings.dotfiles),
            // Guards have compared segments that differ from the file path.
            false => None,
        };
        async move {
            let Some(path) = path else {
                return HttpError::not_found().into();
            };
            let by_kernel = settings.sendfile;
            reply_to(request, by_kernel, move |request| {
                settings.reply(path, request)
            })
            .await
        }
    }
}

impl Response {
    /// Returns the response with a file, like [`StaticFiles`]: conditional requests and ranges are supported.
    ///
    /// The path is not restricted to a directory: never derive it from client input.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request, Response};
    ///
    /// HttpServer::new().get("/report", |req: Request| Response::file(&req, "report.pdf"));
    /// ```
    pub fn file(request: &Request, path: impl Into<PathBuf>) -> LocalFuture<Response> {
        Box::pin(file(path.into(), FileRequest::of(request)))
    }
}

fn file(path: PathBuf, request: FileRequest) -> impl Future<Output = Response> + 'static {
    reply_to(request, true, move |request| match open::open(&path)? {
        OpenedPath::File(file, metadata) => send(&path, file, &metadata, request),
        OpenedPath::Directory | OpenedPath::Other => Err(io::ErrorKind::NotFound.into()),
    })
}

/// Runs `reply` on the pool of blocking jobs and converts its reply into a response.
async fn reply_to(
    request: FileRequest,
    by_kernel: bool,
    reply: impl FnOnce(&FileRequest) -> io::Result<FileReply> + Send + 'static,
) -> Response {
    if request.method != Method::GET && request.method != Method::HEAD {
        let error = HttpError::from_status(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        return error.with_header(header::ALLOW, allowed).into();
    }
    let location = redirection(&request);
    let job = spawn_blocking(move || reply(&request));
    match job.await {
        Ok(Ok(FileReply::Response(response))) => response.into_response(by_kernel),
        Ok(Ok(FileReply::Redirect)) => {
            Response::redirect(&location).with_status(StatusCode::MOVED_PERMANENTLY)
        }
        Ok(Ok(FileReply::Refuse(error))) => error.into(),
        Ok(Err(error)) => failure(error).into(),
        Err(error) => HttpError::from(error).into(),
    }
}

/// Returns the location with a trailing slash. It is relative, so that a path such as `//elsewhere.example` cannot redirect to another host.
fn redirection(request: &FileRequest) -> String {
    let name = request.path.rsplit('/').next().unwrap_or_default();
    match &request.query {
        Some(query) => format!("./{name}/?{query}"),
        None => format!("./{name}/"),
    }
}

fn failure(error: io::Error) -> HttpError {
    use rustix::io::Errno;

    let missing = [
        Errno::NOENT,
        Errno::NOTDIR,
        Errno::ISDIR,
        Errno::LOOP,
        Errno::XDEV,
        Errno::NAMETOOLONG,
        Errno::NXIO,
    ];
    let errno = Errno::from_io_error(&error);
    if error.kind() == io::ErrorKind::NotFound || errno.is_some_and(|e| missing.contains(&e)) {
        HttpError::not_found()
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        HttpError::from_status(StatusCode::FORBIDDEN).with_source(error)
    } else {
        HttpError::internal(error)
    }
}

impl FileSettings {
    /// Opens the file and returns the reply. Blocks.
    fn reply(&self, path: RelativePath, request: &FileRequest) -> io::Result<FileReply> {
        let RelativePath {
            mut path,
            directory,
        } = path;
        if !directory {
            match open::open_below(&self.root, &path)? {
                OpenedPath::File(file, metadata) => {
                    return self.send(&path, file, metadata, request);
                }
                OpenedPath::Directory => {
                    // Directories without an index file are not redirected.
                    self.index_of(&mut path)?;
                    return Ok(FileReply::Redirect);
                }
                OpenedPath::Other => return Err(io::ErrorKind::NotFound.into()),
            }
        }
        let (file, metadata) = self.index_of(&mut path)?;
        self.send(&path, file, metadata, request)
    }

    /// Returns the reply with a file, or with its precompressed variant.
    fn send(
        &self,
        path: &Path,
        file: File,
        metadata: Metadata,
        request: &FileRequest,
    ) -> io::Result<FileReply> {
        let compressed = match self.precompressed {
            true => self.compressed(path, &metadata, request),
            false => None,
        };
        let (coding, file, metadata) = match compressed {
            Some((coding, file, metadata)) => (Some(coding), file, metadata),
            None => (None, file, metadata),
        };
        let mut reply = send(path, file, &metadata, request)?;
        if let FileReply::Response(response) = &mut reply {
            if let Some(coding) = coding {
                response.set_coding(coding);
            }
            if let Some(value) = &self.cache_control {
                response.fields.insert(header::CACHE_CONTROL, value.clone());
            }
            if self.precompressed {
                let coding = HeaderValue::from_static("accept-encoding");
                response.fields.insert(header::VARY, coding);
            }
        }
        Ok(reply)
    }

    /// Opens the precompressed variant of a file, in the available coding that the client prefers.
    fn compressed(
        &self,
        path: &Path,
        metadata: &Metadata,
        request: &FileRequest,
    ) -> Option<(Coding, File, Metadata)> {
        let accept = request.fields.get_all(header::ACCEPT_ENCODING);
        let is_older = |other: &Metadata| match (other.modified(), metadata.modified()) {
            (Ok(other), Ok(own)) => other < own,
            _ => false,
        };
        let mut offered = Coding::ALL.to_vec();
        while let Some(coding) = negotiate(accept.iter().map(HeaderValue::as_bytes), &offered) {
            let mut name = path.as_os_str().to_owned();
            name.push(coding.extension());
            match open::open_below(&self.root, Path::new(&name)) {
                Ok(OpenedPath::File(file, metadata)) if !is_older(&metadata) => {
                    return Some((coding, file, metadata));
                }
                _ => offered.retain(|other| *other != coding),
            }
        }
        None
    }

    /// Opens the index file of a directory.
    fn index_of(&self, path: &mut PathBuf) -> io::Result<(File, Metadata)> {
        let index = self.index.as_ref().ok_or(io::ErrorKind::NotFound)?;
        path.push(index);
        match open::open_below(&self.root, path)? {
            OpenedPath::File(file, metadata) => Ok((file, metadata)),
            OpenedPath::Directory | OpenedPath::Other => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Returns the reply with the requested part of a file. Small parts are read, so this blocks.
fn send(
    path: &Path,
    file: File,
    metadata: &Metadata,
    request: &FileRequest,
) -> io::Result<FileReply> {
    let now = SystemTime::now();
    let validators = validators(metadata, now);
    let length = validators.length;
    let mut fields = HeaderMap::with_capacity(6);
    let mut set = |name, value: String| {
        if let Ok(value) = HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) {
            fields.insert(name, value);
        }
    };
    set(header::ETAG, validators.etag.clone());
    if let Some(modified) = validators.modified {
        set(header::LAST_MODIFIED, httpdate::fmt_http_date(modified));
    }
    let outcome = conditional::evaluate(&request.method, &request.fields, &validators, now);
    let mut kind = content_type(path);
    let selected = SelectedRepresentation {
        content_type: kind.clone(),
        length,
        is_encoded: false,
    };
    let (status, content) = match outcome {
        ConditionalOutcome::Whole | ConditionalOutcome::Part(RequestedRange::Whole)
            if request.method == Method::HEAD =>
        {
            // Only the length is sent.
            let range = FileRange::new(file, 0, length);
            (StatusCode::OK, Content::File(range))
        }
        ConditionalOutcome::Whole | ConditionalOutcome::Part(RequestedRange::Whole) => {
            (StatusCode::OK, Content::read(file, 0, length)?)
        }
        ConditionalOutcome::Part(RequestedRange::Bytes(part)) => {
            let ByteRange { first, last } = part;
            let range = format!("bytes {first}-{last}/{length}");
            set(header::CONTENT_RANGE, range);
            let content = Content::read(file, first, part.len())?;
            (StatusCode::PARTIAL_CONTENT, content)
        }
        ConditionalOutcome::Part(RequestedRange::Several(parts)) => {
            let parts = Byteranges::new(file, length, &kind, &parts);
            kind = parts.content_type();
            (StatusCode::PARTIAL_CONTENT, Content::read_parts(parts)?)
        }
        ConditionalOutcome::Part(RequestedRange::Unsatisfiable) => {
            let mut error = HttpError::from_status(StatusCode::RANGE_NOT_SATISFIABLE);
            if let Ok(length) = HeaderValue::try_from(format!("bytes */{length}")) {
                error = error.with_header(header::CONTENT_RANGE, length);
            }
            return Ok(FileReply::Refuse(error));
        }
        ConditionalOutcome::PreconditionFailed => {
            let error = HttpError::from_status(StatusCode::PRECONDITION_FAILED);
            return Ok(FileReply::Refuse(error));
        }
        ConditionalOutcome::NotModified => (StatusCode::NOT_MODIFIED, Content::Empty),
    };
    if status != StatusCode::NOT_MODIFIED {
        set(header::CONTENT_TYPE, kind);
        set(header::ACCEPT_RANGES, "bytes".into());
    }
    Ok(FileReply::Response(Box::new(FileResponse {
        status,
        fields,
        content,
        selected: (status != StatusCode::OK).then_some(selected),
    })))
}

/// Returns the validators of a file.
///
/// The entity tag changes with the content, even if all files have the same modification time, as in reproducible images: the status change
/// time cannot be set, and a file that replaces another one has another inode.
fn validators(metadata: &Metadata, now: SystemTime) -> Validators {
    let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified = metadata.modified().map(since_1970).unwrap_or_default();
    // A time in the future must not be sent (RFC 9110, section 8.8.2.1), and the times 0 and 1 mean that the time is unknown.
    let seconds = modified.min(since_1970(now)).as_secs();
    let changed = i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec());
    Validators {
        etag: format!(
            "\"{:x}-{:x}-{:x}-{changed:x}\"",
            metadata.len(),
            modified.as_nanos(),
            metadata.ino(),
        ),
        modified: (seconds > 1).then(|| UNIX_EPOCH + Duration::from_secs(seconds)),
        length: metadata.len(),
    }
}

/// Returns the content type for the extension. Text files are assumed to be UTF-8.
fn content_type(path: &Path) -> String {
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    match mime.type_() == mime_guess::mime::TEXT {
        true => format!("{mime}; charset=utf-8"),
        false => mime.to_string(),
    }
}

#[cfg(test)]
mod tests;
