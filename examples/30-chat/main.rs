//! `30-chat` under its short name.

#[path = "../30-chat.rs"]
mod program;

fn main() -> uptick::Result {
    program::main()
}
