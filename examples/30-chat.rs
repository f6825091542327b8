//! A chat in the browser: rooms, members, typing indicators and a history. A page whose connection breaks reconnects, and
//! shows the missed messages.
//!
//! Run it on 127.0.0.1:8080, or on another address. For TLS it uses a given certificate, or generates one:
//! ```text
//! $ cargo run --example chat
//! $ cargo run --example 30-chat
//! $ cargo run --example 30-chat -- --listen 0.0.0.0:8080
//! $ cargo run --example 30-chat --features self-signed -- --tls --listen 0.0.0.0:8443
//! $ cargo run --example 30-chat --features self-signed -- --cert certificate.pem --key key.pem
//! ```
//! Try it: open <http://127.0.0.1:8080/> in two windows, and join under two names. Stop the server with Ctrl-C, write a
//! message in one of the windows, and start the server again. Other clients can use the page's protocol:
//! ```text
//! $ npx wscat --connect ws://127.0.0.1:8080/chat
//! > {"type":"join","name":"Ann","room":"lobby","token":""}
//! > {"type":"say","text":"Hello!","ref":1}
//! ```

use std::time::Duration;

use uptick::prelude::*;
use uptick::rate_limit::Client;

#[path = "30-chat/chat.rs"]
mod chat;
#[path = "30-chat/chat_server.rs"]
mod chat_server;
#[path = "30-chat/limits.rs"]
mod limits;
#[path = "30-chat/page.rs"]
mod page;
#[path = "30-chat/room.rs"]
mod room;
#[path = "30-chat/validation.rs"]
mod validation;
#[path = "30-chat/wire.rs"]
mod wire;

use chat_server::ChatServer;

const USAGE: &str =
    "usage: 30-chat [--listen ADDRESS] [--tls] [--cert certificate.pem [--key key.pem]]";

const MAX_CLIENTS: usize = 1000;
const DEADLINE: Duration = Duration::from_secs(5);

pub(crate) fn main() -> uptick::Result {
    let options = Options::read()?;

    let http = HttpServer::new();
    page::add_files(http)?;

    // The hall lives as long as the program, so callbacks can refer to it.
    let chat_server: &'static ChatServer = Box::leak(Box::new(ChatServer::new(http.hub())));
    http.websocket_with("/chat", page::websocket_options(), move |req: Request| {
        let client = req.client();
        Accept::new(move |ws| chat_server.add_page(ws, client.map(Client::from)))
    });

    let server = LimitingServer::new(Server::bind(&options.listen)?, MAX_CLIENTS, false);
    let scheme = if options.tls { "https" } else { "http" };
    let server: AnyServer = match options.tls {
        true => secure(server, &options)?,
        false => server.into(),
    };
    http.listen(server);

    http.shutdown_on([SIGINT, SIGTERM], DEADLINE)?;
    let uri = http.address().unwrap_or_default();
    let address = uri.split_once("://").map_or("", |(_, address)| address);
    println!("listening on {scheme}://{address}");
    uptick::run()
}

struct Options {
    listen: String,
    tls: bool,
    cert: Option<String>,
    key: Option<String>,
}

impl Options {
    fn read() -> uptick::Result<Options> {
        let (mut listen, mut tls, mut cert, mut key) = (None, false, None, None);
        let mut args = std::env::args().skip(1);
        while let Some(name) = args.next() {
            let mut value = || args.next().ok_or(format!("{name} takes a value; {USAGE}"));
            match name.as_str() {
                "--listen" => listen = Some(value()?),
                "--tls" => tls = true,
                "--cert" => cert = Some(value()?),
                "--key" => key = Some(value()?),
                _ => return Err(format!("there is no option {name}; {USAGE}").into()),
            }
        }
        if key.is_some() && cert.is_none() {
            return Err(format!("--key needs --cert; {USAGE}").into());
        }
        let tls = tls || cert.is_some();
        let port = if tls { 8443 } else { 8080 };
        let listen = listen.unwrap_or_else(|| format!("127.0.0.1:{port}"));
        Ok(Options {
            listen,
            tls,
            cert,
            key,
        })
    }
}

#[cfg(feature = "self-signed")]
fn secure(server: LimitingServer, options: &Options) -> uptick::Result<AnyServer> {
    let tls = match &options.cert {
        Some(cert) => TlsContext::new().local_cert(cert),
        None => self_signed(["localhost", "127.0.0.1", "::1"])?.into(),
    };
    let tls = match &options.key {
        Some(key) => tls.local_pk(key),
        None => tls,
    };
    Ok(SecureServer::new(server, tls.load()?).into())
}

/// TLS takes a while to build, so it is optional.
#[cfg(not(feature = "self-signed"))]
fn secure(_: LimitingServer, options: &Options) -> uptick::Result<AnyServer> {
    let _ = (&options.cert, &options.key);
    Err("this program was built without TLS: run it with `--features self-signed`".into())
}
