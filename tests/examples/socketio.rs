//! Tests of `93-socketio-conformance` and `94-socketio-suite`, driven by the official JavaScript client and by raw sockets: the groups
//! of `tests/socketio` in all configurations.

use std::path::Path;
use std::process::Command;

use crate::npm;
use crate::program::path_of;
use crate::tls::Directory;

pub(crate) const CONFORMANCE: &str = "93-socketio-conformance";
const SUITE: &str = "94-socketio-suite";

/// Runs one group of the tests in `tests/socketio`.
#[track_caller]
fn run(group: &str, options: &[&str]) {
    if npm::package("socket.io-client").is_none() || npm::package("ws").is_none() {
        return;
    }
    let directory = Directory::new(&format!("socketio-{group}{}", options.concat()));
    let (cert, key) = directory.certificate("localhost");
    let runner = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/socketio/run.js");
    let output = Command::new("node")
        .arg(runner)
        .arg("--program")
        .arg(path_of(CONFORMANCE))
        .arg("--suite")
        .arg(path_of(SUITE))
        .args(["--cert", &cert, "--key", &key])
        .args(options)
        .arg(group)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{group} {options:?}:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

macro_rules! groups {
    ($options:expr; $($test:ident: $group:literal,)*) => {
        $(
            #[test]
            fn $test() {
                super::run($group, &$options);
            }
        )*
    };
}

macro_rules! client_groups {
    ($options:expr) => {
        groups! { $options;
            acknowledgements_are_received: "acks",
            servers_exchange_messages: "cluster",
            events_are_received: "events",
            namespaces_are_separate: "namespaces",
            disconnect_reasons_are_reported: "reasons",
            connections_recover: "recovery",
            broadcasts_reach_their_rooms: "rooms",
        }
    };
}

macro_rules! raw_groups {
    ($options:expr) => {
        groups! { $options;
            handshakes_are_checked: "handshake",
            heartbeats_follow_the_protocol: "heartbeat",
            packets_may_be_messagepack: "msgpack",
            processes_stop_and_restart: "lifecycle",
            many_clients_are_served: "load",
            polling_follows_the_protocol: "polling",
            upgrades_lose_no_packet: "upgrade",
            violations_close_the_session: "violations",
            websockets_follow_the_protocol: "websocket",
        }
    };
}

mod over_polling {
    client_groups!(["--transport", "polling"]);
}

mod over_websocket {
    client_groups!(["--transport", "websocket"]);
}

mod with_upgrade {
    client_groups!(["--transport", "upgrade"]);
    raw_groups!(["--transport", "upgrade"]);
}

mod over_tls {
    client_groups!(["--tls"]);
    raw_groups!(["--tls"]);
}

mod with_four_workers {
    client_groups!(["--workers", "4"]);
    raw_groups!(["--workers", "4"]);
}

mod with_four_workers_over_polling {
    client_groups!(["--workers", "4", "--transport", "polling"]);
}

mod over_redis {
    use crate::npm;

    fn run(options: &[&str]) {
        let packages = [
            "redis",
            "@socket.io/redis-adapter",
            "@socket.io/redis-emitter",
        ];
        if packages
            .iter()
            .all(|package| npm::package(package).is_some())
        {
            super::run("redis", options);
        }
    }

    #[test]
    fn servers_form_a_cluster_with_official_servers() {
        run(&["--transport", "upgrade"]);
    }

    #[test]
    fn servers_form_a_cluster_with_official_servers_over_polling() {
        run(&["--transport", "polling"]);
    }

    #[test]
    fn workers_form_a_cluster_with_official_servers() {
        run(&["--workers", "3"]);
    }
}

mod public_suites {
    groups! { [];
        engine_io_passes: "suite-engine",
        socket_io_passes: "suite-socket",
    }
}
