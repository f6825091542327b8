//! Pushes events to browsers: a page with a clock and a chat, updated by server-sent events.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 24-server-sent-events
//! $ cargo run --example 24-server-sent-events -- [::1]:9000
//! ```
//! Try it: open <http://localhost:8080/> in two windows and send a message in one of them. Stop the server and start it again:
//! the pages reconnect. Or use curl:
//! ```text
//! $ curl -N http://localhost:8080/events
//! $ curl -d 'Hello, all!' http://localhost:8080/say
//! ```

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use uptick::prelude::*;

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Server-sent events</title>
<link rel="icon" href="data:,">
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem; }
  form { display: flex; gap: 0.5rem; }
  input { flex: 1; min-width: 0; font: inherit; }
  button { font: inherit; }
  ul { padding-left: 1.25rem; overflow-wrap: anywhere; }
</style>
<p>The server has counted to <b id="count">nothing yet</b>.</p>
<form id="form">
  <input id="text" placeholder="Message" aria-label="Message" maxlength="250" autofocus autocomplete="off">
  <button>Send</button>
</form>
<ul id="said"></ul>
<script>
  const element = id => document.getElementById(id);
  const events = new EventSource("/events");
  events.addEventListener("count", event => element("count").textContent = event.data);
  events.addEventListener("said", event => {
    const item = document.createElement("li");
    item.textContent = event.data;
    element("said").prepend(item);
  });
  element("form").addEventListener("submit", async event => {
    event.preventDefault();
    const said = await fetch("/say", { method: "POST", body: element("text").value }).catch(error => error);
    // A message that was not accepted stays in the field.
    if (said.ok) element("text").value = "";
  });
</script>
</html>
"#;

/// The connected event streams.
#[derive(Clone, Default)]
struct Subscribers(Rc<RefCell<Vec<EventStream>>>);

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let subscribers = Subscribers::default();
    let http = HttpServer::new().body_limit(1000);
    http.get("/", |_| Response::html(PAGE));
    http.get("/events", {
        let subscribers = subscribers.clone();
        move |_| subscribers.subscribe()
    });
    http.post("/say", {
        let subscribers = subscribers.clone();
        move |req: Request| {
            let subscribers = subscribers.clone();
            async move {
                subscribers.send("said", &req.text().await?);
                Ok::<_, HttpError>(StatusCode::NO_CONTENT)
            }
        }
    });

    let mut count = 0;
    uptick::add_periodic_timer(Duration::from_secs(1), move |_| {
        count += 1;
        subscribers.send("count", &count.to_string());
    });

    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

impl Subscribers {
    fn subscribe(&self) -> Response {
        let (response, events) = Response::events();
        // Browsers reconnect after a second.
        events.send(ServerEvent::reconnect_after(Duration::from_secs(1)));
        self.0.borrow_mut().push(events);
        let subscribers = self.clone();
        events.on("close", move |()| {
            subscribers.0.borrow_mut().retain(|other| *other != events);
        });
        response
    }

    fn send(&self, name: &str, data: &str) {
        // Sending may close a slow stream, which changes the list.
        let all = self.0.borrow().clone();
        for events in all {
            events.send(ServerEvent::new(data).name(name));
        }
    }
}
