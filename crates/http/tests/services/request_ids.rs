//! Request ids.

use std::net::SocketAddr;

use uptick_http::{HttpServer, Request, RequestIds, Responder, TrustedProxies};

fn server() -> HttpServer {
    let http = HttpServer::new().wrap(RequestIds::new());
    http.get("/", |req: Request| req.id().unwrap_or_default().to_string());
    http.get("/later", |req: Request, res: Responder| {
        res.send(req.id().unwrap_or_default().to_string());
    });
    http
}

#[test]
fn each_request_has_an_id_in_its_response() {
    let http = server();
    let ids = ["/", "/", "/later"].map(|path| {
        let response = http.test().get(path).send().unwrap();
        let id = response.header("x-request-id").unwrap().to_owned();
        assert_eq!(response.text(), id);
        id
    });
    assert!(ids[0] != ids[1] && ids[1] != ids[2], "{ids:?}");
    let missing = http.test().get("/none").send().unwrap();
    assert!(missing.header("x-request-id").is_some());
}

#[test]
fn only_a_trusted_proxy_sets_the_id() {
    let http = server();
    let get = || {
        let request = http.test().get("/").header("x-request-id", "from-outside");
        let request = request.peer(SocketAddr::from(([192, 0, 2, 1], 80)));
        request.send().unwrap().text().into_owned()
    };
    assert_ne!(get(), "from-outside");
    http.trusted_proxies(TrustedProxies::parse("192.0.2.1").unwrap());
    assert_eq!(get(), "from-outside");
}
