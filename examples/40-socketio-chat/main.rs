//! `40-socketio-chat` under its second name.

#[path = "../40-socketio-chat.rs"]
mod program;

fn main() -> uptick::Result {
    program::main()
}
