//! A browser that tests drive as a user does: Chromium, by way of its `chromedriver`, which speaks WebDriver (JSON over HTTP).

use std::env;

use serde_json::{Value, json};

use crate::http::Client;
use crate::program::{PATIENCE, Program};
use crate::tls::Directory;

/// Where this is set, a test that needs a browser fails when there is none.
const REQUIRED: &str = "UPTICK_REQUIRE_BROWSER";

/// How often the driver is started until it has a port.
const ATTEMPTS: u32 = 5;

/// The name under which WebDriver gives references to elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// What opens browsers.
pub(crate) struct WebDriver {
    _program: Program,
    uri: String,
}

impl WebDriver {
    /// Starts one; `None`, and a word about it, when it or the browser is not installed.
    ///
    /// # Panics
    /// When it is not installed and [`REQUIRED`] is set.
    pub(crate) fn start() -> Option<WebDriver> {
        let is_installed = Program::installed("chromium", &["--version"]).is_some();
        // The driver ends if the port that it gets for one address is taken on the other.
        for _ in 0..ATTEMPTS {
            let driver = is_installed.then(|| Program::installed("chromedriver", &["--port=0"]));
            let Some(program) = driver.flatten() else {
                let required = env::var_os(REQUIRED).is_some();
                assert!(!required, "{REQUIRED} is set, and there is no browser");
                return None;
            };
            while let Some(line) = program.line_before_end() {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    let port = port.trim_end_matches('.');
                    return Some(WebDriver {
                        uri: format!("http://127.0.0.1:{port}"),
                        _program: program,
                    });
                }
            }
        }
        panic!("chromedriver ended {ATTEMPTS} times before it listened");
    }

    /// Opens a browser of its own, which knows nothing of the others, at a page.
    pub(crate) fn open(&self, name: &str, uri: &str) -> Page<'_> {
        self.open_with(name, uri, &[])
    }

    /// Opens a browser with further arguments.
    pub(crate) fn open_with(&self, name: &str, uri: &str, more: &[String]) -> Page<'_> {
        let profile = Directory::new(&format!("browser-{name}"));
        let directory = format!("--user-data-dir={}", profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &directory,
        ];
        let arguments: Vec<&str> = arguments
            .into_iter()
            .chain(more.iter().map(String::as_str))
            .collect();
        let capabilities = json!({
            "acceptInsecureCerts": true,
            "goog:chromeOptions": { "args": arguments },
            "timeouts": { "script": PATIENCE.as_millis() },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let session = call(&self.uri, "POST", "/session", &wanted)
            .unwrap_or_else(|error| panic!("the browser of {name} does not start: {error}"));
        let id = session["sessionId"].as_str().unwrap();
        let page = Page {
            driver: self,
            name: name.into(),
            session: format!("/session/{id}"),
            _profile: profile,
        };
        page.go(uri);
        page
    }
}

/// The one page of a browser, which ends when it is dropped.
pub(crate) struct Page<'a> {
    driver: &'a WebDriver,
    name: String,
    session: String,
    _profile: Directory,
}

impl Page<'_> {
    pub(crate) fn go(&self, uri: &str) {
        self.call("/url", &json!({ "url": uri }));
    }

    pub(crate) fn reload(&self) {
        self.call("/refresh", &json!({}));
    }

    pub(crate) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.call(&format!("/element/{element}/click"), &json!({}));
    }

    /// Empties a field, and types into it.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.call(&format!("/element/{element}/clear"), &json!({}));
        self.enter(selector, text);
    }

    /// Types at the end of a field. The text comes as from an input method, which has emoji, too.
    pub(crate) fn enter(&self, selector: &str, text: &str) {
        self.click(selector);
        let command = json!({ "cmd": "Input.insertText", "params": { "text": text } });
        self.call("/goog/cdp/execute", &command);
    }

    /// Presses the Enter key in a field.
    pub(crate) fn press_enter(&self, selector: &str) {
        let element = self.find(selector);
        let key = json!({ "text": "\u{e007}" });
        self.call(&format!("/element/{element}/value"), &key);
    }

    /// The value of an expression of the page's language.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression};"))
    }

    /// Runs statements.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait_for(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0];
             const look = () => ({expression}) ? done() : setTimeout(look, 20);
             look();"
        );
        let command = json!({ "script": script, "args": [] });
        if let Err(error) = self.try_call("/execute/async", &command) {
            let text = self.value("document.body.innerText");
            panic!(
                "{} waits for {expression}: {error}; it sees {text}",
                self.name
            );
        }
    }

    fn find(&self, selector: &str) -> String {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.call("/element", &wanted);
        found[ELEMENT].as_str().unwrap().into()
    }

    fn call(&self, path: &str, body: &Value) -> Value {
        self.try_call(path, body)
            .unwrap_or_else(|error| panic!("{}: {path} with {body} failed: {error}", self.name))
    }

    fn try_call(&self, path: &str, body: &Value) -> Result<Value, String> {
        let path = format!("{}{path}", self.session);
        call(&self.driver.uri, "POST", &path, body)
    }
}

impl Drop for Page<'_> {
    fn drop(&mut self) {
        let _ = call(&self.driver.uri, "DELETE", &self.session, &json!({}));
    }
}

/// Sends one command, and gives its result or what is wrong with it.
fn call(uri: &str, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let mut client = Client::connect(uri);
    let body = body.to_string();
    let length = body.len();
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ));
    let answer = client.answer();
    let mut result: Value = serde_json::from_slice(&answer.body).unwrap();
    match answer.status {
        200 => Ok(result["value"].take()),
        _ => Err(result["value"]["message"].to_string()),
    }
}
