//! Static files and forms over TCP.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::fs;
use std::path::PathBuf;

use bytes::Bytes;
use support::{Client, run_until, server};
use uptick_http::{
    Compression, FileRange, Form, HttpError, HttpServer, MultipartLimits, Request, Response,
    StaticFiles,
};
use uptick_socket::engine::Engine;
use uptick_stream::Error as StreamError;
use uptick_stream::filter::{Filter, FilterContext};

/// A directory that is removed on drop.
struct TestDirectory(PathBuf);

impl TestDirectory {
    fn new(name: &str) -> TestDirectory {
        let name = format!("uptick-http-{name}-{}", std::process::id());
        let directory = TestDirectory(std::env::temp_dir().join(name));
        fs::create_dir_all(directory.0.join("site/docs")).unwrap();
        fs::write(directory.0.join("secret"), "secret").unwrap();
        fs::write(directory.0.join("site/index.html"), "home").unwrap();
        fs::write(directory.0.join("site/docs/index.html"), "docs").unwrap();
        let large: Vec<u8> = (0..1_000_000)
            .map(|index| b'a' + (index % 23) as u8)
            .collect();
        fs::write(directory.0.join("site/large.txt"), large).unwrap();
        directory
    }

    fn serve(&self) -> HttpServer {
        let files = StaticFiles::new(self.0.join("site"));
        server().get("/s/{*path}", files.handler())
    }
}

impl Drop for TestDirectory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn request(line: &str, fields: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
}

#[test]
fn a_directory_is_served_by_routes() {
    let directory = TestDirectory::new("routes");
    let http = directory.serve();
    let mut client = Client::new(http);
    let mut get = |path: &str| {
        client.send(request(&format!("GET {path}"), ""));
        client.response()
    };
    assert_eq!(get("/s/").body, "home");
    let redirect = get("/s/docs?a=1");
    assert_eq!(
        (redirect.status(), redirect.field("location")),
        (301, Some("./docs/?a=1"))
    );
    assert_eq!(get("/s/docs/").body, "docs");
    let large = get("/s/large.txt");
    assert_eq!(
        large.body.as_bytes(),
        fs::read(directory.0.join("site/large.txt")).unwrap()
    );
    for path in [
        "/s/../secret",
        "/s/..%2fsecret",
        "/s/%2e%2e/secret",
        "/s/%2e%2e%2fsecret",
        "/s/..%5csecret",
        "/s//etc/passwd",
        "/s/%2fetc/passwd",
        "/s/docs%00",
    ] {
        let response = get(path);
        assert!(
            matches!(response.status(), 400 | 404),
            "{path}: {response:?}"
        );
    }
}

#[test]
fn a_range_of_a_large_file_is_sent_and_head_returns_the_whole_length() {
    let directory = TestDirectory::new("parts");
    let http = directory.serve();
    let mut client = Client::new(http);
    client.send(request(
        "GET /s/large.txt",
        "Range: bytes=100000-799999\r\n",
    ));
    let part = client.response();
    assert_eq!(part.status(), 206);
    assert_eq!(
        part.field("content-range"),
        Some("bytes 100000-799999/1000000")
    );
    let whole = fs::read(directory.0.join("site/large.txt")).unwrap();
    assert!(part.body.as_bytes() == &whole[100_000..800_000]);

    client.send(request("HEAD /s/large.txt", "Connection: close\r\n"));
    let rest = client.rest();
    assert!(
        rest.to_ascii_lowercase()
            .contains("content-length: 1000000\r\n"),
        "{rest}"
    );
    assert!(rest.ends_with("\r\n\r\n"));
}

