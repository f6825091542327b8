//! Tests of `95-client-conformance` against servers that misbehave.

mod codings;
mod driver;
mod http2_server;
mod secure_server;
mod server;

mod addresses;
mod bodies;
mod cancel;
mod cookies;
mod decompression;
mod endings;
mod environment;
mod framing;
mod heads;
mod http2;
mod http2_faults;
mod idle;
mod pool;
mod proxies;
mod redirects;
mod results;
mod retry;
mod secure;
mod sending;
mod soak;
mod timeouts;
mod unix;
