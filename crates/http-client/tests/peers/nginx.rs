//! nginx.

use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use uptick_event_loop::driver::timeout;
use uptick_http::StatusCode;
use uptick_http_client::{Browser, Http2Mode, TlsOptions, Version};

use crate::support::{Peer, free_port};
use crate::{get_many, run};

/// Environment variable. If it is set, the tests fail when nginx is not installed.
const REQUIRED: &str = "UPTICK_REQUIRE_NGINX";

/// A server with HTTP/1, and with HTTP/2 over TLS and a client certificate.
struct Nginx {
    plain: Browser,
    secure: Browser,
    _peer: Peer,
    _directory: TempDir,
}

fn start() -> Option<Nginx> {
    let directory = TempDir::new().unwrap();
    let root = directory.path();
    let identity = uptick_tls::self_signed(["127.0.0.1"]).unwrap();
    let (cert, key) = identity.write(root).unwrap();
    std::fs::write(root.join("lines.txt"), "one line\n".repeat(10_000)).unwrap();
    let (plain, secure) = (free_port(), free_port());
    let (dir, cert_path, key_path) = (root.display(), cert.display(), key.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {dir}/{name};\n"))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid {dir}/pid; error_log stderr crit;
        events {{ worker_connections 512; }}
        http {{
            {temporary} access_log off; types {{ text/plain txt; }} root {dir};
            gzip on; gzip_types text/plain; gzip_min_length 10; keepalive_timeout 1s;
            server {{
                listen 127.0.0.1:{plain}; listen unix:{dir}/socket; keepalive_requests 5;
                location = /post {{ return 200 \"$request_method $content_length\"; }}
            }}
            server {{
                listen 127.0.0.1:{secure} ssl http2; keepalive_requests 50; ssl_session_cache none;
                ssl_certificate {cert_path}; ssl_certificate_key {key_path};
                ssl_client_certificate {cert_path}; ssl_verify_client optional_no_ca;
                location = /subject {{ return 200 \"$ssl_client_s_dn\"; }}
                location = /post {{ return 200 \"$request_method $content_length\"; }}
            }}
        }}"
    );
    let path = root.join("nginx.conf");
    std::fs::write(&path, configuration).unwrap();
    let mut nginx = Command::new("nginx");
    let nginx = nginx.args(["-e", "stderr", "-c"]).arg(&path);
    let peer = Peer::on_port(plain, nginx.stderr(Stdio::null()), REQUIRED)?;
    let tls = TlsOptions::new()
        .cafile(&cert)
        .local_cert(cert.as_path())
        .local_pk(&key);
    let at = |url: String| Browser::new().with_base(url).unwrap();
    Some(Nginx {
        plain: at(format!("http://127.0.0.1:{plain}")),
        secure: at(format!("https://127.0.0.1:{secure}")).with_tls(tls),
        _peer: peer,
        _directory: directory,
    })
}

#[test]
fn a_connection_of_nginx_is_replaced_after_its_last_request() {
    let Some(nginx) = start() else { return };
    let browser = nginx.plain.clone();
    let socket = nginx._directory.path().join("socket");
    run(async move {
        for i in 0..50 {
            let response = browser.post("/post").body("12345").await.unwrap();
            assert_eq!(&*response.text(), "POST 5", "{i}");
        }
        assert_eq!(browser.stats().created, 10);
        let texts = get_many(&browser, "/post", 300).await;
        assert!(texts.iter().all(|text| text == "GET "));
        let response = browser.with_unix_socket(socket).get("/post").await.unwrap();
        assert_eq!(response.text(), "GET ");
    });
}

#[test]
fn a_post_after_the_keep_alive_timeout_of_nginx_does_not_fail() {
    let Some(nginx) = start() else { return };
    let (plain, secure) = (nginx.plain.clone(), nginx.secure.clone());
    run(async move {
        for wait in [950, 1000, 1050, 1500] {
            for browser in [&plain, &secure] {
                assert_eq!(
                    browser.post("/post").body("1").await.unwrap().text(),
                    "POST 1"
                );
            }
            timeout(Duration::from_millis(wait)).await;
            for browser in [&plain, &secure] {
                let response = browser.post("/post").body("1").await;
                assert_eq!(response.unwrap().text(), "POST 1", "after {wait} ms");
            }
        }
    });
}

#[test]
fn a_range_of_nginx_is_not_compressed() {
    let Some(nginx) = start() else { return };
    let (plain, secure) = (nginx.plain.clone(), nginx.secure.clone());
    run(async move {
        for browser in [plain, secure] {
            let whole = browser.get("/lines.txt").await.unwrap();
            assert_eq!(whole.header("content-encoding"), Some("gzip"));
            assert_eq!(whole.body().len(), 90_000);
            let part = browser.get("/lines.txt").header("range", "bytes=9-12");
            let part = part.await.unwrap();
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
            assert_eq!(
                (part.header("content-encoding"), &*part.text()),
                (None, "one ")
            );
        }
    });
}

#[test]
fn requests_continue_on_new_connections_when_nginx_ends_one_of_http2() {
    let Some(nginx) = start() else { return };
    let browser = nginx.secure.clone();
    run(async move {
        // A connection processes 50 requests, so it refuses a part of the second batch.
        for _ in 0..8 {
            let texts = get_many(&browser, "/post", 40).await;
            assert!(texts.iter().all(|text| text == "GET "));
        }
        assert!(browser.stats().created >= 4);
        let response = browser.get("/subject").await.unwrap();
        assert_eq!(response.version(), Version::Http2);
        assert!(response.text().starts_with("CN="), "{}", response.text());
        let response = browser.with_http2(Http2Mode::Never).get("/subject").await;
        assert_eq!(response.unwrap().version(), Version::Http11);
    });
}
