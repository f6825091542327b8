//! `chat`, used by people: its page in two browsers.

use rustix::process::Signal;

use crate::http::get;
use crate::program::Program;
use crate::webdriver::{Page, WebDriver};

/// What was said, as far as the page shows it.
const SHOWN: &str = "[...document.querySelectorAll('#log .text')].map(text => text.textContent)";
/// From now on, the page reaches the server only when `reachable` is true.
const BREAKABLE: &str = "
    window.reachable = true;
    window.WebSocket = class extends WebSocket {
        constructor(address) {
            if (!window.reachable) address.pathname = '/nowhere';
            super(address);
            window.connection = this;
        }
        send(message) {
            if (!window.lossy || !message.includes('\"say\"')) super.send(message);
        }
    };";

fn serve(arguments: &[&str]) -> (Program, String) {
    let server = Program::start("chat", arguments);
    let uri = server.listening_on();
    (server, uri)
}

/// Someone at a page.
pub(crate) struct Person<'a>(pub(crate) Page<'a>);

impl Person<'_> {
    pub(crate) fn join(&self, name: &str, room: &str) {
        self.0.fill("#name", name);
        self.0.fill("#room", room);
        self.0.click("#enter");
    }

    pub(crate) fn say(&self, text: &str) {
        self.0.enter("#text", text);
        self.0.press_enter("#text");
    }

    /// Waits until a message, and nothing but that message, is shown last.
    #[track_caller]
    pub(crate) fn expect(&self, text: &str) {
        let text = serde_json::to_string(text).unwrap();
        self.0.wait_for(&format!("{SHOWN}.at(-1) === {text}"));
    }

    /// Waits until an element shows a text.
    #[track_caller]
    pub(crate) fn expect_at(&self, selector: &str, text: &str) {
        let found = format!("document.querySelector('{selector}')");
        let text = serde_json::to_string(text).unwrap();
        self.0
            .wait_for(&format!("{found}?.innerText.includes({text})"));
    }

    #[track_caller]
    pub(crate) fn expect_members(&self, names: &str) {
        self.0.wait_for(&format!(
            "[...document.querySelectorAll('#members li')].map(i => i.innerText).join() === '{names}'"
        ));
    }

    pub(crate) fn shown(&self) -> Vec<String> {
        serde_json::from_value(self.0.value(SHOWN)).unwrap()
    }
}

