//! Serves the files of a directory with ranges, entity tags and content types.
//!
//! Run it in a directory with an `index.html`, or pass one:
//! ```text
//! $ cargo run --example 25-static-files
//! $ cargo run --example 25-static-files -- [::1]:9000 /usr/share/doc
//! ```
//! Try it: request a part, revalidate a file, try to leave the directory:
//! ```text
//! $ curl -i -r 0-99 http://localhost:8080/README.md
//! $ curl -I http://localhost:8080/README.md
//! $ curl -i --path-as-is http://localhost:8080/../../etc/passwd
//! ```

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8080".into());
    let files = StaticFiles::new(args.next().unwrap_or(".".into()));

    let http = HttpServer::new();
    http.get("/{*path}", files.handler());
    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}
