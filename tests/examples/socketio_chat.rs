//! Tests of `40-socketio-chat`, with the official client in Node.js, and with its page in browsers.

use rustix::process::Signal;

use crate::chat_page::User;
use crate::http::get;
use crate::npm;
use crate::program::Program;
use crate::webdriver::WebDriver;

/// Starts the chat with the npm client; `None` if that is not installed.
fn serve(arguments: &[&str]) -> Option<(Program, String)> {
    let client = npm::package("socket.io-client")?;
    let client = client.join("dist");
    let mut all = vec!["--client", client.to_str().unwrap()];
    if !arguments.contains(&"--listen") {
        all.extend(["--listen", "127.0.0.1:0"]);
    }
    all.extend(arguments);
    let server = Program::start("socketio-chat", &all);
    let uri = server.listening_on();
    Some((server, uri))
}

/// Runs a script in which `page(name, options)` connects like the page.
#[track_caller]
fn run(script: &str, uri: &str) {
    const PAGE: &str = r#"
        const page = (name, options) => {
            const socket = connect("/", options), received = [];
            socket.onAny((...args) => received.push(args));
            const join = (room, more) => socket.emitWithAck("join", { name, room, token: `secret of ${name}`, ...more });
            const say = (text, ref) => socket.emitWithAck("say", { text, ref });
            const until = async (event, matches) => {
                for (;;) {
                    const found = received.find(args => args[0] === event && matches(...args.slice(1)));
                    if (found) return found;
                    await new Promise(resolve => setTimeout(resolve, 10));
                }
            };
            const texts = () => received.filter(args => args[0] === "said").map(args => args[2].text);
            return { socket, received, join, say, until, texts };
        };
    "#;
    let client = npm::package("socket.io-client").unwrap();
    npm::run_client(&client, &format!("{PAGE}{script}"), uri);
}

#[test]
fn the_page_and_the_official_client_have_a_strict_content_security_policy() {
    let Some((_server, uri)) = serve(&[]) else {
        return;
    };
    for (path, kind) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/socket.io.min.js", "text/javascript"),
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
    let script = get(&uri, "/page.js");
    let script = script.text();
    assert!(!script.contains("innerHTML") && !script.contains("insertAdjacentHTML"));
    let address = uri.trim_start_matches("http://");
    run(
        &format!(
            r#"
            const foreign = connect("/", {{ transports: ["websocket"], extraHeaders: {{ origin: "http://evil.test" }} }});
            const own = connect("/", {{ transports: ["websocket"], extraHeaders: {{ origin: "http://{address}" }} }});
            run(() => Promise.all([next(foreign, "connect_error"), next(own, "connect")]));
            "#
        ),
        &uri,
    );
}

#[test]
fn pages_talk_in_rooms() {
    let Some((_server, uri)) = serve(&[]) else {
        return;
    };
    run(
        r#"
        run(async () => {
            const ann = page("Ann", { transports: ["websocket"] }), bob = page("Bob", { transports: ["polling"] });
            const { done } = await ann.join("  The  Lobby ");
            assert.deepEqual(done, { name: "Ann", room: "the lobby", people: ["Ann"], rooms: [], messages: [], gap: false });
            assert.deepEqual((await bob.join("the lobby")).done.people, ["Ann", "Bob"]);
            await ann.until("people", (room, names) => room === "the lobby" && names.join() === "Ann,Bob");
            await bob.until("rooms", rooms => rooms[0]?.name === "the lobby" && rooms[0].people === 2);

            const first = (await ann.say("<b>Hello</b>, \u{202e}Bob!", 1)).done;
            const [, room, said] = await bob.until("said", () => true);
            assert.deepEqual([room, said], ["the lobby", { id: first, name: "Ann", text: "<b>Hello</b>, \u{202e}Bob!", ref: 1 }]);
            await bob.socket.emit("typing");
            await ann.until("typing", (room, name) => name === "Bob");

            // A message that is sent again is accepted only once.
            assert.equal((await ann.say("<b>Hello</b>, \u{202e}Bob!", 1)).done, first);
            const second = (await bob.say("Hi!", 2)).done;
            assert.ok(second > first);
            await ann.until("said", (room, said) => said.id === second);
            assert.equal(ann.texts().length, 2);

            // Rooms are separate.
            assert.deepEqual((await bob.join("attic")).done.messages, []);
            await ann.until("people", (room, names) => names.join() === "Ann");
            await ann.say("Only here", 3);
            await bob.say("Only there", 4);
            await ann.until("rooms", rooms => rooms.length === 2);
            assert.ok(!bob.texts().includes("Only here") && !ann.texts().includes("Only there"));
            const back = (await bob.join("the lobby", { since: second })).done;
            assert.equal(back.messages.at(-1).text, "Only here");
            assert.equal(back.gap, false);
        });
        "#,
        &uri,
    );
}

