//! The program `95-client-conformance`, driven by its standard input and output.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::program::{ProcessOutput, Program, TIMEOUT};

/// Tolerance of a timeout: it may be reported this much early.
const EARLY: Duration = Duration::from_millis(20);
/// Tolerance of a timeout on a machine that runs many tests at once.
const LATE: Duration = Duration::from_secs(5);

/// A running conformance program.
pub(crate) struct ClientProgram {
    program: Program,
    next: u64,
    /// Lines that were read while another result was expected.
    others: Vec<Value>,
}

/// The result of a request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome(pub(crate) Value);

/// The answer to the command `stats`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stats {
    pub(crate) open: u64,
    pub(crate) idle: u64,
    pub(crate) created: u64,
    pub(crate) reused: u64,
}

impl ClientProgram {
    /// Starts the program without options.
    pub(crate) fn start() -> ClientProgram {
        ClientProgram::start_with(&[], &[])
    }

    /// Starts the program with options and additional environment variables.
    #[track_caller]
    pub(crate) fn start_with(options: &[&str], variables: &[(&str, &str)]) -> ClientProgram {
        let program = Program::start_with("95-client-conformance", options, variables);
        assert_eq!(program.line(), r#"{"ready":true}"#);
        ClientProgram {
            program,
            next: 0,
            others: Vec::new(),
        }
    }

    /// Sends a line.
    pub(crate) fn line(&mut self, line: &str) {
        self.program.input(&format!("{line}\n"));
    }

    /// Sends a part of a line.
    pub(crate) fn raw(&mut self, text: &str) {
        self.program.input(text);
    }

    /// Sends a request. Returns its identifier, a new one unless the request has one.
    pub(crate) fn send(&mut self, mut request: Value) -> Value {
        if request.get("id").is_none() {
            self.next += 1;
            request["id"] = json!(self.next);
        }
        self.line(&request.to_string());
        request["id"].clone()
    }

    /// Sends a request and waits for its result.
    #[track_caller]
    pub(crate) fn run(&mut self, request: Value) -> Outcome {
        let id = self.send(request);
        self.result_of(&id)
    }

    /// Requests a URL with GET, and waits for the result.
    #[track_caller]
    pub(crate) fn get(&mut self, url: &str) -> Outcome {
        self.run(json!({ "url": url }))
    }

    /// Waits for the next line, in the order in which the program printed them.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Outcome {
        match self.others.is_empty() {
            true => Outcome(parse(&self.program.line())),
            false => Outcome(self.others.remove(0)),
        }
    }

    /// Waits for the result with this identifier. Other results are kept.
    #[track_caller]
    pub(crate) fn result_of(&mut self, id: &Value) -> Outcome {
        if let Some(at) = self.others.iter().position(|other| other["id"] == *id) {
            return Outcome(self.others.remove(at));
        }
        loop {
            let value = parse(&self.program.line());
            if value["id"] == *id {
                return Outcome(value);
            }
            self.others.push(value);
        }
    }

    /// Requests the counters of the pool.
    #[track_caller]
    pub(crate) fn stats(&mut self) -> Stats {
        let id = self.send(json!({"cmd": "stats"}));
        let answer = self.result_of(&id).0;
        let count = |name: &str| match answer["stats"][name].as_u64() {
            Some(count) => count,
            None => panic!("{name}: {answer}"),
        };
        Stats {
            open: count("open"),
            idle: count("idle"),
            created: count("created"),
            reused: count("reused"),
        }
    }

    /// Requests the counters of the pool until they meet a condition.
    #[track_caller]
    pub(crate) fn wait_for_stats(&mut self, condition: impl Fn(Stats) -> bool) -> Stats {
        let start = Instant::now();
        loop {
            let stats = self.stats();
            if condition(stats) {
                return stats;
            }
            assert!(start.elapsed() < TIMEOUT, "{stats:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Closes the idle connections. Returns their number.
    #[track_caller]
    pub(crate) fn close_idle(&mut self) -> u64 {
        let id = self.send(json!({"cmd": "close_idle"}));
        let answer = self.result_of(&id).0;
        answer["closed"].as_u64().unwrap()
    }

    /// Sends a command `cancel` for a request.
    pub(crate) fn cancel(&mut self, id: &Value) {
        let command = json!({"cmd": "cancel", "id": id});
        self.line(&command.to_string());
    }

    /// Asserts that the program has printed nothing that was not read, and that it handles commands.
    #[track_caller]
    pub(crate) fn assert_silent(&mut self) {
        self.stats();
        assert!(self.others.is_empty(), "{:?}", self.others);
    }

    /// Ends the input and waits for the end of the program.
    pub(crate) fn finish(mut self) -> ProcessOutput {
        self.program.end_input();
        self.program.wait()
    }

    /// Returns the largest amount of memory that the program has occupied, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.status_field("VmHWM") * 1024
    }

    /// Returns the number of open file descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        let path = format!("/proc/{}/fd", self.program.pid());
        fs::read_dir(path).unwrap().count()
    }

    fn status_field(&self, name: &str) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/status", self.program.pid())).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        let number = line.split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }
}

impl Outcome {
    /// Asserts that a complete response with status 200 came.
    #[track_caller]
    pub(crate) fn assert_ok(&self) -> &Outcome {
        assert_eq!(self.status(), Some(200), "{}", self.0);
        assert_eq!(self.0["ok"], true, "{}", self.0);
        assert!(self.0.get("error").is_none(), "{}", self.0);
        self
    }

