//! Messages: fragments, compression, pings and pauses.

use uptick_emitter::Emitter;
use uptick_websocket::protocol::Event;
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::{
    Accept, Compression, Message, Sent, WebSocket, WebSocketOptions, WebSocketRoutes,
};

use crate::support::{Client, Log, framed, run_until, server, settle};

fn echo(ws: WebSocket) {
    ws.on("message", move |message: Message| ws.send(message));
}

#[test]
fn text_and_binary_messages_are_echoed() {
    let http = server();
    http.websocket("/echo", echo);
    let mut client = Client::open(http, "/echo");
    client.text("hello");
    assert_eq!(client.message(), "hello");
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        let payload: Vec<u8> = (0..length).map(|i| i as u8).collect();
        client.frame(Opcode::Binary, Flags::FIN, &payload);
        let Some(Event::Message(Message::Binary(bytes))) = client.event() else {
            panic!("no message of {length} bytes");
        };
        assert_eq!(bytes, payload);
    }
}

#[test]
fn frames_received_byte_by_byte_are_decoded() {
    let http = server();
    http.websocket("/echo", echo);
    let mut client = Client::open(http, "/echo");
    let mut frames = framed(Opcode::Text, Flags::empty(), "hel");
    frames.extend(framed(Opcode::Ping, Flags::FIN, "?"));
    frames.extend(framed(Opcode::Continuation, Flags::FIN, "lo"));
    for byte in frames {
        client.write([byte]);
        settle();
    }
    assert!(matches!(client.event(), Some(Event::Pong(payload)) if payload == "?"));
    assert_eq!(client.message(), "hello");
}

#[test]
fn many_messages_in_one_read_are_echoed_in_order() {
    let http = server();
    http.websocket("/echo", echo);
    let mut client = Client::open(http, "/echo");
    let frames: Vec<u8> = (0..1000)
        .flat_map(|i: u32| framed(Opcode::Text, Flags::FIN, i.to_string()))
        .collect();
    client.write(frames);
    for i in 0..1000 {
        assert_eq!(client.message(), i.to_string());
    }
}

#[test]
fn a_message_sent_with_the_handshake_is_not_lost() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws| seen.listen(ws));
    let mut client = Client::open(http, "/");
    drop(client.settle_and_read());
    let head = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let mut bytes = head.as_bytes().to_vec();
    bytes.extend(framed(Opcode::Text, Flags::FIN, "early"));
    let mut stream = std::net::TcpStream::connect(client.stream.peer_addr().unwrap()).unwrap();
    std::io::Write::write_all(&mut stream, &bytes).unwrap();
    run_until(|| log.text() == "early");
}

#[test]
fn messages_sent_in_the_open_callback_arrive_first() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        assert_eq!(ws.send("welcome"), Sent::Sent);
        assert_eq!(ws.send("here"), Sent::Sent);
    });
    let mut client = Client::open(http, "/");
    assert_eq!(client.message(), "welcome");
    assert_eq!(client.message(), "here");
}

#[test]
fn fragments_are_received_as_one_message() {
    let http = server();
    http.websocket("/", |ws: WebSocket| {
        assert_eq!(ws.send_fragment("too early"), Sent::Dropped);
        assert_eq!(ws.send_first("a"), Sent::Sent);
        assert_eq!(ws.send("between"), Sent::Dropped);
        assert_eq!(ws.ping("!"), Sent::Sent);
        assert_eq!(ws.send_fragment("b"), Sent::Sent);
        assert_eq!(ws.send_last("c"), Sent::Sent);
        assert_eq!(ws.send_last("too late"), Sent::Dropped);
    });
    let mut client = Client::open(http, "/");
    assert!(matches!(client.event(), Some(Event::Ping(payload)) if payload == "!"));
    assert_eq!(client.message(), "abc");
}

