//! Malformed and foreign messages on the channels.

use uptick_socketio::adapter::redis::broker::Channel;

use crate::broker::FakeRedis;
use crate::client::run;
use crate::cluster::{KINDS, Kind, Server};

#[test]
fn malformed_and_foreign_messages_are_counted_and_ignored() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let server = Server::new(kind, redis.connect());
            let (mut client, id) = server.client(&["r"]).await;
            let payloads = [
                &b""[..],
                b"\xc1",
                b"{\"type\":4,\"opts\":{\"except\":[]},\"close\":true,\"uid\":\"u\",\"nsp\":\"/\"}",
                b"{\"type\":99,\"uid\":\"u\",\"nsp\":\"/\",\"data\":{}}",
                b"{\"type\":6,\"uid\":\"u\",\"nsp\":\"/\",\"data\":{\"opts\":{\"rooms\":[7.5,{}]}}}",
            ];
            let channels: &[&str] = match kind {
                Kind::Classic => &[
                    "socket.io#/#",
                    "socket.io#/#r#",
                    "socket.io-request#/#",
                    "socket.io-response#/#",
                ],
                _ => &["socket.io#/#"],
            };
            let mut sent = 0;
            for &channel in channels {
                for payload in payloads {
                    let channel = match kind {
                        Kind::Classic => Channel::Plain(channel),
                        _ => Channel::Sharded(channel),
                    };
                    redis.inject(channel, payload);
                    sent += 1;
                }
            }
            if kind == Kind::Classic {
                // For an unknown room, for another namespace, and a response for another server.
                redis.inject(Channel::Plain("socket.io#/#x#"), "not decoded");
                let foreign = b"\x93\xa1u\x83\xa4type\x02\xa4data\x91\xa1e\xa3nsp\xa2/x\x82\xa5rooms\x90\xa6except\x90";
                redis.inject(Channel::Plain("socket.io#/#"), &foreign[..]);
                redis.inject(
                    Channel::Plain("socket.io-response#/#"),
                    r#"{"requestId":"x","sockets":[]}"#,
                );
            } else {
                redis.inject(
                    Channel::Sharded("socket.io#/#"),
                    r#"{"type":9,"data":{"packet":["e"]},"uid":"u","nsp":"/x"}"#,
                );
                redis.inject(
                    Channel::Sharded("socket.io#/#"),
                    r#"{"type":2,"uid":"u","nsp":"/"}"#,
                );
            }
            client.expect_silence().await;
            let stats = (server.stats)();
            assert_eq!(stats.malformed, sent, "{kind:?}");
            assert_eq!(stats.ignored, 2, "{kind:?}");
            assert_eq!(
                (stats.received, stats.skipped),
                (0, u64::from(kind == Kind::Classic))
            );
            assert!(server.main().socket(&id).is_some());
        });
    }
}
