//! An HTTP client for conformance checkers with servers that misbehave: an ordinary user of the crate.
//!
//! It reads requests from its standard input and prints their results, one JSON object on each line. Run it:
//! ```text
//! $ cargo run --example 95-client-conformance --features full
//! $ cargo run --example 95-client-conformance --features full -- --max-per-host 4 --idle-timeout-ms 1000
//! ```
//! Try it: enter requests and commands, and Ctrl-D to end it; [`request`] has all members.
//! ```text
//! {"id":1,"url":"http://127.0.0.1:8080/"}
//! {"id":2,"url":"https://example.com/","method":"POST","headers":[["content-type","text/plain"]],"body":"text","http2":"only"}
//! {"id":3,"url":"http://127.0.0.1:8080/","chunks":[{"data":"one"},{"delay_ms":500,"data":"two"}],"total_timeout_ms":1000}
//! {"cmd":"stats","id":4}
//! {"cmd":"cancel","id":2}
//! {"cmd":"close_idle","id":5}
//! ```

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::io::{self, Write as _};
use std::pin::pin;
use std::rc::Rc;

use futures::channel::oneshot;
use futures::future::{Either, select};
use serde_json::{Map, Value, json};
use uptick::http_client::{Browser, CookieStore, ErrorKind};
use uptick::prelude::*;
use uptick::stream::decode::LineDecoder;

#[path = "95-client-conformance/options.rs"]
mod options;
#[path = "95-client-conformance/perform.rs"]
mod perform;
#[path = "95-client-conformance/request.rs"]
mod request;
#[path = "95-client-conformance/results.rs"]
mod results;

use perform::{Attempts, perform};
use request::ClientRequestLine;

/// Maximum number of requests that run at a time.
const RUNNING: usize = 64;
/// Maximum number of lines that wait; then the program stops reading.
const WAITING: usize = 10_000;
/// Maximum size of a line, in bytes.
const LINE: usize = 256 * 1024 * 1024;

fn main() -> uptick::Result {
    let browser = Browser::new()
        .with_limits(options::read()?)
        .with_reject_error_response(false);
    let lines = LineStream::with_decoder(
        uptick::stream::stdin()?,
        LineDecoder::new().max_length(LINE),
    );
    let program = Rc::new(ClientProgram {
        browser,
        cookies: CookieStore::default(),
        lines,
        waiting: RefCell::default(),
        running: Cell::new(0),
        cancels: RefCell::default(),
    });
    print(&json!({"ready": true}));
    lines.on("data", {
        let program = Rc::clone(&program);
        move |line: Bytes| program.handle(&line)
    });
    lines.on("error", |error: uptick::stream::Error| eprintln!("{error}"));
    uptick::run()?;
    program.browser.close_idle();
    Ok(())
}

/// The state of the program.
struct ClientProgram {
    browser: Browser,
    cookies: CookieStore,
    lines: LineStream,
    /// The requests that wait until fewer run.
    waiting: RefCell<VecDeque<(Value, ClientRequestLine)>>,
    running: Cell<usize>,
    /// The senders that cancel running requests, by the text of their identifier.
    cancels: RefCell<HashMap<String, oneshot::Sender<()>>>,
}

impl ClientProgram {
    /// Handles a line: runs a command at once, and a request as soon as fewer than 64 run.
    fn handle(self: &Rc<Self>, line: &[u8]) {
        let Ok(Value::Object(line)) = serde_json::from_slice(line) else {
            return refuse(&Value::Null, "the line is not a JSON object");
        };
        let id = line.get("id").cloned().unwrap_or(Value::Null);
        if line.contains_key("cmd") {
            return self.command(&line, &id);
        }
        match request::parse(line) {
            Ok(request) => self.waiting.borrow_mut().push_back((id, request)),
            Err(reason) => return refuse(&id, &reason),
        }
        self.start_waiting();
        if self.waiting.borrow().len() >= WAITING {
            self.lines.pause();
        }
    }

    fn command(&self, line: &Map<String, Value>, id: &Value) {
        match line["cmd"].as_str() {
            Some("stats") => {
                let stats = self.browser.stats();
                let (open, idle) = (stats.open, stats.idle);
                let (created, reused) = (stats.created, stats.reused);
                print(&json!({
                    "id": id,
                    "stats": {"open": open, "idle": idle, "created": created, "reused": reused},
                }));
            }
            Some("close_idle") => {
                let closed = self.browser.close_idle();
                print(&json!({"id": id, "closed": closed}));
            }
            Some("cancel") => self.cancel(id),
            _ => refuse(id, "the command is not known"),
        }
    }

    /// Cancels a request that runs or waits. Other requests are ignored.
    fn cancel(&self, id: &Value) {
        if let Some(cancel) = self.cancels.borrow_mut().remove(&id.to_string()) {
            // The receiver exists until the result is printed.
            let _ = cancel.send(());
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if let Some(at) = waiting.iter().position(|(other, _)| other == id) {
            waiting.remove(at);
            print(&results::cancelled(id, &Attempts::default()));
        }
    }

    fn start_waiting(self: &Rc<Self>) {
        while self.running.get() < RUNNING {
            let Some((id, request)) = self.waiting.borrow_mut().pop_front() else {
                break;
            };
            self.running.set(self.running.get() + 1);
            let (cancel, cancelled) = oneshot::channel();
            self.cancels.borrow_mut().insert(id.to_string(), cancel);
            uptick::spawn(Rc::clone(self).run(id, request, cancelled));
        }
        if self.waiting.borrow().len() < WAITING {
            self.lines.resume();
        }
    }

    /// Runs a request, and prints its result.
    async fn run(
        self: Rc<Self>,
        id: Value,
        request: ClientRequestLine,
        cancelled: oneshot::Receiver<()>,
    ) {
        let attempts = Rc::new(Attempts::default());
        let result = {
            let running = perform(&self.browser, &self.cookies, request, Rc::clone(&attempts));
            until(running, cancelled).await
        };
        self.cancels.borrow_mut().remove(&id.to_string());
        print(&match result {
            Some(Ok(result)) => result.with_id(&id),
            Some(Err(error)) => results::failed(&id, &error),
            None => results::cancelled(&id, &attempts),
        });
        self.running.set(self.running.get() - 1);
        self.start_waiting();
    }
}

/// Waits for a future, and drops it if the request is cancelled before.
async fn until<T>(future: impl Future<Output = T>, cancelled: oneshot::Receiver<()>) -> Option<T> {
    match select(pin!(future), cancelled).await {
        Either::Left((result, _)) => Some(result),
        // The sender was replaced: another request has the same identifier.
        Either::Right((Err(_), future)) => Some(future.await),
        Either::Right((Ok(()), _)) => None,
    }
}

/// Prints the result of a request that cannot be run.
fn refuse(id: &Value, reason: &str) {
    let kind = ErrorKind::InvalidRequest.name();
    print(
        &json!({"id": id, "ok": false, "error": {"kind": kind, "message": reason}, "attempts": 0}),
    );
}

/// Prints a line.
fn print(line: &Value) {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
    if written.is_err() {
        // The reader of the results has ended.
        std::process::exit(1);
    }
}
