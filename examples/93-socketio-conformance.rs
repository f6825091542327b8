//! A Socket.IO server for conformance checkers with the official JavaScript client and with raw sockets: an ordinary user of the
//! crate.
//!
//! Run it. It is configured by environment variables; see [`options`]:
//! ```text
//! $ cargo run --example 93-socketio-conformance --features socketio-redis,workers,tls
//! $ SIO_PORT=3000 SIO_WORKERS=4 cargo run --example 93-socketio-conformance --features socketio-redis,workers,tls
//! ```
//! Try it:
//! ```text
//! $ curl 'http://127.0.0.1:3000/socket.io/?EIO=4&transport=polling'
//! ```

use std::time::Duration;

use uptick::http::Cors;
use uptick::prelude::*;
use uptick::redis::{self, Redis};
use uptick::socketio::adapter::redis::{
    RedisAdapter, RedisStreamsAdapter, RedisStreamsError, ShardedRedisAdapter,
};
use uptick::socketio::adapter::{AdapterFactory, BusAdapter};
use uptick::socketio::engine::EngineOptions;
use uptick::socketio::{RecoveryOptions, SocketIoOptions};
use uptick::workers::WorkerEvent;

#[path = "93-socketio-conformance/commands.rs"]
mod commands;
#[path = "93-socketio-conformance/namespaces.rs"]
mod namespaces;
#[path = "93-socketio-conformance/options.rs"]
mod options;
#[path = "93-socketio-conformance/wire.rs"]
mod wire;

use options::{Options, RedisKind, Tls};

/// The deadline of connections after SIGTERM.
const SHUTDOWN: Duration = Duration::from_secs(1);

fn main() -> uptick::Result {
    let options = Options::read()?;
    match options.workers {
        1 => run_alone(&options),
        count => run_workers(count, options),
    }
}

fn run_alone(options: &Options) -> uptick::Result {
    let (_, http) = serve(options)?;
    http.listen(Server::bind(options.address.as_str())?);
    if let Some(tls) = &options.tls {
        listen_tls(http, Server::bind(tls.address.as_str())?, tls)?;
    }
    println!("ready");
    http.shutdown_on([SIGTERM, SIGINT], SHUTDOWN)?;
    uptick::run()
}

fn run_workers(count: usize, options: Options) -> uptick::Result {
    let mut workers = Workers::processes(count)
        .listen(options.address.as_str())
        .drain_timeout(SHUTDOWN)
        .drain_window(Duration::ZERO)
        .on_event(|event| match event {
            WorkerEvent::Listening { .. } => println!("ready"),
            event => eprintln!("{event}"),
        });
    if let Some(tls) = &options.tls {
        workers = workers.listen(tls.address.as_str());
    }
    workers.run(move |worker: Worker| {
        let (io, http) = serve(&options)?;
        http.listen(worker.server(0)?);
        if let Some(tls) = &options.tls {
            listen_tls(http, worker.server(1)?, tls)?;
        }
        worker.on(Worker::DRAIN, move |_| io.close());
        Ok(())
    })?;
    Ok(())
}

/// Creates the Socket.IO server, and an HTTP server that it is mounted on.
fn serve(options: &Options) -> Result<(SocketIo, HttpServer), redis::Error> {
    let cors = Cors::new()
        .allow_origin("http://allowed.test")
        .allow_credentials(true);
    let engine = EngineOptions::new()
        .ping_interval(options.ping_interval)
        .ping_timeout(options.ping_timeout)
        .max_payload(options.max_payload)
        .queue_bytes(usize::MAX)
        .wrap(cors);
    let mut settings = SocketIoOptions::new()
        .engine(engine)
        .connect_timeout(options.connect_timeout)
        .parser(options.parser);
    if let Some(time) = options.recovery {
        settings = settings.recovery(RecoveryOptions::new().max_disconnection(time));
    }
    let redis = options.redis.as_ref().map(Redis::connect).transpose()?;
    if let Some(redis) = redis {
        settings = settings.adapter(redis_adapter(redis, options.adapter));
    } else if options.workers > 1 {
        settings = settings.adapter(BusAdapter::factory());
    }
    let io = SocketIo::with_options(settings);
    namespaces::add(io, options);
    let http = HttpServer::new();
    http.mount("/socket.io/", &io);
    if let Some(redis) = redis {
        // The process runs until the client is closed.
        http.on("close", move |()| redis.close());
    }
    Ok((io, http))
}

fn redis_adapter(redis: Redis, kind: RedisKind) -> AdapterFactory {
    redis.on("error", |error: redis::Error| eprintln!("{error}"));
    match kind {
        RedisKind::Classic => RedisAdapter::new(redis).factory(),
        RedisKind::Sharded => ShardedRedisAdapter::new(redis).factory(),
        RedisKind::Streams => {
            let adapter = RedisStreamsAdapter::new(redis);
            adapter.on("error", |error: RedisStreamsError| eprintln!("{error}"));
            adapter.factory()
        }
    }
}

fn listen_tls(http: HttpServer, server: Server, tls: &Tls) -> Result<(), uptick::tls::Error> {
    let context = TlsContext::new()
        .local_cert(&tls.cert)
        .local_pk(&tls.key)
        .load()?;
    http.listen(SecureServer::new(server, context));
    Ok(())
}
