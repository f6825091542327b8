//! Sequential mode: one request at a time.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use uptick_http::h2::ErrorCode;
use uptick_http::{HttpServer, Request, Responder};

use crate::client::{Client, pass};
use crate::frames::*;
use crate::support::manual_clock;

type Handled = Rc<RefCell<Vec<(String, Responder)>>>;

/// Returns a sequential server, and the requests that have started.
fn server() -> (HttpServer, Handled) {
    let http = HttpServer::new().sequential(true);
    let handled = Handled::default();
    let place = Rc::clone(&handled);
    http.get("/{n}", move |req: Request| {
        let n = req.param("n").unwrap_or_default().to_owned();
        place.borrow_mut().push((n, req.responder()));
    });
    (http, handled)
}

fn started(handled: &Handled) -> Vec<String> {
    handled.borrow().iter().map(|(n, _)| n.clone()).collect()
}

fn respond(handled: &Handled, index: usize) {
    let responder = handled.borrow()[index].1;
    responder.send("done");
}

#[test]
fn requests_of_a_connection_are_handled_one_after_the_other() {
    let (http, handled) = server();
    let mut client = Client::new(http);
    let ids: Vec<u32> = (1..5).map(|n| client.get(&format!("/{n}"))).collect();
    client.read();
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(handled.borrow().len(), n + 1);
        respond(&handled, n);
        assert_eq!(client.response(id).text(), "done");
    }
    assert_eq!(started(&handled), ["1", "2", "3", "4"]);
}

#[test]
fn reset_requests_neither_start_nor_block_others() {
    let (http, handled) = server();
    let mut client = Client::new(http);
    let ids: Vec<u32> = (1..6).map(|n| client.get(&format!("/{n}"))).collect();
    client.read();
    // A waiting request.
    client.send(reset(ids[2], ErrorCode::CANCEL));
    client.read();
    assert_eq!(started(&handled), ["1"]);
    // The one that is handled.
    client.send(reset(ids[0], ErrorCode::CANCEL));
    client.read();
    assert_eq!(started(&handled), ["1", "2"]);
    respond(&handled, 1);
    client.read();
    assert_eq!(started(&handled), ["1", "2", "4"]);
    respond(&handled, 2);
    client.read();
    respond(&handled, 3);
    assert_eq!(client.response(ids[4]).text(), "done");
    assert_eq!(started(&handled), ["1", "2", "4", "5"]);
}

#[test]
fn a_request_that_waits_does_not_time_out() {
    let clock = manual_clock();
    let (http, handled) = server();
    let http = http.response_timeout(Some(Duration::from_secs(10)));
    let mut client = Client::new(http);
    let ids = [1, 2].map(|n| client.get(&format!("/{n}")));
    client.read();
    pass(&clock, Duration::from_secs(9));
    respond(&handled, 0);
    client.read();
    pass(&clock, Duration::from_secs(9));
    respond(&handled, 1);
    for id in ids {
        assert_eq!(client.response(id).status, 200);
    }
}

#[test]
fn waiting_requests_end_with_their_connection() {
    let (http, handled) = server();
    let mut client = Client::new(http);
    for n in 1..4 {
        client.get(&format!("/{n}"));
    }
    client.read();
    client.conn.close();
    client.read();
    assert_eq!(started(&handled), ["1"]);
    assert_eq!(http.open_connections(), 0);
}
