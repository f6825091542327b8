//! A server for HTTP, TLS and WebSocket conformance checkers, fuzzers and slow attackers: an ordinary user of the crate, with
//! stricter timeouts than the defaults.
//!
//! Run it:
//! ```text
//! $ cargo run --example 90-conformance --features tls -- --http 127.0.0.1:8080
//! $ cargo run --example 90-conformance --features tls -- --http 127.0.0.1:8080 \
//!     --https 127.0.0.1:8443 --cert cert.pem --key key.pem
//! $ cargo run --example 90-conformance --features tls -- --http 127.0.0.1:8080 --ws-deflate --ws-max-message 1000000
//! ```
//! Try it:
//! ```text
//! $ curl -i -d 'to be echoed' http://127.0.0.1:8080/
//! $ curl -i http://127.0.0.1:8080/stream
//! $ curl -i --http2-prior-knowledge http://127.0.0.1:8080/trailers
//! $ nghttp -nv http://127.0.0.1:8080/slow
//! $ npx wscat -c ws://127.0.0.1:8080/ws
//! $ printf 'GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n' | nc 127.0.0.1 8080
//! ```

use std::convert::Infallible;
use std::time::Duration;

use uptick::http::h1::Limits;
use uptick::http::{BodyStream, HeaderMap, HeaderValue, HttpError, StatusCode};
use uptick::prelude::*;
use uptick::socket::SocketOptions;
use uptick::websocket::{Compression, Origins};

const USAGE: &str = "usage: 90-conformance [--http ADDRESS] [--https ADDRESS --cert cert.pem --key key.pem] \
    [--ws-max-message BYTES] [--ws-deflate]";

const MAX_BODY: usize = 1024 * 1024;
const BIG: &[u8] = &[b'x'; 1024 * 1024];
/// The default maximum size of a WebSocket message.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;
const HELLO: &str = "hello world\n";
/// The timeout for clients that must send or receive.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> uptick::Result {
    let options = read_options()?;
    let http = HttpServer::new()
        .limits(Limits::default().fields(1000).chunk_extensions(64 * 1024))
        .first_byte_timeout(Some(IDLE_TIMEOUT))
        .head_timeout(Some(IDLE_TIMEOUT))
        .idle_timeout(Some(IDLE_TIMEOUT))
        .body_rate(1, IDLE_TIMEOUT)
        .write_timeout(Some(2 * IDLE_TIMEOUT));
    add_routes(http);
    add_websocket(http, &options);

    if let Some(address) = options.http {
        let server = listen(&address)?;
        println!("listening on {}", uri_of(server, "http"));
        http.listen(server);
    }
    if let Some(address) = options.https {
        let tls = TlsContext::new()
            .local_cert(options.cert.ok_or(USAGE)?)
            .local_pk(options.key.ok_or(USAGE)?)
            .load()?;
        let server = SecureServer::new(listen(&address)?, tls);
        println!("listening on {}", uri_of(server, "https"));
        http.listen(server.handshake_timeout(IDLE_TIMEOUT));
    }
    http.shutdown_on([SIGTERM], 2 * IDLE_TIMEOUT)?;
    uptick::run()
}

fn listen(address: &str) -> uptick::Result<Server> {
    let socket = SocketOptions::new().backlog(2048);
    Ok(Server::bind_with(
        address,
        ServerOptions::new().socket(socket),
    )?)
}

fn uri_of(server: impl ServerInterface, scheme: &str) -> String {
    let uri = server.address().unwrap_or_default();
    let address = uri.split_once("://").map(|(_, address)| address);
    format!("{scheme}://{}", address.unwrap_or_default())
}

fn add_routes(http: HttpServer) {
    http.any("/", echo);
    http.post("/echo", echo);
    http.get("/hello", |_| HELLO);
    http.any("/slow", |req: Request| async move {
        req.bytes(MAX_BODY).await?;
        uptick::sleep(Duration::from_millis(100)).await;
        Ok::<_, HttpError>(HELLO)
    });
    http.get("/stream", |_| {
        let pieces = (0..10).map(|n| Ok::<_, Infallible>(format!("chunk-{n}\n")));
        Response::plain(BodyStream::new(futures::stream::iter(pieces)))
    });
    http.get("/big", |_| Response::plain(BIG));
    http.get("/empty", |_| StatusCode::NO_CONTENT);
    http.get("/notmodified", |_| {
        Response::new(StatusCode::NOT_MODIFIED).header("ETag", "\"v1\"")
    });
    http.get("/header", |req: Request| joined(&req, "x-probe", b", "));
    http.get("/trailers", |_| {
        let body = BodyStream::new(futures::stream::iter([Ok::<_, Infallible>("trailers\n")]));
        let body = body.with_trailers(|| {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-trailer", HeaderValue::from_static("done"));
            trailers
        });
        Response::plain(body).header("trailer", "x-trailer")
    });
    http.get("/cookie", |req: Request| joined(&req, "cookie", b"; "));
    http.get("/host", |req: Request| {
        req.host().unwrap_or_default().to_owned()
    });
    // A value that is not valid in a header makes the response an error.
    http.get("/set-header", |req: Request| {
        Response::plain("").header("X-Echo", value_in(&req))
    });
    http.get("/redirect", |req: Request| {
        Response::redirect(&value_in(&req))
    });
}

fn add_websocket(http: HttpServer, options: &Options) {
    let compression = match options.ws_deflate {
        true => Compression::Dedicated(15),
        false => Compression::Off,
    };
    let options = WebSocketOptions::new()
        .max_message(options.ws_max_message)
        .origins(Origins::Any)
        .compression(compression);
    http.websocket_with("/ws", options, |_: Request| {
        Accept::new(|ws: WebSocket| {
            ws.on("message", move |message: Message| {
                // A client that sends without reading is paused.
                if ws.send(message) == Sent::Buffered {
                    ws.pause();
                }
            });
            ws.on("drain", move |()| ws.resume());
        })
    });
}

async fn echo(req: Request) -> Result<Response, HttpError> {
    Ok(Response::plain(req.bytes(MAX_BODY).await?))
}

/// Returns a response with all values of a header.
fn joined(req: &Request, name: &str, separator: &[u8]) -> Response {
    let headers = req.headers();
    let values = headers.get_all(name).iter();
    let values: Vec<_> = values.map(|value| value.as_bytes()).collect();
    Response::plain(values.join(separator))
}

/// Returns the query parameter `v`, decoded.
fn value_in(req: &Request) -> String {
    req.query_value("v").unwrap_or_default().into_owned()
}

struct Options {
    http: Option<String>,
    https: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    ws_max_message: usize,
    ws_deflate: bool,
}

fn read_options() -> uptick::Result<Options> {
    let mut options = Options {
        http: None,
        https: None,
        cert: None,
        key: None,
        ws_max_message: MAX_MESSAGE,
        ws_deflate: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or(USAGE);
        match name.as_str() {
            "--http" => options.http = Some(value()?),
            "--https" => options.https = Some(value()?),
            "--cert" => options.cert = Some(value()?),
            "--key" => options.key = Some(value()?),
            "--ws-max-message" => options.ws_max_message = value()?.parse()?,
            "--ws-deflate" => options.ws_deflate = true,
            _ => return Err(USAGE.into()),
        }
    }
    if options.http.is_none() && options.https.is_none() {
        return Err(USAGE.into());
    }
    Ok(options)
}
