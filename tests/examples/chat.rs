//! Tests of `02-chat`.

use std::time::Instant;

use rustix::process::Signal;

use crate::peer::Peer;
use crate::program::{Program, TIMEOUT};

/// Joins the chat as a client, and reads the greeting.
fn join(uri: &str, name: &str, all: &str) -> Peer {
    let mut peer = Peer::connect(uri);
    peer.expect("What is your name?");
    peer.send(format!("{name}\n"));
    peer.expect(&format!("Hello {name}! Here are: {all}"));
    peer
}

#[test]
fn three_clients_join_talk_and_leave() {
    let (_server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let mut bob = join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
    let mut cyd = join(&uri, "cyd", "ann, bob, cyd");
    ann.expect("* cyd has joined");
    bob.expect("* cyd has joined");

    ann.send("hello\n");
    bob.expect("ann: hello");
    cyd.expect("ann: hello");
    bob.send("hi ann\n\nhow are you?\n");
    for peer in [&mut ann, &mut cyd] {
        peer.expect("bob: hi ann");
        peer.expect("bob: how are you?");
    }

    bob.send("exit\nnot received\n");
    bob.expect("Bye!");
    bob.expect_end();
    ann.expect("* bob has left");
    cyd.expect("* bob has left");

    drop(cyd);
    ann.expect("* cyd has left");
    // The name is free again.
    join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
}

#[test]
fn a_line_may_arrive_in_pieces_with_any_line_ending() {
    let (_server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let mut bob = Peer::connect(&uri);
    bob.expect("What is your name?");
    for byte in b"bob\r\nsl" {
        bob.send([*byte]);
    }
    bob.expect("Hello bob! Here are: ann, bob");
    ann.expect("* bob has joined");
    bob.send("owly\r\nand more\n");
    ann.expect("bob: slowly");
    ann.expect("bob: and more");
}

#[test]
fn an_invalid_name_is_rejected_and_requested_again() {
    let (_server, uri) = Program::serve("02-chat", &[]);
    let _ann = join(&uri, "ann", "ann");
    let mut peer = Peer::connect(&uri);
    peer.expect("What is your name?");
    for bad in [
        "",
        "two words",
        "* ann",
        "ann:",
        &"x".repeat(21),
        &"é".repeat(500),
    ] {
        peer.send(format!("{bad}\n"));
        peer.expect("A name has 1 to 20 letters, digits, - or _. What is yours?");
    }
    peer.send("ann\n");
    peer.expect("The name ann is taken. What is yours?");
    peer.send("Zoë-2_b\n");
    peer.expect("Hello Zoë-2_b! Here are: Zoë-2_b, ann");
}

#[test]
fn a_client_without_a_name_receives_no_messages_and_is_not_announced() {
    let (_server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let mut unnamed = Peer::connect(&uri);
    unnamed.expect("What is your name?");
    ann.send("secret\n");
    let mut bob = join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
    unnamed.send("exit\n");
    unnamed.expect("Bye!");
    unnamed.expect_end();
    bob.send("anyone?\n");
    ann.expect("bob: anyone?");
}

#[test]
fn a_client_over_the_limit_is_refused_until_another_leaves() {
    const FULL: &str = "The room is full. Try again later.";
    let (server, uri) = Program::serve("02-chat", &["--max-clients", "2"]);
    let mut ann = join(&uri, "ann", "ann");
    let mut bob = join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
    let mut late = Peer::connect(&uri);
    late.expect(FULL);
    late.expect_end();
    let error = server.error_line();
    assert!(error.contains("2 connections are open"), "{error}");

    bob.send("exit\n");
    ann.expect("* bob has left");
    drop(bob);
    // The server may notice the end of the connection only after the next client connects.
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let mut late = Peer::connect(&uri);
        match late.line().as_str() {
            FULL => assert!(Instant::now() < deadline, "the room stays full"),
            greeting => break assert_eq!(greeting, "What is your name?"),
        }
    }
}

#[test]
fn control_characters_and_invalid_utf8_are_filtered() {
    let (_server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let mut bob = join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
    bob.send(b"\x1b[31mred\x07\0 \xff\xfe\xc3\x28 \xf0\x9f\x98\x80\n");
    ann.expect("bob: [31mred \u{fffd}\u{fffd}\u{fffd}( 😀");
    // All byte values in pseudo-random order, followed by a plain line.
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(100_000)
    .collect();
    // Lines within the length limit.
    for noise in noise.chunks(500) {
        bob.send(noise);
        bob.send("\n");
    }
    bob.send("still here\n");
    loop {
        let line = ann.line();
        assert!(!line.chars().any(char::is_control), "{line:?}");
        if line == "bob: still here" {
            break;
        }
    }
}

#[test]
fn a_line_over_the_limit_disconnects_its_client() {
    let (server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let mut bob = join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
    bob.send(format!("{}\n", "x".repeat(1024)));
    ann.expect(&format!("bob: {}", "x".repeat(1024)));
    bob.send([b'x'; 10_000]);
    bob.expect("That line is too long. Bye!");
    bob.expect_end();
    ann.expect("* bob has left");
    let error = server.error_line();
    assert!(error.contains("the limit is 1024 (EMSGSIZE)"), "{error}");
}

#[test]
fn exit_in_two_packets_disconnects_its_client() {
    let (_server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let mut bob = join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
    bob.send("before\nex");
    ann.expect("bob: before");
    bob.send("it\n");
    bob.expect("Bye!");
    bob.expect_end();
    ann.expect("* bob has left");
}

#[test]
fn a_client_that_never_reads_is_disconnected_and_others_are_not_affected() {
    let (server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let _deaf = join(&uri, "deaf", "ann, deaf");
    ann.expect("* deaf has joined");
    let mut bob = join(&uri, "bob", "ann, bob, deaf");
    ann.expect("* bob has joined");

    let line = format!("{}\n", "x".repeat(1000));
    // More than the kernel buffers of a socket hold. The bound ends the test if no client is disconnected.
    for _ in 0..100_000 {
        bob.send(&line);
        let received = ann.line();
        if received == "* deaf has left" {
            let error = server.error_line();
            assert!(
                error.contains("at its limit of 1048576 bytes (ENOBUFS)"),
                "{error}"
            );
            ann.send("thanks\n");
            bob.expect("* deaf has left");
            bob.expect("ann: thanks");
            return;
        }
        assert!(received.starts_with("bob: xxx"), "{received}");
    }
    panic!("the client that never reads is still connected");
}

#[test]
fn all_clients_are_notified_when_the_server_shuts_down() {
    for signal in [Signal::TERM, Signal::INT] {
        let (server, uri) = Program::serve("02-chat", &[]);
        let mut ann = join(&uri, "ann", "ann");
        let mut unnamed = Peer::connect(&uri);
        unnamed.expect("What is your name?");
        server.signal(signal);
        for peer in [&mut ann, &mut unnamed] {
            peer.expect("* The server is going down. Bye!");
            peer.expect_end();
        }
        drop((ann, unnamed));
        let ended = server.wait();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.stderr, [""; 0]);
    }
}

#[test]
fn unknown_arguments_are_reported() {
    for arguments in [
        &["--max-clients"][..],
        &["--max-clients", "many"],
        &["--port", "80"],
        &["tcp://127.0.0.1:0", "tcp://127.0.0.1:0"],
    ] {
        let ended = Program::start("02-chat", arguments).wait();
        assert_eq!(ended.status.code(), Some(1), "{arguments:?}");
        assert!(
            ended
                .stderr
                .concat()
                .contains("usage: 02-chat [URI] [--max-clients N]")
        );
    }
}
