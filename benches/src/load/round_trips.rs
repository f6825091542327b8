//! Requests and responses on connections that stay open.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Result, bail};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::socket::{Client, Dialer};
use super::{Exchange, Load, RESPONSE_TIMEOUT, Target};

/// A fixed number of open connections. One unit is one request; the requests of an exchange are
/// pipelined.
pub(crate) struct RoundTrips {
    requests_at_once: u64,
    poller: ReadinessPoller,
    clients: Vec<Client>,
}

impl RoundTrips {
    pub(crate) fn open(target: &Target, exchange: Exchange, connections: usize) -> Result<Self> {
        let poller = ReadinessPoller::new()?;
        let mut dialer = Dialer::new(target.clone(), exchange.clone());
        let mut clients = Vec::with_capacity(connections);
        for key in 0..connections {
            let client = dialer.dial()?;
            poller.watch(&client, key)?;
            clients.push(client);
        }
        Ok(Self {
            requests_at_once: exchange.requests(),
            poller,
            clients,
        })
    }
}

impl Load for RoundTrips {
    fn run(&mut self, units: u64) -> Result<()> {
        let mut unsent = units.div_ceil(self.requests_at_once);
        let mut unanswered = unsent;
        for client in &mut self.clients {
            if unsent > 0 {
                client.send_request()?;
                unsent -= 1;
            }
        }
        while unanswered > 0 {
            for key in self.poller.wait()? {
                let client = &mut self.clients[key];
                if client.collect()? {
                    unanswered -= 1;
                    if unsent > 0 {
                        client.send_request()?;
                        unsent -= 1;
                    }
                }
            }
        }
        Ok(())
    }
}

/// An epoll instance that waits for clients to become readable.
pub(super) struct ReadinessPoller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl ReadinessPoller {
    pub(super) fn new() -> Result<Self> {
        let nothing = epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: vec![nothing; 256],
        })
    }

    pub(super) fn watch(&self, client: &impl AsFd, key: usize) -> Result<()> {
        Ok(epoll::add(
            &self.epoll,
            client,
            EventData::new_u64(key as u64),
            EventFlags::IN,
        )?)
    }

    /// Waits until a client is readable, and returns the keys of all readable clients.
    pub(super) fn wait(&mut self) -> Result<impl Iterator<Item = usize>> {
        let timeout = Timespec {
            tv_sec: RESPONSE_TIMEOUT.as_secs() as i64,
            tv_nsec: 0,
        };
        let ready = loop {
            match epoll::wait(&self.epoll, &mut self.events[..], Some(&timeout)) {
                Err(Errno::INTR) => {}
                result => break result?,
            }
        };
        if ready == 0 {
            bail!("no response within {RESPONSE_TIMEOUT:?}");
        }
        Ok(self.events[..ready].iter().map(|event| {
            let data = event.data;
            data.u64() as usize
        }))
    }
}
