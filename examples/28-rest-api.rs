//! A REST API: projects with tasks and files, validation, pagination, CORS, a login with a session, upload progress as
//! server-sent events, an access log, health checks, and a graceful shutdown.
//!
//! Run it on 127.0.0.1:8080, or on another address, with the allowed origin of pages that use it:
//! ```text
//! $ cargo run --example 28-rest-api --features sessions
//! $ cargo run --example 28-rest-api --features sessions -- [::1]:9000 https://app.example.com
//! ```
//! Try it: log in, create a project, send an invalid request, and upload a file.
//! ```text
//! $ api() { curl -isb jar -c jar -H 'content-type: application/json' "$@"; echo; }
//! $ api localhost:8080/session -d '{"name":"ada","password":"lovelace"}'
//! $ api localhost:8080/projects -d '{"name":"Engine"}'
//! $ api localhost:8080/projects/1/tasks -d '{"name":"Punch the cards"}'
//! $ api localhost:8080/projects/1/tasks -d '{"name":7}'
//! $ api 'localhost:8080/projects?search=Eng&take=10'
//! $ curl -N localhost:8080/projects/1/progress &
//! $ curl -b jar -T Cargo.lock localhost:8080/projects/1/files/Cargo.lock
//! ```

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use serde::{Deserialize, Serialize};
use uptick::http::{
    AccessLog, Cors, EventStream, HealthChecks, Json, LogFormat, RequestIds, SecurityHeaders,
    SessionKeys, Sessions, ShutdownOptions, constant_time_eq,
};
use uptick::prelude::*;

const MAX_FILE: usize = 16 << 20;
/// The maximum number of projects, and of tasks, files and watchers of a project.
const MAX_ITEMS: usize = 1_000;

#[derive(Clone, Default, Serialize)]
struct Project {
    id: u64,
    name: String,
    owner: String,
    tasks: BTreeMap<u64, Task>,
    /// The sizes of the files.
    files: BTreeMap<String, usize>,
    #[serde(skip)]
    watchers: Vec<EventStream>,
}

#[derive(Clone, Serialize)]
struct Task {
    id: u64,
    name: String,
}

/// The projects. A production service would store them in a database.
#[derive(Default)]
struct Projects(RefCell<BTreeMap<u64, Project>>);

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    search: String,
    skip: Option<usize>,
    take: Option<usize>,
}

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8080".into());
    let origin = args.next().unwrap_or("http://localhost:3000".into());

    let http = HttpServer::new().problem_details();
    http.set_state(Projects::default());
    http.wrap(RequestIds::new());
    http.wrap(AccessLog::stdout(LogFormat::Json));
    http.wrap(SecurityHeaders::new());
    let cors = Cors::new()
        .try_allow_origin(origin)?
        .allow_credentials(true);
    http.wrap(cors.expose_headers(["location", "x-total-count"]));
    // Without HTTPS, the cookie must not have the `Secure` attribute.
    http.wrap(Sessions::encrypted(SessionKeys::random()?).secure(false));

    http.post("/session", login);
    http.delete("/session", logout);
    http.get("/projects", list);
    http.get("/projects/{id}", show);
    http.get("/projects/{id}/progress", progress);
    http.group("/projects", |projects| {
        projects.wrap(require_login);
        projects.post("", create);
        projects.delete("/{id}", remove);
        projects.post("/{id}/tasks", add_task);
        projects.put("/{id}/files/{name}", upload);
    });
    http.health("/healthz");
    // A production service would ping its database here.
    let checks = HealthChecks::new().check("memory", async || Ok::<(), String>(()));
    http.ready("/readyz", checks);

    http.listen(Server::bind(address)?);
    let grace = ShutdownOptions::new().notice(Duration::from_secs(1));
    http.shutdown_on([SIGINT, SIGTERM], grace)?;
    let uri = http.address().unwrap_or_default();
    println!("listening on {}", uri.replace("tcp", "http"));
    uptick::run()
}

async fn login(req: Request) -> Result<StatusCode, HttpError> {
    let login: Login = req.json().await?;
    // A production service would compare slow hashes, in a job of `uptick::spawn_blocking`.
    if !constant_time_eq(&login.password, "lovelace") {
        return Err(fail(401, "The password is wrong"));
    }
    let session = req.session()?;
    session.renew();
    session.set("user", login.name)?;
    Ok(StatusCode::NO_CONTENT)
}

fn fail(status: u16, message: &'static str) -> HttpError {
    HttpError::new(StatusCode::from_u16(status).unwrap_or_default(), message)
}