#[test]
fn compressed_files_have_the_same_headers_for_all_kinds_of_requests() {
    let directory = TestDirectory::new("compressed");
    fs::write(directory.0.join("site/small.txt"), "hello ".repeat(1000)).unwrap();
    let http = directory.serve().wrap(Compression::new());
    let mut client = Client::new(http);
    for (name, length) in [("small.txt", 6000), ("large.txt", 1_000_000)] {
        for accept in ["Accept-Encoding: gzip\r\n", ""] {
            let line = format!("/s/{name}");
            client.send(request(&format!("GET {line}"), accept));
            let whole = client.response();
            assert_eq!(whole.status(), 200);
            let coding = (!accept.is_empty()).then_some("gzip");
            assert_eq!(whole.field("content-encoding"), coding, "{name}");
            assert_eq!(whole.field("vary"), Some("accept-encoding"));
            let tag = whole.field("etag").unwrap();
            assert_eq!(tag.starts_with("W/"), coding.is_some());
            let sent: usize = whole.field("content-length").unwrap().parse().unwrap();
            assert_eq!(sent == length, coding.is_none());

            let part = format!("{accept}Range: bytes=1-3\r\n");
            let parts = format!("{accept}Range: bytes=1-3,1000-1003\r\n");
            let same = format!("{accept}If-None-Match: {tag}\r\n");
            for (fields, status) in [(part, 206), (parts, 206), (same, 304)] {
                client.send(request(&format!("GET {line}"), &fields));
                let response = client.response();
                assert_eq!(response.status(), status, "{fields}");
                assert_eq!(response.field("content-encoding"), None);
                for name in ["vary", "etag"] {
                    assert_eq!(response.field(name), whole.field(name), "{fields} {name}");
                }
            }
            let mut client = Client::new(http);
            client.send(request(
                &format!("HEAD {line}"),
                &format!("{accept}Connection: close\r\n"),
            ));
            let head = client.rest();
            assert!(head.ends_with("\r\n\r\n"), "{head}");
            let head = head.to_ascii_lowercase();
            for name in ["vary", "etag", "content-encoding", "content-type"] {
                let line = whole
                    .field(name)
                    .map(|value| format!("\r\n{name}: {value}\r\n").to_ascii_lowercase());
                match line {
                    Some(line) => assert!(head.contains(&line), "{head} {line}"),
                    None => assert!(!head.contains(&format!("\r\n{name}:")), "{head}"),
                }
            }
        }
    }
}

#[test]
fn the_next_response_follows_a_file() {
    let directory = TestDirectory::new("pipelined");
    let mut client = Client::new(directory.serve());
    let large = request("GET /s/large.txt", "");
    let small = request("GET /s/docs/", "");
    client.send([large.as_str(), &small, &large, &small].concat());
    let whole = fs::read(directory.0.join("site/large.txt")).unwrap();
    for _ in 0..2 {
        assert!(client.response().body.as_bytes() == whole);
        assert_eq!(client.response().body, "docs");
    }
}

#[test]
fn a_file_that_becomes_shorter_closes_the_connection_without_other_bytes() {
    let directory = TestDirectory::new("truncated");
    let path = directory.0.join("site/large.txt");
    // The file is larger than any socket buffer.
    fs::write(&path, vec![b'x'; 50_000_000]).unwrap();
    let mut client = Client::new(directory.serve());
    client.send(request("GET /s/large.txt", "") + &request("GET /s/docs/", ""));
    let mut begun = String::new();
    run_until(|| {
        begun += &client.take_received();
        !begun.is_empty()
    });
    assert!(begun.contains("content-length: 50000000\r\n"));
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(10).unwrap();
    let rest = begun + &client.rest();
    assert!(rest.len() < 50_000_000, "{}", rest.len());
    assert_eq!(rest.matches("HTTP/1.1 ").count(), 1);
    assert!(rest.ends_with('x'));
}

#[test]
fn the_file_is_closed_when_the_client_disconnects() {
    let directory = TestDirectory::new("gone");
    let path = directory.0.join("site/large.txt");
    fs::write(&path, vec![b'x'; 50_000_000]).unwrap();
    let open = || {
        let descriptors = fs::read_dir("/proc/self/fd").unwrap();
        let links = descriptors.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        links.filter(|link| *link == path).count()
    };
    let mut client = Client::new(directory.serve());
    client.send(request("GET /s/large.txt", ""));
    run_until(|| open() == 1);
    client.take_received();
    assert_eq!(open(), 1);
    client.reset();
    run_until(|| open() == 0);
}

#[test]
fn an_http_1_0_client_receives_the_file_and_the_end_of_stream() {
    let directory = TestDirectory::new("old");
    let mut client = Client::new(directory.serve());
    client.send("GET /s/large.txt HTTP/1.0\r\n\r\n");
    let all = client.rest();
    let whole = fs::read_to_string(directory.0.join("site/large.txt")).unwrap();
    assert!(all.ends_with(&format!("\r\n\r\n{whole}")));
}

#[test]
fn a_file_range_is_a_body() {
    let directory = TestDirectory::new("own");
    let path = directory.0.join("site/large.txt");
    let http = server().get("/part", move |_: Request| {
        let file = fs::File::open(&path)?;
        Ok::<_, HttpError>(Response::plain(FileRange::new(file, 23, 5)))
    });
    let mut client = Client::new(http);
    client.send(request("GET /part", ""));
    let response = client.response();
    assert_eq!((response.status(), response.body.as_str()), (200, "abcde"));
    client.send(request("HEAD /part", "Connection: close\r\n"));
    let head = client.rest();
    assert!(head.contains("content-length: 5\r\n") && head.ends_with("\r\n\r\n"));
}

