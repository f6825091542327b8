//! Tests of `41-acks-and-rooms` and `42-namespaces-and-auth`, with the official client in Node.js.

use crate::npm;
use crate::program::Program;

fn serve(name: &str) -> (Program, String) {
    let server = Program::start(name, &["127.0.0.1:0"]);
    let uri = server.listening_on().replace("tcp://", "http://");
    (server, uri)
}

#[test]
fn acknowledgements_work_in_both_directions_and_for_rooms() {
    let Some(client) = npm::package("socket.io-client") else {
        return;
    };
    let (_server, uri) = serve("41-acks-and-rooms");
    npm::run_client(
        &client,
        r#"
        const player = (name, options) => {
            const socket = connect("/", options);
            socket.on("name", ack => ack(name));
            return socket;
        };
        run(async () => {
            const ada = player("Ada", { transports: ["websocket"] });
            const bob = player("Bob", { transports: ["polling"] });
            assert.deepEqual(await ada.emitWithAck("join", "red"), { names: ["Ada"] });
            assert.deepEqual((await bob.emitWithAck("join", "red")).names.sort(), ["Ada", "Bob"]);

            ada.on("question", (text, ack) => ack(`${text} ${6 * 7}`));
            const all = await bob.emitWithAck("ask", "red", "6 times 7?");
            assert.deepEqual(all, { answers: ["6 times 7? 42"], complete: true });

            const told = [];
            ada.on("told", (...args) => told.push(args));
            await ada.emitWithAck("join", "blue");
            assert.equal(await bob.emitWithAck("tell", ["red", "blue"], "once"), 1);
            assert.equal(await bob.emitWithAck("tell", [], "not sent"), 0);
            assert.deepEqual(await ada.emitWithAck("leave", "blue"), ["red"]);
            assert.equal(await bob.emitWithAck("tell", ["blue"], "not sent"), 0);
            assert.deepEqual(told, [["Bob", "once"]]);

            // Cid does not answer questions, and the last client does not acknowledge `name`.
            const cid = player("Cid"), nameless = connect("/");
            await cid.emitWithAck("join", "red");
            const [some, refused] = await Promise.all([
                bob.emitWithAck("ask", "red", "again?"),
                nameless.emitWithAck("join", "red"),
            ]);
            assert.deepEqual(some, { answers: ["again? 42"], complete: false });
            assert.match(refused.error, /timed out/);
            for (let number = 0; number < 9; number++) await cid.emitWithAck("join", `room ${number}`);
            assert.match((await cid.emitWithAck("join", "one too many")).error, /you are in 10 rooms/);

            const [seconds] = await next(nameless, "clock");
            assert.equal(typeof seconds, "number");
        });
        "#,
        &uri,
    );
}

#[test]
fn namespaces_require_a_token_and_clients_recover() {
    let Some(client) = npm::package("socket.io-client") else {
        return;
    };
    let (_server, uri) = serve("42-namespaces-and-auth");
    npm::run_client(
        &client,
        r#"
        const refusal = async (path, auth) => {
            const socket = connect(path, { auth });
            const [error] = await next(socket, "connect_error");
            socket.disconnect();
            return [error.message, error.data];
        };
        run(async () => {
            const hint = "send { auth: { token } }";
            assert.deepEqual(await refusal("/project-7", undefined), ["no token", { code: 401, hint }]);
            assert.deepEqual(await refusal("/project-7", { token: 7 }), ["no token", { code: 401, hint }]);
            assert.deepEqual(await refusal("/project-7", { token: "guess" }), ["unknown token", { code: 403 }]);
            assert.deepEqual(await refusal("/admin", { token: "mellon" }), ["not an administrator", { user: "Grace" }]);
            for (const path of ["/project-", "/project-x", "/other"]) {
                assert.deepEqual(await refusal(path, { token: "sesame" }), ["Invalid namespace", undefined]);
            }

            const ada = connect("/project-1", { auth: { token: "sesame" } });
            const user = { name: "Ada", is_admin: true };
            assert.deepEqual(await ada.emitWithAck("whoami"), { user, project: "/project-1" });
            const all = connect("/");
            assert.deepEqual(await all.emitWithAck("projects"), ["/project-1"]);

            const grace = connect("/project-1", { auth: { token: "mellon" } });
            const news = [];
            grace.on("news", text => news.push(text));
            await next(grace, "news");
            const id = grace.id;
            assert.equal(grace.recovered, false);
            const lost = next(grace, "disconnect");
            grace.io.engine.close();
            await lost;
            const missed = received(ada, "news", "Ada: where are you?"), back = received(ada, "news", "Grace is back.");
            const connected = next(grace, "connect");
            ada.emit("say", "where are you?");
            await missed;
            await connected;
            assert.equal(grace.recovered, true);
            assert.equal(grace.id, id);
            await back;
            assert.deepEqual((await grace.emitWithAck("whoami")).user.name, "Grace");
            assert.deepEqual(news, ["Grace has joined.", "Ada: where are you?"]);

            const admin = connect("/admin", { auth: { token: "sesame" } });
            const all_received = [ada, grace].map(socket => received(socket, "news", "to all projects"));
            assert.equal(await admin.emitWithAck("broadcast", "to all projects"), 2);
            await Promise.all(all_received);

            ada.disconnect();
            grace.disconnect();
            while ((await all.emitWithAck("projects")).length > 0);
        });
        "#,
        &uri,
    );
}
