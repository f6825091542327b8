//! A minimal web server with two pages.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 21-http-hello
//! $ cargo run --example 21-http-hello -- [::1]:9000
//! ```
//! Try it with a browser at <http://localhost:8080/>, or with curl:
//! ```text
//! $ curl -i http://localhost:8080/
//! $ curl -i http://localhost:8080/hello/Grace
//! $ curl -i http://localhost:8080/nothing
//! ```

use uptick::prelude::*;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new();
    http.get("/", |_| Response::html("<h1>Hello, World!</h1>\n"));
    http.get("/hello/{name}", |req: Request| {
        format!("Hello, {}!\n", req.param("name").unwrap_or_default())
    });
    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}
