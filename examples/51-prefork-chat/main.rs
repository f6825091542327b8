//! `51-prefork-chat` under its short name.

#[path = "../51-prefork-chat.rs"]
mod program;

fn main() -> uptick::Result {
    program::main()
}
