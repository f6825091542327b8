//! Hub adapters, which connect the topics of several workers.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_http::{HttpServer, Request};
use uptick_websocket::{
    Compression, Hub, HubAdapter, HubMessage, Message, WebSocket, WebSocketOptions,
    WebSocketRoutes, set_default_adapter, upgrade,
};

use crate::support::{Client, Log, run_until, server, settle};

/// An adapter that records its calls.
struct Recorder {
    log: Log,
    name: String,
}

impl HubAdapter for Recorder {
    fn publish(&self, topic: &str, message: &HubMessage) {
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        let kind = if message.is_text() { "text" } else { "bytes" };
        self.log
            .add(format_args!("{}:{topic}={kind}:{text}", self.name));
    }

    fn subscribed(&self, topic: &str) {
        self.log.add(format_args!("{}:+{topic}", self.name));
    }

    fn unsubscribed(&self, topic: &str) {
        self.log.add(format_args!("{}:-{topic}", self.name));
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.log.add(format_args!("{}:dropped", self.name));
    }
}

/// Installs a recording default adapter, and returns its log.
fn record_adapters() -> Log {
    let log = Log::default();
    let seen = log.clone();
    set_default_adapter(move |_, name| Recorder {
        log: seen.clone(),
        name: name.to_owned(),
    });
    log
}

/// Adds a route that subscribes all its WebSockets to `news`.
fn news(http: HttpServer, options: WebSocketOptions) -> Rc<RefCell<Vec<WebSocket>>> {
    let all = Rc::new(RefCell::new(Vec::new()));
    let shared = Rc::clone(&all);
    http.websocket_with("/", options, move |_| {
        let shared = Rc::clone(&shared);
        uptick_websocket::Accept::new(move |ws: WebSocket| {
            ws.subscribe("news");
            shared.borrow_mut().push(ws);
        })
    });
    all
}

#[test]
fn an_adapter_receives_messages_and_the_first_and_last_subscription() {
    let log = record_adapters();
    let http = server();
    let all = news(http, WebSocketOptions::new());
    let clients = [Client::open(http, "/"), Client::open(http, "/")];
    assert_eq!(http.publish("news", "a"), 2);
    assert_eq!(http.publish("other", &b"b"[..]), 0);
    let ws = all.borrow()[0];
    assert_eq!(ws.publish("news", "c"), 1);
    assert_eq!(ws.publish("other", "not subscribed"), 0);
    let hub = http.hub();
    assert_eq!(hub.publish_where("news", "here", |_| true), 2);
    drop(clients);
    run_until(|| hub.subscribers("news") == 0);
    let expected = "1:+news 1:news=text:a 1:other=bytes:b 1:news=text:c 1:-news";
    assert_eq!(log.text(), expected);
}

#[test]
fn a_message_from_another_worker_reaches_local_subscribers_only() {
    let log = record_adapters();
    let http = server();
    news(
        http,
        WebSocketOptions::new().compression(Compression::Shared),
    );
    let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut clients = [
        Client::request(http, "/", fields),
        Client::request(http, "/", ""),
    ];
    let text = "again and again ".repeat(100);
    for message in [Message::from("first"), Message::from(text.clone())] {
        let message = HubMessage::new(&message);
        assert_eq!(http.hub().deliver("news", &message), 2);
        assert_eq!(http.hub().deliver("other", &message), 0);
    }
    for client in &mut clients {
        assert_eq!(client.message(), "first");
        assert_eq!(client.message(), text);
    }
    assert_eq!(log.text(), "1:+news");
}

#[test]
fn hubs_of_servers_are_numbered_and_other_hubs_are_local() {
    let log = record_adapters();
    let local = Hub::new();
    let servers = [server(), server()];
    let names = servers.map(|http| http.hub().name().unwrap().to_string());
    assert_eq!(names, ["1", "2"]);
    assert_eq!(servers[0].hub().name().as_deref(), Some("1"));
    assert_eq!((local.name(), Hub::of_thread().name()), (None, None));
    local.publish("a", "dropped");
    local.set_name("own");
    local.publish("a", "b");
    servers[1].hub().set_name("chat");
    servers[1].publish("c", "d");
    assert_eq!(log.text(), "own:a=text:b 2:dropped chat:c=text:d");
}

#[test]
fn requests_do_not_change_the_names_of_hubs() {
    record_adapters();
    let upgrading = server();
    upgrading.get("/", |req: Request| {
        upgrade(&req, WebSocketOptions::new(), |_| ())
    });
    let _client = Client::open(upgrading, "/");
    assert_eq!(server().hub().name().as_deref(), Some("1"));
}

#[test]
fn a_new_adapter_receives_the_topics_with_subscribers() {
    let log = record_adapters();
    let http = server();
    news(http, WebSocketOptions::new());
    let _client = Client::open(http, "/");
    let hub = http.hub();
    hub.set_name("chat");
    hub.set_name("chat");
    hub.set_adapter(Recorder {
        log: log.clone(),
        name: "set".into(),
    });
    hub.remove_adapter();
    hub.publish("news", "local");
    let expected = "1:+news 1:dropped chat:+news chat:dropped set:+news set:dropped";
    assert_eq!(log.text(), expected);
}

#[test]
fn messages_from_other_threads_go_through_the_adapter() {
    let log = record_adapters();
    let http = server();
    news(http, WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let publisher = http.hub().publisher();
    std::thread::spawn(move || {
        publisher.publish("news", "a").unwrap();
        publisher.publish("news", vec![98]).unwrap();
        publisher.publish("news", "c").unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(client.message(), "a");
    settle();
    let expected = "1:+news 1:news=text:a 1:news=bytes:b 1:news=text:c";
    assert_eq!(log.text(), expected);
}
