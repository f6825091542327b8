//! Tests of the page of `chat` in two browsers.

use rustix::process::Signal;

use crate::http::get;
use crate::program::Program;
use crate::webdriver::{Page, WebDriver};

/// Script that returns the messages shown on the page.
const SHOWN: &str = "[...document.querySelectorAll('#log .text')].map(text => text.textContent)";
/// Script after which the page can reach the server only while `reachable` is true.
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

/// A user with the page in a browser.
pub(crate) struct User<'a>(pub(crate) Page<'a>);

impl User<'_> {
    pub(crate) fn join(&self, name: &str, room: &str) {
        self.0.fill("#name", name);
        self.0.fill("#room", room);
        self.0.click("#enter");
    }

    pub(crate) fn say(&self, text: &str) {
        self.0.enter("#text", text);
        self.0.press_enter("#text");
    }

    /// Waits until the last message shown is exactly `text`.
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
fn the_page_and_its_files_have_a_strict_content_security_policy() {
    let (_server, uri) = serve(&["--listen", "127.0.0.1:0"]);
    for (path, kind) in [
        ("/", "text/html"),
        ("/style.css", "text/css"),
        ("/chat.js", "text/javascript"),
        ("/render.js", "text/javascript"),
    ] {
        let response = get(&uri, path);
        assert_eq!(response.status, 200, "{path}");
        let content_type = response.field("content-type").unwrap_or_default();
        assert!(content_type.starts_with(kind), "{path}: {content_type}");
        let policy = response
            .field("content-security-policy")
            .unwrap_or_default();
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
    let ann = User(driver.open("ann", &uri));
    let bob = User(driver.open("bob", &uri));
    for user in [&ann, &bob] {
        user.0.run(BREAKABLE);
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

fn join(ann: &User<'_>, bob: &User<'_>) {
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

fn talk(ann: &User<'_>, bob: &User<'_>) {
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
    for user in [ann, bob] {
        let made = "document.querySelectorAll('#log script, #log img').length";
        assert_eq!(user.0.value(made), 0);
        assert_eq!(user.0.value("typeof window.hacked"), "undefined");
        assert_eq!(user.shown().len(), 3);
    }
}

fn long_messages(ann: &User<'_>, bob: &User<'_>) {
    let longest = "long ".repeat(799) + "long!";
    ann.say(&longest);
    bob.expect(&longest);
    bob.expect_at("#log .said:last-child .more", "Show all");
    ann.say(&(longest + "!"));
    ann.expect_at("#notice", "this one has 4001.");
    // The text stays in the field, to be shortened.
    ann.0.fill("#text", "");
    ann.say("Too long.");
    bob.expect("Too long.");
    assert_eq!(bob.shown().len(), 5);
}

fn links(ann: &User<'_>, bob: &User<'_>) {
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

fn rooms(ann: &User<'_>, bob: &User<'_>) {
    bob.0.fill("#other", "Kitchen");
    bob.0.press_enter("#other");
    bob.expect_at("#title", "# kitchen");
    bob.expect_members("Bob (you)");
    assert!(bob.shown().is_empty());
    ann.expect_members("Ann (you)");
    ann.expect_at("#rooms [data-room=kitchen]", "# kitchen\n1 person");
    ann.expect_at("#rooms [data-room=lobby]", "# lobby\n1 person");
    ann.say("Is the room empty?");
    ann.expect("Is the room empty?");

    bob.0.click("#rooms [data-room=lobby]");
    bob.expect("Is the room empty?");
    assert_eq!(bob.shown().len(), 7);
    // After a reload, the page joins again immediately.
    ann.0.reload();
    ann.expect("Is the room empty?");
    ann.expect_members("Ann (you),Bob");
}

/// Checks that messages in another room mark it as unread until it is joined, even after a reload.
fn unread_rooms(ann: &User<'_>, bob: &User<'_>) {
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
    // The update must not replace the other list items, so that they can be clicked during the update.
    assert_eq!(ann.0.value(&format!("{lobby}.isTheSame")), true);
    assert_eq!(
        ann.0.value("document.querySelectorAll('.unread').length"),
        2,
        "the room, and the button for the list of rooms on a phone"
    );
    ann.0.reload();
    ann.expect_at("#rooms .unread[data-room=kitchen]", "# kitchen");

    ann.0.click("#rooms [data-room=kitchen]");
    ann.expect("The kettle is on.");
    ann.0.wait_for("!document.querySelector('.unread')");
    for user in [ann, bob] {
        user.0.click("#rooms [data-room=lobby]");
        user.expect_at("#title", "# lobby");
        user.expect("Is the room empty?");
    }
    ann.expect_at("#rooms .vacant[data-room=kitchen]", "empty");
    assert_eq!(
        ann.0.value("document.querySelectorAll('.unread').length"),
        0
    );
}

fn missed_messages(ann: &User<'_>, bob: &User<'_>) {
    bob.0
        .run("window.reachable = false; window.connection.close()");
    bob.expect_at("#banner.shown #state", "The ");
    ann.expect_members("Ann (you)");
    ann.say("Bob is not here.");
    ann.expect("Bob is not here.");
    // Messages entered while disconnected are sent later.
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

/// Checks that a message that the server has not confirmed is marked, and sent again over the next connection.
fn pending_messages(bob: &User<'_>) {
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

fn restart(ann: &User<'_>, bob: &User<'_>, server: Program, uri: &str) -> Program {
    bob.0.run("window.reachable = false");
    server.signal(Signal::TERM);
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    for user in [ann, bob] {
        user.expect_at("#state", "The server cannot be reached.");
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
    // The note is shown at the time of the restart: before all later messages.
    let after = "[...document.querySelectorAll('#log > .said, #log > .away')].slice(-4)
        .map(item => item.querySelector('.text')?.textContent ?? item.firstChild.data)";
    let note = "The server has restarted: 1 new message since then";
    let shown = ["Into the void.", note, "The server is back.", "Is it down?"];
    assert_eq!(bob.0.value(after), serde_json::json!(shown));
    ann.expect_members("Ann (you),Bob");
    server
}

fn leave(ann: &User<'_>, bob: &User<'_>) {
    bob.0.click("#leave");
    bob.0.wait_for("document.querySelector('#inside').hidden");
    ann.expect_members("Ann (you)");
    ann.expect_at("#log", "Bob has left");
    bob.0.reload();
    let name = bob.0.value("document.querySelector('#name').value");
    assert_eq!(name, "Bob");
    assert_eq!(bob.0.value("document.querySelector('#door').hidden"), false);
}
