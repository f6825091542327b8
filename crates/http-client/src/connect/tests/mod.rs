mod cancellation;
mod direct;
mod http_proxy;
mod names;
mod socks5;
mod support;
#[cfg(feature = "tls")]
mod tls;
