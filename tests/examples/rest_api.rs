//! Tests of `28-rest-api` with `curl`, Python and a page from another origin.

use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::http::serve;
use crate::program::Program;
use crate::webdriver::WebDriver;

/// A `curl` client that keeps its cookies in a file.
struct Curl {
    uri: String,
    jar: PathBuf,
}

/// A response: its status, its head in lower case, and its body.
struct Response {
    status: u16,
    head: String,
    body: String,
}

impl Curl {
    fn new(uri: &str, name: &str) -> Curl {
        let jar = format!("uptick-jar-{name}-{}", std::process::id());
        Curl {
            uri: uri.to_owned(),
            jar: std::env::temp_dir().join(jar),
        }
    }

    /// Sends a request with additional `curl` arguments; `None` if `curl` is not installed.
    fn request(&self, path: &str, arguments: &[&str]) -> Option<Response> {
        let jar = self.jar.to_str().unwrap();
        let uri = format!("{}{path}", self.uri);
        let mut all = vec!["-siS", "-b", jar, "-c", jar, &uri];
        all.extend(arguments);
        let mut program = Program::installed("curl", &all)?;
        program.end_input();
        let ended = program.wait();
        assert!(ended.status.success(), "{ended:?}");
        let text = ended.stdout.join("\n");
        // curl waits for an interim response before an upload.
        let text = text
            .strip_prefix("HTTP/1.1 100 Continue\n\n")
            .unwrap_or(&text);
        let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Response {
            status,
            head: head.to_lowercase(),
            body: body.to_owned(),
        })
    }

    fn post(&self, path: &str, body: &Value) -> Option<Response> {
        let body = body.to_string();
        let json = "content-type: application/json";
        self.request(path, &["-H", json, "-d", &body])
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.jar);
    }
}

impl Response {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

#[test]
fn a_client_logs_in_and_creates_projects_with_tasks_and_files() {
    let (server, uri) = serve("28-rest-api", &[]);
    let curl = Curl::new(&uri, "projects");
    let Some(refused) = curl.post("/projects", &json!({"name": "Engine"})) else {
        return;
    };
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.json(),
        json!({"status": 401, "title": "Unauthorized", "detail": "Log in first"})
    );
    let wrong = json!({"name": "ada", "password": "byron"});
    assert_eq!(curl.post("/session", &wrong).unwrap().status, 401);
    let right = json!({"name": "ada", "password": "lovelace"});
    let login = curl.post("/session", &right).unwrap();
    assert_eq!(login.status, 204);
    assert!(
        login.head.contains("set-cookie: session="),
        "{}",
        login.head
    );
    assert!(
        login.head.contains("cache-control: no-store"),
        "{}",
        login.head
    );

    let created = curl
        .post("/projects", &json!({"name": " Engine "}))
        .unwrap();
    assert_eq!(created.status, 201);
    assert!(
        created.head.contains("location: /projects/1"),
        "{}",
        created.head
    );
    let task = curl.post("/projects/1/tasks", &json!({"name": "Punch the cards"}));
    assert_eq!(
        task.unwrap().json(),
        json!({"id": 1, "name": "Punch the cards"})
    );
    let upload = curl.request("/projects/1/files/notes", &["-T", "Cargo.toml"]);
    assert_eq!(upload.unwrap().status, 201);
    let size = std::fs::metadata("Cargo.toml").unwrap().len();
    let project = curl.request("/projects/1", &[]).unwrap().json();
    let expected = json!({
        "id": 1, "name": "Engine", "owner": "ada", "files": {"notes": size},
        "tasks": {"1": {"id": 1, "name": "Punch the cards"}},
    });
    assert_eq!(project, expected);

    let other = Curl::new(&uri, "other");
    let bob = json!({"name": "bob", "password": "lovelace"});
    assert_eq!(other.post("/session", &bob).unwrap().status, 204);
    let delete = ["-X", "DELETE"];
    assert_eq!(other.request("/projects/1", &delete).unwrap().status, 403);
    assert_eq!(curl.request("/projects/1", &delete).unwrap().status, 204);
    assert_eq!(curl.request("/projects/1", &[]).unwrap().status, 404);
    assert_eq!(curl.request("/session", &delete).unwrap().status, 204);
    let after = curl.post("/projects", &json!({"name": "Engine"})).unwrap();
    assert_eq!(after.status, 401);

    let line: Value = serde_json::from_str(&server.line()).unwrap();
    assert_eq!(line["target"], "/projects");
    assert_eq!(line["status"], 401);
    let user_agent = line["user_agent"].as_str().unwrap();
    assert!(user_agent.starts_with("curl/"), "{line}");
    let id = line["id"].as_str().unwrap();
    assert!(
        refused.head.contains(&format!("x-request-id: {id}")),
        "{line}"
    );
}

