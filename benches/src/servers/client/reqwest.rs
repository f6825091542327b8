//! reqwest on tokio's current-thread runtime, as shown in its documentation.

use std::ffi::OsStr;
use std::net::Ipv4Addr;

use anyhow::Result;
use reqwest::Client as ReqwestClient;

use super::tokio_client::{self, Client, UPLOAD};
use super::{Case, HOSTS, IDLE_TIMEOUT, host, upstream_url};

pub(in super::super) fn serve(argument: Option<&OsStr>) -> Result<()> {
    let upstream = upstream_url(argument)?;
    tokio_client::runtime()?.block_on(async {
        let builder = || {
            let builder = ReqwestClient::builder().pool_idle_timeout(IDLE_TIMEOUT);
            (0..HOSTS).fold(builder, |builder, number| {
                builder.resolve(&host(number), (Ipv4Addr::LOCALHOST, 0).into())
            })
        };
        let client = Clients {
            http1: builder().build()?,
            http2: builder().http2_prior_knowledge().build()?,
        };
        tokio_client::run(client, upstream).await
    })
}

struct Clients {
    http1: ReqwestClient,
    http2: ReqwestClient,
}

impl Client for Clients {
    async fn send(&self, url: &str, case: Case) -> Result<()> {
        let request = match case {
            Case::Upload => self.http1.post(url).body(UPLOAD),
            Case::Http2 => self.http2.get(url),
            _ => self.http1.get(url),
        };
        let response = request.send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        case.check(status.as_u16(), &body)
    }
}