    /// Asserts that the request failed with an error of this kind.
    #[track_caller]
    pub(crate) fn assert_kind(&self, kind: &str) -> &Outcome {
        self.assert_kinds(&[kind])
    }

    /// Asserts that the request failed with an error of one of these kinds.
    #[track_caller]
    pub(crate) fn assert_kinds(&self, kinds: &[&str]) -> &Outcome {
        assert_eq!(self.0["ok"], false, "{} instead of {kinds:?}", self.0);
        let kind = self.0["error"]["kind"].as_str().unwrap();
        assert!(kinds.contains(&kind), "{} instead of {kinds:?}", self.0);
        assert!(self.0["error"]["message"].is_string(), "{}", self.0);
        assert!(self.0["attempts"].is_u64(), "{}", self.0);
        self
    }

    /// Asserts that the message of the error contains each of these texts, in any case.
    #[track_caller]
    pub(crate) fn assert_message(&self, parts: &[&str]) -> &Outcome {
        let message = self.message().to_lowercase();
        for part in parts {
            assert!(message.contains(&part.to_lowercase()), "{part}: {}", self.0);
        }
        self
    }

    #[track_caller]
    pub(crate) fn assert_attempts(&self, attempts: u64) -> &Outcome {
        assert_eq!(self.0["attempts"], attempts, "{}", self.0);
        self
    }

    #[track_caller]
    pub(crate) fn assert_reused(&self, reused: bool) -> &Outcome {
        assert_eq!(self.0["reused"], reused, "{}", self.0);
        self
    }

    pub(crate) fn status(&self) -> Option<u64> {
        self.0["status"].as_u64()
    }

    pub(crate) fn message(&self) -> &str {
        self.0["error"]["message"].as_str().unwrap_or_default()
    }

    /// Returns the decoded body.
    #[track_caller]
    pub(crate) fn body(&self) -> Vec<u8> {
        let Some(text) = self.0["body"].as_str() else {
            panic!("no body: {}", self.0);
        };
        BASE64_STANDARD.decode(text).unwrap()
    }

    #[track_caller]
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body()).unwrap()
    }

    /// Returns the values of a header, in order.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let fields = self.0["headers"].as_array().unwrap();
        let fields = fields.iter().filter(|field| field[0] == name);
        fields.map(|field| field[1].as_str().unwrap()).collect()
    }
}

/// Measures how long a timeout takes.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Asserts that about this many milliseconds have passed.
    #[track_caller]
    pub(crate) fn assert_about(&self, millis: u64) {
        let (passed, expected) = (self.0.elapsed(), Duration::from_millis(millis));
        let is_expected = passed + EARLY >= expected && passed <= expected + LATE;
        assert!(is_expected, "{passed:?} instead of {expected:?}");
    }

    /// Asserts that this many milliseconds have passed.
    #[track_caller]
    pub(crate) fn assert_at_least(&self, millis: u64) {
        let passed = self.0.elapsed();
        assert!(
            passed + EARLY >= Duration::from_millis(millis),
            "{passed:?}"
        );
    }

    /// Asserts that fewer milliseconds have passed.
    #[track_caller]
    pub(crate) fn assert_below(&self, millis: u64) {
        let passed = self.0.elapsed();
        assert!(passed < Duration::from_millis(millis), "{passed:?}");
    }
}

#[track_caller]
fn parse(line: &str) -> Value {
    match serde_json::from_str(line) {
        Ok(value @ Value::Object(_)) => value,
        _ => panic!("the program printed {line:?}"),
    }
}
