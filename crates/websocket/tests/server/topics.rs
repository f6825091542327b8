use std::cell::RefCell;
use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_http::HttpServer;
use uptick_websocket::{
    Accept, Compression, Hub, Message, SlowPolicy, Subscription, WebSocket, WebSocketOptions,
    WebSocketRoutes,
};

use crate::support::{Client, Log, run_until, server, settle};

/// A server whose WebSockets are all subscribed to `news`.
fn news(options: WebSocketOptions) -> (HttpServer, Rc<RefCell<Vec<WebSocket>>>) {
    let http = server();
    let all = Rc::new(RefCell::new(Vec::new()));
    let there = Rc::clone(&all);
    http.websocket_with("/", options, move |_| {
        let there = Rc::clone(&there);
        Accept::new(move |ws: WebSocket| {
            assert!(ws.subscribe("news"));
            there.borrow_mut().push(ws);
        })
    });
    (http, all)
}

#[test]
fn what_is_published_comes_to_all_that_are_subscribed_in_order() {
    let (http, all) = news(WebSocketOptions::new());
    let mut clients: Vec<Client> = (0..5).map(|_| Client::open(http, "/")).collect();
    assert_eq!(http.publish("news", "first"), 5);
    assert_eq!(http.publish("other", "nobody"), 0);
    all.borrow()[0].send("between");
    assert_eq!(all.borrow()[0].publish("news", "from the first"), 4);
    assert_eq!(http.publish("news", "last"), 5);
    for (index, client) in clients.iter_mut().enumerate() {
        let own = if index == 0 {
            "between"
        } else {
            "from the first"
        };
        assert_eq!(client.message(), "first");
        assert_eq!(client.message(), own);
        assert_eq!(client.message(), "last");
    }
}

#[test]
fn publishing_needs_a_subscription_of_ones_own() {
    let (http, all) = news(WebSocketOptions::new());
    let _clients = [Client::open(http, "/"), Client::open(http, "/")];
    let ws = all.borrow()[0];
    assert!(ws.is_subscribed("news") && ws.topics() == ["news"]);
    assert!(!ws.subscribe("news"));
    assert!(ws.unsubscribe("news"));
    assert!(!ws.unsubscribe("news"));
    assert_eq!(ws.publish("news", "x"), 0);
    assert_eq!(http.publish("news", "x"), 1);
}

#[test]
fn who_is_gone_is_subscribed_no_more() {
    let (http, _) = news(WebSocketOptions::new());
    let hub = http.hub();
    let log = Log::default();
    let seen = log.clone();
    hub.on("subscription", move |change: Subscription| {
        seen.add(format_args!(
            "{}:{}>{}",
            change.topic, change.before, change.now
        ));
    });
    let clients = [Client::open(http, "/"), Client::open(http, "/")];
    assert_eq!(hub.subscribers("news"), 2);
    assert_eq!(hub.sockets("news").len(), 2);
    drop(clients);
    run_until(|| hub.subscribers("news") == 0);
    assert!(hub.topics().is_empty());
    assert_eq!(log.text(), "news:0>1 news:1>2 news:2>1 news:1>0");
}

#[test]
fn one_may_have_so_many_topics() {
    let http = server();
    let options = WebSocketOptions::new().max_topics(3);
    http.websocket_with("/", options, |_| {
        Accept::new(|ws: WebSocket| {
            let taken = (0..5).filter(|i| ws.subscribe(&i.to_string())).count();
            let _ = ws.send(taken.to_string());
        })
    });
    assert_eq!(Client::open(http, "/").message(), "3");
}

#[test]
fn those_that_are_not_eligible_get_nothing() {
    let (http, all) = news(WebSocketOptions::new());
    let mut clients = [Client::open(http, "/"), Client::open(http, "/")];
    let first = all.borrow()[0];
    let count = http.hub().publish_where("news", "secret", |ws| ws == first);
    assert_eq!(count, 1);
    assert_eq!(clients[0].message(), "secret");
    assert!(clients[1].so_far().is_empty());
}

#[test]
fn a_subscriber_that_does_not_read_keeps_nobody_waiting() {
    let (http, all) = news(WebSocketOptions::new().max_buffered(100_000));
    let mut clients: Vec<Client> = (0..3).map(|_| Client::open(http, "/")).collect();
    let message = "x".repeat(30_000);
    for i in 0..600 {
        http.publish("news", format!("{i}:{message}"));
        for client in &mut clients[1..] {
            assert!(client.message().starts_with(&format!("{i}:")));
        }
    }
    let slow = all.borrow()[0];
    assert!(slow.dropped() > 0 && slow.buffered() <= 100_000);
    assert_eq!(all.borrow()[1].dropped(), 0);
    // What it gets is in order, with gaps.
    let mut last = -1;
    for _ in 0..3 {
        let text = clients[0].message();
        let number: i32 = text.split(':').next().unwrap().parse().unwrap();
        assert!(number > last);
        last = number;
    }
}

#[test]
fn each_gets_it_compressed_as_it_agreed_on() {
    for compression in [Compression::Shared, Compression::Dedicated(11)] {
        let (http, _) = news(WebSocketOptions::new().compression(compression));
        let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        let mut clients = [
            Client::ask(http, "/", fields),
            Client::ask(http, "/", ""),
            Client::ask(http, "/", fields),
        ];
        for i in 0..3 {
            let text = format!("{i}, and again and again").repeat(20);
            assert_eq!(http.publish("news", &text), 3);
            for client in &mut clients {
                assert_eq!(client.message(), text, "{compression:?}");
            }
        }
    }
}

