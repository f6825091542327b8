//! Files that are sent as they are.

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
use conditional::{Outcome, Validators};
use content::Content;
use open::Found;
use path::Below;
use range::{ByteRange, Part};

use crate::content_coding::{Coding, negotiate};
use crate::response::Selected;
use crate::routing::names_segments;
use crate::{HttpError, LocalFuture, Request, Response};

/// The files of a directory, as a handler. Needs the feature `files`.
///
/// GET and HEAD are answered, with an entity tag and the time of the last modification; conditional requests and
/// ranges are understood (RFC 9110, sections 13 and 14), several at a time, too. The type is known by the extension.
///
/// Nothing outside of the directory is served: not by `..`, in whatever encoding, nor by symbolic links that lead out of
/// it. What is no regular file is not found, and names that begin with a dot are not either, unless [asked
/// for](StaticFiles::dotfiles). A request is answered with 404 if its path has an escaped `/`, `\` or NUL, an empty segment, `.`
/// or `..` anywhere: so there is one path to each file, and a route or middleware that guards this path
/// ([`Request::path`]) cannot be passed by another one. What has several names in the file system needs a guard for each: an
/// index file, which is also sent for its directory, the target of a symbolic link, and every file where case does not matter (macOS).
/// A regular expression is no guard, since it comes after every other pattern.
///
/// A directory without a slash at the end is redirected to the one with it, and answered with its index file; there are no listings.
///
/// Files are opened on the pool of blocking jobs. Small ones are read there, and sent from memory; of larger ones the kernel
/// sends what the client takes ([`sendfile`](StaticFiles::sendfile)). Where it cannot, as with TLS, and for several ranges, they
/// are read on the pool as fast as the client takes them. When a file becomes shorter while it is sent, the connection is cut.
///
/// # Limits
/// 64 KiB of a file are read at once, and up to so many are sent from memory. Of 16 ranges in a request, those that overlap
/// or are 80 bytes apart at most become one; more of them, or as many bytes in them as in the file, are answered with the whole.
///
/// The entity tag is made of length, modification time, inode and status change time. It does not change if a file is rewritten in
/// place with the same length within one tick of the kernel's clock, 4 ms on most systems.
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
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    root: PathBuf,
    index: Option<PathBuf>,
    dotfiles: bool,
    cache_control: Option<HeaderValue>,
    sendfile: bool,
    precompressed: bool,
}

/// What a request asks of files.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    /// The path in normal form.
    path: Box<str>,
    query: Option<Box<str>>,
    fields: HeaderMap,
}

impl Asked {
    fn of(request: &Request) -> Asked {
        Asked {
            method: request.method().clone(),
            path: request.path().into(),
            query: request.query_string().map(Into::into),
            fields: request.headers(),
        }
    }
}

/// What it gets.
enum Plan {
    Answer(Box<Answer>),
    /// To the same path with a slash.
    Redirect,
    Refuse(HttpError),
}

/// A response in the making.
struct Answer {
    status: StatusCode,
    fields: HeaderMap,
    content: Content,
    /// The whole file, if this is not all of it.
    selected: Option<Selected>,
}

impl Answer {
    /// Marks the file as one that is compressed.
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
    /// Serves the files below a directory, which is looked up anew for each request.
    pub fn new(directory: impl Into<PathBuf>) -> StaticFiles {
        StaticFiles {
            settings: Arc::new(Settings {
                root: directory.into(),
                index: Some("index.html".into()),
                dotfiles: false,
                cache_control: None,
                sendfile: true,
                precompressed: false,
            }),
        }
    }

    /// Sets the file that a directory is answered with; `None` for none, then directories are not found. Default: `index.html`.
    pub fn index(mut self, name: impl Into<Option<&'static str>>) -> StaticFiles {
        Arc::make_mut(&mut self.settings).index = name.into().map(PathBuf::from);
        self
    }

    /// Sets whether files and directories whose names begin with a dot are served. Default: `false`.
    pub fn dotfiles(mut self, served: bool) -> StaticFiles {
        Arc::make_mut(&mut self.settings).dotfiles = served;
        self
    }

    /// Sets the `Cache-Control` of what is served. Default: none, so that clients ask again when they see fit.
    pub fn cache_control(mut self, value: HeaderValue) -> StaticFiles {
        Arc::make_mut(&mut self.settings).cache_control = Some(value);
        self
    }

    /// Sets whether the kernel sends files of more than 64 KiB to clients without TLS, where the system has `sendfile` (Linux).
    ///
    /// That costs a fraction of reading and writing them, but a file that has to be fetched from the disk first holds the
    /// thread's loop up meanwhile. Switch it off for disks that are slow, such as those on a network. Default: `true`.
    pub fn sendfile(mut self, by_kernel: bool) -> StaticFiles {
        Arc::make_mut(&mut self.settings).sendfile = by_kernel;
        self
    }

