//! Authentication before the WebSocket upgrade: a client without a valid token, in a cookie or a header, receives 401, and a page
//! of another site 403. A user who opens a third WebSocket receives 429.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 33-authenticate-before-upgrade
//! $ cargo run --example 33-authenticate-before-upgrade -- [::1]:9000
//! ```
//! Try it as Ada, as Grace, and without a token:
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

/// The maximum number of open WebSockets of a user.
const MAX_WEBSOCKETS: usize = 2;

/// The open WebSockets of each user. There is one thread, so no locks are needed.
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
            users.accept(user)
        }
    });
    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

/// Returns the token. Pages in browsers cannot set request headers for WebSockets, but browsers send the cookies of the site. The
/// book describes other ways: `BearerProtocol` and `RejectWithClose`.
fn token_in(req: &Request) -> Option<&str> {
    let field = req.header("authorization");
    field
        .and_then(|value| value.strip_prefix("Bearer "))
        .or_else(|| req.cookie("token"))
}

/// Returns the user of a token. It simulates a slow database; other clients are served in the meantime.
async fn user_of(token: &str) -> Option<&'static str> {
    uptick::sleep(Duration::from_millis(10)).await;
    match token {
        "sesame" => Some("Ada"),
        "mellon" => Some("Grace"),
        _ => None,
    }
}

fn unauthorized() -> HttpError {
    HttpError::new(StatusCode::UNAUTHORIZED, "authentication required")
}

impl Users {
    fn accept(&self, user: &'static str) -> Result<Accept, HttpError> {
        let users = self.clone();
        if users.count(user) >= MAX_WEBSOCKETS {
            let message = "too many WebSockets of this user";
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
