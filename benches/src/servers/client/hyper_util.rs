//! hyper-util's client on tokio's current-thread runtime, as shown in its documentation.

use std::ffi::OsStr;
use std::future::{Ready, ready};
use std::io;
use std::iter::{Once, once};
use std::net::{Ipv4Addr, SocketAddr};
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::tokio_client::{self, Client, UPLOAD};
use super::{Case, IDLE_TIMEOUT, upstream_url};

type Pooled = HyperClient<HttpConnector<LocalNames>, Full<Bytes>>;

/// A resolver of the names of the server. An address in a URL is not resolved.
#[derive(Clone)]
struct LocalNames;

impl Service<Name> for LocalNames {
    type Response = Once<SocketAddr>;
    type Error = io::Error;
    type Future = Ready<io::Result<Once<SocketAddr>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Name) -> Self::Future {
        ready(Ok(once((Ipv4Addr::LOCALHOST, 0).into())))
    }
}

pub(in super::super) fn serve(argument: Option<&OsStr>) -> Result<()> {
    let upstream = upstream_url(argument)?;
    tokio_client::runtime()?.block_on(async {
        let client = Clients {
            http1: pooled(false),
            http2: pooled(true),
        };
        tokio_client::run(client, upstream).await
    })
}

fn pooled(http2: bool) -> Pooled {
    let mut connector = HttpConnector::new_with_resolver(LocalNames);
    connector.set_nodelay(true);
    HyperClient::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http2_only(http2)
        .build(connector)
}

struct Clients {
    http1: Pooled,
    http2: Pooled,
}

impl Client for Clients {
    async fn send(&self, url: &str, case: Case) -> Result<()> {
        let request = match case {
            Case::Upload => Request::post(url).body(Full::new(UPLOAD))?,
            _ => Request::get(url).body(Full::default())?,
        };
        let client = match case {
            Case::Http2 => &self.http2,
            _ => &self.http1,
        };
        let response = client.request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        case.check(status.as_u16(), &body)
    }
}