fn logout(req: Request) -> Result<StatusCode, HttpError> {
    req.session()?.destroy();
    Ok(StatusCode::NO_CONTENT)
}

struct User(String);

fn require_login(req: Request, next: Next) -> Reply {
    match req.session().ok().and_then(|session| session.get("user")) {
        Some(name) => {
            req.set_extension(User(name));
            next.run(req)
        }
        None => fail(401, "Log in first").into_response().into(),
    }
}

fn list(req: Request) -> Result<Response, HttpError> {
    let page: Page = req.query()?;
    let projects = req.state::<Projects>()?;
    let projects = projects.0.borrow();
    let all = projects.values();
    let found = all.filter(|project| project.name.contains(&page.search));
    let count = found.clone().count();
    let shown = found.skip(page.skip.unwrap_or(0));
    let shown: Vec<_> = shown.take(page.take.unwrap_or(20).min(100)).collect();
    Ok(Response::json(shown).header("x-total-count", count))
}

/// Calls `f` with a project, or returns 404.
fn with_project<T>(
    req: &Request,
    id: u64,
    f: impl FnOnce(&mut Project) -> T,
) -> Result<T, HttpError> {
    let projects = req.state::<Projects>()?;
    let mut projects = projects.0.borrow_mut();
    projects
        .get_mut(&id)
        .map(f)
        .ok_or_else(HttpError::not_found)
}

fn show(req: Request) -> Result<Json<Project>, HttpError> {
    with_project(&req, req.params()?, |project| Json(project.clone()))
}

/// Validates a name chosen by a client for a new item, of which there are `count` so far.
fn validate_name(name: &str, count: usize) -> Result<String, HttpError> {
    match name.trim() {
        "" => Err(fail(422, "The name is empty")),
        name if name.len() > 100 => Err(fail(422, "The name is longer than 100 bytes")),
        _ if count >= MAX_ITEMS => Err(fail(507, "There are too many")),
        name => Ok(name.to_owned()),
    }
}

async fn create(req: Request) -> Result<Response, HttpError> {
    let new: Named = req.json().await?;
    let projects = req.state::<Projects>()?;
    let mut projects = projects.0.borrow_mut();
    let name = validate_name(&new.name, projects.len())?;
    let owner = req.try_extension::<User>()?.0.clone();
    let id = projects.last_key_value().map_or(1, |(id, _)| id + 1);
    let project = projects.entry(id).or_default();
    (project.id, project.name, project.owner) = (id, name, owner);
    let response = Response::json(&*project).with_status(StatusCode::CREATED);
    Ok(response.header("location", format!("/projects/{id}")))
}

fn remove(req: Request) -> Result<StatusCode, HttpError> {
    let id = req.params()?;
    let user = req.try_extension::<User>()?;
    if with_project(&req, id, |project| project.owner != user.0)? {
        return Err(fail(403, "It is the project of another user"));
    }
    req.state::<Projects>()?.0.borrow_mut().remove(&id);
    Ok(StatusCode::NO_CONTENT)
}

async fn add_task(req: Request) -> Result<(StatusCode, Json<Task>), HttpError> {
    let new: Named = req.json().await?;
    with_project(&req, req.params()?, |project| {
        let name = validate_name(&new.name, project.tasks.len())?;
        let id = project.tasks.last_key_value().map_or(1, |(id, _)| id + 1);
        let task = Task { id, name };
        project.tasks.insert(id, task.clone());
        Ok((StatusCode::CREATED, Json(task)))
    })?
}

async fn upload(req: Request) -> Result<(StatusCode, String), HttpError> {
    let (id, name): (u64, String) = req.params()?;
    let count = with_project(&req, id, |project| project.files.len())?;
    let name = validate_name(&name, count)?;
    let length = req.content_length().unwrap_or(0);
    let (mut body, mut size) = (req.body_stream().limited(MAX_FILE), 0);
    while let Some(piece) = body.next().await {
        size += piece?.len();
        let event = ServerEvent::new(format!("{size} of {length}")).name("progress");
        for watcher in with_project(&req, id, |project| project.watchers.clone())? {
            watcher.send(event.clone());
        }
    }
    with_project(&req, id, |project| project.files.insert(name, size))?;
    Ok((StatusCode::CREATED, format!("{size} bytes\n")))
}

fn progress(req: Request) -> Result<Response, HttpError> {
    let (response, events) = Response::events();
    with_project(&req, req.params()?, |project| {
        project.watchers.retain(|watcher| watcher.is_open());
        validate_name("a watcher", project.watchers.len())?;
        project.watchers.push(events);
        Ok(response)
    })?
}
