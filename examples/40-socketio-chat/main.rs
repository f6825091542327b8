//! `40-socketio-chat` by another name.

#[path = "../40-socketio-chat.rs"]
mod program;

fn main() -> uptick::Result {
    program::main()
}
