//! Timeout and maximum number of connections that wait for their header.

use super::*;

#[test]
fn a_connection_that_closes_without_sending_data_is_not_an_error() {
    let inner = Server::bind("127.0.0.1:0").unwrap();
    let server = ProxyProtocolServer::new(inner, ProxyProtocolOptions::new());
    let log = logged(server);
    drop(Client::connect(server));
    until(|| inner.accepted() == 1 && inner.open_connections() == 0);
    reset(Client::connect(server));
    until(|| inner.accepted() == 2 && inner.open_connections() == 0);
    assert_eq!(log.take(), Vec::<String>::new());
    assert_eq!(server.pending_connections(), 0);
}

fn reset(client: Client) {
    let socket = socket2::Socket::from(client.stream);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_reset_within_the_header_is_an_error_of_the_server() {
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = logged(server);
    let mut client = Client::connect(server);
    client.send("PROXY");
    until(|| server.pending_connections() == 1);
    settle();
    let peer = client.address();
    reset(client);
    until(|| log.len() == 1);
    assert_eq!(
        log.take(),
        [format!(
            "reading from tcp://{peer} failed: Connection reset by peer (ECONNRESET)"
        )]
    );
    assert_eq!(server.pending_connections(), 0);
}

#[test]
fn a_header_must_arrive_within_five_seconds() {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = logged(server);
    let mut slow = Client::connect(server);
    slow.send("PROXY ");
    until(|| server.pending_connections() == 1);
    clock.advance(Duration::from_secs(3));
    turn();
    let mut silent = Client::connect(server);
    until(|| server.pending_connections() == 2);
    slow.send("TCP4");
    clock.advance(Duration::from_millis(1999));
    settle();
    assert_eq!(log.len(), 0);

    clock.advance(Duration::from_millis(1));
    slow.wait_for_end();
    let late = |client: &Client| {
        let peer = client.address();
        format!("reading the PROXY header from tcp://{peer} timed out after 5s (ETIMEDOUT)")
    };
    assert_eq!(log.take(), [late(&slow)]);
    assert_eq!(server.pending_connections(), 1);

    clock.advance(Duration::from_secs(3));
    silent.wait_for_end();
    assert_eq!(log.take(), [late(&silent)]);

    let mut client = Client::connect(server);
    client.send(V1);
    until(|| log.len() == 1);
    clock.advance(Duration::from_secs(60));
    settle();
    client.send("later");
    until(|| log.len() == 2);
    assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711", "later"]);
    server.close();
}

#[test]
fn a_pending_timeout_does_not_keep_the_loop_running() {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock).unwrap();
    let server = behind_proxies(ProxyProtocolOptions::new());
    server.on("connection", |_: Connection| ());
    let client = Client::connect(server);
    until(|| server.pending_connections() == 1);
    drop(client);
    until(|| server.pending_connections() == 0);
    server.close();
    // The clock stands still, so a remaining timer would never fire.
    run().unwrap();
}

#[test]
fn a_silent_connection_is_announced_after_the_timeout_if_the_header_is_optional() {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    let server = behind_proxies(ProxyProtocolOptions::new().optional(true));
    let log = logged(server);
    let mut client = Client::connect(server);
    until(|| server.pending_connections() == 1);
    clock.advance(Duration::from_secs(5));
    until(|| log.len() == 1);
    client.send("PROXY is a word");
    until(|| log.len() == 2);
    assert_eq!(
        log.take(),
        [
            format!("connection tcp://{}", client.address()),
            "PROXY is a word".into()
        ]
    );
    let mut silent = Client::connect(server);
    until(|| server.pending_connections() == 1);
    clock.advance(Duration::from_secs(5));
    until(|| log.len() == 1);
    silent.stream.shutdown(Shutdown::Write).unwrap();
    silent.wait_for_end();
    assert_eq!(log.take()[1..], ["end"]);
}

#[test]
fn the_oldest_connection_is_refused_when_too_many_wait_for_their_header() {
    let server = behind_proxies(ProxyProtocolOptions::new().max_pending(2));
    let log = logged(server);
    let mut first = Client::connect(server);
    let mut second = Client::connect(server);
    until(|| server.pending_connections() == 2);
    let _third = Client::connect(server);
    first.wait_for_end();
    assert_eq!(
        refusal(&log, &first),
        "2 later connections wait for their PROXY header, which is the limit (EPROTO)"
    );
    second.send(V1);
    until(|| log.len() == 1);
    assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711"]);
    assert_eq!(server.pending_connections(), 1);
}

#[test]
fn a_header_that_arrived_in_time_is_read_after_a_long_callback() {
    let clock = ManualClock::new();
    EventLoop::install(MioPoller::new().unwrap(), clock.clone()).unwrap();
    let server = behind_proxies(ProxyProtocolOptions::new());
    let log = logged(server);
    let mut client = Client::connect(server);
    until(|| server.pending_connections() == 1);
    client.send(V1);
    future_tick(move || clock.advance(Duration::from_secs(60)));
    settle();
    assert_eq!(log.take(), ["connection tcp://192.0.2.7:4711"]);
    server.close();
}