/// A filter that does not change the bytes.
struct IdentityFilter;

impl Filter for IdentityFilter {
    fn received(
        &mut self,
        bytes: &mut [u8],
        context: &mut FilterContext,
    ) -> Result<(), StreamError> {
        context.deliver_within(0..bytes.len());
        Ok(())
    }

    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), StreamError> {
        context.send(bytes);
        Ok(())
    }
}

#[test]
fn a_file_passes_through_the_filters_of_its_connection() {
    let directory = TestDirectory::new("layers");
    let path = directory.0.join("site/large.txt");
    let http = server().get("/large", move |req: Request| {
        req.connection().unwrap().add_filter(IdentityFilter);
        Response::file(&req, &path)
    });
    let mut client = Client::new(http);
    client.send(request("GET /large", ""));
    let whole = fs::read(directory.0.join("site/large.txt")).unwrap();
    assert!(client.response().body.as_bytes() == whole);
}

#[test]
fn several_parts_of_a_file_are_one_response() {
    let directory = TestDirectory::new("several");
    let mut client = Client::new(directory.serve());
    client.send(request("GET /s/large.txt", "Range: bytes=23-27,-2\r\n"));
    let parts = client.response();
    assert_eq!(parts.status(), 206);
    let kind = parts.field("content-type").unwrap();
    assert!(kind.starts_with("multipart/byteranges; boundary="));
    assert!(parts.body.contains("\r\n\r\nabcde\r\n--"), "{parts:?}");
    let last = "Content-Range: bytes 999998-999999/1000000\r\n\r\n";
    assert!(parts.body.contains(last), "{parts:?}");
}

#[test]
fn the_error_callback_renders_the_errors_of_files() {
    let directory = TestDirectory::new("shaped");
    let http = directory.serve().error(|error: HttpError, _: &Request| {
        Response::plain(format!("shaped {}", error.status().as_u16()))
    });
    let mut client = Client::new(http);
    client.send(request("GET /s/docs/", "Range: bytes=10-\r\n"));
    let range = client.response();
    assert_eq!((range.status(), range.body.as_str()), (416, "shaped 416"));
    assert_eq!(range.field("content-range"), Some("bytes */4"));
    client.send(request("GET /s/docs/", "If-Match: \"other\"\r\n"));
    let changed = client.response();
    assert_eq!(
        (changed.status(), changed.body.as_str()),
        (412, "shaped 412")
    );
    client.send(request("GET /s/docs/", "If-None-Match: *\r\n"));
    let same = client.response();
    assert_eq!((same.status(), same.body.as_str()), (304, ""));
}

#[test]
fn a_single_file_is_a_response() {
    let directory = TestDirectory::new("file");
    let path = directory.0.join("secret");
    let http = server().get("/report", move |req: Request| Response::file(&req, &path));
    let mut client = Client::new(http);
    client.send(request("GET /report", ""));
    let response = client.response();
    assert_eq!(response.body, "secret");
    let etag = format!("If-None-Match: {}\r\n", response.field("etag").unwrap());
    client.send(request("GET /report", &etag));
    assert_eq!(client.response().status(), 304);
}

fn post(kind: &str, body: &str) -> String {
    let length = body.len();
    let fields = format!("Content-Type: {kind}\r\nContent-Length: {length}\r\n");
    request("POST /", &fields) + body
}

#[test]
fn a_url_encoded_form_is_decoded() {
    let http = server().post("/", async |req: Request| {
        let form: Form = req.form().await?;
        let pairs = form.iter().map(|(name, value)| format!("[{name}|{value}]"));
        Ok::<_, HttpError>(pairs.collect::<String>())
    });
    let mut client = Client::new(http);
    let kind = "application/x-www-form-urlencoded; charset=utf-8";
    client.send(post(kind, "a=1+2&b=%26&a=3"));
    assert_eq!(client.response().body, "[a|1 2][b|&][a|3]");
}

#[test]
fn a_form_with_files_is_read_part_by_part() {
    let http = server().post("/", async |req: Request| {
        let mut form = req.multipart()?;
        let mut read = String::new();
        while let Some(part) = form.next_part().await? {
            let name = part.name().to_owned();
            let bytes = match part.file_name() {
                Some(_) => part.save(std::env::temp_dir()).await?.len(),
                None => part.bytes().await?.len() as u64,
            };
            read += &format!("[{name}|{bytes}]");
        }
        Ok::<_, HttpError>(read)
    });
    let mut client = Client::new(http);
    let body = format!(
        "--x\r\nContent-Disposition: form-data; name=a\r\n\r\n12345\r\n--x\r\n\
         Content-Disposition: form-data; name=f; filename=b\r\n\r\n{}\r\n--x--\r\n",
        "data".repeat(50_000)
    );
    client.send(post("multipart/form-data; boundary=x", &body));
    assert_eq!(client.response().body, "[a|5][f|200000]");
    // The connection is kept.
    client.send(post("multipart/form-data; boundary=x", &body));
    assert_eq!(client.response().body, "[a|5][f|200000]");
}

