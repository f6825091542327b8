//! Tests of `51-prefork-chat` on two machines: two instances with workers of their own, connected by Redis.

use rustix::process::Signal;
use serde_json::json;

use crate::chat_wire::Socket;
use crate::program::Program;
use crate::redis::RedisServer;
use crate::workers_chat::{join, join_and_expect, name_of, open_where, say};

/// Starts one machine with two workers.
fn serve(redis: &RedisServer) -> (Program, String) {
    let arguments = ["--workers", "2", "--redis", &redis.url(), "127.0.0.1:0"];
    let server = Program::start("prefork-chat", &arguments);
    let uri = server.listening_on();
    (server, uri)
}

/// Returns the next message of a room with its text.
#[track_caller]
fn wait_for_text(socket: &mut Socket, text: &str) -> u64 {
    loop {
        let said = socket.wait_for("message");
        if said["text"] == text {
            return said["id"].as_u64().unwrap();
        }
    }
}

/// Waits until a person enters or leaves the room.
#[track_caller]
fn wait_for_person(socket: &mut Socket, event: &str, name: &str) {
    while socket.wait_for(event)["name"] != name {}
}

#[test]
fn pages_on_two_machines_chat() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let (_one, uri) = serve(&redis);
    let (other, other_uri) = serve(&redis);
    let (mut ann, mut bob) = (Socket::open(&uri), Socket::open(&other_uri));
    join(&mut ann, "Ann");
    join_and_expect(&mut bob, "Bob", &["Ann", "Bob"], &[]);
    wait_for_person(&mut ann, "joined", "Bob");
    for number in 0..10 {
        let (speaker, listener) = match number % 2 {
            0 => (&mut ann, &mut bob),
            _ => (&mut bob, &mut ann),
        };
        let text = format!("message {number}");
        say(speaker, &text, number);
        let id = wait_for_text(speaker, &text);
        assert_eq!(wait_for_text(listener, &text), id);
    }
    let expected: Vec<String> = (0..10).map(|number| format!("message {number}")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    // All four workers have the history.
    let mut members = vec!["Ann", "Bob"];
    for (uri, name) in [(&uri, "Cid"), (&other_uri, "Dan")] {
        members.push(name);
        let known = if name == "Cid" { &ann } else { &bob };
        let mut socket = open_where(uri, |worker| worker != name_of(known));
        join_and_expect(&mut socket, name, &members, &expected);
        drop(socket);
        members.pop();
        wait_for_person(&mut ann, "left", name);
        wait_for_person(&mut bob, "left", name);
    }
    // The people of a machine that stops leave at once.
    other.signal(Signal::TERM);
    wait_for_person(&mut ann, "left", "Bob");
    // A new machine has the history.
    let (_third, third_uri) = serve(&redis);
    let mut eve = Socket::open(&third_uri);
    join_and_expect(&mut eve, "Eve", &["Ann", "Eve"], &expected);
}

#[test]
fn both_machines_have_all_messages_after_redis_was_killed() {
    let Some(mut redis) = RedisServer::start() else {
        return;
    };
    let (_one, uri) = serve(&redis);
    let (_other, other_uri) = serve(&redis);
    let (mut ann, mut bob) = (Socket::open(&uri), Socket::open(&other_uri));
    join(&mut ann, "Ann");
    join_and_expect(&mut bob, "Bob", &["Ann", "Bob"], &[]);
    wait_for_person(&mut ann, "joined", "Bob");
    redis.kill();
    wait_for_person(&mut ann, "left", "Bob");
    wait_for_person(&mut bob, "left", "Ann");
    // Each machine works without Redis.
    say(&mut ann, "Is anybody there?", 1);
    wait_for_text(&mut ann, "Is anybody there?");
    say(&mut bob, "Hello?", 1);
    wait_for_text(&mut bob, "Hello?");
    redis.restart();
    wait_for_text(&mut ann, "Hello?");
    wait_for_text(&mut bob, "Is anybody there?");
    say(&mut ann, "There you are.", 2);
    wait_for_text(&mut bob, "There you are.");
    wait_for_text(&mut ann, "There you are.");
    let mut cid = Socket::open(&uri);
    let welcome = join(&mut cid, "Cid");
    assert_eq!(welcome["members"], json!(["Ann", "Bob", "Cid"]));
    assert_eq!(welcome["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn a_reload_of_one_machine_loses_no_message_of_the_other() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let (_one, uri) = serve(&redis);
    let (other, other_uri) = serve(&redis);
    let (mut ann, mut bob) = (Socket::open(&uri), Socket::open(&other_uri));
    join(&mut ann, "Ann");
    join_and_expect(&mut bob, "Bob", &["Ann", "Bob"], &[]);
    let mut expected = Vec::new();
    let mut number = 0;
    for _ in 0..2 {
        other.signal(Signal::HUP);
        // Both generations of the other machine run, and messages come in between.
        let closed = std::thread::spawn(move || bob.closed());
        while !closed.is_finished() {
            let text = format!("message {number}");
            say(&mut ann, &text, number);
            wait_for_text(&mut ann, &text);
            expected.push(text);
            number += 1;
            // Below the rate limit of the chat.
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        assert_eq!(closed.join().unwrap(), 1012);
        bob = Socket::open(&other_uri);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        join_and_expect(&mut bob, "Bob", &["Ann", "Bob"], &expected);
    }
}
