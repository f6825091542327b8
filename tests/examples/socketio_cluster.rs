//! Tests of `43-socketio-cluster`: two of its servers and a Node.js server in one cluster, with official clients of each.

use std::path::Path;

use crate::npm;
use crate::program::Program;
use crate::redis::RedisServer;

/// The common part of the scripts. The arguments are the URIs of the servers, separated by commas.
const CLUSTER: &str = r#"
    const uris = uri.split(",");
    const sockets = uris.map((uri) => io(uri, { forceNew: true, transports: ["websocket"] }));
    const said = sockets.map(() => []);
    sockets.forEach((socket, index) => {
        socket.on("said", (server, text) => said[index].push(`${server}: ${text}`));
        socket.on("question", (text, answer) => answer(`${text} ${index}`));
    });
    const until = async (condition) => {
        while (!condition()) await new Promise(resolve => setTimeout(resolve, 5));
    };
"#;

fn serve(name: &str, redis: &RedisServer, adapter: &str) -> (Program, String) {
    let url = redis.url();
    let arguments = [
        "--name",
        name,
        "--redis",
        &url,
        "--adapter",
        adapter,
        "127.0.0.1:0",
    ];
    let server = Program::start("43-socketio-cluster", &arguments);
    let uri = server.listening_on();
    (server, uri)
}

/// Starts the Node.js server of the example.
fn serve_node(packages: &Path, redis: &RedisServer, adapter: &str) -> (Program, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples/43-socketio-cluster/server.js")
        .canonicalize()
        .unwrap();
    let modules = packages.to_str().unwrap();
    let arguments = [script.to_str().unwrap(), "0", &redis.url(), adapter];
    let node = Program::installed_with("node", &arguments, &[("NODE_PATH", modules)]);
    let server = node.expect("node is installed together with npm");
    let uri = server.listening_on();
    (server, uri)
}

#[test]
fn servers_of_both_kinds_are_one_cluster() {
    let (Some(client), Some(adapter)) = (
        npm::package("socket.io-client"),
        npm::package("@socket.io/redis-adapter"),
    ) else {
        return;
    };
    let modules = adapter.join("../..");
    let Some(redis) = RedisServer::start() else {
        return;
    };
    for adapter in ["classic", "sharded"] {
        let (_one, first) = serve("one", &redis, adapter);
        let (_two, second) = serve("two", &redis, adapter);
        let (_node, third) = serve_node(&modules, &redis, adapter);
        let script = r#"
            run(async () => {
                for (const socket of sockets) assert.deepEqual(await socket.emitWithAck("join", "lobby"), ["lobby"]);
                for (const socket of sockets) {
                    assert.deepEqual(await socket.emitWithAck("who"), { one: 1, two: 1, node: 1 });
                }
                for (const [index, socket] of sockets.entries()) {
                    socket.emit("say", "lobby", "Hello!");
                    await until(() => said.every(list => list.length === index + 1));
                }
                const expected = ["one: Hello!", "two: Hello!", "node: Hello!"];
                assert.deepEqual(said, [expected, expected, expected]);
                for (const [index, socket] of sockets.entries()) {
                    const { answers, complete } = await socket.emitWithAck("ask", "lobby", "Who?");
                    const others = [0, 1, 2].filter(other => other !== index);
                    assert.deepEqual(answers.sort(), others.map(other => `Who? ${other}`));
                    assert(complete);
                }
                // One of them does not answer.
                sockets[1].off("question");
                const { answers, complete } = await sockets[0].emitWithAck("ask", "lobby", "Who?");
                assert.deepEqual([answers, complete], [["Who? 2"], false]);
            });
        "#;
        let uris = [first, second, third].join(",");
        npm::run_client(&client, &format!("{CLUSTER}{script}"), &uris);
    }
}
