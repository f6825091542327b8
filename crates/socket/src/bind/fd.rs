//! Listening sockets that exist already: inherited from the process that started this one.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{Errno, FdFlags};
use rustix::net::{SocketType, sockopt};

use super::Bound;
use crate::error::Cause;
use crate::{Address, InheritedSockets, SocketOptions};

/// Takes over an inherited descriptor by its number, once.
pub(super) fn take(number: RawFd, options: &SocketOptions) -> Result<Bound, Cause> {
    take_first([number], options).unwrap_or_else(|| {
        let explanation = format!("file descriptor {number} was taken over before");
        Err(Cause::explained(Errno::BUSY, explanation))
    })
}

/// Takes over the first of the sockets from the service manager that was not taken over before, or
/// the first such one of a name.
pub(super) fn take_next(
    sockets: &InheritedSockets,
    name: Option<&str>,
    options: &SocketOptions,
) -> Result<Bound, Cause> {
    let candidates: Vec<RawFd> = match name {
        Some(name) => sockets.named(name).map(|socket| socket.fd).collect(),
        None => sockets.iter().map(|socket| socket.fd).collect(),
    };
    if candidates.is_empty() {
        let names: Vec<&str> = sockets.iter().map(|socket| &*socket.name).collect();
        let explanation = match (name, &*names) {
            (_, []) => "the service manager passed no socket to this process".into(),
            (name, names) => format!(
                "the service manager passed no socket of the name {:?}, but of {names:?}",
                name.unwrap_or_default()
            ),
        };
        return Err(Cause::explained(Errno::NOENT, explanation));
    }
    let count = candidates.len();
    take_first(candidates, options).unwrap_or_else(|| {
        let explanation = format!("all of these sockets ({count}) were taken over before");
        Err(Cause::explained(Errno::BUSY, explanation))
    })
}

/// Whether a descriptor can be a server's socket, and if so, makes it ready: it will listen, not
/// block, and not be passed on to other programs.
pub(super) fn prepare(socket: impl AsFd, options: &SocketOptions) -> Result<Address, Cause> {
    let socket = socket.as_fd();
    match sockopt::socket_type(socket)? {
        SocketType::STREAM => {}
        _ => {
            return Err(Cause::explained(
                Errno::PROTOTYPE,
                "it is not a stream socket",
            ));
        }
    }
    let address = Address::local_of(socket)?;
    if !listens(socket) {
        if rustix::net::getpeername(socket).is_ok() {
            let explanation = "it is a connection, not a listening socket";
            return Err(Cause::explained(Errno::ISCONN, explanation));
        }
        // The system would choose a port, on all interfaces.
        if address.port() == Some(0) || address.is_unnamed() {
            let explanation = "the socket is not bound to an address";
            return Err(Cause::explained(Errno::INVAL, explanation));
        }
        rustix::net::listen(socket, options.system_backlog())?;
    }
    rustix::io::fcntl_setfd(socket, FdFlags::CLOEXEC)?;
    rustix::io::ioctl_fionbio(socket, true)?;
    options.apply(socket, !address.is_unix())?;
    Ok(address)
}

/// Whether a socket listens already. Where the system cannot say, listening a second time does no
/// harm.
fn listens(socket: BorrowedFd<'_>) -> bool {
    #[cfg(not(target_vendor = "apple"))]
    return sockopt::socket_acceptconn(socket).unwrap_or(false);
    #[cfg(target_vendor = "apple")]
    return {
        let _ = socket;
        false
    };
}

/// Takes over the first of `candidates` that was not taken over before. `None`: all of them were.
///
/// A number stays used up when its socket closes, since what the system gives that number to later
/// belongs to somebody else.
#[allow(unsafe_code)]
fn take_first(
    candidates: impl IntoIterator<Item = RawFd>,
    options: &SocketOptions,
) -> Option<Result<Bound, Cause>> {
    static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());

    let mut taken = TAKEN.lock().unwrap_or_else(PoisonError::into_inner);
    let number = candidates
        .into_iter()
        .find(|number| !taken.contains(number))?;
    if number < 0 {
        return Some(Err(Errno::BADF.into()));
    }
    // SAFETY: the number is not -1. If no descriptor of that number is open, the system calls made
    // with the borrow fail with EBADF and do nothing else. Nothing here closes it meanwhile.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let address = match prepare(borrowed, options) {
        Ok(address) => address,
        Err(cause) => return Some(Err(cause)),
    };
    taken.insert(number);
    // SAFETY: the descriptor is open, as `prepare` succeeded, and this function hands out each
    // number once. Whoever names a descriptor in an address gives it away (see `ListenUri::Fd`);
    // an inherited one has no other owner in this process.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    Some(Ok(Bound {
        file: None,
        socket,
        address,
    }))
}
