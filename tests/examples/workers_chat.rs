//! Tests of `51-prefork-chat`: the chat on several workers, with raw clients and with browsers.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::chat_page::User;
use crate::chat_wire::Socket;
use crate::program::{Program, TIMEOUT, path_of};
use crate::webdriver::WebDriver;

/// Script that stores the last connection of the page in `connection`, and all close codes in `closeCodes`.
const CONNECTIONS: &str = "
    window.closeCodes = [];
    window.WebSocket = class extends WebSocket {
        constructor(address) {
            super(address);
            window.connection = this;
            this.addEventListener('close', event => window.closeCodes.push(event.code));
        }
    };";

/// Script that simulates a delayed message, sent between the first two, as from a slow worker.
const LATE_MESSAGE: &str = "
    const id = Number(document.querySelector('#log .said').dataset.id) + 1;
    const said = { id, name: 'Cid', text: 'Late', time: Date.now(), ref: 0 };
    window.connection.onmessage({ data: JSON.stringify({ type: 'message', room: 'lobby', ...said }) });";

fn serve(workers: &str) -> (Program, String) {
    let server = Program::start("prefork-chat", &["--workers", workers, "127.0.0.1:0"]);
    let uri = server.listening_on();
    (server, uri)
}

/// Opens WebSockets until one is served by a worker for which `is_match` returns `true`.
#[track_caller]
pub(crate) fn open_where(uri: &str, is_match: impl Fn(&str) -> bool) -> Socket {
    let deadline = Instant::now() + TIMEOUT;
    // They stay open, so that the next connection goes to another worker.
    let mut others = Vec::new();
    loop {
        let socket = Socket::open(uri);
        if is_match(name_of(&socket)) {
            return socket;
        }
        others.push(socket);
        assert!(Instant::now() < deadline, "no such worker");
    }
}

/// Returns the name of the worker that serves a socket: its number and process id.
pub(crate) fn name_of(socket: &Socket) -> &str {
    socket.worker.as_deref().unwrap()
}

/// Opens two WebSockets on different workers.
fn open_two(uri: &str) -> (Socket, Socket) {
    let one = Socket::open(uri);
    let other = open_where(uri, |worker| worker != name_of(&one));
    (one, other)
}

pub(crate) fn say(socket: &mut Socket, text: &str, reference: u64) {
    socket.send_json(&json!({"type": "say", "text": text, "ref": reference}));
}

/// Joins the lobby like the page of a user, and returns the welcome message.
#[track_caller]
pub(crate) fn join(socket: &mut Socket, name: &str) -> Value {
    socket.join(name, &token_of(name));
    socket.wait_for("welcome")
}

/// Joins the lobby, and waits until the welcome message and the following messages contain exactly these members and messages.
#[track_caller]
pub(crate) fn join_and_expect(
    socket: &mut Socket,
    name: &str,
    members: &[&str],
    messages: &[&str],
) {
    let welcome = join(socket, name);
    let strings = |list: &Value| -> Vec<String> { serde_json::from_value(list.clone()).unwrap() };
    let mut here: BTreeSet<String> = strings(&welcome["members"]).into_iter().collect();
    let mut said: BTreeMap<u64, String> = BTreeMap::new();
    for message in welcome["messages"].as_array().unwrap() {
        said.insert(
            message["id"].as_u64().unwrap(),
            message["text"].as_str().unwrap().into(),
        );
    }
    while !here.iter().eq(members) || !said.values().eq(messages) {
        let message = socket.next_message();
        let field = |name: &str| message[name].as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "joined" => drop(here.insert(field("name"))),
            "left" => drop(here.remove(&field("name"))),
            "message" => drop(said.insert(message["id"].as_u64().unwrap(), field("text"))),
            _ => {}
        }
    }
}

fn token_of(name: &str) -> String {
    format!("the token of {name}")
}

