//! A server for load generators: two pages and a WebSocket echo, with default settings. A third page returns the
//! counters of the loop.
//!
//! Run it with one loop, or with several, each in its own thread:
//! ```text
//! $ cargo run --release --example 91-benchmark --features tls -- --listen 127.0.0.1:8080
//! $ cargo run --release --example 91-benchmark --features tls -- --listen 127.0.0.1:8080 --workers 4
//! $ cargo run --release --example 91-benchmark --features tls -- --listen 127.0.0.1:8443 --cert cert.pem --key key.pem
//! ```
//! Try it:
//! ```text
//! $ curl -i http://127.0.0.1:8080/hello
//! $ curl -i http://127.0.0.1:8080/user/42
//! $ curl -i http://127.0.0.1:8080/stats
//! $ npx wscat -c ws://127.0.0.1:8080/ws
//! $ wrk -c 64 -d 10 http://127.0.0.1:8080/hello
//! ```

use std::net::SocketAddr;
use std::thread;

use uptick::prelude::*;
use uptick::socket::SocketOptions;

const USAGE: &str =
    "usage: 91-benchmark --listen ADDRESS [--cert cert.pem --key key.pem] [--workers N]";

#[derive(Clone)]
struct Options {
    listen: SocketAddr,
    certificate: Option<(String, String)>,
    workers: usize,
}

fn main() -> uptick::Result {
    let mut options = read_options()?;
    let http = server(&options)?;
    let uri = http.address().unwrap_or_default();
    let scheme = if uri.starts_with("tls") {
        "https"
    } else {
        "http"
    };
    let (_, address) = uri.split_once("://").ok_or("there is no address")?;
    println!("listening on {scheme}://{address}");

    // The other loops share the port of the first one; the kernel distributes the connections.
    options.listen.set_port(port_of(&uri)?);
    for _ in 1..options.workers {
        let options = options.clone();
        thread::spawn(move || {
            let served = server(&options).and_then(|_| uptick::run());
            if let Err(e) = served {
                eprintln!("a worker has ended: {e}");
            }
        });
    }
    uptick::run()
}

fn server(options: &Options) -> uptick::Result<HttpServer> {
    let http = HttpServer::new();
    http.get("/hello", |_| "Hello, World!");
    http.get("/user/{id}", |req: Request| {
        req.param("id").unwrap_or_default().to_owned()
    });
    http.websocket("/ws", |ws: WebSocket| {
        ws.on("message", move |message: Message| ws.send(message));
    });
    http.get("/stats", move |_: Request| Response::json(http.stats()));

    let socket = SocketOptions::new().reuse_port(options.workers > 1);
    let server = Server::bind_with(options.listen, ServerOptions::new().socket(socket))?;
    if let Some((cert, key)) = &options.certificate {
        let tls = TlsContext::new().local_cert(cert).local_pk(key).load()?;
        http.listen(SecureServer::new(server, tls));
    } else {
        http.listen(server);
    }
    Ok(http)
}

fn port_of(uri: &str) -> uptick::Result<u16> {
    let port = uri.rsplit_once(':').ok_or("there is no port")?.1;
    Ok(port.parse()?)
}

fn read_options() -> uptick::Result<Options> {
    let (mut listen, mut cert, mut key, mut workers) = (None, None, None, 1);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or(USAGE)?;
        match name.as_str() {
            "--listen" => listen = Some(value.parse()?),
            "--cert" => cert = Some(value),
            "--key" => key = Some(value),
            "--workers" => workers = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    if cert.is_some() != key.is_some() {
        return Err(USAGE.into());
    }
    Ok(Options {
        listen: listen.ok_or(USAGE)?,
        certificate: cert.zip(key),
        workers,
    })
}