#[test]
fn names_belong_to_pages_and_invalid_requests_are_refused() {
    let Some((_server, uri)) = serve(&[]) else {
        return;
    };
    run(
        r#"
        run(async () => {
            const ann = page("Ann"), thief = page("ANN");
            await ann.join("lobby");
            assert.equal((await thief.join("lobby", { token: "a guess" })).refused.code, "name-taken");
            // The page has reconnected.
            const again = page("Ann");
            const closed = next(ann.socket, "disconnect");
            assert.deepEqual((await again.join("lobby")).done.people, ["Ann"]);
            await ann.until("replaced", () => true);
            assert.deepEqual((await closed)[0], "io server disconnect");

            for (const [reply, code] of [
                [again.join("lobby", { name: "\u200b" }), "name"],
                [again.join(" "), "room"],
                [again.join("lobby", { token: "x".repeat(65) }), "bad"],
                [again.say(" \n", 1), "empty"],
                [again.say("x".repeat(4001), 2), "too-long"],
                [page("Bob").say("Hello?", 3), "nowhere"],
            ]) assert.equal((await reply).refused?.code, code);

            // Invalid messages close only their own connection.
            for (const [event, argument] of [["join", "lobby"], ["say", { text: 7, ref: 1 }], ["join", { name: "x" }]]) {
                const bad = page("Bad");
                bad.socket.emit(event, argument, () => assert.fail("an invalid message was acknowledged"));
                await bad.until("dismissed", () => true);
            }
            for (let ref = 10; ; ref++) {
                const { refused } = await again.say("spam", ref);
                if (refused) {
                    assert.equal(refused.code, "slow");
                    break;
                }
                assert.ok(ref < 100, "the rate is not limited");
            }
            const flood = page("Flood");
            for (let n = 0; n < 400; n++) flood.socket.emit("leave");
            await flood.until("dismissed", reason => reason === "Too many messages.");
        });
        "#,
        &uri,
    );
}

#[test]
fn pages_of_four_workers_chat_over_polling_and_websockets() {
    let Some((server, uri)) = serve(&["--workers", "4"]) else {
        return;
    };
    run(
        r#"
        run(async () => {
            const pages = [..."ABCDEFGH"].map((name, n) => page(name, { transports: [n % 2 ? "polling" : "websocket"] }));
            for (const page of pages) await page.join("lobby");
            const names = [..."ABCDEFGH"].join();
            for (const page of pages) await page.until("people", (room, people) => people.join() === names);
            for (const [n, page] of pages.entries()) assert.ok((await page.say(`message ${n}`, n)).done);
            for (const page of pages) {
                for (const n of pages.keys()) await page.until("said", (room, said) => said.text === `message ${n}`);
                assert.equal(page.texts().length, pages.length);
            }
            // On any worker, a page receives the earlier messages in order, and names in use are refused.
            const texts = [...pages.keys()].map(n => `message ${n}`);
            for (const name of "IJKLMNOP") {
                const late = page(name, { transports: ["websocket"] });
                const { messages } = (await late.join("lobby")).done;
                assert.deepEqual(messages.map(said => said.text), texts);
                assert.equal((await late.join("lobby", { name: "A" })).refused.code, "name-taken");
            }
        });
        "#,
        &uri,
    );
    server.signal(Signal::TERM);
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
}

#[test]
fn users_of_a_killed_worker_leave() {
    let Some((server, uri)) = serve(&["--workers", "3"]) else {
        return;
    };
    // For example "worker 1 (pid 4711) started".
    let started = server.error_line();
    let (_, pid) = started.split_once("(pid ").unwrap();
    let (pid, _) = pid.split_once(')').unwrap();
    let script = r#"
        run(async () => {
            const names = [..."ABCDEFGHI"], lost = new Set();
            const pages = names.map(name => page(name, { transports: ["websocket"] }));
            const people = page => page.received.findLast(args => args[0] === "people")?.[2].join();
            const all_see = async expected => {
                while (!pages.every((page, n) => lost.has(names[n]) || people(page) === expected())) {
                    await new Promise(resolve => setTimeout(resolve, 20));
                }
            };
            for (const page of pages) await page.join("lobby");
            await all_see(() => names.join());
            // Disconnected clients reconnect, but do not join again.
            pages.forEach((page, n) => page.socket.on("disconnect", () => lost.add(names[n])));
            process.kill(PID, "SIGKILL");
            while (lost.size === 0) await new Promise(resolve => setTimeout(resolve, 20));
            await all_see(() => names.filter(name => !lost.has(name)).join());
            assert.ok(lost.size < names.length, "the connections of all workers were lost");
        });
        "#;
    run(&script.replace("PID", pid), &uri);
}

