//! Tests of `23-streaming-upload` and `25-static-files`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::http::{Client, serve};
use crate::program::TIMEOUT;

struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let name = format!("uptick-uploads-{name}-{}", std::process::id());
        Directory(std::env::temp_dir().join(name))
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn an_upload_is_stored_unchanged() {
    let directory = Directory::new("whole");
    let (server, uri) = serve("23-streaming-upload", &[directory.0.to_str().unwrap()]);
    let body: Vec<u8> = (0..=250).cycle().take(20_000_000).collect();
    let mut client = Client::connect(&uri);
    client.send(format!(
        "PUT /uploads/a.bin HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    let response = client.response();
    assert_eq!(
        (response.status, response.text()),
        (201, "a.bin: 20000000 bytes\n")
    );
    assert_eq!(server.line(), "a.bin: 20000000 bytes");
    assert_eq!(directory.files(), ["a.bin"]);
    assert!(fs::read(directory.0.join("a.bin")).unwrap() == body);
}

#[test]
fn an_aborted_upload_leaves_no_file() {
    let directory = Directory::new("part");
    let (_server, uri) = serve("23-streaming-upload", &[directory.0.to_str().unwrap()]);
    let mut client = Client::connect(&uri);
    client.send("PUT /uploads/b HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbeginning");
    wait_for(|| directory.files().len() == 1);
    drop(client);
    wait_for(|| directory.files().is_empty());
}

#[test]
fn invalid_file_names_are_refused() {
    let directory = Directory::new("names");
    let (_server, uri) = serve("23-streaming-upload", &[directory.0.to_str().unwrap()]);
    for name in ["..%2Fevil", "%2E%2E", ".hidden", "a%00b"] {
        let mut client = Client::connect(&uri);
        client.request(&format!("PUT /uploads/{name}"), &["Content-Length: 0"]);
        let response = client.response();
        assert!(matches!(response.status, 400 | 404), "{name}: {response:?}");
    }
    assert_eq!(directory.files(), [""; 0]);
}

#[test]
fn only_files_of_the_directory_are_served() {
    let directory = Directory::new("static");
    let site = directory.0.join("site");
    fs::create_dir_all(&site).unwrap();
    fs::write(directory.0.join("secret"), "secret").unwrap();
    fs::write(site.join("index.html"), "<p>Hello</p>").unwrap();
    let (_server, uri) = serve("25-static-files", &[site.to_str().unwrap()]);
    let mut client = Client::connect(&uri);
    client.request("GET /", &[]);
    let response = client.response();
    assert_eq!((response.status, response.text()), (200, "<p>Hello</p>"));
    let tag = response.field("etag").unwrap();
    client.request("GET /index.html", &["Range: bytes=3-7"]);
    let response = client.response();
    assert_eq!((response.status, response.text()), (206, "Hello"));
    client.request("GET /index.html", &[&format!("If-None-Match: {tag}")]);
    assert_eq!(client.response().status, 304);
    for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/nothing"] {
        client.request(&format!("GET {path}"), &[]);
        let response = client.response();
        assert!(matches!(response.status, 400 | 404), "{path}: {response:?}");
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + TIMEOUT;
    while !condition() {
        assert!(Instant::now() < deadline, "timed out");
        std::thread::sleep(Duration::from_millis(5));
    }
}
