use std::fs;

use futures::StreamExt as _;
use uptick_event_loop::block_on;

use super::*;
use crate::Body;

/// A directory with files, which is removed on drop.
struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(name: &str) -> TestDirectory {
        let name = format!("uptick-http-static-{name}-{}", std::process::id());
        let directory = TestDirectory(std::env::temp_dir().join(name));
        let site = directory.0.join("site");
        fs::create_dir_all(site.join("docs")).unwrap();
        fs::create_dir_all(site.join("empty")).unwrap();
        for (file, text) in [
            ("a.txt", "0123456789"),
            ("index.html", "<h1>home</h1>"),
            ("docs/index.html", "docs"),
            ("none.txt", ""),
            (".env", "secret"),
            ("no-extension", "?"),
        ] {
            fs::write(site.join(file), text).unwrap();
        }
        fs::write(directory.0.join("outside"), "secret").unwrap();
        directory
    }

    fn files(&self) -> StaticFiles {
        StaticFiles::new(self.0.join("site"))
    }

    fn get(&self, path: &str, fields: &[(&'static str, &str)]) -> ReadResponse {
        read(
            self.files()
                .respond(path, file_request(Method::GET, path, fields)),
        )
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file_request(method: Method, target: &str, fields: &[(&'static str, &str)]) -> FileRequest {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.into())),
        None => (target, None),
    };
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    FileRequest {
        method,
        path: path.into(),
        query,
        fields: map,
    }
}

/// A response with its body.
#[derive(Debug)]
struct ReadResponse {
    status: u16,
    fields: HeaderMap,
    length: Option<u64>,
    body: String,
}

impl ReadResponse {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }
}

fn read(response: impl Future<Output = Response> + 'static) -> ReadResponse {
    let reading = async move {
        let mut response = response.await;
        let length = response.body().len();
        let body = match response.take_body() {
            Body::File(mut range) => range.read(usize::MAX).unwrap().to_vec(),
            Body::Stream(stream) => {
                let (mut bytes, mut pieces) = (Vec::new(), stream.into_parts().0);
                while let Some(piece) = pieces.next().await {
                    bytes.extend(piece.unwrap());
                }
                bytes
            }
            body => body.as_bytes().unwrap_or_default().to_vec(),
        };
        ReadResponse {
            status: response.status().as_u16(),
            fields: response.header_map().cloned().unwrap_or_default(),
            length,
            body: String::from_utf8(body).unwrap(),
        }
    };
    block_on(reading).unwrap()
}

#[test]
fn a_file_is_sent_with_its_type_and_validators() {
    let directory = TestDirectory::new("whole");
    let response = directory.get("a.txt", &[]);
    assert_eq!(
        (response.status, response.body.as_str()),
        (200, "0123456789")
    );
    assert_eq!(
        response.field("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(response.field("accept-ranges"), Some("bytes"));
    assert!(response.field("etag").unwrap().starts_with("\"a-"));
    assert!(response.field("last-modified").unwrap().ends_with(" GMT"));
    assert_eq!(response.field("cache-control"), None);
    let unknown = directory.get("no-extension", &[]);
    let expected = Some("application/octet-stream");
    assert_eq!(unknown.field("content-type"), expected);
    assert_eq!(directory.get("none.txt", &[]).length, Some(0));
}

#[test]
fn a_satisfiable_range_gets_206_and_an_unsatisfiable_range_gets_416() {
    let directory = TestDirectory::new("range");
    let part = directory.get("a.txt", &[("range", "bytes=2-4")]);
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    let none = directory.get("a.txt", &[("range", "bytes=10-")]);
    assert_eq!(none.status, 416);
    assert_eq!(none.body, "Range Not Satisfiable\n");
    assert_eq!(none.field("content-range"), Some("bytes */10"));
    assert_eq!(none.field("etag"), None);
}

#[test]
fn several_parts_are_sent_together_unless_they_are_nearly_the_whole_file() {
    let directory = TestDirectory::new("parts");
    let text: String = (b'a'..=b'z').cycle().take(1000).map(char::from).collect();
    fs::write(directory.0.join("site/b.txt"), &text).unwrap();
    let parts = directory.get("b.txt", &[("range", "bytes=990-,0-4")]);
    assert_eq!((parts.status, parts.field("content-range")), (206, None));
    let kind = parts.field("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let last = &text[990..];
    let expected = format!(
        "--{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Range: bytes 990-999/1000\r\n\r\n{last}\r\n\
         --{boundary}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Range: bytes 0-4/1000\r\n\r\nabcde\r\n--{boundary}--\r\n"
    );
    assert_eq!(parts.body, expected);
    assert_eq!(parts.length, Some(expected.len() as u64));
    assert!(parts.field("etag").is_some());
    let nearly_all = directory.get("b.txt", &[("range", "bytes=0-499,600-")]);
    assert_eq!((nearly_all.status, nearly_all.length), (200, Some(1000)));
}

#[test]
fn several_large_parts_are_streamed() {
    let directory = TestDirectory::new("large-parts");
    let text: String = ('a'..='z').cycle().take(1_000_000).collect();
    fs::write(directory.0.join("site/b.txt"), &text).unwrap();
    let parts = directory.get("b.txt", &[("range", "bytes=1-100000,500000-599999")]);
    assert_eq!(parts.status, 206);
    assert_eq!(parts.length, Some(parts.body.len() as u64));
    assert!(parts.body.contains(&text[1..=100_000]));
    assert!(parts.body.contains(&text[500_000..600_000]));
}

#[test]
fn the_kernel_sends_large_files_unless_sendfile_is_disabled() {
    let directory = TestDirectory::new("kernel");
    fs::write(directory.0.join("site/large"), vec![b'x'; 100_000]).unwrap();
    let body = |files: StaticFiles| {
        let response = files.respond("large", file_request(Method::GET, "/large", &[]));
        block_on(async move { response.await.take_body() }).unwrap()
    };
    assert!(matches!(body(directory.files()), Body::File(_)));
    let read = body(directory.files().sendfile(false));
    assert!(matches!(read, Body::Stream(_)));
    assert_eq!(read.len(), Some(100_000));
}

#[test]
fn an_unchanged_file_gets_304_and_a_changed_file_is_sent() {
    let directory = TestDirectory::new("conditional");
    let first = directory.get("a.txt", &[]);
    let etag = first.field("etag").unwrap().to_owned();
    let modified = first.field("last-modified").unwrap().to_owned();
    let again = directory.get("a.txt", &[("if-none-match", &etag)]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(again.field("etag"), Some(etag.as_str()));
    let again = directory.get("a.txt", &[("if-modified-since", &modified)]);
    assert_eq!(again.status, 304);

    fs::write(directory.0.join("site/a.txt"), "changed").unwrap();
    let changed = directory.get("a.txt", &[("if-none-match", &etag)]);
    assert_eq!((changed.status, changed.body.as_str()), (200, "changed"));
    let failed = directory.get("a.txt", &[("if-match", &etag)]);
    assert_eq!(failed.status, 412);
    assert_eq!(failed.body, "Precondition Failed\n");
    let range = [("range", "bytes=0-1"), ("if-range", etag.as_str())];
    assert_eq!(directory.get("a.txt", &range).status, 200);
}

#[test]
fn directories_are_redirected_to_a_trailing_slash_and_serve_their_index() {
    let directory = TestDirectory::new("index");
    assert_eq!(directory.get("/", &[]).body, "<h1>home</h1>");
    assert_eq!(directory.get("docs/", &[]).body, "docs");
    let redirect = directory.get("docs", &[]);
    assert_eq!(
        (redirect.status, redirect.field("location")),
        (301, Some("./docs/"))
    );
    assert_eq!(directory.get("empty", &[]).status, 404);
    assert_eq!(directory.get("empty/", &[]).status, 404);
    assert_eq!(directory.get("a.txt/", &[]).status, 404);
    let files = directory.files().index(None);
    let none = read(files.respond("docs/", file_request(Method::GET, "/docs/", &[])));
    assert_eq!(none.status, 404);
}

#[test]
fn a_redirect_stays_on_this_server_and_keeps_the_query() {
    let directory = TestDirectory::new("redirect");
    let redirect = |path| {
        read(
            directory
                .files()
                .respond("docs", file_request(Method::GET, path, &[])),
        )
    };
    let relative = redirect("/evil.example:80/docs?a=1&b");
    assert_eq!(relative.field("location"), Some("./docs/?a=1&b"));
    assert_eq!(redirect("//evil.example/docs").status, 404);
}

#[test]
fn paths_that_are_not_served_are_not_found() {
    let directory = TestDirectory::new("hidden");
    std::os::unix::fs::symlink("../outside", directory.0.join("site/link")).unwrap();
    let long = "x".repeat(5000);
    for path in [
        "../outside",
        "link",
        ".env",
        "none",
        "a.txt/x",
        "a\0",
        &long,
    ] {
        assert_eq!(directory.get(path, &[]).status, 404, "{path:.20?}");
    }
    let files = directory.files().dotfiles(true);
    let shown = read(files.respond(".env", file_request(Method::GET, "/.env", &[])));
    assert_eq!(shown.body, "secret");
}

#[test]
fn methods_other_than_get_and_head_get_405() {
    let directory = TestDirectory::new("methods");
    let response = |method| {
        read(
            directory
                .files()
                .respond("a.txt", file_request(method, "/a.txt", &[])),
        )
    };
    let head = response(Method::HEAD);
    assert_eq!((head.status, head.length), (200, Some(10)));
    let post = response(Method::POST);
    assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn the_cache_control_header_can_be_set() {
    let directory = TestDirectory::new("cache");
    let value = HeaderValue::from_static("public, max-age=60");
    let files = directory.files().cache_control(value);
    let first = read(files.respond("a.txt", file_request(Method::GET, "/a.txt", &[])));
    assert_eq!(first.field("cache-control"), Some("public, max-age=60"));
    let etag = first.field("etag").unwrap();
    let fields = [("if-none-match", etag)];
    let again = read(files.respond("a.txt", file_request(Method::GET, "/a.txt", &fields)));
    assert_eq!(again.field("cache-control"), Some("public, max-age=60"));
}

#[test]
fn a_single_file_is_served_by_its_path() {
    let directory = TestDirectory::new("one");
    let serve = |path: &str| {
        read(file(
            directory.0.join(path),
            file_request(Method::GET, "/x", &[]),
        ))
    };
    assert_eq!(serve("outside").body, "secret");
    assert_eq!(serve("site").status, 404);
    assert_eq!(serve("none").status, 404);
}

/// Replaces the text of a file and sets its modification time. Repeats this until the change time (ctime) differs from the previous one.
fn replace_in_place(path: &Path, text: &str, modified: SystemTime) {
    let changed = |metadata: Metadata| (metadata.ctime(), metadata.ctime_nsec());
    let before = fs::metadata(path).ok().map(changed);
    loop {
        fs::write(path, text).unwrap();
        let file = File::options().write(true).open(path).unwrap();
        file.set_modified(modified).unwrap();
        if Some(changed(fs::metadata(path).unwrap())) != before {
            return;
        }
    }
}

#[test]
fn the_etag_changes_with_the_content_even_if_modification_time_and_length_are_equal() {
    let directory = TestDirectory::new("times");
    let path = directory.0.join("site/b.txt");
    for seconds in [0, 1, 1_000_000_000] {
        let modified = UNIX_EPOCH + Duration::from_secs(seconds);
        replace_in_place(&path, "one", modified);
        let first = directory.get("b.txt", &[]);
        assert_eq!(first.body, "one");
        let has_date = first.field("last-modified").is_some();
        assert_eq!(has_date, seconds > 1, "{seconds}");
        let etag = first.field("etag").unwrap().to_owned();
        assert_eq!(
            directory.get("b.txt", &[("if-none-match", &etag)]).status,
            304
        );

        replace_in_place(&path, "two", modified);
        let in_place = directory.get("b.txt", &[("if-none-match", &etag)]);
        assert_eq!((in_place.status, in_place.body.as_str()), (200, "two"));
        let part = [("range", "bytes=1-"), ("if-range", etag.as_str())];
        assert_eq!(directory.get("b.txt", &part).status, 200);

        let etag = in_place.field("etag").unwrap().to_owned();
        let other = directory.0.join("site/other");
        replace_in_place(&other, "six", modified);
        fs::rename(&other, &path).unwrap();
        let renamed = directory.get("b.txt", &[("if-none-match", &etag)]);
        assert_eq!((renamed.status, renamed.body.as_str()), (200, "six"));
    }
}

#[test]
fn a_precompressed_file_is_sent_to_clients_that_accept_it() {
    let directory = TestDirectory::new("beside");
    let site = directory.0.join("site");
    for (name, text) in [
        ("a.txt.gz", "gzipped"),
        ("a.txt.br", "brotli"),
        ("docs/index.html.gz", "index"),
    ] {
        fs::write(site.join(name), text).unwrap();
    }
    let files = directory.files().precompressed(true);
    let send = |method, path: &str, fields: &[(&'static str, &str)]| {
        read(files.respond(path, file_request(method, &format!("/{path}"), fields)))
    };
    let get = |path: &str, accept: &str| send(Method::GET, path, &[("accept-encoding", accept)]);
    for (accept, coding, body) in [
        ("gzip, br, zstd", Some("br"), "brotli"),
        ("zstd, gzip", Some("gzip"), "gzipped"),
        ("gzip, br;q=0.5", Some("gzip"), "gzipped"),
        ("zstd", None, "0123456789"),
        ("identity, gzip;q=0.5", None, "0123456789"),
        ("", None, "0123456789"),
    ] {
        let response = get("a.txt", accept);
        assert_eq!(
            (
                response.status,
                response.field("content-encoding"),
                response.body.as_str()
            ),
            (200, coding, body),
            "{accept}"
        );
        assert_eq!(
            response.field("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert_eq!(response.field("vary"), Some("accept-encoding"));
        let head = send(Method::HEAD, "a.txt", &[("accept-encoding", accept)]);
        assert_eq!(
            (head.fields, head.length),
            (response.fields, response.length)
        );
    }
    let lines = [("accept-encoding", "zstd"), ("accept-encoding", "gzip")];
    assert_eq!(send(Method::GET, "a.txt", &lines).body, "gzipped");
    assert_eq!(get("docs/", "gzip").body, "index");
    let direct = get("a.txt.gz", "gzip");
    assert_eq!(
        (direct.field("content-encoding"), direct.body.as_str()),
        (None, "gzipped")
    );
    let without = read(directory.files().respond(
        "a.txt",
        file_request(Method::GET, "/a.txt", &[("accept-encoding", "gzip")]),
    ));
    assert_eq!(
        (without.field("vary"), without.body.as_str()),
        (None, "0123456789")
    );
}

#[test]
fn a_precompressed_file_has_its_own_validators_and_ranges() {
    let directory = TestDirectory::new("beside-conditional");
    let site = directory.0.join("site");
    fs::write(site.join("a.txt.gz"), "gzipped").unwrap();
    let files = directory.files().precompressed(true);
    let get = |fields: &[(&'static str, &str)]| {
        read(files.respond("a.txt", file_request(Method::GET, "/a.txt", fields)))
    };
    let gzip = ("accept-encoding", "gzip");
    let (plain, small) = (get(&[]), get(&[gzip]));
    let tag = small.field("etag").unwrap();
    assert_ne!(plain.field("etag"), Some(tag));
    let again = get(&[gzip, ("if-none-match", tag)]);
    assert_eq!(
        (again.status, again.field("etag"), again.field("vary")),
        (304, Some(tag), Some("accept-encoding"))
    );
    assert_eq!(get(&[("if-none-match", tag)]).status, 200);
    let part = get(&[gzip, ("range", "bytes=1-2"), ("if-range", tag)]);
    assert_eq!((part.status, part.body.as_str()), (206, "zi"));
    assert_eq!(part.field("content-encoding"), Some("gzip"));
    assert_eq!(part.field("content-range"), Some("bytes 1-2/7"));
    assert_eq!(
        (part.field("etag"), part.field("vary")),
        (Some(tag), Some("accept-encoding"))
    );
}

#[test]
fn a_precompressed_file_that_is_older_or_outside_of_the_directory_is_ignored() {
    let directory = TestDirectory::new("beside-stale");
    let site = directory.0.join("site");
    fs::write(site.join("a.txt.gz"), "stale").unwrap();
    let older = fs::metadata(site.join("a.txt"))
        .unwrap()
        .modified()
        .unwrap()
        - Duration::from_secs(1);
    let file = File::options()
        .write(true)
        .open(site.join("a.txt.gz"))
        .unwrap();
    file.set_modified(older).unwrap();
    std::os::unix::fs::symlink("../outside", site.join("a.txt.br")).unwrap();
    fs::create_dir(site.join("a.txt.zst")).unwrap();
    let fields = [("accept-encoding", "gzip, br, zstd")];
    let files = directory.files().precompressed(true);
    let response = read(files.respond("a.txt", file_request(Method::GET, "/a.txt", &fields)));
    assert_eq!(
        (response.field("content-encoding"), response.body.as_str()),
        (None, "0123456789")
    );
}
