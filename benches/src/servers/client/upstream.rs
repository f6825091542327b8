//! The server of all clients: Uptick's.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context as _, Result};
use futures::channel::oneshot;
use uptick::prelude::*;

use super::super::announce;
use super::{IDLE_TIMEOUT, LARGE, RECEIVED, SMALL, document};

pub(in super::super) fn serve() -> Result<()> {
    let server = Server::bind("127.0.0.1:0")?;
    announce(server.address().context("the server has no address")?)?;
    let small = Bytes::from(document(SMALL));
    let large = Bytes::from(document(LARGE));
    let http = HttpServer::new();
    http.idle_timeout(Some(IDLE_TIMEOUT));
    let body = small.clone();
    http.get("/small", move |_| json(body.clone()));
    http.get("/large", move |_| json(large.clone()));
    http.post("/upload", |request: Request| async move {
        match request.bytes(SMALL).await {
            Ok(body) if body.len() == SMALL => RECEIVED,
            _ => "the body is not complete",
        }
    });
    let held = Rc::new(RefCell::new(Vec::new()));
    http.get("/held/{count}", move |request: Request| {
        let count = request.param("count").and_then(|count| count.parse().ok());
        let (release, released) = oneshot::channel::<()>();
        held.borrow_mut().push(release);
        if Some(held.borrow().len()) == count {
            // Dropping the senders completes the receivers.
            held.borrow_mut().clear();
        }
        let small = small.clone();
        async move {
            let _ = released.await;
            json(small)
        }
    });
    http.listen(server);
    uptick::event_loop::run()?;
    Ok(())
}

fn json(body: Bytes) -> Response {
    Response::new(StatusCode::OK)
        .header("content-type", "application/json")
        .with_body(body)
}
