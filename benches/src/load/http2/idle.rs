//! Many connections that have done some requests and then stay idle.

use anyhow::Result;

use super::super::round_trips::ReadinessPoller;
use super::super::socket::Dialer;
use super::super::{Exchange, Target};
use super::BUFFER;
use super::requests::RequestClient;

/// Idle connections, which are closed when this is dropped.
pub(crate) struct Http2IdleConnections {
    _clients: Vec<RequestClient>,
}

impl Http2IdleConnections {
    /// Opens `count` connections one after the other, each with this number of requests, one at a time.
    pub(crate) fn open(target: &Target, requests: u32, count: usize) -> Result<Self> {
        let mut dialer = Dialer::new(target.clone(), Exchange::Echo);
        let mut poller = ReadinessPoller::new()?;
        let mut buffer = vec![0; BUFFER];
        let mut clients = Vec::with_capacity(count);
        for key in 0..count {
            let client = RequestClient::open(&mut dialer, &mut buffer)?;
            poller.watch(&client, key)?;
            clients.push(client);
            for _ in 0..requests {
                clients[key].send_requests(1)?;
                let mut ended = 0;
                while ended == 0 {
                    for key in poller.wait()? {
                        ended += clients[key].collect(&mut buffer)?;
                    }
                }
            }
            // Sends the acknowledgement of settings that followed the response.
            clients[key].send_requests(0)?;
        }
        Ok(Self { _clients: clients })
    }
}
