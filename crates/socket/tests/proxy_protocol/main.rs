//! Servers behind proxies with the PROXY protocol.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod headers;
mod serving;
mod waiting;
#[path = "../wrapped/mod.rs"]
mod wrapped;

use std::cell::Cell;
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::emit;
use uptick_event_loop::{EventLoop, ManualClock, MioPoller, future_tick, spawn};
use uptick_socket::prelude::*;
use uptick_socket::proxy_protocol::protocol::{Endpoints, Header, Tlvs, Version};
use uptick_socket::{IpNetwork, UntrustedPeers};
use uptick_stream::Error as StreamError;
use uptick_stream::filter::{Filter, FilterContext};
use wrapped::{Client, Log, settle, turn, until};

const V1: &str = "PROXY TCP4 192.0.2.7 192.0.2.1 4711 443\r\n";

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn header(version: Version, source: &str, destination: &str) -> Header {
    Header::proxied(
        version,
        Endpoints {
            source: address(source).into(),
            destination: address(destination).into(),
        },
    )
}

fn v2() -> Vec<u8> {
    let header = header(Version::V2, "192.0.2.7:4711", "192.0.2.1:443");
    header.encode().unwrap()
}

fn behind_proxies(options: ProxyProtocolOptions) -> ProxyProtocolServer {
    ProxyProtocolServer::new(Server::bind("127.0.0.1:0").unwrap(), options)
}

/// Logs the events of a server and its connections.
fn logged<S: ServerInterface>(server: S) -> Log {
    let log = Log::default();
    let events = log.clone();
    server.on(S::CONNECTION, move |conn| {
        events.add(format!("connection {}", conn.remote_address().unwrap()));
        let log = events.clone();
        conn.on("data", move |chunk: Bytes| {
            log.add(String::from_utf8_lossy(&chunk))
        });
        let log = events.clone();
        conn.on("end", move |()| log.add("end"));
    });
    let events = log.clone();
    server.on(S::ERROR, move |error| events.add(error));
    let events = log.clone();
    server.on(S::CLOSE, move |()| events.add("close"));
    log
}

/// Returns the only line of the log, without its prefix with the peer.
#[track_caller]
fn refusal(log: &Log, client: &Client) -> String {
    let lines = log.take();
    let [line] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    let start = format!("connection from tcp://{} refused: ", client.address());
    line.strip_prefix(&start).unwrap_or(line).to_owned()
}