#[test]
fn a_file_keeps_its_white_space_and_the_query_is_not_part_of_the_form() {
    let http = server().post("/", async |req: Request| {
        let query = req.query_value("a").unwrap_or_default().into_owned();
        let mut form = req.multipart()?;
        let mut read = format!("{query}:");
        while let Some(part) = form.next_part().await? {
            let name = part.name().to_owned();
            let file = part.file_name().is_some();
            read += &format!("[{name}|{file}|{:?}]", part.text().await?);
        }
        Ok::<_, HttpError>(read)
    });
    let body =
        "--x\r\ncontent-DISPOSITION: form-data; name=a; filename=b\r\n\r\n \r\n\0 \n\r\n--x--\r\n";
    let length = body.len();
    let fields =
        format!("content-TYPE: multipart/form-data; boundary=x\r\nCONTENT-length: {length}\r\n");
    let mut client = Client::new(http);
    client.send(request("POST /?a=query", &fields) + body);
    assert_eq!(client.response().body, r#"query:[a|true|" \r\n\0 \n"]"#);
}

#[test]
fn a_part_with_an_extended_file_name_has_the_file_limit() {
    let http = server().post("/", async |req: Request| {
        let mut form = req.multipart_with(MultipartLimits::new().field(10).file(100))?;
        let mut read = String::new();
        while let Some(part) = form.next_part().await? {
            let (name, file) = (part.name().to_owned(), part.file_name().map(str::to_owned));
            read += &format!("[{name}|{file:?}|{}]", part.bytes().await?.len());
        }
        Ok::<_, HttpError>(read)
    });
    // aiohttp and React Native send this form.
    let body = format!(
        "--*****\r\nContent-Disposition: form-data; name*=utf-8''gr%C3%B6%C3%9Fe; \
         filename*=utf-8''na%C3%AFve.txt\r\n\r\n{}\r\n--*****--\r\n",
        "x".repeat(100)
    );
    let mut client = Client::new(http);
    client.send(post("multipart/form-data; boundary=*****", &body));
    assert_eq!(client.response().body, "[größe|Some(\"naïve.txt\")|100]");
}

#[test]
fn malformed_and_long_forms_are_refused_with_the_matching_status() {
    let http = server().post("/", async |req: Request| {
        let mut form = req.multipart_with(MultipartLimits::new().field(10))?;
        while let Some(part) = form.next_part().await? {
            part.text().await?;
        }
        Ok::<_, HttpError>("read")
    });
    let kind = "multipart/form-data; boundary=x";
    let part = |data: &str| {
        format!("--x\r\nContent-Disposition: form-data; name=a\r\n\r\n{data}\r\n--x--")
    };
    for (kind, body, status) in [
        (kind, part("0123456789"), 200),
        (kind, part("0123456789a"), 413),
        (kind, part("1").replace("--x--", ""), 400),
        (kind, part("1").replace("name=a", ""), 400),
        ("multipart/form-data", part("1"), 400),
        ("text/plain", part("1"), 415),
    ] {
        let mut client = Client::new(http);
        client.send(post(kind, &body));
        let response = client.response();
        assert_eq!(response.status(), status, "{kind}, {body}: {response:?}");
    }
}

#[test]
fn a_form_whose_declared_length_exceeds_the_limit_is_refused_immediately() {
    let http = server().post("/", async |req: Request| {
        let mut form = req.multipart_with(MultipartLimits::new().total(1000))?;
        while form.next_part().await?.is_some() {}
        Ok::<_, HttpError>("read")
    });
    let kind = "Content-Type: multipart/form-data; boundary=x\r\n";
    for (framing, body) in [
        ("Content-Length: 1001\r\n", ""),
        ("Transfer-Encoding: chunked\r\n", "3e9\r\n"),
        ("Transfer-Encoding: chunked\r\n", "1\r\n\r\r\n3e8\r\n"),
    ] {
        let mut client = Client::new(http);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\n{kind}{framing}\r\n{body}"
        ));
        let response = client.response();
        assert_eq!(response.status(), 413, "{framing}{body}");
        assert_eq!(response.body, "the body is longer than 1000 bytes\n");
    }
}
