//! Cancelled attempts, which release all their resources.

use super::*;

#[test]
fn a_cancelled_attempt_releases_its_resources_in_every_phase() {
    alone(|| {
        let blackhole = Blackhole::new();
        let port = blackhole.address.port();
        settle();
        let before = descriptors();
        let attempt = |connector: &Connector, uri: String| {
            let mut connecting = connector.connect(uri);
            stays_pending(&mut connecting);
            assert!(EventLoop::current().is_alive());
            connecting
        };
        let usual = Connector::new();

        cancel(usual.connect(blackhole.address), before);

        let tcp = attempt(&usual, format!("127.0.0.1:{port}"));
        assert_eq!(descriptors(), before + 1);
        cancel(tcp, before);

        let look_up = Connector::new().resolver(Resolver::new(|_| async {
            sleep(Duration::from_secs(3600)).await;
            Ok(vec![])
        }));
        cancel(attempt(&look_up, "app.test:80".into()), before);

        for staggered in [false, true] {
            let names = Connector::new()
                .happy_eyeballs(staggered)
                .resolver(localhost());
            let name = attempt(&names, format!("app.test:{port}"));
            assert_eq!(descriptors(), before + 1);
            cancel(name, before);
        }

        let second = Blackhole::at(SocketAddr::from(([127, 0, 0, 2], port)));
        let before = descriptors();
        let ips = vec![blackhole.address.ip(), second.address.ip()];
        let names = Connector::new()
            .attempt_delay(Duration::from_millis(10))
            .resolver(Resolver::new(move |_| ready(Ok(ips.clone()))));
        let mut both = attempt(&names, format!("app.test:{port}"));
        while descriptors() < before + 2 {
            let step = Duration::from_millis(5);
            EventLoop::current().run_once(Some(step)).unwrap();
            assert!((&mut both).now_or_never().is_none());
        }
        cancel(both, before);
    });
}

#[test]
fn a_cancelled_system_lookup_does_not_keep_the_loop_running() {
    alone(|| {
        let mut connecting = Connector::new().connect("localhost:9");
        assert!((&mut connecting).now_or_never().is_none());
        drop(connecting);
        settle();
        assert!(!EventLoop::current().is_alive());
    });
}

#[test]
fn a_thousand_connections_leave_no_descriptors_open() {
    alone(|| {
        let server = Server::bind(0).unwrap();
        server.on("connection", |conn: Connection| {
            conn.on("data", move |chunk: Bytes| conn.end_with(chunk));
        });
        let uri = server.address().unwrap();
        let port = uri.rsplit(':').next().unwrap().to_owned();
        let uris = [uri, format!("app.test:{port}")];
        let connector = Connector::new().resolver(localhost());
        let exchanged = block_on(async move {
            let mut exchanged = 0;
            let mut before = None;
            for round in 0..1000 {
                let conn = connector.connect(&uris[round % 2]).await.unwrap();
                conn.write("x");
                let got = conn.next(Connection::DATA).await;
                exchanged += usize::from(got.as_deref() == Some(b"x"));
                conn.close();
                sleep(Duration::ZERO).await;
                // The server may not have closed its end of the last connection yet.
                let now = descriptors();
                assert!(now <= *before.get_or_insert(now) + 2, "{now}");
            }
            server.close();
            exchanged
        });
        assert_eq!(exchanged.unwrap(), 1000);
        run().unwrap();
    });
}
