//! Accepting connections: in batches, and without busy-waiting when the process is out of descriptors.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::SocketAddrAny;
use uptick_emitter::emit;
use uptick_event_loop::{Interest, add_timer, catch, driver, future_tick};
use uptick_stream::transport::TransportOptions;

use super::{AcceptBackoff, Server, connection_gone, with_entry};
use crate::Address;
use crate::connection::{Connection, OwningServer};
use crate::error::Error;

/// Maximum size of a batch. Batches start at 1 and double while they are filled, because an accept without a pending
/// connection costs more than the wait that it saves.
const MAX_BATCH: u32 = 64;

/// Maximum number of connections accepted from a shared socket before the server stops using it.
const MAX_LAST_BATCH: u32 = 4096;

const MIN_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(1);

enum AcceptOutcome {
    Connection(OwnedFd, Option<SocketAddrAny>, TransportOptions),
    Empty,
    Failed(Errno),
}

pub(super) fn accept_batch(server: Server) {
    let budget = with_entry(server, |entry, _| entry.budget).unwrap_or(0);
    let taken = accept_up_to(server, budget);
    with_entry(server, |entry, token| {
        entry.budget = if taken == budget {
            (budget * 2).min(MAX_BATCH)
        } else {
            1
        };
        entry.update(token);
        if driver::level_needs_rearming()
            && entry.watched
            && let Some(socket) = entry.socket()
        {
            // The socket is not watched while accepting is suspended; the call then fails, which is expected.
            let _ = driver::change(socket, token, Interest::Read, entry.options.trigger());
        }
    });
}

/// Accepts the connections in the backlog of a shared socket, without having been woken for them.
pub(super) fn accept_backlog(server: Server) {
    let is_backing_off = with_entry(server, |entry, _| entry.is_backing_off()).unwrap_or(true);
    if !is_backing_off && accept_up_to(server, MAX_BATCH) == MAX_BATCH {
        future_tick(move || accept_backlog(server));
    }
}

/// Accepts the connections in the backlog of a shared socket before the server stops using it. This loop may have been
/// the only one that was woken for them. If it is the last owner of the socket, the remaining connections would be
/// reset.
pub(super) fn accept_last_batch(server: Server) {
    accept_up_to(server, MAX_LAST_BATCH);
}

/// Accepts connections until the backlog is empty or the budget is spent. Returns the number of accepted and failed
/// connections.
fn accept_up_to(server: Server, budget: u32) -> u32 {
    let balancer = with_entry(server, |entry, _| entry.options.balancer.clone()).flatten();
    let mut taken = 0;
    while taken < budget {
        match accept(server) {
            AcceptOutcome::Connection(socket, peer, options) => {
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
            AcceptOutcome::Empty => break,
            AcceptOutcome::Failed(errno) => {
                if handle_error(server, errno) {
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

fn accept(server: Server) -> AcceptOutcome {
    with_entry(server, |entry, _| {
        let Some(socket) = entry.socket().filter(|_| entry.accepts()) else {
            return AcceptOutcome::Empty;
        };
        match accept_nonblocking(socket) {
            Ok((socket, peer)) => {
                entry.accepted += 1;
                if let Some(rest) = entry.backoff.take() {
                    rest.timer.cancel();
                }
                AcceptOutcome::Connection(socket, peer, entry.options.transport())
            }
            Err(Errno::AGAIN | Errno::INTR) => AcceptOutcome::Empty,
            Err(errno) => AcceptOutcome::Failed(errno),
        }
    })
    .unwrap_or(AcceptOutcome::Empty)
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

/// Emits `connection`, then starts the connection.
pub(super) fn announce(server: Server, socket: OwnedFd, peer: Address, options: TransportOptions) {
    with_entry(server, |entry, _| {
        entry.open += 1;
        if let Some(balancer) = &entry.options.balancer {
            balancer.opened();
        }
    });
    let owner = OwningServer {
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

/// Handles the error of an accept. Returns `true` if the batch must end.
fn handle_error(server: Server, errno: Errno) -> bool {
    let Some(address) = with_entry(server, |entry, _| entry.address.clone()) else {
        return true;
    };
    let error = Error::accept(address, io::Error::from(errno));
    match errno {
        // The client or its network is gone, which does not affect the next connection.
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
        // The socket no longer listens: another owner has shut it down.
        Errno::INVAL | Errno::BADF | Errno::NOTSOCK => {
            server.emit_error(error);
            server.close();
            true
        }
        // The process or the system has run out of a resource, usually descriptors.
        _ => {
            let new_episode = back_off(server);
            if new_episode {
                server.emit_error(error);
            }
            true
        }
    }
}

/// Suspends accepting for a while. Returns `true` if the previous accept had succeeded.
fn back_off(server: Server) -> bool {
    let time = with_entry(server, |entry, _| {
        entry.backoff.as_ref().map(|rest| rest.time)
    })
    .flatten();
    let time_now = time.map_or(MIN_BACKOFF, |time| (time * 2).min(MAX_BACKOFF));
    let timer = add_timer(time_now, move || {
        with_entry(server, |entry, token| entry.update(token));
    });
    with_entry(server, |entry, token| {
        entry.backoff = Some(AcceptBackoff {
            time: time_now,
            timer,
        });
        entry.update(token);
    });
    time.is_none()
}
