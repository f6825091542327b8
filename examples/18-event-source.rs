//! Prints server-sent events. When the stream ends, it reconnects with growing delays, and continues after the last event that had an id.
//!
//! Run it with `24-server-sent-events` on 127.0.0.1:8080, or with another URL:
//! ```text
//! $ cargo run --example 18-event-source
//! $ cargo run --example 18-event-source -- https://example.com/events
//! ```
//! Try it: stop the server and start it again; a URL that is not a stream of events, such as <http://127.0.0.1:8080/>.

use std::time::Duration;

use uptick::http_client::{Browser, Error, EventSourceRetry, MessageEvent};
use uptick::prelude::Emitter;

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let url = args.nth(1).unwrap_or("http://127.0.0.1:8080/events".into());

    let source = Browser::new()
        .event_source(url)
        .idle_timeout(Duration::from_secs(60))
        .retry_server_errors(true)
        .connect();
    source.on("open", |()| eprintln!("connected"));
    source.on_event("said", |event: MessageEvent| {
        println!("somebody says: {}", event.data)
    });
    source.on("event", |event: MessageEvent| match &*event.event {
        "said" => {}
        name => println!("{name}: {}", event.data),
    });
    source.on("retry", |retry: EventSourceRetry| {
        let reason = retry.reason.map(|error| format!("{error}; "));
        let reason = reason.unwrap_or_default();
        eprintln!("{reason}reconnecting in {:.1?}", retry.delay);
    });
    source.on("error", |e: Error| eprintln!("{e}"));
    source.on("close", |()| eprintln!("closed"));
    uptick::run()
}
