//! The options of the program, which are environment variables.
//!
//! | variable | default | meaning |
//! |---|---|---|
//! | `SIO_HOST`, `SIO_PORT` | 127.0.0.1, 3000 | the address for HTTP |
//! | `SIO_TLS_PORT`, `SIO_TLS_CERT`, `SIO_TLS_KEY` | – | the port for HTTPS, and PEM files |
//! | `SIO_PING_INTERVAL`, `SIO_PING_TIMEOUT` | 25000, 20000 | the heartbeat, in milliseconds |
//! | `SIO_CONNECT_TIMEOUT` | 45000 | milliseconds in which a client has to join a namespace |
//! | `SIO_MAX_PAYLOAD` | 1000000 | the maximum size of a POST body or a WebSocket message, in bytes |
//! | `SIO_RECOVERY_MS` | 0 | milliseconds in which a client may come back; 0 switches recovery off |
//! | `SIO_PARSER` | json | the encoding of packets: `json` or `msgpack` |
//! | `SIO_WORKERS` | 1 | the number of worker processes |
//! | `SIO_REDIS` | – | the URL of a Redis server that connects the servers of a cluster |
//! | `SIO_ADAPTER` | classic | the adapter for it: `classic` or `sharded` |

use std::path::PathBuf;
use std::time::Duration;

use uptick::socketio::Parser;

/// The options of the program.
pub(crate) struct Options {
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) tls: Option<Tls>,
    pub(crate) ping_interval: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) max_payload: usize,
    pub(crate) recovery: Option<Duration>,
    pub(crate) parser: Parser,
    pub(crate) workers: usize,
    pub(crate) redis: Option<String>,
    pub(crate) adapter: RedisKind,
}

/// The adapter over Redis.
#[derive(Clone, Copy)]
pub(crate) enum RedisKind {
    Classic,
    Sharded,
}

/// The listener for HTTPS.
pub(crate) struct Tls {
    pub(crate) address: String,
    pub(crate) cert: PathBuf,
    pub(crate) key: PathBuf,
}

impl Options {
    pub(crate) fn read() -> Result<Options, String> {
        let host = text("SIO_HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host,
        };
        let port = number("SIO_PORT", 3000)?;
        let tls = match text("SIO_TLS_PORT") {
            Some(_) => Some(Tls {
                address: format!("{host}:{}", number::<u16>("SIO_TLS_PORT", 0)?),
                cert: text("SIO_TLS_CERT")
                    .ok_or("SIO_TLS_CERT is not set")?
                    .into(),
                key: text("SIO_TLS_KEY").ok_or("SIO_TLS_KEY is not set")?.into(),
            }),
            None => None,
        };
        let recovery = number("SIO_RECOVERY_MS", 0)?;
        let parser = match text("SIO_PARSER").as_deref() {
            None | Some("json") => Parser::Json,
            Some("msgpack") => Parser::MessagePack,
            Some(other) => {
                return Err(format!("SIO_PARSER: {other:?} is neither json nor msgpack"));
            }
        };
        let adapter = match text("SIO_ADAPTER").as_deref() {
            None | Some("classic") => RedisKind::Classic,
            Some("sharded") => RedisKind::Sharded,
            Some(other) => {
                return Err(format!(
                    "SIO_ADAPTER: {other:?} is neither classic nor sharded"
                ));
            }
        };
        Ok(Options {
            redis: text("SIO_REDIS"),
            adapter,
            address: format!("{host}:{port}"),
            port,
            tls,
            ping_interval: Duration::from_millis(number("SIO_PING_INTERVAL", 25_000)?),
            ping_timeout: Duration::from_millis(number("SIO_PING_TIMEOUT", 20_000)?),
            connect_timeout: Duration::from_millis(number("SIO_CONNECT_TIMEOUT", 45_000)?),
            max_payload: number("SIO_MAX_PAYLOAD", 1_000_000)?,
            recovery: (recovery > 0).then(|| Duration::from_millis(recovery)),
            parser,
            workers: number("SIO_WORKERS", 1)?.max(1),
        })
    }
}

fn text(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn number<T: std::str::FromStr>(name: &str, default: T) -> Result<T, String> {
    match text(name) {
        Some(value) => value
            .parse()
            .map_err(|_| format!("{name}: {value:?} is not a number")),
        None => Ok(default),
    }
}
