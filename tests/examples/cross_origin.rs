//! A page in a browser and a server on another origin: CORS, and WebSockets that are rejected with a close code.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use uptick::LoopHandle;
use uptick::http::Cors;
use uptick::prelude::*;
use uptick::websocket::{BearerProtocol, Origins, RejectWithClose};

use crate::webdriver::{Page, WebDriver};

/// The servers of a page and of the API that it uses, on their own thread.
struct Servers {
    page: String,
    api: String,
    stop: LoopHandle,
    thread: Option<JoinHandle<()>>,
}

impl Servers {
    fn start() -> Servers {
        let (started, addresses) = mpsc::channel();
        let thread = thread::spawn(move || {
            let page = HttpServer::bind("127.0.0.1:0").unwrap();
            page.get("/", |_: Request| Response::html("<h1>A page</h1>"));
            let page = page.address().unwrap().replace("tcp", "http");
            let api = HttpServer::bind("127.0.0.1:0").unwrap();
            add_routes(api, &page);
            let api = api.address().unwrap().replace("tcp", "http");
            started.send((page, api, uptick::handle())).unwrap();
            uptick::run().unwrap();
        });
        let (page, api, stop) = addresses.recv().unwrap();
        Servers {
            page,
            api,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

fn add_routes(api: HttpServer, page: &str) {
    let allowed = || Cors::new().allow_origin(page).allow_credentials(true);
    api.group("/open", |open| {
        open.wrap(allowed().expose_headers(["x-total"]));
        open.put("/returned", |req: Request| {
            let sent = req.header("x-sent").unwrap_or_default().to_owned();
            Response::plain(sent).header("x-total", "7")
        });
        open.get("/sent", |_: Request, res: Responder| {
            uptick::future_tick(move || {
                res.send("later");
            });
        });
        open.get("/failed", |_: Request| -> Response { panic!("on purpose") });
    });
    api.group("/closed", |closed| {
        closed.wrap(Cors::new().allow_origin("https://other.example"));
        closed
            .get("/", |_: Request| "secret")
            .put("/", |_: Request| "changed");
    });
    api.group("/any", |any| {
        any.wrap(Cors::new().allow_any_origin());
        any.get("/", |_: Request| "public");
    });
    let options = WebSocketOptions::new()
        .origins(Origins::Any)
        .protocols(["chat"]);
    api.websocket_with(
        "/socket",
        options,
        |req: Request| match BearerProtocol::of(&req) {
            Some(bearer) if bearer.token() == "sesame" => Ok(Accept::new(|ws: WebSocket| {
                ws.send("hello");
            })),
            _ => Err(RejectWithClose::unauthorized("token expired")),
        },
    );
}

/// Evaluates a promise in the page, and checks its value; `failed` if it is rejected.
#[track_caller]
fn expect(page: &Page<'_>, promise: &str, value: &str) {
    page.run(&format!(
        "window.value = undefined;
         ({promise}).then(value => window.value = String(value), () => window.value = 'failed');"
    ));
    page.wait_for("window.value !== undefined");
    assert_eq!(page.value("window.value"), value, "{promise}");
}

#[test]
fn a_page_reads_responses_that_another_origin_allows() {
    let Some(driver) = WebDriver::start() else {
        return;
    };
    let servers = Servers::start();
    let page = driver.open("cross-origin", &servers.page);
    let api = &servers.api;
    let put = "{ method: 'PUT', credentials: 'include', headers: { 'x-sent': 'hi' } }";
    for (promise, value) in [
        (
            format!(
                "fetch('{api}/open/returned', {put}).then(async r => await r.text() + r.headers.get('x-total'))"
            ),
            "hi7",
        ),
        (
            format!("fetch('{api}/open/sent', {{ credentials: 'include' }}).then(r => r.text())"),
            "later",
        ),
        (
            format!("fetch('{api}/open/failed', {{ credentials: 'include' }}).then(r => r.status)"),
            "500",
        ),
        (format!("fetch('{api}/any/').then(r => r.text())"), "public"),
        // A wildcard does not allow credentials.
        (
            format!("fetch('{api}/any/', {{ credentials: 'include' }}).then(r => r.text())"),
            "failed",
        ),
        (
            format!("fetch('{api}/closed/').then(r => r.text())"),
            "failed",
        ),
        (
            format!("fetch('{api}/closed/', {put}).then(r => r.text())"),
            "failed",
        ),
        (
            format!("fetch('{api}/nowhere').then(r => r.status)"),
            "failed",
        ),
    ] {
        expect(&page, &promise, value);
    }
}

#[test]
fn a_page_reads_the_close_code_of_a_websocket_that_is_rejected() {
    let Some(driver) = WebDriver::start() else {
        return;
    };
    let servers = Servers::start();
    let page = driver.open("rejected", &servers.page);
    let url = servers.api.replace("http", "ws") + "/socket";
    let closed = |protocols: &str| {
        format!(
            "new Promise(done => new WebSocket('{url}', {protocols}).onclose = e => done(e.code + e.reason))"
        )
    };
    expect(
        &page,
        &closed("['chat', 'bearer.guessed']"),
        "4401token expired",
    );
    expect(&page, &closed("['chat']"), "4401token expired");
    expect(&page, &closed("[]"), "4401token expired");
    // Without a subprotocol that the server supports, the browser fails the connection.
    expect(&page, &closed("['bearer.guessed']"), "1006");
    let opened = format!(
        "new Promise(done => {{
             const ws = new WebSocket('{url}', ['chat', 'bearer.sesame']);
             ws.onmessage = e => done(ws.protocol + ' ' + e.data);
         }})"
    );
    expect(&page, &opened, "chat hello");
}
