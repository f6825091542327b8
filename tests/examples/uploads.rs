//! `23-streaming-upload` and `25-static-files`.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::http::{Client, serve};
use crate::program::PATIENCE;

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
fn an_upload_arrives_in_its_file_as_it_was_sent() {
    let directory = Directory::new("whole");
    let (server, uri) = serve("23-streaming-upload", &[directory.0.to_str().unwrap()]);
    let body: Vec<u8> = (0..=250).cycle().take(20_000_000).collect();
    let mut client = Client::connect(&uri);
    client.send(format!(
        "PUT /uploads/a.bin HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    client.send(&body);
    let answer = client.answer();
    assert_eq!(
        (answer.status, answer.text()),
        (201, "a.bin: 20000000 bytes\n")
    );
    assert_eq!(server.line(), "a.bin: 20000000 bytes");
    assert_eq!(directory.files(), ["a.bin"]);
    assert!(fs::read(directory.0.join("a.bin")).unwrap() == body);
}

#[test]
fn nothing_is_kept_of_an_upload_that_is_broken_off() {
    let directory = Directory::new("part");
    let (_server, uri) = serve("23-streaming-upload", &[directory.0.to_str().unwrap()]);
    let mut client = Client::connect(&uri);
    client.send("PUT /uploads/b HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbeginning");
    wait_for(|| directory.files().len() == 1);
    drop(client);
    wait_for(|| directory.files().is_empty());
}

#[test]
fn a_name_that_is_a_path_is_refused() {
    let directory = Directory::new("names");
    let (_server, uri) = serve("23-streaming-upload", &[directory.0.to_str().unwrap()]);
    for name in ["..%2Fevil", "%2E%2E", ".hidden", "a%00b"] {
        let mut client = Client::connect(&uri);
        client.request(&format!("PUT /uploads/{name}"), &["Content-Length: 0"]);
        let answer = client.answer();
        assert!(matches!(answer.status, 400 | 404), "{name}: {answer:?}");
    }
    assert_eq!(directory.files(), [""; 0]);
}

#[test]
fn the_files_of_a_directory_are_served_and_no_others() {
    let directory = Directory::new("static");
    let site = directory.0.join("site");
    fs::create_dir_all(&site).unwrap();
    fs::write(directory.0.join("secret"), "secret").unwrap();
    fs::write(site.join("index.html"), "<p>Hello</p>").unwrap();
    let (_server, uri) = serve("25-static-files", &[site.to_str().unwrap()]);
    let mut client = Client::connect(&uri);
    client.request("GET /", &[]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (200, "<p>Hello</p>"));
    let tag = answer.field("etag").unwrap();
    client.request("GET /index.html", &["Range: bytes=3-7"]);
    let answer = client.answer();
    assert_eq!((answer.status, answer.text()), (206, "Hello"));
    client.request("GET /index.html", &[&format!("If-None-Match: {tag}")]);
    assert_eq!(client.answer().status, 304);
    for path in ["/../secret", "/%2e%2e/secret", "/..%2fsecret", "/nothing"] {
        client.request(&format!("GET {path}"), &[]);
        let answer = client.answer();
        assert!(matches!(answer.status, 400 | 404), "{path}: {answer:?}");
    }
}

fn wait_for(condition: impl Fn() -> bool) {
    let patience = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < patience, "it does not come to pass");
        std::thread::sleep(Duration::from_millis(5));
    }
}
