//! `02-chat`.

use std::time::Instant;

use rustix::process::Signal;

use crate::peer::Peer;
use crate::program::{PATIENCE, Program};

/// Joins as a client that sees all that happens from then on.
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

    bob.send("exit\nnobody hears that\n");
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
fn a_line_may_come_in_pieces_and_end_in_any_way() {
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
fn a_bad_name_is_asked_for_again() {
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
fn a_client_without_a_name_hears_nothing_and_leaves_unnoticed() {
    let (_server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let mut nobody = Peer::connect(&uri);
    nobody.expect("What is your name?");
    ann.send("secret\n");
    let mut bob = join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
    nobody.send("exit\n");
    nobody.expect("Bye!");
    nobody.expect_end();
    bob.send("anyone?\n");
    ann.expect("bob: anyone?");
}

#[test]
fn one_client_too_many_is_refused_politely_until_another_leaves() {
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
    // The server sees the end of the connection soon, but not before this one can come.
    let patience = Instant::now() + PATIENCE;
    loop {
        let mut late = Peer::connect(&uri);
        match late.line().as_str() {
            FULL => assert!(Instant::now() < patience, "the room stays full"),
            greeting => break assert_eq!(greeting, "What is your name?"),
        }
    }
}

#[test]
fn rubbish_comes_out_clean() {
    let (_server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let mut bob = join(&uri, "bob", "ann, bob");
    ann.expect("* bob has joined");
    bob.send(b"\x1b[31mred\x07\0 \xff\xfe\xc3\x28 \xf0\x9f\x98\x80\n");
    ann.expect("bob: [31mred \u{fffd}\u{fffd}\u{fffd}( 😀");
    // Every byte value in every order of a simple generator, then a plain line.
    let mut state = 1_u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(100_000)
    .collect();
    // Lines that are not too long.
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
fn an_endless_line_ends_its_client() {
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
fn exit_in_two_packets_ends_its_client() {
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
fn a_client_that_never_reads_is_cut_off_and_the_others_go_on() {
    let (server, uri) = Program::serve("02-chat", &[]);
    let mut ann = join(&uri, "ann", "ann");
    let _deaf = join(&uri, "deaf", "ann, deaf");
    ann.expect("* deaf has joined");
    let mut bob = join(&uri, "bob", "ann, bob, deaf");
    ann.expect("* bob has joined");

    let line = format!("{}\n", "x".repeat(1000));
    // More than the kernel holds for a socket: a bound, so that the test ends when nobody is cut off.
    for _ in 0..100_000 {
        bob.send(&line);
        let heard = ann.line();
        if heard == "* deaf has left" {
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
        assert!(heard.starts_with("bob: xxx"), "{heard}");
    }
    panic!("the client that never reads is still there");
}

#[test]
fn everyone_is_told_when_the_server_goes_down() {
    for signal in [Signal::TERM, Signal::INT] {
        let (server, uri) = Program::serve("02-chat", &[]);
        let mut ann = join(&uri, "ann", "ann");
        let mut nobody = Peer::connect(&uri);
        nobody.expect("What is your name?");
        server.signal(signal);
        for peer in [&mut ann, &mut nobody] {
            peer.expect("* The server is going down. Bye!");
            peer.expect_end();
        }
        drop((ann, nobody));
        let ended = server.wait();
        assert!(ended.status.success(), "{ended:?}");
        assert_eq!(ended.stderr, [""; 0]);
    }
}

#[test]
fn arguments_it_does_not_know_are_told() {
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
