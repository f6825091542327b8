//! Tests of HTTP/2 with a browser.

use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use serde_json::json;
use uptick::prelude::*;
use uptick::tls::self_signed;

use crate::program::TIMEOUT;
use crate::webdriver::WebDriver;

/// A page with a style sheet, scripts and images. The scripts count themselves.
const PAGE: &str = r#"<!doctype html>
<title>HTTP/2</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
<p>Hello
<script>window.count = 0; window.received = {};</script>
"#;

/// Number of scripts of the page.
const SCRIPTS: usize = 30;

/// Script that opens an event stream and a WebSocket, and uploads a body.
const SCRIPT: &str = r#"
    const events = new EventSource("/events");
    events.addEventListener("count", event => {
        received.events = (received.events ?? "") + event.data;
    });
    const ws = new WebSocket(`wss://${location.host}/ws`);
    ws.onmessage = event => {
        if (received.version) {
            received.echo = event.data;
            ws.close(4321);
        } else {
            received.version = event.data;
            ws.send("x".repeat(200000));
        }
    };
    ws.onclose = event => received.closed = event.code;
    fetch("/upload", { method: "POST", body: "x".repeat(900000) })
        .then(async response => received.upload = await response.text());
"#;

/// Script that opens a Socket.IO connection with polling, changes its transport to a WebSocket, and emits an event with an acknowledgement.
const SOCKET_IO: &str = r#"
    const polling = "/socket.io/?EIO=4&transport=polling";
    (async () => {
        const text = async (path, options) => (await fetch(path, options)).text();
        const { sid } = JSON.parse((await text(polling)).slice(1));
        await text(`${polling}&sid=${sid}`, { method: "POST", body: "40" });
        received.connected = await text(`${polling}&sid=${sid}`);
        const ws = new WebSocket(`wss://${location.host}/socket.io/?EIO=4&transport=websocket&sid=${sid}`);
        ws.onopen = () => ws.send("2probe");
        ws.onmessage = event => {
            if (event.data === "3probe") {
                ws.send("5");
                ws.send('420["echo","hello"]');
            } else {
                received.acknowledged = event.data;
            }
        };
    })();
"#;

/// Serves the page over TLS until the loop is stopped, and prints nothing. Passes the URI and the handle of the loop to `started`.
fn serve(started: impl FnOnce(String, uptick::LoopHandle)) {
    let own = self_signed(["localhost", "127.0.0.1"]).unwrap();
    let http = HttpServer::new();
    http.get("/", |_| {
        let scripts: String = (0..SCRIPTS)
            .map(|n| format!("<script src=\"/script.js?{n}\"></script>\n"))
            .collect();
        Response::html(format!("{PAGE}{scripts}"))
    });
    http.get("/style.css", |_| {
        Response::plain("p { color: rgb(1, 2, 3); }").header("content-type", "text/css")
    });
    http.get("/script.js", |_| {
        Response::plain("window.count += 1;").header("content-type", "text/javascript")
    });
    http.get("/events", |_| {
        let (response, events) = Response::events();
        let mut count = 0;
        uptick::add_periodic_timer(Duration::from_millis(20), move |timer| {
            count += 1;
            events.send(ServerEvent::new(count.to_string()).name("count"));
            if count == 5 {
                uptick::cancel_timer(timer);
            }
        });
        response
    });
    http.post("/upload", |req: Request| async move {
        let version = req.version();
        let length = req.bytes(1_000_000).await?.len();
        Ok::<_, HttpError>(format!("{length} over {version:?}"))
    });
    http.websocket_with("/ws", WebSocketOptions::new(), |req: Request| {
        let version = format!("{:?}", req.version());
        Accept::new(move |ws: WebSocket| {
            ws.send(&*version);
            ws.on("message", move |message: Message| {
                ws.send(message);
            });
        })
    });
    let io = SocketIo::new();
    io.on("connection", |socket: Socket| {
        socket.on_ack("echo", |text: String, ack: Ack| ack.send(&text));
    });
    http.mount("/socket.io/", &io);
    http.get("/stats", move |_| {
        let stats = http.stats();
        let others = stats.requests - stats.http2_requests;
        format!("{others} over HTTP/1")
    });
    let secure = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), own);
    let address = secure.address().unwrap();
    let (_, address) = address.split_once("://").unwrap();
    let uri = format!("https://{address}/");
    http.listen(secure);
    started(uri, uptick::handle());
    uptick::run().unwrap();
}

#[test]
fn a_browser_uses_one_http2_connection_for_everything() {
    let Some(driver) = WebDriver::start() else {
        return;
    };
    let (sender, started) = channel();
    let server = thread::spawn(move || {
        serve(|uri, handle| sender.send((uri, handle)).unwrap());
    });
    let (uri, handle) = started.recv_timeout(TIMEOUT).unwrap();
    {
        let page = driver.open("http2", &uri);
        page.wait_for(&format!("window.count === {SCRIPTS}"));
        page.wait_for("getComputedStyle(document.querySelector('p')).color === 'rgb(1, 2, 3)'");
        page.run(SCRIPT);
        page.wait_for("received.events === '12345' && received.upload && received.closed");
        assert_eq!(page.value("received.upload"), json!("900000 over Http2"));
        assert_eq!(page.value("received.version"), json!("Http2"));
        assert_eq!(page.value("received.echo.length"), json!(200_000));
        assert_eq!(page.value("received.closed"), json!(4321));
        page.run(SOCKET_IO);
        page.wait_for("received.acknowledged");
        let connected = page.value("received.connected");
        assert!(
            connected.as_str().unwrap().starts_with("40{"),
            "{connected}"
        );
        assert_eq!(page.value("received.acknowledged"), json!("430[\"hello\"]"));
        page.run("fetch('/stats').then(async response => received.stats = await response.text())");
        page.wait_for("received.stats");
        assert_eq!(page.value("received.stats"), json!("0 over HTTP/1"));
        let protocols = "[...new Set(performance.getEntries().map(entry => entry.nextHopProtocol).filter(Boolean))]";
        assert_eq!(page.value(protocols), json!(["h2"]));
        let resources = "performance.getEntriesByType('resource').length";
        assert!(page.value(resources).as_u64() > Some(SCRIPTS as u64));
    }
    handle.stop();
    server.join().unwrap();
}
