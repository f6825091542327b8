//! Servers over TLS, with HTTP/2 and with HTTP/1.

use uptick_http::channel::{Channel, ChannelSession};
use uptick_http::{HttpServer, Request, Response, ServerEvent};
use uptick_http_client::{Browser, ProxyRoutes, TlsOptions, Upstream};
use uptick_socket::{Error, Server};
use uptick_tls::{SecureServer, TlsContext, self_signed};

use crate::support::{Peer, Proxy};

/// Echoes the bytes of a channel.
struct Echo(Channel);

impl ChannelSession<Error> for Echo {
    fn data(&self, bytes: &mut bytes::BytesMut) {
        self.0.write(bytes.split());
    }

    fn end(&self) {}

    fn close(&self) {}
}

/// Starts a server over TLS, and a proxy in front of it, in one thread.
fn secure() -> Proxy {
    Proxy::start(|http| {
        let identity = self_signed(["127.0.0.1"]).unwrap();
        let context = TlsContext::from(identity)
            .alpn_protocols(["h2", "http/1.1"])
            .load()
            .unwrap();
        let server = SecureServer::new(Server::bind("127.0.0.1:0").unwrap(), context);
        let upstream = HttpServer::new();
        upstream.any("/app/echo", |req: Request| async move {
            let (version, host) = (req.version(), req.host().unwrap_or_default().to_owned());
            let text = req.bytes(10_000_000).await?;
            Ok::<_, uptick_http::HttpError>(
                Response::binary(text)
                    .header("x-version", format!("{version:?}"))
                    .header("x-host", host),
            )
        });
        upstream.get("/app/events", |_: Request| {
            let (response, events) = Response::events();
            events.send(ServerEvent::new("hello"));
            response
        });
        upstream.get("/app/ws", |_: Request| {
            Response::upgrade_channel("websocket", |channel| {
                channel.set_session(std::rc::Rc::new(Echo(channel)));
            })
        });
        upstream.listen(server);
        let address = upstream.address().unwrap();
        let url = format!("https://{}", address.rsplit('/').next().unwrap());
        let browser = Browser::new().with_tls(TlsOptions::new().dangerous_accept_any_certificate());
        http.proxy("/app/", Upstream::new(&url).browser(&browser));
    })
}

#[test]
fn requests_are_passed_to_a_server_over_http2() {
    let proxy = secure();
    let mut client = proxy.connect();
    let body = "0123456789".repeat(200_000);
    for _ in 0..3 {
        client.request(
            "POST /app/echo",
            &[&format!("Content-Length: {}", body.len())],
        );
        client.send(&body);
        let (head, echoed) = client.response();
        assert_eq!(head.status(), 200);
        assert_eq!(head.get("x-version").unwrap(), "Http2");
        assert!(echoed == body);
    }
    client.request("POST /app/echo", &["Transfer-Encoding: chunked"]);
    client.send("3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(client.response().1, "abc");
    client.request("HEAD /app/echo", &[]);
    assert_eq!(client.head().status(), 200);
    client.request("GET /app/none", &[]);
    assert_eq!(client.response().0.status(), 404);
    client.request("GET /app/events", &[]);
    assert_eq!(
        client.head().get("content-type").unwrap(),
        "text/event-stream"
    );
    assert_eq!(client.chunk(), "data: hello\n\n");
}

#[test]
fn a_websocket_is_passed_to_a_server_over_tls() {
    let proxy = secure();
    let mut client: Peer = proxy.connect();
    client.request(
        "GET /app/ws",
        &[
            "Connection: upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ],
    );
    assert_eq!(client.head().status(), 101);
    for size in [10, 1_000_000] {
        let text = "x".repeat(size);
        client.send(format!("{text}\n"));
        assert!(client.line() == text);
    }
}
