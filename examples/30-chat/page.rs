//! The files of the page, and its security headers.

use uptick::http::HeaderError;
use uptick::prelude::*;
use uptick::websocket::SlowPolicy;

const PAGE: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const SCRIPTS: [(&str, &str); 2] = [
    ("/chat.js", include_str!("chat.js")),
    ("/render.js", include_str!("render.js")),
];

/// The content security policy: browsers load and run only files of this server, even if other code is injected into the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The maximum size of a message in bytes: the longest text, in JSON with all of its characters
/// escaped.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Adds the routes of the page's files.
pub(crate) fn add_files(http: HttpServer) -> Result<(), HeaderError> {
    http.set_headers([
        ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    ])?;
    http.get("/", |_| file(PAGE, "text/html; charset=utf-8"));
    http.get("/style.css", |_| file(STYLE, "text/css; charset=utf-8"));
    for (path, script) in SCRIPTS {
        http.get(path, move |_| {
            file(script, "text/javascript; charset=utf-8")
        });
    }
    Ok(())
}

/// Returns the options of the page's WebSocket.
pub(crate) fn websocket_options() -> WebSocketOptions {
    // A slow page is disconnected, reconnects, and receives the missed messages.
    WebSocketOptions::new()
        .max_message(MAX_MESSAGE_BYTES)
        .slow_policy(SlowPolicy::Close)
}

fn file(text: &'static str, kind: &'static str) -> Response {
    // Browsers revalidate each time, so that a page and its script have the same version.
    Response::plain(text)
        .content_type(kind)
        .header("Cache-Control", "no-cache")
}