#[test]
fn the_page_and_what_it_needs_come_with_strict_rules() {
    let (_server, uri) = serve(&["--listen", "127.0.0.1:0"]);
    for (path, kind) in [
        ("/", "text/html"),
        ("/style.css", "text/css"),
        ("/chat.js", "text/javascript"),
        ("/render.js", "text/javascript"),
    ] {
        let answer = get(&uri, path);
        assert_eq!(answer.status, 200, "{path}");
        let content_type = answer.field("content-type").unwrap_or_default();
        assert!(content_type.starts_with(kind), "{path}: {content_type}");
        let policy = answer.field("content-security-policy").unwrap_or_default();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    for script in ["/chat.js", "/render.js"] {
        assert!(!get(&uri, script).text().contains("innerHTML"));
    }
    assert_eq!(get(&uri, "/chat").status, 426);
}

#[test]
fn two_browsers_chat() {
    let Some(driver) = WebDriver::start() else {
        return;
    };
    let (server, uri) = serve(&["--listen", "127.0.0.1:0"]);
    let ann = Person(driver.open("ann", &uri));
    let bob = Person(driver.open("bob", &uri));
    for person in [&ann, &bob] {
        person.0.run(BREAKABLE);
    }

    join(&ann, &bob);
    talk(&ann, &bob);
    long_messages(&ann, &bob);
    links(&ann, &bob);
    rooms(&ann, &bob);
    unread_rooms(&ann, &bob);
    missed_messages(&ann, &bob);
    pending_messages(&bob);
    let server = restart(&ann, &bob, server, &uri);
    leave(&ann, &bob);
    drop(server);

    let arguments = ["--listen", "127.0.0.1:0", "--tls"];
    let (_server, uri) = serve(&arguments);
    assert!(uri.starts_with("https://"), "{uri}");
    ann.0.go(&uri);
    ann.join("Ann", "lobby");
    ann.expect_members("Ann (you)");
    ann.say("This is between us.");
    ann.expect("This is between us.");
}

fn join(ann: &Person<'_>, bob: &Person<'_>) {
    ann.join("Ann", "Lobby");
    ann.expect_at("#title", "# lobby");
    assert_eq!(ann.0.value("document.title"), "# lobby · Chat");
    ann.expect_at("#empty", "No messages yet.");
    bob.join("ann", "lobby");
    bob.expect_at("#join-error", "The name Ann is taken in this room.");
    bob.join("Bob", "lobby");
    bob.expect_members("Ann,Bob (you)");
    ann.expect_at("#log", "Bob has joined");
    ann.expect_members("Ann (you),Bob");
    ann.expect_at("#rooms [data-room=lobby] .people", "2 people");
}

fn talk(ann: &Person<'_>, bob: &Person<'_>) {
    ann.say("Hello, Bob!");
    bob.expect("Hello, Bob!");
    bob.0.enter("#text", "Hello");
    ann.expect_at("#typing", "Bob is typing…");
    bob.say(", Ann! 👩‍🚀🎉 Grüße, 你好, שלום");
    ann.expect("Hello, Ann! 👩‍🚀🎉 Grüße, 你好, שלום");
    ann.0
        .wait_for("!document.querySelector('#typing').innerText");

    let attack = "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>";
    ann.say(attack);
    bob.expect(attack);
    ann.expect(attack);
    for person in [ann, bob] {
        let made = "document.querySelectorAll('#log script, #log img').length";
        assert_eq!(person.0.value(made), 0);
        assert_eq!(person.0.value("typeof window.hacked"), "undefined");
        assert_eq!(person.shown().len(), 3);
    }
}

fn long_messages(ann: &Person<'_>, bob: &Person<'_>) {
    let longest = "long ".repeat(799) + "long!";
    ann.say(&longest);
    bob.expect(&longest);
    bob.expect_at("#log .said:last-child .more", "Show all");
    ann.say(&(longest + "!"));
    ann.expect_at("#notice", "this one has 4001.");
    // It stays where it is, to be made shorter.
    ann.0.fill("#text", "");
    ann.say("Too long.");
    bob.expect("Too long.");
    assert_eq!(bob.shown().len(), 5);
}

fn links(ann: &Person<'_>, bob: &Person<'_>) {
    let text = "See (https://docs.rs/uptick), HTTP://a.example/?q=<b>&x=\"1\" and https://en.example/Rust_(language). \
                Not javascript:alert(1), ftp://a.example, https:// or https://bank.example@a.example/.";
    ann.say(text);
    bob.expect(text);
    let last = "document.querySelectorAll('#log .said:last-child .text a')";
    let links = bob.0.value(&format!("[...{last}].map(link => link.href)"));
    let expected = [
        "https://docs.rs/uptick",
        "http://a.example/?q=",
        "https://en.example/Rust_(language)",
    ];
    assert_eq!(links, serde_json::json!(expected));
    let is_safe = "link.rel === 'noopener noreferrer' && link.target === '_blank'";
    let all_safe = bob
        .0
        .value(&format!("[...{last}].every(link => {is_safe})"));
    assert_eq!(all_safe, true);
}

fn rooms(ann: &Person<'_>, bob: &Person<'_>) {
    bob.0.fill("#other", "Kitchen");
    bob.0.press_enter("#other");
    bob.expect_at("#title", "# kitchen");
    bob.expect_members("Bob (you)");
    assert!(bob.shown().is_empty());
    ann.expect_members("Ann (you)");
    ann.expect_at("#rooms [data-room=kitchen]", "# kitchen\n1 person");
    ann.expect_at("#rooms [data-room=lobby]", "# lobby\n1 person");
    ann.say("Is anybody here?");
    ann.expect("Is anybody here?");

    bob.0.click("#rooms [data-room=lobby]");
    bob.expect("Is anybody here?");
    assert_eq!(bob.shown().len(), 7);
    // Who reloads the page is back at once.
    ann.0.reload();
    ann.expect("Is anybody here?");
    ann.expect_members("Ann (you),Bob");
}

/// Messages in another room mark it, until it is joined, also after the page is loaded again.
fn unread_rooms(ann: &Person<'_>, bob: &Person<'_>) {
    bob.0.fill("#other", "kitchen");
    bob.0.press_enter("#other");
    bob.expect_at("#title", "# kitchen");
    let lobby = "document.querySelector('#rooms [data-room=lobby]')";
    ann.0.run(&format!("{lobby}.isTheSame = true"));
    bob.say("The kettle is on.");
    bob.expect("The kettle is on.");
    ann.expect_at(
        "#rooms .unread[data-room=kitchen]",
        "# kitchen\n1 person\nunread messages",
    );
    // The update of the list has left the others alone: they can be clicked meanwhile.
    assert_eq!(ann.0.value(&format!("{lobby}.isTheSame")), true);
    assert_eq!(
        ann.0.value("document.querySelectorAll('.unread').length"),
        2,
        "the room, and the button that shows the rooms on a phone"
    );
    ann.0.reload();
    ann.expect_at("#rooms .unread[data-room=kitchen]", "# kitchen");

    ann.0.click("#rooms [data-room=kitchen]");
    ann.expect("The kettle is on.");
    ann.0.wait_for("!document.querySelector('.unread')");
    for person in [ann, bob] {
        person.0.click("#rooms [data-room=lobby]");
        person.expect_at("#title", "# lobby");
        person.expect("Is anybody here?");
    }
    ann.expect_at("#rooms .vacant[data-room=kitchen]", "empty");
    assert_eq!(
        ann.0.value("document.querySelectorAll('.unread').length"),
        0
    );
}

fn missed_messages(ann: &Person<'_>, bob: &Person<'_>) {
    bob.0
        .run("window.reachable = false; window.connection.close()");
    bob.expect_at("#banner.shown #state", "The ");
    ann.expect_members("Ann (you)");
    ann.say("Bob is not here.");
    ann.expect("Bob is not here.");
    // What is said meanwhile is sent later.
    bob.say("Where are you?");
    bob.expect_at("#waiting", "Where are you?");
    bob.expect_at("#waiting .pending", "Not sent yet.");
    bob.expect_at("#state", "The server cannot be reached.");
    bob.expect_at("#countdown", "Next attempt in ");

    bob.0.run("window.reachable = true");
    bob.expect("Where are you?");
    bob.expect_at("#log", "1 new message while you were disconnected");
    bob.0
        .wait_for("!document.querySelector('#banner').innerText");
    ann.expect("Where are you?");
    assert_eq!(bob.shown()[7..], ["Bob is not here.", "Where are you?"]);
}

/// A message that the server has not confirmed says so, and is sent again over the next connection.
fn pending_messages(bob: &Person<'_>) {
    bob.0.run("window.lossy = true");
    bob.say("Into the void.");
    bob.expect_at("#waiting .pending", "Sending…");
    bob.0.run("window.lossy = false; window.connection.close()");
    bob.expect("Into the void.");
    assert_eq!(
        bob.0.value("document.querySelectorAll('.pending').length"),
        0
    );
}

fn restart(ann: &Person<'_>, bob: &Person<'_>, server: Program, uri: &str) -> Program {
    bob.0.run("window.reachable = false");
    server.signal(Signal::TERM);
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    for person in [ann, bob] {
        person.expect_at("#state", "The server cannot be reached.");
    }
    bob.say("Is it down?");
    bob.expect_at("#waiting .pending", "Not sent yet.");
    let address = uri.strip_prefix("http://").unwrap();
    let (server, _) = serve(&["--listen", address]);
    ann.expect_members("Ann (you)");
    ann.say("The server is back.");
    ann.expect("The server is back.");

    bob.0.run("window.reachable = true");
    bob.expect("Is it down?");
    // The note stands where the server has restarted: before everything that was said since.
    let after = "[...document.querySelectorAll('#log > .said, #log > .away')].slice(-4)
        .map(item => item.querySelector('.text')?.textContent ?? item.firstChild.data)";
    let note = "The server has restarted: 1 new message since then";
    let shown = ["Into the void.", note, "The server is back.", "Is it down?"];
    assert_eq!(bob.0.value(after), serde_json::json!(shown));
    ann.expect_members("Ann (you),Bob");
    server
}

fn leave(ann: &Person<'_>, bob: &Person<'_>) {
    bob.0.click("#leave");
    bob.0.wait_for("document.querySelector('#inside').hidden");
    ann.expect_members("Ann (you)");
    ann.expect_at("#log", "Bob has left");
    bob.0.reload();
    let name = bob.0.value("document.querySelector('#name').value");
    assert_eq!(name, "Bob");
    assert_eq!(bob.0.value("document.querySelector('#door').hidden"), false);
}