    /// Sets whether `name.br`, `name.zst` or `name.gz` is sent for `name`, if the client accepts that coding and the compressed file is
    /// not older. All responses then have `Vary: Accept-Encoding`. Default: `false`.
    ///
    /// The compressed file has its own entity tag, and ranges are ranges of its bytes. Each coding that the client accepts costs
    /// an attempt to open a file, until one exists.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::StaticFiles;
    ///
    /// // Once: gzip --keep public/app.js
    /// let files = StaticFiles::new("public").precompressed(true);
    /// ```
    pub fn precompressed(mut self, served: bool) -> StaticFiles {
        Arc::make_mut(&mut self.settings).precompressed = served;
        self
    }

    /// A handler that answers with the file that the parameter `path` of the route names, or with that of the directory itself
    /// when there is none.
    pub fn handler(self) -> impl Fn(Request) -> LocalFuture<Response> + 'static {
        move |request| {
            let path = request.param("path").unwrap_or_default().to_owned();
            Box::pin(self.serve(&request, &path))
        }
    }

    /// Answers with the file at a path below the directory, percent-decoded, as a route's parameters are.
    ///
    /// The path of the request has to be one that is served, whatever `path` is: see [`StaticFiles`].
    pub fn serve(&self, request: &Request, path: &str) -> impl Future<Output = Response> + use<> {
        self.answer(path, Asked::of(request))
    }

    fn answer(&self, decoded: &str, asked: Asked) -> impl Future<Output = Response> + use<> {
        let settings = Arc::clone(&self.settings);
        let below = match names_segments(&asked.path) {
            true => path::below(decoded, settings.dotfiles),
            // Guards have seen other segments than the file would have.
            false => None,
        };
        async move {
            let Some(below) = below else {
                return HttpError::not_found().into();
            };
            let by_kernel = settings.sendfile;
            planned(asked, by_kernel, move |asked| settings.plan(below, asked)).await
        }
    }
}

impl Response {
    /// Answers a request with a file, as [`StaticFiles`] does: conditional requests and ranges are understood.
    ///
    /// The path is the program's own: it may lead anywhere, and is not to be made of what a client has sent.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request, Response};
    ///
    /// HttpServer::new().get("/report", |req: Request| Response::file(&req, "report.pdf"));
    /// ```
    pub fn file(request: &Request, path: impl Into<PathBuf>) -> LocalFuture<Response> {
        Box::pin(file(path.into(), Asked::of(request)))
    }
}

fn file(path: PathBuf, asked: Asked) -> impl Future<Output = Response> + 'static {
    planned(asked, true, move |asked| match open::anywhere(&path)? {
        Found::File(file, metadata) => send(&path, file, &metadata, asked),
        Found::Directory | Found::Other => Err(io::ErrorKind::NotFound.into()),
    })
}

/// Makes a response of a plan that is made on the pool of blocking jobs.
async fn planned(
    asked: Asked,
    by_kernel: bool,
    plan: impl FnOnce(&Asked) -> io::Result<Plan> + Send + 'static,
) -> Response {
    if asked.method != Method::GET && asked.method != Method::HEAD {
        let error = HttpError::from_status(StatusCode::METHOD_NOT_ALLOWED);
        let allowed = HeaderValue::from_static("GET, HEAD");
        return error.with_header(header::ALLOW, allowed).into();
    }
    let location = redirection(&asked);
    let job = spawn_blocking(move || plan(&asked));
    match job.await {
        Ok(Ok(Plan::Answer(answer))) => answer.into_response(by_kernel),
        Ok(Ok(Plan::Redirect)) => {
            Response::redirect(&location).with_status(StatusCode::MOVED_PERMANENTLY)
        }
        Ok(Ok(Plan::Refuse(error))) => error.into(),
        Ok(Err(error)) => failure(error).into(),
        Err(error) => HttpError::from(error).into(),
    }
}

