//! Connection state recovery.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{add_timer, sleep};
use uptick_socketio::{DisconnectReason, RecoveryOptions, Refusal, Socket, SocketIoOptions};

use crate::support::{Client, Fixture, Log, last_socket, run, until};

fn fixture() -> Fixture {
    Fixture::with(SocketIoOptions::new().recovery(RecoveryOptions::new()))
}

/// Joins `/` with recovery. Returns the id and the private id.
async fn join(client: &mut Client, auth: &str) -> (String, String) {
    client.send(&format!("0{auth}"));
    let response = client.packet().await;
    let response: serde_json::Value = serde_json::from_str(&response[1..]).unwrap();
    let text = |key: &str| response[key].as_str().unwrap().to_owned();
    (text("sid"), text("pid"))
}

/// Returns the offset of an event, which is its last argument.
fn offset(packet: &str) -> String {
    let event: Vec<serde_json::Value> = serde_json::from_str(&packet[1..]).unwrap();
    event.last().unwrap().as_str().unwrap().to_owned()
}

#[test]
fn a_reconnecting_client_recovers_its_state_and_missed_events() {
    run(async {
        let server = fixture();
        let log = Log::default();
        let socket = last_socket(server.io);
        let entries = log.clone();
        server.io.wrap(move |_: Socket| {
            entries.add("middleware");
            Ok::<(), Refusal>(())
        });
        let mut client = server.open().await;
        let (sid, pid) = join(&mut client, "").await;
        let first = socket.get().unwrap();
        first.join("room");
        first.set_data("kept").unwrap();
        first.emit("hello", "x");
        let seen = offset(&client.packet().await);
        client.close();
        until(|| !first.is_connected()).await;
        server.io.to("room").emit("missed", &1);
        server.io.to("other").emit("not for the client", &2);
        server.io.to(&sid).emit("direct", &3);
        let mut client = server.open().await;
        let auth = format!(r#"{{"pid":"{pid}","offset":"{seen}"}}"#);
        assert_eq!(join(&mut client, &auth).await, (sid.clone(), pid));
        let missed = client.packet().await;
        assert!(missed.starts_with(r#"2["missed",1,"#), "{missed}");
        let direct = client.packet().await;
        assert!(direct.starts_with(r#"2["direct",3,"#), "{direct}");
        let again = socket.get().unwrap();
        assert!(again.is_recovered());
        assert_eq!(again.data::<String>().as_deref(), Some("kept"));
        assert_eq!(again.rooms().len(), 2);
        assert_eq!(log.take(), ["middleware"]);
        server.io.to("room").emit("next", &4);
        assert!(client.packet().await.starts_with(r#"2["next",4,"#));
    });
}

#[test]
fn a_client_that_disconnected_intentionally_is_not_recovered() {
    run(async {
        let server = fixture();
        let socket = last_socket(server.io);
        let mut client = server.open().await;
        let (sid, pid) = join(&mut client, "").await;
        socket.get().unwrap().emit("hello", &());
        let seen = offset(&client.packet().await);
        client.send("1");
        until(|| server.io.of("/").sockets().is_empty()).await;
        let auth = format!(r#"{{"pid":"{pid}","offset":"{seen}"}}"#);
        let (other, other_pid) = join(&mut client, &auth).await;
        assert!(sid != other && pid != other_pid);
        assert!(!socket.get().unwrap().is_recovered());
    });
}

#[test]
fn volatile_events_and_those_with_an_ack_have_no_offset() {
    run(async {
        let server = fixture();
        let socket = last_socket(server.io);
        let mut client = server.open().await;
        join(&mut client, "").await;
        let socket = socket.get().unwrap();
        socket.volatile().emit("volatile", &());
        drop(socket.emit_with_ack::<(), _>("ack", &()));
        client.expect(&[r#"2["volatile"]"#, r#"20["ack"]"#]).await;
        // No timer keeps the loop running.
        add_timer(Duration::ZERO, || ());
    });
}

#[test]
fn events_sent_during_middleware_reach_a_recovered_client() {
    run(async {
        let options = RecoveryOptions::new().skip_middleware(false);
        let server = Fixture::with(SocketIoOptions::new().recovery(options));
        let socket = last_socket(server.io);
        let asked = Log::default();
        let entries = asked.clone();
        server.io.wrap(move |_: Socket| {
            entries.add("asked");
            async {
                sleep(Duration::from_millis(20)).await;
                Ok::<(), Refusal>(())
            }
        });
        let mut client = server.open().await;
        let (sid, pid) = join(&mut client, "").await;
        socket.get().unwrap().emit("hello", &());
        let seen = offset(&client.packet().await);
        let auth = format!(r#"{{"pid":"{pid}","offset":"{seen}"}}"#);
        client.close();
        until(|| server.io.sockets().is_empty()).await;
        server.io.emit("before", &());
        // The client disconnects while the middleware runs.
        let client = server.open().await;
        client.send(&format!("0{auth}"));
        until(|| asked.len() == 2).await;
        client.close();
        sleep(Duration::from_millis(40)).await;
        let mut client = server.open().await;
        client.send(&format!("0{auth}"));
        until(|| asked.len() == 3).await;
        server.io.emit("during", &());
        let response = client.packet().await;
        assert_eq!(response, format!(r#"0{{"sid":"{sid}","pid":"{pid}"}}"#));
        for event in ["before", "during"] {
            let packet = client.packet().await;
            assert!(packet.starts_with(&format!(r#"2["{event}","#)), "{packet}");
        }
        client.expect_silence().await;
    });
}

#[test]
fn only_the_first_of_two_clients_with_one_private_id_is_recovered() {
    run(async {
        let server = fixture();
        let socket = last_socket(server.io);
        let mut client = server.open().await;
        let (sid, pid) = join(&mut client, "").await;
        socket.get().unwrap().emit("hello", &());
        let seen = offset(&client.packet().await);
        let auth = format!(r#"{{"pid":"{pid}","offset":"{seen}"}}"#);
        // The first connection is still open.
        let mut early = server.open().await;
        let (early_sid, early_pid) = join(&mut early, &auth).await;
        assert!(early_sid != sid && early_pid != pid);
        early.close();
        client.close();
        until(|| server.io.sockets().is_empty()).await;
        let (mut one, mut two) = (server.open().await, server.open().await);
        assert_eq!(join(&mut one, &auth).await, (sid.clone(), pid.clone()));
        let (other, other_pid) = join(&mut two, &auth).await;
        assert!(other != sid && other_pid != pid);
    });
}

#[test]
fn recoverable_sessions_do_not_keep_the_loop_running_after_the_http_server_closes() {
    run(async {
        let server = fixture();
        // A client creates the namespace, so it is removed when the session expires.
        let rooms = server.io.of_dynamic(|name| name.starts_with("/room-"));
        let log = Log::default();
        let gone = log.clone();
        rooms.on("connection", move |socket: Socket| {
            let gone = gone.clone();
            socket.on("disconnect", move |_: DisconnectReason| gone.add("gone"));
        });
        let mut client = server.open().await;
        client.send("0/room-1,");
        client.packet().await;
        client.close();
        until(|| log.len() == 1).await;
        server.http.close();
    });
    let begun = std::time::Instant::now();
    uptick_event_loop::run().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(60));
}
