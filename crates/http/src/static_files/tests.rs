use std::fs;

use futures::StreamExt as _;
use uptick_event_loop::block_on;

use super::*;
use crate::Body;

/// A directory with files, that is removed at the end.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let name = format!("uptick-http-static-{name}-{}", std::process::id());
        let place = Place(std::env::temp_dir().join(name));
        let site = place.0.join("site");
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
        fs::write(place.0.join("outside"), "secret").unwrap();
        place
    }

    fn files(&self) -> StaticFiles {
        StaticFiles::new(self.0.join("site"))
    }

    fn get(&self, path: &str, fields: &[(&'static str, &str)]) -> Got {
        got(self.files().answer(path, asked(Method::GET, path, fields)))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn asked(method: Method, target: &str, fields: &[(&'static str, &str)]) -> Asked {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.into())),
        None => (target, None),
    };
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    Asked {
        method,
        path: path.into(),
        query,
        fields: map,
    }
}

/// A response that was read.
#[derive(Debug)]
struct Got {
    status: u16,
    fields: HeaderMap,
    length: Option<u64>,
    body: String,
}

impl Got {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.to_str().ok()
    }
}

fn got(answer: impl Future<Output = Response> + 'static) -> Got {
    let reading = async move {
        let mut response = answer.await;
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
        Got {
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
    let place = Place::new("whole");
    let got = place.get("a.txt", &[]);
    assert_eq!((got.status, got.body.as_str()), (200, "0123456789"));
    assert_eq!(got.field("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(got.field("accept-ranges"), Some("bytes"));
    assert!(got.field("etag").unwrap().starts_with("\"a-"));
    assert!(got.field("last-modified").unwrap().ends_with(" GMT"));
    assert_eq!(got.field("cache-control"), None);
    let unknown = place.get("no-extension", &[]);
    let expected = Some("application/octet-stream");
    assert_eq!(unknown.field("content-type"), expected);
    assert_eq!(place.get("none.txt", &[]).length, Some(0));
}

#[test]
fn a_part_is_206_and_none_is_416() {
    let place = Place::new("range");
    let part = place.get("a.txt", &[("range", "bytes=2-4")]);
    assert_eq!((part.status, part.body.as_str()), (206, "234"));
    assert_eq!(part.field("content-range"), Some("bytes 2-4/10"));
    let none = place.get("a.txt", &[("range", "bytes=10-")]);
    assert_eq!(none.status, 416);
    assert_eq!(none.body, "Range Not Satisfiable\n");
    assert_eq!(none.field("content-range"), Some("bytes */10"));
    assert_eq!(none.field("etag"), None);
}

#[test]
fn several_parts_are_sent_together_unless_they_are_nearly_all() {
    let place = Place::new("parts");
    let text: String = (b'a'..=b'z').cycle().take(1000).map(char::from).collect();
    fs::write(place.0.join("site/b.txt"), &text).unwrap();
    let parts = place.get("b.txt", &[("range", "bytes=990-,0-4")]);
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
    let nearly_all = place.get("b.txt", &[("range", "bytes=0-499,600-")]);
    assert_eq!((nearly_all.status, nearly_all.length), (200, Some(1000)));
}

#[test]
fn several_large_parts_are_streamed() {
    let place = Place::new("large-parts");
    let text: String = ('a'..='z').cycle().take(1_000_000).collect();
    fs::write(place.0.join("site/b.txt"), &text).unwrap();
    let parts = place.get("b.txt", &[("range", "bytes=1-100000,500000-599999")]);
    assert_eq!(parts.status, 206);
    assert_eq!(parts.length, Some(parts.body.len() as u64));
    assert!(parts.body.contains(&text[1..=100_000]));
    assert!(parts.body.contains(&text[500_000..600_000]));
}

#[test]
fn the_kernel_sends_large_files_unless_that_is_switched_off() {
    let place = Place::new("kernel");
    fs::write(place.0.join("site/large"), vec![b'x'; 100_000]).unwrap();
    let body = |files: StaticFiles| {
        let answer = files.answer("large", asked(Method::GET, "/large", &[]));
        block_on(async move { answer.await.take_body() }).unwrap()
    };
    assert!(matches!(body(place.files()), Body::File(_)));
    let read = body(place.files().sendfile(false));
    assert!(matches!(read, Body::Stream(_)));
    assert_eq!(read.len(), Some(100_000));
}

#[test]
fn a_file_that_the_client_has_is_304_and_a_changed_one_is_sent() {
    let place = Place::new("conditional");
    let first = place.get("a.txt", &[]);
    let etag = first.field("etag").unwrap().to_owned();
    let modified = first.field("last-modified").unwrap().to_owned();
    let again = place.get("a.txt", &[("if-none-match", &etag)]);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(again.field("etag"), Some(etag.as_str()));
    let again = place.get("a.txt", &[("if-modified-since", &modified)]);
    assert_eq!(again.status, 304);

    fs::write(place.0.join("site/a.txt"), "changed").unwrap();
    let changed = place.get("a.txt", &[("if-none-match", &etag)]);
    assert_eq!((changed.status, changed.body.as_str()), (200, "changed"));
    let failed = place.get("a.txt", &[("if-match", &etag)]);
    assert_eq!(failed.status, 412);
    assert_eq!(failed.body, "Precondition Failed\n");
    let range = [("range", "bytes=0-1"), ("if-range", etag.as_str())];
    assert_eq!(place.get("a.txt", &range).status, 200);
}

#[test]
fn directories_have_a_slash_and_an_index() {
    let place = Place::new("index");
    assert_eq!(place.get("/", &[]).body, "<h1>home</h1>");
    assert_eq!(place.get("docs/", &[]).body, "docs");
    let redirect = place.get("docs", &[]);
    assert_eq!(
        (redirect.status, redirect.field("location")),
        (301, Some("./docs/"))
    );
    assert_eq!(place.get("empty", &[]).status, 404);
    assert_eq!(place.get("empty/", &[]).status, 404);
    assert_eq!(place.get("a.txt/", &[]).status, 404);
    let files = place.files().index(None);
    let none = got(files.answer("docs/", asked(Method::GET, "/docs/", &[])));
    assert_eq!(none.status, 404);
}

#[test]
fn a_redirect_stays_on_this_server_and_keeps_the_query() {
    let place = Place::new("redirect");
    let redirect = |path| got(place.files().answer("docs", asked(Method::GET, path, &[])));
    let relative = redirect("/evil.example:80/docs?a=1&b");
    assert_eq!(relative.field("location"), Some("./docs/?a=1&b"));
    assert_eq!(redirect("//evil.example/docs").status, 404);
}

#[test]
fn what_is_not_to_be_served_is_not_found() {
    let place = Place::new("hidden");
    std::os::unix::fs::symlink("../outside", place.0.join("site/link")).unwrap();
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
        assert_eq!(place.get(path, &[]).status, 404, "{path:.20?}");
    }
    let files = place.files().dotfiles(true);
    let shown = got(files.answer(".env", asked(Method::GET, "/.env", &[])));
    assert_eq!(shown.body, "secret");
}

#[test]
fn only_get_and_head_are_answered() {
    let place = Place::new("methods");
    let answer = |method| got(place.files().answer("a.txt", asked(method, "/a.txt", &[])));
    let head = answer(Method::HEAD);
    assert_eq!((head.status, head.length), (200, Some(10)));
    let post = answer(Method::POST);
    assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn what_caches_are_told_is_the_programs_choice() {
    let place = Place::new("cache");
    let value = HeaderValue::from_static("public, max-age=60");
    let files = place.files().cache_control(value);
    let first = got(files.answer("a.txt", asked(Method::GET, "/a.txt", &[])));
    assert_eq!(first.field("cache-control"), Some("public, max-age=60"));
    let etag = first.field("etag").unwrap();
    let fields = [("if-none-match", etag)];
    let again = got(files.answer("a.txt", asked(Method::GET, "/a.txt", &fields)));
    assert_eq!(again.field("cache-control"), Some("public, max-age=60"));
}

#[test]
fn one_file_is_served_by_its_path() {
    let place = Place::new("one");
    let serve = |path: &str| got(file(place.0.join(path), asked(Method::GET, "/x", &[])));
    assert_eq!(serve("outside").body, "secret");
    assert_eq!(serve("site").status, 404);
    assert_eq!(serve("none").status, 404);
}

/// Writes a file with a given time of modification, until its status has changed in the eyes of a coarse clock.
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
fn the_tag_of_a_file_changes_with_its_content_also_where_its_time_and_length_do_not() {
    let place = Place::new("times");
    let path = place.0.join("site/b.txt");
    for seconds in [0, 1, 1_000_000_000] {
        let modified = UNIX_EPOCH + Duration::from_secs(seconds);
        replace_in_place(&path, "one", modified);
        let first = place.get("b.txt", &[]);
        assert_eq!(first.body, "one");
        let told = first.field("last-modified").is_some();
        assert_eq!(told, seconds > 1, "{seconds}");
        let etag = first.field("etag").unwrap().to_owned();
        assert_eq!(place.get("b.txt", &[("if-none-match", &etag)]).status, 304);

        replace_in_place(&path, "two", modified);
        let in_place = place.get("b.txt", &[("if-none-match", &etag)]);
        assert_eq!((in_place.status, in_place.body.as_str()), (200, "two"));
        let part = [("range", "bytes=1-"), ("if-range", etag.as_str())];
        assert_eq!(place.get("b.txt", &part).status, 200);

        let etag = in_place.field("etag").unwrap().to_owned();
        let other = place.0.join("site/other");
        replace_in_place(&other, "six", modified);
        fs::rename(&other, &path).unwrap();
        let renamed = place.get("b.txt", &[("if-none-match", &etag)]);
        assert_eq!((renamed.status, renamed.body.as_str()), (200, "six"));
    }
}

#[test]
fn a_compressed_file_beside_the_file_is_sent_to_those_who_take_it() {
    let place = Place::new("beside");
    let site = place.0.join("site");
    for (name, text) in [
        ("a.txt.gz", "gzipped"),
        ("a.txt.br", "brotli"),
        ("docs/index.html.gz", "index"),
    ] {
        fs::write(site.join(name), text).unwrap();
    }
    let files = place.files().precompressed(true);
    let ask = |method, path: &str, fields: &[(&'static str, &str)]| {
        got(files.answer(path, asked(method, &format!("/{path}"), fields)))
    };
    let get = |path: &str, accept: &str| ask(Method::GET, path, &[("accept-encoding", accept)]);
    for (accept, coding, body) in [
        ("gzip, br, zstd", Some("br"), "brotli"),
        ("zstd, gzip", Some("gzip"), "gzipped"),
        ("gzip, br;q=0.5", Some("gzip"), "gzipped"),
        ("zstd", None, "0123456789"),
        ("identity, gzip;q=0.5", None, "0123456789"),
        ("", None, "0123456789"),
    ] {
        let got = get("a.txt", accept);
        assert_eq!(
            (got.status, got.field("content-encoding"), got.body.as_str()),
            (200, coding, body),
            "{accept}"
        );
        assert_eq!(got.field("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(got.field("vary"), Some("accept-encoding"));
        let head = ask(Method::HEAD, "a.txt", &[("accept-encoding", accept)]);
        assert_eq!((head.fields, head.length), (got.fields, got.length));
    }
    let lines = [("accept-encoding", "zstd"), ("accept-encoding", "gzip")];
    assert_eq!(ask(Method::GET, "a.txt", &lines).body, "gzipped");
    assert_eq!(get("docs/", "gzip").body, "index");
    let by_itself = get("a.txt.gz", "gzip");
    assert_eq!(
        (by_itself.field("content-encoding"), by_itself.body.as_str()),
        (None, "gzipped")
    );
    let without = got(place.files().answer(
        "a.txt",
        asked(Method::GET, "/a.txt", &[("accept-encoding", "gzip")]),
    ));
    assert_eq!(
        (without.field("vary"), without.body.as_str()),
        (None, "0123456789")
    );
}

#[test]
fn a_compressed_file_has_validators_and_ranges_of_its_own() {
    let place = Place::new("beside-conditional");
    let site = place.0.join("site");
    fs::write(site.join("a.txt.gz"), "gzipped").unwrap();
    let files = place.files().precompressed(true);
    let get = |fields: &[(&'static str, &str)]| {
        got(files.answer("a.txt", asked(Method::GET, "/a.txt", fields)))
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
fn a_compressed_file_that_is_older_or_leads_elsewhere_is_passed_over() {
    let place = Place::new("beside-stale");
    let site = place.0.join("site");
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
    let files = place.files().precompressed(true);
    let got = got(files.answer("a.txt", asked(Method::GET, "/a.txt", &fields)));
    assert_eq!(
        (got.field("content-encoding"), got.body.as_str()),
        (None, "0123456789")
    );
}