#[test]
fn invalid_input_is_reported_as_problem_details() {
    let (_server, uri) = serve("28-rest-api", &[]);
    let curl = Curl::new(&uri, "wrong");
    let right = json!({"name": "ada", "password": "lovelace"});
    if curl.post("/session", &right).is_none() {
        return;
    }
    let cases = [
        (
            json!({"name": 7}),
            422,
            r#"the value of "name" in JSON is not valid"#,
        ),
        (json!({}), 422, "missing field `name`"),
        (json!({"name": "  "}), 422, "The name is empty"),
    ];
    for (body, status, detail) in cases {
        let response = curl.post("/projects", &body).unwrap();
        assert_eq!(response.status, status, "{body}");
        let head = &response.head;
        assert!(
            head.contains("content-type: application/problem+json"),
            "{head}"
        );
        let given = response.json()["detail"].to_string();
        assert!(given.replace('\\', "").contains(detail), "{given}");
    }
    let page = curl.request("/projects?take=many", &[]).unwrap();
    assert_eq!(page.status, 400);
    assert!(page.body.contains("take"), "{}", page.body);
    let id = curl.request("/projects/one", &[]).unwrap();
    assert_eq!(id.status, 400);
    let large = ["-H", "content-length: 99999999", "-X", "PUT", "-d", "x"];
    curl.post("/projects", &json!({"name": "a"})).unwrap();
    let large = curl.request("/projects/1/files/large", &large).unwrap();
    assert_eq!(large.status, 413);
}

#[test]
fn pages_of_results_have_a_total_count() {
    let (_server, uri) = serve("28-rest-api", &[]);
    let script = r#"
import json, sys, urllib.request as r, http.cookiejar
client = r.build_opener(r.HTTPCookieProcessor(http.cookiejar.CookieJar()))
def post(path, body):
    data = json.dumps(body).encode()
    headers = {"content-type": "application/json"}
    return client.open(r.Request(sys.argv[1] + path, data, headers))
post("/session", {"name": "ada", "password": "lovelace"})
for number in range(5):
    post("/projects", {"name": f"Project {number}"})
with client.open(sys.argv[1] + "/projects?search=Project&skip=1&take=2") as page:
    names = [project["name"] for project in json.load(page)]
    print(page.headers["x-total-count"], names)
"#;
    let Some(python) = Program::installed("python3", &["-c", script, &uri]) else {
        return;
    };
    let ended = python.wait();
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(ended.stdout, ["5 ['Project 1', 'Project 2']"]);
}

#[test]
fn a_shutdown_is_announced_to_health_checks() {
    let (server, uri) = serve("28-rest-api", &[]);
    let curl = Curl::new(&uri, "health");
    let Some(ready) = curl.request("/readyz", &[]) else {
        return;
    };
    assert_eq!(
        ready.json(),
        json!({"status": "ok", "checks": {"memory": "ok"}})
    );
    server.signal(Signal::TERM);
    let mut draining = curl.request("/healthz", &[]).unwrap();
    for _ in 0..20 {
        if draining.status == 503 {
            break;
        }
        draining = curl.request("/healthz", &[]).unwrap();
    }
    assert_eq!(draining.json(), json!({"status": "shutting down"}));
    assert!(server.wait().status.success());
}

#[test]
fn a_page_of_another_origin_logs_in_and_follows_an_upload() {
    let Some(driver) = WebDriver::start() else {
        return;
    };
    let (_page_server, page_uri) = serve("21-http-hello", &[]);
    let (_server, uri) = serve("28-rest-api", &[&page_uri]);
    let page = driver.open("rest-api", &page_uri);
    page.run(&format!(
        r#"(async () => {{
            const call = (method, path, body) => fetch('{uri}' + path, {{
                method, body, credentials: 'include', headers: {{ 'content-type': 'application/json' }},
            }});
            window.steps = [];
            const login = JSON.stringify({{ name: 'ada', password: 'lovelace' }});
            window.steps.push((await call('POST', '/session', login)).status);
            const created = await call('POST', '/projects', JSON.stringify({{ name: 'Engine' }}));
            window.steps.push(created.headers.get('location'));
            const events = new EventSource('{uri}/projects/1/progress');
            await new Promise(done => events.onopen = done);
            const progress = new Promise(done => events.addEventListener('progress', event => {{
                if (event.data === '100000 of 100000') done(event.data);
            }}));
            const upload = await call('PUT', '/projects/1/files/a', 'x'.repeat(100000));
            window.steps.push(upload.status, await progress);
            window.steps.push((await call('GET', '/none')).status);
            events.close();
        }})().catch(error => window.steps.push(String(error)));"#
    ));
    page.wait_for("window.steps.length === 5 || typeof window.steps.at(-1) === 'string' && window.steps.at(-1).includes('Error')");
    assert_eq!(
        page.value("JSON.stringify(window.steps)"),
        r#"[204,"/projects/1",201,"100000 of 100000",404]"#
    );
}
