//! A service for notes: routes with parameters, a group with a prefix, middleware around all routes, and custom error pages.
//!
//! Run it on 127.0.0.1:8080, or on another address:
//! ```text
//! $ cargo run --example 22-router-and-middleware
//! $ cargo run --example 22-router-and-middleware -- [::1]:9000
//! ```
//! Try it: add a note, read it, list all notes, delete it. Changes require the password. Then use an unsupported method:
//! ```text
//! $ curl -i -H 'Authorization: Bearer sesame' -d 'Buy milk' http://localhost:8080/api/notes
//! $ curl -i http://localhost:8080/api/notes/1
//! $ curl -i http://localhost:8080/api/notes
//! $ curl -i -H 'Authorization: Bearer sesame' -X DELETE http://localhost:8080/api/notes/1
//! $ curl -i -X PUT http://localhost:8080/api/notes
//! $ curl -i http://localhost:8080/files/any/path/you/like
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use uptick::prelude::*;

const PASSWORD: &str = "Bearer sesame";

/// The notes by id. There is one thread, so no locks are needed.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<BTreeMap<u32, String>>>);

fn main() -> uptick::Result {
    let mut args = std::env::args();
    let address = args.nth(1).unwrap_or("127.0.0.1:8080".into());

    let http = HttpServer::new().body_limit(4096);
    http.wrap(log);
    http.wrap(require_password);
    http.get("/", |_| "There are notes at /api/notes.\n");
    http.get("/files/{*path}", |req: Request| {
        format!(
            "That would be {:?}.\n",
            req.param("path").unwrap_or_default()
        )
    });

    let notes = Notes::default();
    http.group("/api", |api| notes.serve(api));

    http.error(|e: HttpError, _: &Request| {
        let text = format!("Sorry: {}.\n", e.message());
        Response::plain(text).with_status(e.status())
    });

    http.listen(Server::bind(address)?);
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

/// Middleware that uses the request and the response.
fn log(req: Request, next: Next) -> Reply {
    let line = format!("{} {}", req.method(), req.path());
    next.run(req).map(move |response| {
        println!("{line}: {}", response.status().as_u16());
        response
    })
}

/// Middleware that responds instead of the handler.
fn require_password(req: Request, next: Next) -> Reply {
    let reads = matches!(*req.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if reads || req.header("authorization") == Some(PASSWORD) {
        return next.run(req);
    }
    let error = HttpError::new(StatusCode::UNAUTHORIZED, "password required");
    Reply::Ready(Response::from(error).header("WWW-Authenticate", "Bearer"))
}

impl Notes {
    fn serve(&self, api: Group<'_>) {
        let notes = self.clone();
        api.get("/notes", move |_| notes.list());
        let notes = self.clone();
        api.post("/notes", move |req: Request| {
            let notes = notes.clone();
            async move { Ok::<_, HttpError>(notes.add(req.text().await?)) }
        });
        let notes = self.clone();
        api.get("/notes/{id}", move |req: Request| notes.find(&req));
        let notes = self.clone();
        api.delete("/notes/{id}", move |req: Request| notes.remove(&req));
    }

    fn list(&self) -> String {
        let notes = self.0.borrow();
        notes
            .iter()
            .map(|(id, note)| format!("{id}: {note}\n"))
            .collect()
    }

    fn add(&self, note: String) -> Response {
        let mut notes = self.0.borrow_mut();
        let id = notes.last_key_value().map_or(1, |(last, _)| last + 1);
        notes.insert(id, note);
        Response::plain(format!("{id}\n"))
            .with_status(StatusCode::CREATED)
            .header("Location", format!("/api/notes/{id}"))
    }

    fn find(&self, req: &Request) -> Result<String, HttpError> {
        let notes = self.0.borrow();
        let note = notes.get(&id_in(req)?).ok_or_else(HttpError::not_found)?;
        Ok(format!("{note}\n"))
    }

    fn remove(&self, req: &Request) -> Result<StatusCode, HttpError> {
        let mut notes = self.0.borrow_mut();
        notes
            .remove(&id_in(req)?)
            .ok_or_else(HttpError::not_found)?;
        Ok(StatusCode::NO_CONTENT)
    }
}

fn id_in(req: &Request) -> Result<u32, HttpError> {
    let id = req.param("id").unwrap_or_default().parse();
    id.map_err(|_| HttpError::bad_request("the id of a note must be a number"))
}
