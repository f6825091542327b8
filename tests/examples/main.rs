//! The programs in `examples/`, run as a user runs them: as processes, with real sockets; and pages in a browser.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod chat;
mod chat_page;
mod chat_wire;
mod clients;
mod conformance;
mod conformance_websocket;
mod cross_origin;
mod echo;
mod http;
mod npm;
mod other_threads;
mod peer;
mod pipes;
mod processes;
mod program;
mod rest_api;
mod secure_http;
mod signals;
mod socketio;
mod socketio_chat;
mod socketio_page;
mod socketio_programs;
mod strip_spaces;
mod timers_and_ticks;
mod tls;
mod tutorial;
mod uploads;
mod web;
mod web_sockets;
mod webdriver;
mod websocket;
mod workers;
mod workers_bus;
mod workers_chat;
mod workers_faults;
mod workers_reload;
mod workers_tls;
