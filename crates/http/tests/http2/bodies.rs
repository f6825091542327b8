//! Request bodies.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_http::h2::ErrorCode;
use uptick_http::{BodyError, HttpError, Request, Responder};

use crate::client::{Client, pass, request, server};
use crate::frames::*;
use crate::support::{Log, manual_clock};

#[test]
fn a_body_is_read_in_pieces_with_padding_and_trailers() {
    let http = server();
    http.post("/trailers", |req: Request| async move {
        let body = req.text().await?;
        let trailers = req.trailers().unwrap_or_default();
        Ok::<_, HttpError>(format!("{body} {:?}", trailers.get("x-sum")))
    });
    let mut client = Client::new(http);
    let id = client.post("/trailers");
    client.data(id, "one ", false);
    client.send(frame(DATA, PADDED, id, b"\x03two\0\0\0"));
    client.send(headers(id, END_STREAM, &[("x-sum", "2")]));
    assert_eq!(client.response(id).text(), r#"one two Some("2")"#);
}

#[test]
fn one_hundred_continue_is_sent_when_the_body_is_read() {
    let http = server();
    http.post("/refused", |_: Request| "not read");
    let mut client = Client::new(http);
    for (path, interim, text) in [
        ("/echo", vec![100], "body"),
        ("/refused", vec![], "not read"),
    ] {
        let mut fields = request("POST", path);
        fields.push(("expect", "100-continue"));
        let id = client.request(&fields, 0);
        assert_eq!(client.seen(id).interim, interim);
        client.data(id, "body", true);
        let response = client.response(id);
        assert_eq!(response.interim, interim);
        assert_eq!(response.text(), text);
    }
    let mut fields = request("POST", "/echo");
    fields.push(("expect", "magic"));
    let id = client.request(&fields, 0);
    let response = client.response(id);
    assert_eq!(response.status, 417);
    assert_eq!(
        response.text(),
        "the expectation in Expect is not supported\n"
    );
}

#[test]
fn a_body_above_the_limit_is_answered_with_413() {
    let http = server().body_limit(10);
    http.post("/text", |req: Request| async move { req.text().await });
    let mut client = Client::new(http);
    let mut fields = request("POST", "/text");
    fields.push(("content-length", "11"));
    let announced = client.request(&fields, 0);
    assert_eq!(client.response(announced).status, 413);
    let unknown = client.post("/text");
    client.data(unknown, "0123456789", false);
    assert_eq!(client.seen(unknown).status, 0);
    client.data(unknown, "0", false);
    assert_eq!(client.response(unknown).status, 413);
}

#[test]
fn the_rest_of_an_unread_body_is_discarded_for_the_linger_time() {
    let clock = manual_clock();
    let http = server();
    http.post("/unread", |_: Request| "early");
    let mut client = Client::new(http);
    let [finished, abandoned] = [(); 2].map(|()| client.post("/unread"));
    assert_eq!(client.response(finished).text(), "early");
    assert_eq!(client.response(abandoned).text(), "early");
    client.data(finished, [b'x'; 10_000], false);
    client.data(finished, "end", true);
    client.data(abandoned, "begin", false);
    client.read();
    pass(&clock, Duration::from_millis(900));
    assert_eq!(client.seen(abandoned).reset, None);
    pass(&clock, Duration::from_millis(400));
    client.read();
    // The first one has ended on both sides.
    let resets: Vec<_> = [finished, abandoned]
        .map(|id| client.streams[&id].reset)
        .to_vec();
    assert_eq!(resets, [None, Some(ErrorCode::NO_ERROR)]);
    client.data(abandoned, "late", true);
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn the_body_of_a_refused_request_is_discarded_for_the_linger_time() {
    let clock = manual_clock();
    let mut client = Client::new(server());
    let mut fields = request("POST", "/echo");
    fields.push(("expect", "magic"));
    let [finished, abandoned] = [(); 2].map(|()| client.request(&fields, 0));
    for id in [finished, abandoned] {
        client.data(id, "begin", false);
        let response = client.seen(id);
        assert_eq!((response.status, response.reset), (417, None));
    }
    client.data(finished, "end", true);
    pass(&clock, Duration::from_millis(1300));
    client.read();
    assert_eq!(client.streams[&finished].reset, None);
    assert_eq!(client.streams[&abandoned].reset, Some(ErrorCode::NO_ERROR));
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn a_response_is_complete_although_the_body_of_its_request_is_not() {
    let clock = manual_clock();
    let http = server();
    http.post("/long", |_: Request| vec![b'x'; 200_000]);
    let mut client = Client::with_window(http, 1000);
    let id = client.post("/long");
    client.data(id, "begin", false);
    for n in 1..20 {
        // The response takes longer than the linger time.
        assert_eq!(client.seen(id).body.len(), 1000 * n);
        pass(&clock, Duration::from_millis(300));
        client.send(window_update(id, 1000));
    }
    client.send([window_update(0, 1 << 20), window_update(id, 1 << 20)].concat());
    let response = client.seen(id);
    assert_eq!(
        (response.body.len(), response.ended, response.reset),
        (200_000, true, None)
    );
    pass(&clock, Duration::from_millis(1200));
    client.read();
    assert_eq!(client.streams[&id].reset, Some(ErrorCode::NO_ERROR));
}

#[test]
fn a_reset_within_a_body_closes_its_request() {
    let http = server();
    let log = Log::default();
    http.post("/detached", {
        let log = log.clone();
        move |req: Request| {
            let (errors, closes) = (log.clone(), log.clone());
            let _responder: Responder = req.responder();
            req.on("data", |_: Bytes| {});
            req.on("error", move |error: BodyError| errors.add(error));
            req.on("close", move |()| closes.add("close"));
        }
    });
    let mut client = Client::new(http);
    let id = client.post("/detached");
    client.data(id, "begin", false);
    client.read();
    client.send(reset(id, ErrorCode::CANCEL));
    client.read();
    assert_eq!(log.text(), "close");
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn a_half_closed_client_ends_bodies_and_still_receives_responses() {
    let http = server();
    let waiting = Rc::<RefCell<Vec<Responder>>>::default();
    let place = Rc::clone(&waiting);
    http.get("/later", move |req: Request| {
        place.borrow_mut().push(req.responder())
    });
    let mut client = Client::new(http);
    let later = client.get("/later");
    let body = client.post("/echo");
    client.data(body, "begin", false);
    client.read();
    client.end();
    client.read();
    assert_eq!(client.streams[&body].status, 400);
    assert!(!client.ended);
    waiting.borrow_mut().pop().unwrap().send("sent");
    assert_eq!(client.response(later).text(), "sent");
    assert!(client.is_closed());
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_paused_body_slows_down_its_client_only() {
    let http = server();
    let request = Rc::<RefCell<Option<Request>>>::default();
    let log = Log::default();
    http.post("/paused", {
        let (request, log) = (Rc::clone(&request), log.clone());
        move |req: Request| {
            let (data, ends) = (log.clone(), log.clone());
            let responder = req.responder();
            req.on("data", move |piece: Bytes| data.add(piece.len()));
            req.on("end", move |()| {
                ends.add("end");
                responder.send("done");
            });
            req.pause();
            *request.borrow_mut() = Some(req);
        }
    });
    let mut client = Client::new(http);
    let id = client.post("/paused");
    for _ in 0..16 {
        client.data(id, [b'x'; 16_000], false);
    }
    assert_eq!((client.credit(id), log.text().as_str()), (0, ""));
    let other = client.post("/echo");
    client.data(other, "other", true);
    assert_eq!(client.response(other).text(), "other");
    request.borrow().as_ref().unwrap().resume();
    assert_eq!(client.credit(id), 256_000);
    client.data(id, "", true);
    assert_eq!(client.response(id).text(), "done");
    assert_eq!(log.text(), "256000 end");
}