#[test]
fn a_missing_client_is_reported() {
    let ended = Program::start("socketio-chat", &["--client", "/nowhere"]).wait();
    assert!(!ended.status.success());
    let error = ended.stderr.concat();
    assert!(
        error.contains("npm install --prefix target/tools socket.io-client@4"),
        "{error}"
    );
}

/// Script that breaks the connection of a page, and prevents it from reconnecting until `window.reachable` is true.
const BREAKABLE: &str = "
    window.reachable = true;
    const open = XMLHttpRequest.prototype.open;
    XMLHttpRequest.prototype.open = function (method, url, ...rest) {
        return open.call(this, method, window.reachable ? url : '/nowhere', ...rest);
    };
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (message) {
        window.connection = this;
        send.call(this, message);
    };";

#[test]
fn two_browsers_chat_over_websockets_and_polling() {
    let Some(driver) = WebDriver::start() else {
        return;
    };
    let Some((server, uri)) = serve(&[]) else {
        return;
    };
    let ann = User(driver.open("socketio-ann", &uri));
    let bob = User(driver.open("socketio-bob", &format!("{uri}/?transport=polling")));
    ann.0.run(BREAKABLE);

    join(&ann, &bob);
    talk(&ann, &bob);
    rooms(&ann, &bob);
    lost_connection(&ann, &bob);
    let server = restart(&ann, &bob, server, &uri);
    leave(&ann, &bob);
    drop(server);
}

fn join(ann: &User<'_>, bob: &User<'_>) {
    ann.join("Ann", "Lobby");
    ann.expect_at("#title", "# lobby");
    ann.expect_at("#empty", "No messages yet");
    ann.expect_at("#transport", "WebSocket");
    bob.join("ann", "lobby");
    bob.expect_at("#join-error", "The name Ann is taken in this room.");
    bob.join("Bob", "lobby");
    bob.expect_at("#transport", "Polling");
    bob.expect_members("Ann,Bob (you)");
    ann.expect_members("Ann (you),Bob");
    ann.expect_at("#log", "Bob has joined");
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
    for user in [ann, bob] {
        user.expect(attack);
        let made = "document.querySelectorAll('#log script, #log img').length";
        assert_eq!(user.0.value(made), 0);
        assert_eq!(user.0.value("typeof window.hacked"), "undefined");
        assert_eq!(user.shown().len(), 3);
    }
    ann.say(&"long ".repeat(801));
    ann.expect_at(
        "#notice",
        "A message has at most 4000 characters; this one has 4005.",
    );
    ann.0.fill("#text", "");
}

fn rooms(ann: &User<'_>, bob: &User<'_>) {
    bob.0.fill("#other", "Kitchen");
    bob.0.press_enter("#other");
    bob.expect_at("#title", "# kitchen");
    bob.expect_members("Bob (you)");
    assert!(bob.shown().is_empty());
    ann.expect_members("Ann (you)");
    ann.expect_at("#rooms", "# kitchen");
    ann.say("Is the room empty?");
    ann.expect("Is the room empty?");
    bob.0.click("#rooms [data-room=lobby]");
    bob.expect("Is the room empty?");
    assert_eq!(bob.shown().len(), 4);
    // After a reload, the page joins the same room under the same name.
    bob.0.reload();
    bob.expect("Is the room empty?");
    bob.expect_members("Ann,Bob (you)");
    assert_eq!(bob.shown().len(), 4);
}

fn lost_connection(ann: &User<'_>, bob: &User<'_>) {
    ann.0
        .run("window.reachable = false; window.connection.close()");
    ann.expect_at("#banner", "The connection is lost.");
    bob.expect_members("Bob (you)");
    bob.say("Ann is not here.");
    bob.expect("Ann is not here.");
    // Messages entered while disconnected are sent later.
    ann.say("Where are you?");
    ann.expect_at("#waiting", "Where are you?");
    ann.0.run("window.reachable = true");
    ann.expect("Where are you?");
    bob.expect("Where are you?");
    ann.0.wait_for("document.querySelector('#banner').hidden");
    for user in [ann, bob] {
        assert_eq!(user.shown()[4..], ["Ann is not here.", "Where are you?"]);
    }
}

fn restart(ann: &User<'_>, bob: &User<'_>, server: Program, uri: &str) -> Program {
    server.signal(Signal::TERM);
    let ended = server.wait();
    assert!(ended.status.success(), "{ended:?}");
    for user in [ann, bob] {
        user.expect_at("#banner", "The connection is lost.");
    }
    bob.say("Is the server down?");
    let address = uri.strip_prefix("http://").unwrap();
    let (server, _) = serve(&["--listen", address]).unwrap();
    for user in [ann, bob] {
        user.expect("Is the server down?");
        user.0.wait_for("document.querySelector('#banner').hidden");
    }
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
