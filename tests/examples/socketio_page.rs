//! Tests of `93-socketio-conformance` with a page that uses the official client for browsers.

use std::fs;
use std::net::TcpListener;

use crate::npm;
use crate::program::Program;
use crate::socketio::CONFORMANCE;
use crate::tls::Directory;
use crate::webdriver::{Page, WebDriver};

/// The only origin that the program allows. The browser resolves it to a server on this machine.
const ALLOWED: &str = "http://allowed.test";

/// Script that connects, and records events.
const CONNECT: &str = r#"
    window.connect = (uri, options) => {
        const socket = io(uri, { withCredentials: true, reconnectionDelay: 20, reconnectionDelayMax: 200, ...options });
        const page = { socket, ids: [], received: [], errors: [], upgraded: false };
        socket.on("connect", () => {
            page.ids.push(socket.id);
            page.upgraded = socket.io.engine.transport.name === "websocket";
            socket.io.engine.once("upgrade", () => page.upgraded = true);
        });
        socket.on("connect_error", error => page.errors.push(error.message));
        socket.onAny((...args) => page.received.push(args));
        window.page = page;
    };
    window.emitWithReply = (event, ...args) => {
        window.reply = undefined;
        page.socket.emit(event, ...args, (...reply) => window.reply = reply);
    };
    window.hex = binary => [...new Uint8Array(binary)].map(byte => byte.toString(16).padStart(2, "0")).join("");
"#;

/// Starts a server for a page with the official client. Returns the program and its URI.
fn serve_page(directory: &Directory) -> Option<(Program, String)> {
    let client = npm::package("socket.io-client")?;
    let bundle = directory.path().join("socket.io.min.js");
    fs::copy(client.join("dist/socket.io.min.js"), bundle).unwrap();
    let page = "<!doctype html><title>Socket.IO</title><script src=\"/socket.io.min.js\"></script>";
    fs::write(directory.path().join("index.html"), page).unwrap();
    let root = directory.path().to_str().unwrap();
    let server = Program::start("25-static-files", &["127.0.0.1:0", root]);
    let uri = server.listening_on();
    Some((server, uri))
}

/// Returns a free port on 127.0.0.1.
fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

fn start(port: &str) -> Program {
    let server = Program::start_with(CONFORMANCE, &[], &[("SIO_PORT", port)]);
    assert_eq!(server.line(), "ready");
    server
}

fn connect(page: &Page<'_>, uri: &str, options: &str) {
    page.run(&format!(
        "window.page?.socket.disconnect(); connect('{uri}', {options})"
    ));
}

/// Emits an event, and waits until its acknowledgement `reply` fulfils the expression `expected`.
#[track_caller]
fn emit_and_expect(page: &Page<'_>, arguments: &str, expected: &str) {
    page.run(&format!("emitWithReply({arguments})"));
    page.wait_for(&format!("window.reply && ({expected})"));
}

#[test]
fn the_official_client_works_in_a_browser() {
    let Some(driver) = WebDriver::start() else {
        return;
    };
    let directory = Directory::new("socketio-page");
    let Some((_pages, pages)) = serve_page(&directory) else {
        return;
    };
    let port = free_port();
    let server = start(&port);
    let uri = format!("http://127.0.0.1:{port}");
    let rule = format!("MAP allowed.test {}", pages.trim_start_matches("http://"));
    let arguments = [
        format!("--host-resolver-rules={rule}"),
        "--disable-features=HttpsUpgrades".into(),
    ];
    let page = driver.open_with("socketio", ALLOWED, &arguments);
    page.wait_for("window.io");
    page.run(CONNECT);

    for (options, transport) in [
        ("{ transports: ['polling'] }", "polling"),
        ("{ transports: ['websocket'] }", "websocket"),
        ("{}", "websocket"),
    ] {
        connect(&page, &uri, options);
        page.wait_for(&format!(
            "page.socket.connected && page.upgraded === ({transport:?} === 'websocket')"
        ));
        emit_and_expect(
            &page,
            "'whoami'",
            &format!("reply[0].transport === {transport:?} && reply[0].id === page.socket.id"),
        );
        exchange(&page);
        reconnect(&page);
    }

    // The client of the page reconnects to the next program.
    let before = page.value("page.ids.length").as_u64().unwrap();
    drop(server);
    page.wait_for("!page.socket.connected");
    let _server = start(&port);
    page.wait_for(&format!(
        "page.socket.connected && page.ids.length > {before}"
    ));
    emit_and_expect(&page, "'echo-ack', 'again'", "reply[0] === 'again'");

    // A page from another origin must not poll.
    page.go(&pages);
    page.wait_for("window.io");
    page.run(CONNECT);
    connect(&page, &uri, "{ transports: ['polling'] }");
    page.wait_for("page.errors.includes('xhr poll error')");
    assert_eq!(page.value("page.socket.connected"), false);
}

/// Exchanges events, acknowledgements in both directions, binary data and namespaces.
fn exchange(page: &Page<'_>) {
    page.run(
        "page.socket.emit('echo', 'é🎉', { deep: [new Uint8Array([1, 255]), new Blob(['blob'])] });
         page.socket.on('question', (word, ack) => ack(word + '!'));",
    );
    page.wait_for(
        "page.received.some(([name, text, value]) => name === 'echoed' && text === 'é🎉'
            && hex(value.deep[0]) === '01ff' && hex(value.deep[1]) === '626c6f62')",
    );
    emit_and_expect(
        page,
        "'echo-ack', 1, new Uint8Array([7, 8]).buffer",
        "reply[0] === 1 && hex(reply[1]) === '0708'",
    );
    emit_and_expect(
        page,
        "'download', 300000, true",
        "reply[0].byteLength === 300000",
    );
    emit_and_expect(page, "'ask', 10000, 'well'", "reply[0].value === 'well!'");
    page.run("page.received.length = 0");
    emit_and_expect(page, "'burst', 200", "reply[0] === 200");
    let numbers = page.value(
        "page.received.filter(([name]) => name === 'burst').every(([, i], at) => i === at) && page.received.length",
    );
    assert_eq!(numbers, 200);

    page.run(
        "window.refused = undefined;
         const admin = page.socket.io.socket('/admin', { auth: { token: 'guess' } });
         admin.on('connect_error', error => window.refused = error.message + error.data.code);",
    );
    page.wait_for("window.refused === 'not authorized401'");
}

/// Checks that the client reconnects automatically after the server has closed its connection.
fn reconnect(page: &Page<'_>) {
    let before = page.value("page.ids.length").as_u64().unwrap();
    page.run("page.socket.emit('drop')");
    page.wait_for(&format!(
        "page.socket.connected && page.ids.length > {before} && page.ids.at(-1) !== page.ids.at(-2)"
    ));
    emit_and_expect(page, "'echo-ack', 'back'", "reply[0] === 'back'");
}
