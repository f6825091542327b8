//! The files of the page, including the official client, and the security headers.

use std::path::Path;

use uptick::http::HeaderError;
use uptick::prelude::*;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The file name of the official client.
const CLIENT: &str = "socket.io.min.js";

/// The content security policy: browsers load and run only files of this server, even if other code is injected into the page.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Reads the official client from a directory.
pub(crate) fn read_client(directory: &Path) -> Result<Bytes, String> {
    let path = directory.join(CLIENT);
    let read = std::fs::read(&path).map_err(|error| {
        format!(
            "reading the Socket.IO client from {} failed: {error}. Run `npm install --prefix target/tools socket.io-client@4` in the directory from which \
             you start this program, or pass the directory that contains {CLIENT} with --client",
            path.display()
        )
    });
    Ok(read?.into())
}

/// Adds the routes of the files.
pub(crate) fn add(http: HttpServer, client: Bytes) -> Result<(), HeaderError> {
    http.set_headers([
        ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
        ("Referrer-Policy", "no-referrer"),
        ("X-Content-Type-Options", "nosniff"),
    ])?;
    let files = [
        ("/", "text/html; charset=utf-8", PAGE.into()),
        ("/page.css", "text/css; charset=utf-8", STYLE.into()),
        ("/page.js", "text/javascript; charset=utf-8", SCRIPT.into()),
        (
            "/socket.io.min.js",
            "text/javascript; charset=utf-8",
            client,
        ),
    ];
    for (path, kind, content) in files {
        http.get(path, move |_: Request| file(content.clone(), kind));
    }
    Ok(())
}

fn file(content: Bytes, kind: &'static str) -> Response {
    // Browsers revalidate each time, so that a page and its script have the same version.
    Response::plain(content)
        .content_type(kind)
        .header("Cache-Control", "no-cache")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_client_is_reported_with_the_command_that_installs_it() {
        let error = read_client(Path::new("/nowhere")).unwrap_err();
        assert!(error.contains("/nowhere/socket.io.min.js"), "{error}");
        assert!(
            error.contains("npm install --prefix target/tools socket.io-client@4"),
            "{error}"
        );
    }
}
