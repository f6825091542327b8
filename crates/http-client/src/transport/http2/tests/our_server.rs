//! Sessions with the server of this project.

use std::rc::Rc;

use bytes::Bytes;
use http::Method;
use uptick_http::{HttpServer, Request, Response};
use uptick_socket::Connection;

use super::super::Http2Session;
use super::support::*;
use crate::error::ErrorKind;
use crate::transport::{Exchange, OutgoingBody, SessionOwner};

/// Connects a session to a server.
fn connect(server: &HttpServer) -> (Rc<Http2Session>, Rc<Owner>, Connection) {
    let address = server.address().unwrap();
    let address = address.rsplit('/').next().unwrap();
    let conn = Connection::adopt(std::net::TcpStream::connect(address).unwrap()).unwrap();
    let owner = Rc::<Owner>::default();
    let session = Http2Session::new(
        conn,
        Rc::<Owner>::clone(&owner) as Rc<dyn SessionOwner>,
        65_536,
    );
    (session, owner, conn)
}

fn echo_server() -> HttpServer {
    let server = HttpServer::bind("127.0.0.1:0").unwrap();
    server.get("/path", |_: Request| Response::plain("hello"));
    server.post("/path", |request: Request| async move {
        let body = request.bytes(2_000_000).await?;
        Ok::<_, uptick_http::HttpError>(Response::binary(body))
    });
    server
}

fn send(session: &Rc<Http2Session>, method: &Method, body: OutgoingBody) -> Rc<Exchange> {
    session.begin(request(method, body, settings())).unwrap()
}

#[test]
fn requests_are_answered_in_sequence_and_at_the_same_time() {
    let server = echo_server();
    let (session, owner, _) = connect(&server);
    for _ in 0..20 {
        let exchange = send(&session, &Method::GET, OutgoingBody::Empty);
        run_until(|| exchange.is_done());
        assert_eq!(outcome(&exchange), ok(200, "hello"));
    }
    let mut exchanges = Vec::new();
    for round in 0..90 {
        let text = round.to_string().repeat(3000);
        exchanges.push((
            send(
                &session,
                &Method::POST,
                OutgoingBody::Bytes(text.clone().into()),
            ),
            text,
        ));
    }
    run_until(|| exchanges.iter().all(|(exchange, _)| exchange.is_done()));
    for (exchange, text) in exchanges {
        assert_eq!(outcome(&exchange), Ok((200, Bytes::from(text))));
    }
    assert_eq!(owner.calls().matches("available").count(), 110);
    server.close();
    session.close();
}

#[test]
fn a_large_body_is_echoed() {
    let server = echo_server();
    let (session, _, _) = connect(&server);
    let body: Bytes = (0..1_000_000u32)
        .map(|at| (at % 251) as u8)
        .collect::<Vec<_>>()
        .into();
    let exchange = send(&session, &Method::POST, OutgoingBody::Bytes(body.clone()));
    assert!(exchange.poll_collected(&context()).is_pending());
    run_until(|| exchange.is_done());
    let (status, echoed) = outcome(&exchange).unwrap();
    assert!(status == 200 && echoed == body, "{status} {}", echoed.len());
    let too_large = send(
        &session,
        &Method::POST,
        OutgoingBody::Bytes(vec![0; 3_000_000].into()),
    );
    run_until(|| too_large.is_done());
    assert_eq!(outcome(&too_large).map(|(status, _)| status), Ok(413));
    server.close();
    session.close();
}

#[test]
fn a_shutdown_of_the_server_retires_the_session() {
    let server = echo_server();
    let (session, owner, conn) = connect(&server);
    let exchange = send(&session, &Method::GET, OutgoingBody::Empty);
    run_until(|| exchange.is_done());
    drop(server.shutdown(std::time::Duration::from_secs(5)));
    run_until(|| !conn.is_open());
    assert_eq!(owner.calls(), "available retired closed");
    let failed = session.begin(request(&Method::GET, OutgoingBody::Empty, settings()));
    let failed = failed.err().unwrap();
    assert_eq!((failed.kind, failed.unprocessed), (ErrorKind::Http2, true));
}