/// The same path with a slash. It is relative, so that a path such as `//elsewhere.example` leads nowhere else.
fn redirection(asked: &Asked) -> String {
    let name = asked.path.rsplit('/').next().unwrap_or_default();
    match &asked.query {
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

impl Settings {
    /// Finds the file; this blocks.
    fn plan(&self, below: Below, asked: &Asked) -> io::Result<Plan> {
        let Below {
            mut path,
            directory,
        } = below;
        if !directory {
            match open::below(&self.root, &path)? {
                Found::File(file, metadata) => return self.send(&path, file, metadata, asked),
                Found::Directory => {
                    // Only to where something is.
                    self.index_of(&mut path)?;
                    return Ok(Plan::Redirect);
                }
                Found::Other => return Err(io::ErrorKind::NotFound.into()),
            }
        }
        let (file, metadata) = self.index_of(&mut path)?;
        self.send(&path, file, metadata, asked)
    }

    /// Answers with a file, or with the compressed one beside it.
    fn send(&self, path: &Path, file: File, metadata: Metadata, asked: &Asked) -> io::Result<Plan> {
        let compressed = match self.precompressed {
            true => self.compressed(path, &metadata, asked),
            false => None,
        };
        let (coding, file, metadata) = match compressed {
            Some((coding, file, metadata)) => (Some(coding), file, metadata),
            None => (None, file, metadata),
        };
        let mut plan = send(path, file, &metadata, asked)?;
        if let Plan::Answer(answer) = &mut plan {
            if let Some(coding) = coding {
                answer.set_coding(coding);
            }
            if let Some(value) = &self.cache_control {
                answer.fields.insert(header::CACHE_CONTROL, value.clone());
            }
            if self.precompressed {
                let coding = HeaderValue::from_static("accept-encoding");
                answer.fields.insert(header::VARY, coding);
            }
        }
        Ok(plan)
    }

    /// Opens the compressed file beside a file, in the coding that the client likes best of those there are.
    fn compressed(
        &self,
        path: &Path,
        metadata: &Metadata,
        asked: &Asked,
    ) -> Option<(Coding, File, Metadata)> {
        let accept = asked.fields.get_all(header::ACCEPT_ENCODING);
        let is_older = |other: &Metadata| match (other.modified(), metadata.modified()) {
            (Ok(other), Ok(own)) => other < own,
            _ => false,
        };
        let mut offered = Coding::ALL.to_vec();
        while let Some(coding) = negotiate(accept.iter().map(HeaderValue::as_bytes), &offered) {
            let mut name = path.as_os_str().to_owned();
            name.push(coding.extension());
            match open::below(&self.root, Path::new(&name)) {
                Ok(Found::File(file, metadata)) if !is_older(&metadata) => {
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
        match open::below(&self.root, path)? {
            Found::File(file, metadata) => Ok((file, metadata)),
            Found::Directory | Found::Other => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// Answers with what the request asks of a file; a small one is read, so this blocks.
fn send(path: &Path, file: File, metadata: &Metadata, asked: &Asked) -> io::Result<Plan> {
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
    let outcome = conditional::outcome(&asked.method, &asked.fields, &validators, now);
    let mut kind = content_type(path);
    let selected = Selected {
        content_type: kind.clone(),
        length,
        is_encoded: false,
    };
    let (status, content) = match outcome {
        Outcome::Whole | Outcome::Part(Part::Whole) if asked.method == Method::HEAD => {
            // Only its length is sent.
            let range = FileRange::new(file, 0, length);
            (StatusCode::OK, Content::File(range))
        }
        Outcome::Whole | Outcome::Part(Part::Whole) => {
            (StatusCode::OK, Content::read(file, 0, length)?)
        }
        Outcome::Part(Part::Bytes(part)) => {
            let ByteRange { first, last } = part;
            let place = format!("bytes {first}-{last}/{length}");
            set(header::CONTENT_RANGE, place);
            let content = Content::read(file, first, part.len())?;
            (StatusCode::PARTIAL_CONTENT, content)
        }
        Outcome::Part(Part::Several(parts)) => {
            let parts = Byteranges::new(file, length, &kind, &parts);
            kind = parts.content_type();
            (StatusCode::PARTIAL_CONTENT, Content::read_parts(parts)?)
        }
        Outcome::Part(Part::Unsatisfiable) => {
            let mut error = HttpError::from_status(StatusCode::RANGE_NOT_SATISFIABLE);
            if let Ok(length) = HeaderValue::try_from(format!("bytes */{length}")) {
                error = error.with_header(header::CONTENT_RANGE, length);
            }
            return Ok(Plan::Refuse(error));
        }
        Outcome::PreconditionFailed => {
            let error = HttpError::from_status(StatusCode::PRECONDITION_FAILED);
            return Ok(Plan::Refuse(error));
        }
        Outcome::NotModified => (StatusCode::NOT_MODIFIED, Content::Empty),
    };
    if status != StatusCode::NOT_MODIFIED {
        set(header::CONTENT_TYPE, kind);
        set(header::ACCEPT_RANGES, "bytes".into());
    }
    Ok(Plan::Answer(Box::new(Answer {
        status,
        fields,
        content,
        selected: (status != StatusCode::OK).then_some(selected),
    })))
}

/// Returns the validators of a file.
///
/// The entity tag changes with the content, also where all files have the same modification time, as in reproducible images: the
/// status change time cannot be set, and a file that replaces another one has another inode.
fn validators(metadata: &Metadata, now: SystemTime) -> Validators {
    let since_1970 = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let modified = metadata.modified().map(since_1970).unwrap_or_default();
    // A time in the future is not sent (RFC 9110, section 8.8.2.1), and 0 and 1 stand for no time.
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

/// The type by the extension. Texts are taken for UTF-8, which most are.
fn content_type(path: &Path) -> String {
    let mime = mime_guess::from_path(path).first_or_octet_stream();
    match mime.type_() == mime_guess::mime::TEXT {
        true => format!("{mime}; charset=utf-8"),
        false => mime.to_string(),
    }
}

#[cfg(test)]
mod tests;