/// Kills a worker with a given name.
fn kill(worker: &str) {
    let (_, pid) = worker.split_once("(pid ").unwrap();
    let pid = pid.trim_end_matches(')').parse().unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn pages_on_different_workers_chat() {
    let (_server, uri) = serve("2");
    let (mut ann, mut bob) = open_two(&uri);
    assert_eq!(join(&mut ann, "Ann")["members"], json!(["Ann"]));
    say(&mut ann, "first", 1);
    let first = ann.wait_for("message");
    assert_eq!(first["text"], "first");
    join_and_expect(&mut bob, "Bob", &["Ann", "Bob"], &["first"]);
    assert_eq!(ann.wait_for("joined")["name"], "Bob");

    say(&mut bob, "second", 2);
    let second = bob.wait_for("message");
    assert_eq!(ann.wait_for("message"), second);
    assert!(second["id"].as_u64() > first["id"].as_u64());
    ann.send_json(&json!({"type": "typing"}));
    assert_eq!(bob.wait_for("typing")["name"], "Ann");
    ann.send_json(&json!({"type": "join", "name": "Ann", "room": "attic", "token": ""}));
    assert_eq!(bob.wait_for("left")["name"], "Ann");
    let last = &second["time"];
    let rooms = json!([
        {"name": "attic", "members": 1, "last": 0},
        {"name": "lobby", "members": 1, "last": last},
    ]);
    while bob.wait_for("rooms")["rooms"] != rooms {}
    drop(ann);
    let rooms = json!([{"name": "lobby", "members": 1, "last": last}]);
    while bob.wait_for("rooms")["rooms"] != rooms {}
}

#[test]
fn all_workers_remember_the_same_messages_in_the_same_order() {
    const SOCKETS: usize = 8;
    const MESSAGES: usize = 5;
    let (_server, uri) = serve("3");
    let mut sockets: Vec<Socket> = (0..SOCKETS).map(|_| Socket::open(&uri)).collect();
    for (index, socket) in sockets.iter_mut().enumerate() {
        join(socket, &format!("guest {index}"));
    }
    for number in 0..MESSAGES {
        for (index, socket) in sockets.iter_mut().enumerate() {
            say(socket, &format!("{index}: {number}"), number as u64);
        }
    }
    let mut orders = BTreeMap::new();
    for socket in &mut sockets {
        let received = (0..SOCKETS * MESSAGES).map(|_| {
            let said = socket.wait_for("message");
            (said["id"].as_u64().unwrap(), said)
        });
        let received: BTreeMap<u64, Value> = received.collect();
        assert_eq!(
            received.len(),
            SOCKETS * MESSAGES,
            "each message is received once"
        );
        // The messages of each page arrive in the order in which they were sent.
        for index in 0..SOCKETS {
            let of_page = received
                .values()
                .filter_map(|said| said["text"].as_str()?.strip_prefix(&format!("{index}: ")));
            assert!(of_page.eq(["0", "1", "2", "3", "4"]), "{received:?}");
        }
        let messages: Vec<Value> = received.into_values().collect();
        orders.insert(name_of(socket).to_owned(), messages);
    }
    assert_eq!(orders.len(), 3, "not all workers have a socket");
    for late in 0..3 {
        let mut socket = open_where(&uri, |worker| {
            let taken = sockets[SOCKETS..].iter().map(name_of);
            taken.into_iter().all(|taken| taken != worker)
        });
        let welcome = join(&mut socket, &format!("late {late}"));
        sockets.push(socket);
        for messages in orders.values() {
            let remembered = welcome["messages"].as_array().unwrap().iter();
            let ids = |said: &Value| said["id"].as_u64();
            assert!(remembered.map(ids).eq(messages.iter().map(ids)));
        }
    }
}

#[test]
fn a_name_belongs_to_one_page_on_all_workers() {
    let (_server, uri) = serve("2");
    let (mut ann, mut thief) = open_two(&uri);
    ann.join("Ann", "a secret");
    ann.wait_for("welcome");
    // Once Bob's list of members contains Ann, his worker has her name.
    let mut bob = open_where(&uri, |worker| worker == name_of(&thief));
    join_and_expect(&mut bob, "Bob", &["Ann", "Bob"], &[]);
    thief.join("ANN", "a guess");
    assert_eq!(thief.wait_for("refused")["code"], "name-taken");
    // With its token, a page reclaims its name over a connection to another worker.
    thief.join("Ann", "a secret");
    assert_eq!(thief.wait_for("welcome")["members"], json!(["Ann", "Bob"]));
    assert_eq!(ann.closed(), 4001);
    let mut cid = open_where(&uri, |worker| worker != name_of(&thief));
    join_and_expect(&mut cid, "Cid", &["Ann", "Bob", "Cid"], &[]);
}

#[test]
fn users_of_a_killed_worker_leave_and_its_replacement_has_the_history() {
    let (_server, uri) = serve("2");
    let (mut ann, mut bob) = open_two(&uri);
    join(&mut ann, "Ann");
    join(&mut bob, "Bob");
    say(&mut bob, "last words", 1);
    assert_eq!(ann.wait_for("message")["text"], "last words");
    let (survivor, killed) = (name_of(&ann).to_owned(), name_of(&bob).to_owned());
    kill(&killed);
    assert_eq!(ann.wait_for("left")["name"], "Bob");
    say(&mut ann, "rest in peace", 2);
    ann.wait_for("message");

    let mut cid = open_where(&uri, |worker| worker != survivor);
    assert_ne!(name_of(&cid), killed);
    let said = ["last words", "rest in peace"];
    join_and_expect(&mut cid, "Cid", &["Ann", "Cid"], &said);
    assert_eq!(ann.wait_for("joined")["name"], "Cid");

    // No remaining worker has received the messages directly from their authors.
    kill(&survivor);
    assert_eq!(cid.wait_for("left")["name"], "Ann");
    let mut dan = open_where(&uri, |worker| worker != name_of(&cid));
    join_and_expect(&mut dan, "Dan", &["Cid", "Dan"], &said);
}

#[test]
fn a_reload_closes_with_1012_and_the_new_workers_have_the_history() {
    let (server, uri) = serve("2");
    let (mut ann, mut bob) = open_two(&uri);
    let epoch = join(&mut ann, "Ann")["epoch"].clone();
    join(&mut bob, "Bob");
    for generation in 1..3 {
        say(&mut ann, &format!("in generation {generation}"), generation);
        let seen = ann.wait_for("message")["id"].clone();
        let old = [name_of(&ann).to_owned(), name_of(&bob).to_owned()];
        server.signal(Signal::HUP);
        for socket in [&mut ann, &mut bob] {
            assert_eq!(socket.closed(), 1012);
        }
        (ann, bob) = open_two(&uri);
        for socket in [&ann, &bob] {
            assert!(!old.iter().any(|worker| worker == name_of(socket)));
        }
        // The page of Bob sends the id of the last message that it has received, the page of Ann does not.
        let join_again = json!({
            "type": "join", "name": "Bob", "room": "lobby", "token": token_of("Bob"),
            "seen": {"epoch": epoch, "id": seen},
        });
        bob.send_json(&join_again);
        let welcome = bob.wait_for("welcome");
        assert_eq!(
            (&welcome["resumed"], &welcome["gap"]),
            (&json!(true), &json!(false))
        );
        assert_eq!(welcome["epoch"], epoch);
        let said = ["in generation 1", "in generation 2"];
        let said = &said[..usize::try_from(generation).unwrap()];
        join_and_expect(&mut ann, "Ann", &["Ann", "Bob"], said);
    }
    server.signal(Signal::TERM);
    for socket in [&mut ann, &mut bob] {
        assert_eq!(socket.closed(), 1001);
    }
}

#[test]
fn the_service_stops_after_its_standard_error_is_closed() {
    let mut master = Command::new(path_of("prefork-chat"))
        .args(["--workers", "1", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(master.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(line.starts_with("listening on http://"), "{line}");
    drop(master.stderr.take());
    kill_process(Pid::from_child(&master), Signal::TERM).unwrap();
    let deadline = Instant::now() + TIMEOUT;
    while master.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            master.kill().unwrap();
            panic!("it does not stop");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn invalid_arguments_are_reported() {
    for arguments in [
        &["--port"][..],
        &["--workers"],
        &["--workers", "many"],
        &["a", "b"],
    ] {
        let ended = Program::start("prefork-chat", arguments).wait();
        assert!(!ended.status.success(), "{arguments:?}");
        assert!(!ended.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn two_browsers_on_several_workers_chat_across_a_reload() {
    let Some(driver) = WebDriver::start() else {
        return;
    };
    let (server, uri) = serve("4");
    let ann = User(driver.open("ann-of-workers", &uri));
    let bob = User(driver.open("bob-of-workers", &uri));
    for user in [&ann, &bob] {
        user.0.run(CONNECTIONS);
    }
    ann.join("Ann", "lobby");
    ann.expect_members("Ann (you)");
    bob.join("Bob", "lobby");
    bob.expect_members("Ann,Bob (you)");
    ann.expect_members("Ann (you),Bob");
    ann.say("Hello, Bob!");
    bob.expect("Hello, Bob!");
    bob.say("Hello, Ann!");
    ann.expect("Hello, Ann!");
    for _ in 0..2 {
        ann.0.run(LATE_MESSAGE);
        assert_eq!(ann.shown(), ["Hello, Bob!", "Late", "Hello, Ann!"]);
    }
    server.signal(Signal::HUP);
    for user in [&ann, &bob] {
        user.0.wait_for("window.closeCodes.join() === '1012'");
        user.0.wait_for("!document.querySelector('#banner.shown')");
    }
    ann.say("We are still here.");
    for user in [&ann, &bob] {
        user.expect("We are still here.");
    }
    ann.expect_members("Ann (you),Bob");
    assert_eq!(ann.shown()[2..], ["Hello, Ann!", "We are still here."]);
    assert_eq!(bob.shown()[1..], ["Hello, Ann!", "We are still here."]);
}