#[test]
fn other_threads_publish() {
    let (http, _) = news(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let publisher = http.hub().publisher();
    let thread = std::thread::spawn(move || {
        for i in 0..100 {
            publisher.publish("news", i.to_string()).unwrap();
        }
    });
    for i in 0..100 {
        assert_eq!(client.message(), i.to_string());
    }
    thread.join().unwrap();
}

#[test]
fn publishing_in_a_callback_of_a_message_reaches_all() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        ws.subscribe("room");
        ws.on("message", move |message: Message| {
            ws.publish("room", &message);
            ws.unsubscribe("room");
            ws.subscribe("room");
        });
    });
    let mut clients = [Client::open(http, "/"), Client::open(http, "/")];
    clients[0].text("hi");
    assert_eq!(clients[1].message(), "hi");
    clients[1].text("ho");
    assert_eq!(clients[0].message(), "ho");
    settle();
    assert_eq!(http.hub().subscribers("room"), 2);
}

#[test]
fn topics_of_no_server_are_as_good() {
    let hub = Hub::new();
    assert_eq!(hub.publish("a", "b"), 0);
    assert_eq!(hub.subscribers("a"), 0);
}

#[test]
fn each_of_many_threads_has_its_order() {
    let (http, _) = news(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let publisher = http.hub().publisher();
    let threads = [0, 1, 2, 3].map(|thread| {
        let publisher = publisher.clone();
        std::thread::spawn(move || {
            for i in 0..200 {
                publisher.publish("news", format!("{thread}:{i}")).unwrap();
            }
        })
    });
    let mut next = [0; 4];
    for _ in 0..800 {
        let text = client.message();
        let (thread, number) = text.split_once(':').unwrap();
        let thread: usize = thread.parse().unwrap();
        assert_eq!(number, next[thread].to_string());
        next[thread] += 1;
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn what_other_threads_publish_is_limited() {
    let (http, _) = news(WebSocketOptions::new().max_buffered(200 << 20));
    let _client = Client::open(http, "/");
    let publisher = http.hub().publisher();
    let large = bytes::Bytes::from(vec![0; 40 << 20]);
    publisher.publish("nobody", large.clone()).unwrap();
    let error = publisher.publish("nobody", large.clone()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "publishing to the topic \"nobody\" failed: 41943040 bytes of messages wait for the loop's thread already"
    );
    settle();
    publisher.publish("nobody", large).unwrap();
}

#[test]
fn so_many_messages_of_other_threads_wait() {
    let http = server();
    let publisher = http.hub().publisher();
    for _ in 0..uptick_event_loop::POST_LIMIT {
        publisher.publish("nobody", "").unwrap();
    }
    let error = publisher.publish("nobody", "").unwrap_err();
    assert_eq!(
        error.to_string(),
        "publishing to the topic \"nobody\" failed: 65536 messages wait for the loop's thread already"
    );
    run_until(|| publisher.publish("nobody", "").is_ok());
}

#[test]
fn a_thread_that_has_ended_publishes_nothing() {
    let (publisher, published) = std::thread::spawn(|| {
        let publisher = Hub::new().publisher();
        // Its loop never runs.
        let published = publisher.publish("nobody", "a");
        (publisher, published)
    })
    .join()
    .unwrap();
    published.unwrap();
    assert!(publisher.publish("nobody", "b").is_err());
}

#[test]
fn a_policy_is_followed_where_many_are_published_to() {
    for (policy, end) in [
        (SlowPolicy::Drop, ""),
        (SlowPolicy::Close, "1006::unclean"),
        (SlowPolicy::Error, "error("),
    ] {
        let options = WebSocketOptions::new()
            .max_buffered(100_000)
            .slow_policy(policy);
        let (http, all) = news(options);
        let mut clients = [Client::open(http, "/"), Client::open(http, "/")];
        let slow = all.borrow()[0];
        let log = Log::default();
        log.listen(slow);
        let message = "x".repeat(50_000);
        let mut count = 2;
        for _ in 0..1000 {
            if count < 2 {
                break;
            }
            count = http.publish("news", &message);
            assert_eq!(clients[1].message().len(), message.len());
        }
        assert_eq!(count, 1, "{policy:?}");
        assert!(log.text().starts_with(end) && log.text().is_empty() == end.is_empty());
        assert_eq!(slow.is_open(), policy != SlowPolicy::Close);
        let left = if slow.is_open() { 2 } else { 1 };
        assert_eq!(http.hub().subscribers("news"), left);
    }
}

#[test]
fn nothing_is_published_into_the_middle_of_a_message() {
    let (http, all) = news(WebSocketOptions::new().slow_policy(SlowPolicy::Close));
    let mut client = Client::open(http, "/");
    let ws = all.borrow()[0];
    let drops = Log::default();
    let seen = drops.clone();
    ws.on(WebSocket::DROPPED, move |bytes| seen.add(bytes));
    ws.send_first("a");
    assert_eq!(http.publish("news", "between"), 0);
    ws.send_last("b");
    assert_eq!(http.publish("news", "after"), 1);
    assert_eq!(
        (client.message(), client.message()),
        ("ab".into(), "after".into())
    );
    assert_eq!((&*drops.text(), ws.dropped()), ("7", 1));
}
