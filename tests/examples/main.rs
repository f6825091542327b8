//! Tests of the programs in `examples/`, which run as processes with real sockets, and of their pages in a browser.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may panic"
)]

mod chat;
mod chat_page;
mod chat_wire;
mod client;
mod clients;
mod conformance;
mod conformance_websocket;
mod cross_origin;
mod echo;
mod http;
mod http2;
mod machines_chat;
mod npm;
mod other_threads;
mod peer;
mod pipes;
mod processes;
mod program;
mod proxying;
mod redis;
mod rest_api;
mod secure_http;
mod signals;
mod socketio;
mod socketio_chat;
mod socketio_cluster;
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
