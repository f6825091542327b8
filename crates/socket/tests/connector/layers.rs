//! Connectors that wrap other connectors: host names, schemes, smart pointers.

use super::*;

#[test]
fn the_connector_of_an_added_scheme_receives_the_target_unchanged() {
    alone(|| {
        let never_connects = NeverConnects::default();
        let connector = Connector::new().with_scheme("TLS", never_connects.clone());
        let mut connecting = connector.connect("tls://example.com:443");
        stays_pending(&mut connecting);
        let target = never_connects.0.borrow()[0].clone();
        assert_eq!(target.to_string(), "tls://example.com:443");
        assert_eq!(target.host_name(), Some("example.com"));
        drop(connecting);
    });
}

#[test]
fn the_inner_connector_of_a_lookup_receives_the_host_name() {
    alone(|| {
        let never_connects = NeverConnects::default();
        let connectors: [Rc<dyn ConnectorInterface>; 2] = [
            Rc::new(DnsConnector::new(never_connects.clone()).resolver(localhost())),
            Rc::new(HappyEyeballsConnector::new(never_connects.clone()).resolver(localhost())),
        ];
        for connector in connectors {
            let mut connecting = connector.connect("tls://app.test:443");
            stays_pending(&mut connecting);
            let target = never_connects.0.borrow_mut().pop().unwrap();
            assert_eq!(target.to_string(), "tls://127.0.0.1:443");
            assert_eq!(target.host_name(), Some("app.test"));
        }
    });
}

#[test]
fn a_fixed_uri_connector_ignores_the_requested_target() {
    alone(|| {
        let server = Server::bind(0).unwrap();
        server.on(Server::CONNECTION, move |_| server.close());
        let uri = server.address().unwrap();
        let connector = FixedUriConnector::new(&uri, TcpConnector::new()).unwrap();
        let conn = block_on(connector.connect("tls://example.com:443"))
            .unwrap()
            .unwrap();
        assert_eq!(conn.remote_address(), Some(uri));
        conn.close();
        run().unwrap();
        assert!(FixedUriConnector::new("nonsense", NeverConnects::default()).is_err());
    });
}

#[test]
fn the_addresses_of_a_name_are_tried_in_turn() {
    alone(|| {
        let server = echo("127.0.0.1:0");
        let port = server
            .address()
            .unwrap()
            .rsplit(':')
            .next()
            .unwrap()
            .to_owned();
        let ips: Vec<IpAddr> = vec![
            Ipv4Addr::new(127, 0, 0, 3).into(),
            Ipv6Addr::LOCALHOST.into(),
            Ipv4Addr::LOCALHOST.into(),
        ];
        let resolver = Resolver::new(move |name: &str| {
            assert_eq!(name, "app.test");
            ready(Ok(ips.clone()))
        });
        let connector = Connector::new()
            .happy_eyeballs(false)
            .resolver(resolver.clone());
        let conn = block_on(connector.connect(format!("app.test:{port}")))
            .unwrap()
            .unwrap();
        assert_eq!(conn.remote_address(), server.address());
        conn.close();
        run().unwrap();
        for staggered in [false, true] {
            let connector = Connector::new()
                .happy_eyeballs(staggered)
                .resolver(resolver.clone());
            let error = error_of(connector.connect(format!("app.test:{port}"))).to_string();
            for ip in ["127.0.0.3", "::1", "127.0.0.1"] {
                let attempt = format!("{ip}: Connection refused (ECONNREFUSED)");
                assert!(error.contains(&attempt), "{error}");
            }
            let prefix = format!("connecting to tcp://app.test:{port} failed: ");
            assert!(error.starts_with(&prefix), "{error}");
        }
    });
}

#[test]
fn happy_eyeballs_skips_an_address_that_does_not_respond() {
    alone(|| {
        let blackhole = Blackhole::new();
        // No other socket on this machine listens on that port of the other addresses.
        let address = SocketAddr::from(([127, 0, 0, 9], blackhole.address.port()));
        let server = echo(&address.to_string());
        let ips = vec![blackhole.address.ip(), address.ip()];
        let connector = Connector::new()
            .attempt_delay(Duration::from_millis(10))
            .resolver(Resolver::new(move |_| ready(Ok(ips.clone()))));
        let connecting = connector.connect(format!("app.test:{}", address.port()));
        let conn = block_on(connecting).unwrap().unwrap();
        assert_eq!(conn.remote_address(), server.address());
        conn.end();
        run().unwrap();
    });
}

#[test]
fn boxed_and_shared_connectors_are_connectors() {
    alone(|| {
        let boxed: Box<dyn ConnectorInterface> = Box::new(TcpConnector::new());
        let shared: Rc<dyn ConnectorInterface> = Rc::from(boxed);
        let limited = TimeoutConnector::new(Rc::clone(&shared), Duration::from_secs(10));
        exchange(DnsConnector::new(limited), "127.0.0.1:0");
        exchange(shared, "127.0.0.1:0");
    });
}

#[test]
fn a_layer_wraps_the_connector_with_its_options() {
    /// A layer that connects to the same target with the scheme `tcp` through the inner connector.
    struct Layered(Rc<dyn ConnectorInterface>);

    impl ConnectorInterface for Layered {
        fn connect_target(&self, target: ConnectTarget) -> Connecting {
            self.0.connect_target(target.with_scheme("tcp"))
        }
    }

    alone(|| {
        let never_connects = NeverConnects::default();
        // Options that are set later apply as well.
        let connector = Connector::new()
            .with_layer("Layered", Layered)
            .with_scheme("tcp", never_connects.clone());
        let mut connecting = connector.connect("layered://example.com:443");
        stays_pending(&mut connecting);
        let target = never_connects.0.borrow()[0].clone();
        assert_eq!(target.to_string(), "tcp://example.com:443");
        drop(connecting);
    });
}