#[test]
fn compressed_messages_are_restored() {
    for (compression, fields) in [
        (Compression::Shared, "permessage-deflate"),
        (Compression::Dedicated(12), "permessage-deflate"),
        (
            Compression::Dedicated(15),
            "permessage-deflate; server_max_window_bits=10",
        ),
    ] {
        let http = server();
        let options = WebSocketOptions::new().compression(compression);
        http.websocket_with("/", options, |_| Accept::new(echo));
        let fields = format!("Sec-WebSocket-Extensions: {fields}\r\n");
        let mut client = Client::request(http, "/", &fields);
        let field = client.head.to_ascii_lowercase();
        assert!(field.contains("sec-websocket-extensions: permessage-deflate"));
        for i in 0..3 {
            let text = format!("{i} to be or not to be, that is the question ").repeat(50);
            client.text(&text);
            assert_eq!(client.message(), text, "{compression:?}");
            client.text("short");
            assert_eq!(client.message(), "short");
        }
    }
}

#[test]
fn messages_are_not_compressed_by_default() {
    let http = server();
    http.websocket("/", echo);
    let fields = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let client = Client::request(http, "/", fields);
    let head = client.head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && !head.contains("extensions"));
}

#[test]
fn pings_are_answered_and_emitted() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        let log = seen.clone();
        ws.on(WebSocket::PING, move |payload| {
            log.add(format_args!("{payload:?}"));
        });
        let log = seen.clone();
        ws.on(WebSocket::PONG, move |_| log.add("pong"));
        let _ = ws.ping("are you there?");
    });
    let mut client = Client::open(http, "/");
    let Some(Event::Ping(payload)) = client.event() else {
        panic!("no ping");
    };
    client.frame(Opcode::Pong, Flags::FIN, payload);
    client.frame(Opcode::Ping, Flags::FIN, "x");
    assert!(matches!(client.event(), Some(Event::Pong(payload)) if payload == "x"));
    assert_eq!(log.text(), "pong b\"x\"");
}

#[test]
fn a_paused_websocket_delivers_no_messages_until_it_is_resumed() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let slot = std::rc::Rc::new(std::cell::Cell::new(None));
    let shared = std::rc::Rc::clone(&slot);
    http.websocket("/", move |ws: WebSocket| {
        shared.set(Some(ws));
        let log = seen.clone();
        ws.on("message", move |message: Message| {
            log.add(message.as_text().unwrap());
            ws.pause();
        });
    });
    let mut client = Client::open(http, "/");
    let frames: Vec<u8> = ["a", "b", "c"]
        .into_iter()
        .flat_map(|text| framed(Opcode::Text, Flags::FIN, text))
        .collect();
    client.write(frames);
    settle();
    assert_eq!(log.text(), "a");
    slot.get().unwrap().resume();
    settle();
    assert_eq!(log.text(), "a b");
    slot.get().unwrap().resume();
    settle();
    assert_eq!(log.text(), "a b c");
}

#[test]
fn an_attached_value_is_available_until_close() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        ws.set_extension(String::from("Ada"));
        assert!(ws.extension::<u32>().is_none());
        let log = seen.clone();
        ws.on(WebSocket::CLOSE, move |_| {
            log.add(ws.extension::<String>().unwrap())
        });
    });
    drop(Client::open(http, "/"));
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "Ada");
}

#[test]
fn another_thread_can_send_and_close() {
    let http = server();
    let log = Log::default();
    let recorded = log.clone();
    http.websocket("/", move |ws| {
        let remote = ws.remote();
        let sender = std::thread::spawn(move || {
            remote.post(|ws| ws.send("first")).unwrap();
            remote.clone().post(|ws| ws.send("second")).unwrap();
            remote
        });
        let remote = sender.join().unwrap();
        let recorded = recorded.clone();
        ws.on("message", move |_: Message| {
            let remote = remote.clone();
            std::thread::spawn(move || remote.close())
                .join()
                .unwrap()
                .unwrap();
        });
        ws.on("close", move |_: uptick_websocket::Closed| {
            recorded.add("close")
        });
    });
    let mut client = Client::open(http, "/");
    assert_eq!(client.message(), "first");
    assert_eq!(client.message(), "second");
    client.text("close");
    let Some(Event::Close(close)) = client.event() else {
        panic!("no close");
    };
    assert!(format!("{close:?}").contains("1000"), "{close:?}");
}
