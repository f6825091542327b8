//! The service: its routes, and the events of its workers.

use std::io::Write;
use std::time::Duration;

use uptick::http::{HttpError, StatusCode};
use uptick::prelude::*;
use uptick::workers::{Status, WorkerEvent};

use super::options::Options;

pub(crate) fn run(options: Options) -> uptick::Result {
    let Options {
        workers,
        threads,
        address,
        tls,
    } = options;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let workers = workers
        .listen(address.as_str())
        .on_event(move |event| match event {
            WorkerEvent::Listening { addresses } => {
                let uris = addresses.iter().map(|uri| uri.replace("tcp", scheme));
                let uris = uris.collect::<Vec<_>>().join(", ");
                let _ = writeln!(std::io::stdout(), "listening on {uris}");
            }
            // `eprintln` would panic if the disk is full.
            event => drop(writeln!(std::io::stderr(), "{event}")),
        });
    workers.run(move |worker: Worker| {
        if std::env::var_os("UPTICK_FAIL_FILE")
            .is_some_and(|path| std::fs::exists(path).unwrap_or(false))
        {
            return Err("UPTICK_FAIL_FILE exists".into());
        }
        let http = HttpServer::new();
        add_routes(http, worker, threads);
        add_websocket(http, worker);
        for index in 0..worker.addresses().len() {
            let server = worker.server(index)?;
            match &tls {
                Some((cert, key)) => {
                    let context = TlsContext::new().local_cert(cert).local_pk(key).load()?;
                    http.listen(SecureServer::new(server, context));
                }
                None => drop(http.listen(server)),
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// Returns the identity of the worker as JSON.
fn describe(worker: Worker) -> String {
    format!(
        r#"{{"worker":{},"pid":{},"generation":{}}}"#,
        worker.number(),
        std::process::id(),
        worker.generation()
    )
}

fn json(text: String) -> Response {
    Response::plain(text).header("Content-Type", "application/json")
}

fn add_routes(http: HttpServer, worker: Worker, threads: bool) {
    http.get("/", move |_: Request| json(describe(worker)));
    http.get("/slow", move |req: Request| async move {
        uptick::sleep(milliseconds(&req)?).await;
        Ok::<_, HttpError>(json(describe(worker)))
    });
    http.get("/hang", move |req: Request| {
        std::thread::sleep(milliseconds(&req)?);
        Ok::<_, HttpError>(json(describe(worker)))
    });
    #[allow(clippy::panic, reason = "the route tests panics")]
    http.get("/panic", |_: Request| -> Response {
        panic!("requested by the client")
    });
    http.get("/exit", move |req: Request| {
        if threads {
            return StatusCode::NOT_IMPLEMENTED;
        }
        let code = req.query_value("code").and_then(|code| code.parse().ok());
        std::process::exit(code.unwrap_or(1));
    });
    http.get("/events", move |_: Request| {
        let (response, events) = Response::events();
        events.send(describe(worker));
        let timer = uptick::add_periodic_timer(Duration::from_millis(500), move |_| {
            events.send(describe(worker));
        });
        events.on("close", move |()| timer.cancel());
        response
    });
    http.get("/stats", move |_: Request| {
        json(status(worker, Status::to_json))
    });
    http.get("/metrics", move |_: Request| {
        Response::plain(status(worker, Status::to_prometheus))
            .header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
    });
}

fn status(worker: Worker, encode: fn(&Status) -> String) -> String {
    worker.status().as_ref().map(encode).unwrap_or_default()
}

fn milliseconds(req: &Request) -> Result<Duration, HttpError> {
    match req.query_value("ms").as_deref().unwrap_or("0").parse() {
        Ok(time) => Ok(Duration::from_millis(time)),
        Err(_) => Err(HttpError::new(
            StatusCode::BAD_REQUEST,
            "ms is not a number",
        )),
    }
}

/// The maximum number of bytes queued for a client. A worker may receive this amount from another
/// one at once.
const MAX_BUFFERED: usize = 16 * 1024 * 1024;

/// Adds a WebSocket route whose messages reach all WebSockets of all workers.
fn add_websocket(http: HttpServer, worker: Worker) {
    let options = WebSocketOptions::new().max_buffered(MAX_BUFFERED);
    http.websocket_with("/ws", options, move |_: Request| {
        Accept::new(move |ws: WebSocket| open(ws, http, worker))
    });
}

fn open(ws: WebSocket, http: HttpServer, worker: Worker) {
    ws.subscribe("all");
    ws.send(describe(worker));
    ws.on("message", move |message: Message| {
        if let Some(text) = message.as_text() {
            let text = serde_json::to_string(text).unwrap_or_default();
            let from = worker.number();
            http.publish("all", format!(r#"{{"from":{from},"text":{text}}}"#));
        }
        // A client that sends more than other workers can read is paused.
        let bus = worker.bus();
        if bus.is_congested() {
            ws.pause();
            bus.once("drain", move |()| ws.resume());
        }
    });
}
