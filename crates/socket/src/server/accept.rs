//! Accepting: in batches, and without a spin when the process is out of descriptors.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SocketAddrAny;
use uptick_emitter::emit;
use uptick_event_loop::{Interest, add_timer, catch, driver, future_tick};
use uptick_stream::transport::TransportOptions;

use super::{Rest, Server, connection_gone, with_entry};
use crate::Address;
use crate::connection::{Connection, Owner};
use crate::error::Error;

/// The largest batch. It starts at 1 and doubles for as long as batches are filled: an accept that finds nobody costs
/// more than the wait that it saves.
const LARGEST_BATCH: u32 = 64;

/// The most connections accepted from a shared socket that is about to be left.
const LAST_BATCH: u32 = 4096;

const FIRST_REST: Duration = Duration::from_millis(100);
const LONGEST_REST: Duration = Duration::from_secs(1);

enum Accepted {
    Connection(OwnedFd, Option<SocketAddrAny>, TransportOptions),
    Nobody,
    Failed(Errno),
}

pub(super) fn batch(server: Server) {
    let budget = with_entry(server, |entry, _| entry.budget).unwrap_or(0);
    let taken = accept_up_to(server, budget);
    with_entry(server, |entry, token| {
        entry.budget = if taken == budget {
            (budget * 2).min(LARGEST_BATCH)
        } else {
            1
        };
        entry.update(token);
        if driver::level_needs_rearming()
            && entry.watched
            && let Some(socket) = entry.socket()
        {
            // A socket that rests is not watched, which is what it says then.
            let _ = driver::change(socket, token, Interest::Read, entry.options.trigger());
        }
    });
}

/// Accepts what is in the backlog of a shared socket, though this loop was not woken for it.
pub(super) fn waiting(server: Server) {
    let rests = with_entry(server, |entry, _| entry.rests()).unwrap_or(true);
    if !rests && accept_up_to(server, LARGEST_BATCH) == LARGEST_BATCH {
        future_tick(move || waiting(server));
    }
}

/// Accepts what is in the backlog of a shared socket that is about to be left: the wake-up for it may have been spent on this
/// loop, so that no other one would look. If it is the last one, connections that are left would be reset.
pub(super) fn last_batch(server: Server) {
    accept_up_to(server, LAST_BATCH);
}

/// Accepts connections until nobody waits or the budget is spent; returns how many were accepted or failed.
fn accept_up_to(server: Server, budget: u32) -> u32 {
    let balancer = with_entry(server, |entry, _| entry.options.balancer.clone()).flatten();
    let mut taken = 0;
    while taken < budget {
        match accept(server) {
            Accepted::Connection(socket, peer, options) => {
                taken += 1;
                let socket = match &balancer {
                    Some(balancer) => balancer.place(server, socket),
                    None => Some(socket),
                };
                if let Some(socket) = socket {
                    let peer = peer
                        .and_then(|peer| Address::try_from(peer).ok())
                        .unwrap_or(Address::UNNAMED);
                    announce(server, socket, peer, options);
                }
            }
            Accepted::Nobody => break,
            Accepted::Failed(errno) => {
                if failed(server, errno) {
                    break;
                }
                taken += 1;
            }
        }
    }
    if taken > 0
        && let Some(balancer) = &balancer
    {
        balancer.batch_accepted(server);
    }
    taken
}

fn accept(server: Server) -> Accepted {
    with_entry(server, |entry, _| {
        let Some(socket) = entry.socket().filter(|_| entry.accepts()) else {
            return Accepted::Nobody;
        };
        match accept_nonblocking(socket) {
            Ok((socket, peer)) => {
                entry.accepted += 1;
                if let Some(rest) = entry.resting.take() {
                    rest.timer.cancel();
                }
                Accepted::Connection(socket, peer, entry.options.transport())
            }
            Err(Errno::AGAIN | Errno::INTR) => Accepted::Nobody,
            Err(errno) => Accepted::Failed(errno),
        }
    })
    .unwrap_or(Accepted::Nobody)
}

#[cfg(not(any(target_vendor = "apple", target_os = "aix", target_os = "haiku")))]
fn accept_nonblocking(
    socket: std::os::fd::BorrowedFd<'_>,
) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)
}

#[cfg(any(target_vendor = "apple", target_os = "aix", target_os = "haiku"))]
fn accept_nonblocking(
    socket: std::os::fd::BorrowedFd<'_>,
) -> Result<(OwnedFd, Option<SocketAddrAny>), Errno> {
    let (socket, peer) = rustix::net::acceptfrom(socket)?;
    rustix::io::ioctl_fionbio(&socket, true)?;
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC)?;
    Ok((socket, peer))
}

/// Emits `connection`, then lets the connection read.
pub(super) fn announce(server: Server, socket: OwnedFd, peer: Address, options: TransportOptions) {
    with_entry(server, |entry, _| {
        entry.open += 1;
        if let Some(balancer) = &entry.options.balancer {
            balancer.opened();
        }
    });
    let owner = Owner {
        server: server.id,
        gone: connection_gone,
    };
    let conn = match Connection::open(socket, peer, options, Some(owner)) {
        Ok(conn) => conn,
        Err(error) => {
            connection_gone(server.id);
            return server.emit_error(error);
        }
    };
    let idle_timeout = with_entry(server, |entry, _| entry.options.idle_timeout).flatten();
    if idle_timeout.is_some() {
        conn.set_idle_timeout(idle_timeout);
    }
    match catch(|| emit(&server, Server::CONNECTION, conn)) {
        Ok(true) => {
            if let Err(message) = catch(|| conn.start()) {
                conn.panicked(&message);
            }
        }
        Ok(false) => {
            tracing::warn!("a connection was closed: its server has no connection listener");
            conn.close();
        }
        Err(message) => {
            conn.panicked(&message);
            server.emit_panic(&message);
        }
    }
}

/// Deals with an accept that failed; gives whether the batch is over.
fn failed(server: Server, errno: Errno) -> bool {
    let Some(address) = with_entry(server, |entry, _| entry.address.clone()) else {
        return true;
    };
    let error = Error::accept(address, io::Error::from(errno));
    match errno {
        // The client has gone again, or its network has: the next one is none the worse.
        Errno::CONNABORTED
        | Errno::PROTO
        | Errno::PERM
        | Errno::NETDOWN
        | Errno::NETUNREACH
        | Errno::HOSTDOWN
        | Errno::HOSTUNREACH => {
            server.emit_error(error);
            false
        }
        // The socket listens no more: whoever shares it has shut it down.
        Errno::INVAL | Errno::BADF | Errno::NOTSOCK => {
            server.emit_error(error);
            server.close();
            true
        }
        // The process or the system is out of something, as a rule of descriptors.
        _ => {
            let new_episode = rest(server);
            if new_episode {
                server.emit_error(error);
            }
            true
        }
    }
}

/// Stops accepting for a while; gives whether the last accept before had succeeded.
fn rest(server: Server) -> bool {
    let time = with_entry(server, |entry, _| {
        entry.resting.as_ref().map(|rest| rest.time)
    })
    .flatten();
    let time_now = time.map_or(FIRST_REST, |time| (time * 2).min(LONGEST_REST));
    let timer = add_timer(time_now, move || {
        with_entry(server, |entry, token| entry.update(token));
    });
    with_entry(server, |entry, token| {
        entry.resting = Some(Rest {
            time: time_now,
            timer,
        });
        entry.update(token);
    });
    time.is_none()
}
