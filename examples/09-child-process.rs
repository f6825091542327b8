//! Runs a program, prefixes each line of its output, and forwards the standard input. Ctrl-C ends the program, after 2 s at the
//! latest.
//!
//! Run it with the default program, or with another one:
//! ```text
//! $ cargo run --release --example 09-child-process
//! $ cargo run --release --example 09-child-process -- sh -c 'read name; echo hello $name'
//! $ cargo run --release --example 09-child-process -- ping 127.0.0.1
//! ```
//! Try it: type lines; Ctrl-D ends the input, Ctrl-C the program. This program exits with the same code.

use std::process::{Command, exit};
use std::time::Duration;

use uptick::prelude::*;
use uptick::stream::{self, Error as StreamError};

const GRACE: Duration = Duration::from_secs(2);
const DEFAULT: [&str; 3] = ["sh", "-c", "echo working; echo careful >&2; exit 3"];

fn main() -> uptick::Result {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() {
        words = DEFAULT.map(String::from).to_vec();
    }
    let child = Process::spawn(Command::new(&words[0]).args(&words[1..]))?;

    LineStream::new(child.stdout()).on("data", |line: Bytes| {
        println!("out: {}", String::from_utf8_lossy(&line));
    });
    LineStream::new(child.stderr()).on("data", |line: Bytes| {
        println!("err: {}", String::from_utf8_lossy(&line));
    });

    let stdin = stream::stdin()?;
    stdin.on("error", |e: StreamError| eprintln!("{e}"));
    stdin.pipe(child.stdin());
    // The program may have closed its input.
    child.stdin().on("error", |e: StreamError| eprintln!("{e}"));

    let mut signals = Vec::new();
    for signal in [SIGINT, SIGTERM] {
        signals.push(uptick::add_signal(signal, move |_| child.terminate(GRACE))?);
    }
    child.on("exit", |exit: Exit| println!("{exit}"));
    child.on("close", move |()| {
        stdin.close();
        signals.drain(..).for_each(uptick::remove_signal);
    });

    let ended = child.next(Process::EXIT);
    uptick::run()?;
    let ended = uptick::block_on(ended)?;
    exit(ended.and_then(|exit| exit.code).unwrap_or(1));
}
