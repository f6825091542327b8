//! Asks who it is before a WebSocket is opened: whoever shows no valid token, in a cookie or a field, gets 401, and a page of another
//! site 403, without a WebSocket. Who opens a third one at a time gets 429.
//!
//! Run it, on 127.0.0.1:8080 or on an address of your own:
//! ```text
//! $ cargo run --example 33-authenticate-before-upgrade
//! $ cargo run --example 33-authenticate-before-upgrade -- [::1]:9000
//! ```
//! Poke it, as Ada, as Grace, and as nobody:
//! ```text
//! $ npx wscat -c ws://localhost:8080/private -H 'Authorization: Bearer sesame'
//! $ npx wscat -c ws://localhost:8080/private -H 'Cookie: token=mellon'
//! $ npx wscat -c ws://localhost:8080/private
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use uptick::prelude::*;

/// How many WebSockets one user may have at a time.
const MOST: usize = 2;

/// The open WebSockets of each user. There is one thread, so there are no locks.
#[derive(Clone, Default)]
struct Users(Rc<RefCell<HashMap<&'static str, Vec<WebSocket>>>>);

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new();
    let users = Users::default();
    let options = WebSocketOptions::new().max_message(4096);
    http.websocket_with("/private", options, move |req: Request| {
        let users = users.clone();
        async move {
            let token = token_in(&req).ok_or_else(unauthorized)?;
            let user = user_of(token).await.ok_or_else(unauthorized)?;
            users.let_in(user)
        }
    });
    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

/// Returns the token. Pages in browsers cannot set headers of the request, but browsers send the cookies of the site; the book has further ways for them,
/// `BearerProtocol` and `RejectWithClose`.
fn token_in(req: &Request) -> Option<&str> {
    let field = req.header("authorization");
    field
        .and_then(|value| value.strip_prefix("Bearer "))
        .or_else(|| req.cookie("token"))
}

/// Asks a database, which takes its time; others are served meanwhile.
async fn user_of(token: &str) -> Option<&'static str> {
    uptick::sleep(Duration::from_millis(10)).await;
    match token {
        "sesame" => Some("Ada"),
        "mellon" => Some("Grace"),
        _ => None,
    }
}

fn unauthorized() -> HttpError {
    HttpError::new(StatusCode::UNAUTHORIZED, "say who you are")
}

impl Users {
    fn let_in(&self, user: &'static str) -> Result<Accept, HttpError> {
        let users = self.clone();
        if users.count(user) >= MOST {
            let message = "there are enough WebSockets of yours";
            return Err(HttpError::new(StatusCode::TOO_MANY_REQUESTS, message));
        }
        Ok(Accept::new(move |ws: WebSocket| users.serve(user, ws)))
    }

    fn count(&self, user: &str) -> usize {
        self.0.borrow().get(user).map_or(0, Vec::len)
    }

    fn serve(&self, user: &'static str, ws: WebSocket) {
        self.0.borrow_mut().entry(user).or_default().push(ws);
        ws.send(format!("Hello, {user}!"));
        ws.on("message", move |message: Message| {
            if let Some(text) = message.as_text() {
                ws.send(format!("{user} says {text}"));
            }
        });
        let users = self.clone();
        ws.on("close", move |closed: Closed| {
            println!("{user} has left with {}", closed.code);
            if let Some(all) = users.0.borrow_mut().get_mut(user) {
                all.retain(|other| *other != ws);
            }
        });
    }
}
