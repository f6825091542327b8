//! Targets that are refused, and the errors.

use super::*;

#[test]
fn the_error_for_a_refused_connection_names_the_address() {
    alone(|| {
        let port = free_port();
        let expected = format!(
            "connecting to tcp://127.0.0.1:{port} failed: Connection refused (ECONNREFUSED)"
        );
        let error = error_of(TcpConnector::new().connect(port));
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.errno_name(), Some("ECONNREFUSED"));
        assert_eq!(
            error_of(Connector::new().connect(port)).to_string(),
            expected
        );

        let path = socket_path("refused");
        let uri = format!("unix:{}", path.display());
        let error = error_of(UnixConnector::new().connect(&uri));
        let expected = format!("connecting to {uri} failed: No such file or directory (ENOENT)");
        assert_eq!(error.to_string().replace("unix://", "unix:"), expected);
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let error = error_of(UnixConnector::new().connect(&uri));
        assert_eq!(error.errno_name(), Some("ECONNREFUSED"));
        std::fs::remove_file(path).unwrap();
    });
}

#[test]
fn unsupported_targets_are_refused_with_einval() {
    alone(|| {
        let connector = Connector::new().with_scheme("ws", NeverConnects::default());
        let no_tcp = Connector::new().tcp(false);
        let no_unix = Connector::new().unix(false);
        let (tcp, unix) = (TcpConnector::new(), UnixConnector::new());
        let refusals = [
            (
                connector.connect("http://127.0.0.1:80"),
                "it supports [\"tcp\", \"unix\", \"ws\"]",
            ),
            (
                connector.connect("tls://example.com:443"),
                "in a SecureConnector",
            ),
            (connector.connect("127.0.0.1"), "the port is missing"),
            (
                connector.connect("127.0.0.1:0"),
                "port 0 can be listened on",
            ),
            (connector.connect("fd://3"), "not connected to"),
            (no_tcp.connect("127.0.0.1:80"), "it supports [\"unix\"]"),
            (no_tcp.connect("localhost:80"), "it supports [\"unix\"]"),
            (no_unix.connect("/run/x.sock"), "it supports [\"tcp\"]"),
            (
                tcp.connect("localhost:80"),
                "the host must be an IP address",
            ),
            (
                tcp.connect("/run/x.sock"),
                "this connector supports tcp://, not \"unix\"",
            ),
            (tcp.connect("tls://127.0.0.1:80"), "in a SecureConnector"),
            (
                unix.connect("127.0.0.1:80"),
                "this connector supports Unix sockets",
            ),
        ];
        for (connecting, expected) in refusals {
            let error = error_of(connecting);
            assert_eq!(error.errno_name(), Some("EINVAL"), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    });
}

#[test]
fn the_timeout_covers_the_attempt_and_its_error_names_the_target() {
    alone(|| {
        let clock = manual_clock();
        let connector = TimeoutConnector::new(NeverConnects::default(), Duration::from_secs(3));
        let mut connecting = connector.connect("tcp://192.0.2.1:80");
        stays_pending(&mut connecting);
        clock.advance(Duration::from_millis(2999));
        stays_pending(&mut connecting);
        clock.advance(Duration::from_millis(1));
        settle();
        let error = connecting.now_or_never().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "connecting to tcp://192.0.2.1:80 timed out after 3s (ETIMEDOUT)"
        );
        assert_eq!(error.errno_name(), Some("ETIMEDOUT"));
    });
}

#[test]
fn the_default_timeout_is_60_s_and_covers_the_lookup() {
    alone(|| {
        let clock = manual_clock();
        let connector = Connector::new().resolver(Resolver::new(|_| pending()));
        let mut connecting = connector.connect("app.test:80");
        stays_pending(&mut connecting);
        clock.advance(Duration::from_secs(59));
        stays_pending(&mut connecting);
        clock.advance(Duration::from_secs(1));
        settle();
        let error = connecting.now_or_never().unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "connecting to tcp://app.test:80 timed out after 60s (ETIMEDOUT)"
        );
        assert!(!EventLoop::current().is_alive());
    });
}

#[test]
fn an_attempt_that_succeeded_in_time_does_not_time_out_after_a_long_callback() {
    alone(|| {
        let clock = manual_clock();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let connector = TimeoutConnector::new(TcpConnector::new(), Duration::from_secs(3));
        let address = listener.local_addr().unwrap().to_string();
        let attempt = spawn(async move { connector.connect(address).await.map(Connection::close) });
        future_tick(move || clock.advance(Duration::from_secs(60)));
        assert!(block_on(attempt).unwrap().unwrap().is_ok());
    });
}
