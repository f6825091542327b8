//! A browser driven by the tests: Chromium through `chromedriver`, which implements WebDriver (JSON over HTTP).

use std::env;

use serde_json::{Value, json};

use crate::http::Client;
use crate::program::{Program, TIMEOUT};
use crate::tls::Directory;

/// Environment variable. If it is set, a test that needs a browser fails when none is installed.
const REQUIRED: &str = "UPTICK_REQUIRE_BROWSER";

/// Maximum number of attempts to start the driver.
const ATTEMPTS: u32 = 5;

/// The key of element references in WebDriver.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A running driver that opens browsers.
pub(crate) struct WebDriver {
    _program: Program,
    uri: String,
}

impl WebDriver {
    /// Starts the driver. If it or the browser is not installed, prints a message and returns `None`.
    ///
    /// # Panics
    /// Panics if it is not installed and [`REQUIRED`] is set.
    pub(crate) fn start() -> Option<WebDriver> {
        let is_installed = Program::installed("chromium", &["--version"]).is_some();
        // The driver exits if the port that it chose for one address family is in use for the other.
        for _ in 0..ATTEMPTS {
            let driver = is_installed.then(|| Program::installed("chromedriver", &["--port=0"]));
            let Some(program) = driver.flatten() else {
                let required = env::var_os(REQUIRED).is_some();
                assert!(!required, "{REQUIRED} is set, but no browser is installed");
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
        panic!("chromedriver exited {ATTEMPTS} times before it listened");
    }

    /// Opens a separate browser with its own profile at a page.
    pub(crate) fn open(&self, name: &str, uri: &str) -> Page<'_> {
        self.open_with(name, uri, &[])
    }

    /// Opens a browser with additional arguments.
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
            "timeouts": { "script": TIMEOUT.as_millis() },
        });
        let body = json!({ "capabilities": { "alwaysMatch": capabilities } });
        let session = call(&self.uri, "POST", "/session", &body)
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

/// The single page of a browser. The browser is closed when this is dropped.
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

    /// Clears a field, and types into it.
    pub(crate) fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.call(&format!("/element/{element}/clear"), &json!({}));
        self.enter(selector, text);
    }

    /// Types at the end of a field. The text is inserted as by an input method, so that it may contain emoji.
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

    /// Evaluates a JavaScript expression.
    pub(crate) fn value(&self, expression: &str) -> Value {
        self.run(&format!("return {expression};"))
    }

    /// Runs JavaScript statements.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.call("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub(crate) fn wait_for(&self, expression: &str) {
        let script = format!(
            "const done = arguments[0];
             const check = () => ({expression}) ? done() : setTimeout(check, 20);
             check();"
        );
        let command = json!({ "script": script, "args": [] });
        if let Err(error) = self.try_call("/execute/async", &command) {
            let text = self.value("document.body.innerText");
            panic!(
                "{}: waiting for {expression} failed: {error}; the page shows {text}",
                self.name
            );
        }
    }

    fn find(&self, selector: &str) -> String {
        let query = json!({ "using": "css selector", "value": selector });
        let found = self.call("/element", &query);
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

/// Sends one command. Returns its result, or the error message.
fn call(uri: &str, method: &str, path: &str, body: &Value) -> Result<Value, String> {
    let mut client = Client::connect(uri);
    let body = body.to_string();
    let length = body.len();
    client.send(format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ));
    let response = client.response();
    let mut result: Value = serde_json::from_slice(&response.body).unwrap();
    match response.status {
        200 => Ok(result["value"].take()),
        _ => Err(result["value"]["message"].to_string()),
    }
}
