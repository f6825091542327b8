//! Existing listening sockets, inherited from the parent process.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, PoisonError};

use rustix::io::{Errno, FdFlags};
use rustix::net::{SocketType, sockopt};

use super::Bound;
use crate::error::Cause;
use crate::{Address, InheritedSockets, SocketOptions};

/// Takes an inherited descriptor by its number, once.
pub(super) fn take_inherited(number: RawFd, options: &SocketOptions) -> Result<Bound, Cause> {
    take_first([number], options).unwrap_or_else(|| {
        let explanation = format!("file descriptor {number} was already taken over");
        Err(Cause::explained(Errno::BUSY, explanation))
    })
}

/// Takes the first socket of the service manager that was not taken before, or the first such one with this name.
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
                "the service manager passed no socket with the name {:?}, only {names:?}",
                name.unwrap_or_default()
            ),
        };
        return Err(Cause::explained(Errno::NOENT, explanation));
    }
    let count = candidates.len();
    take_first(candidates, options).unwrap_or_else(|| {
        let explanation = format!("all of these sockets ({count}) were already taken over");
        Err(Cause::explained(Errno::BUSY, explanation))
    })
}

/// Checks that a descriptor can be a server's socket, and makes it listening, non-blocking and close-on-exec.
pub(super) fn prepare(socket: impl AsFd, options: &SocketOptions) -> Result<Address, Cause> {
    let socket = socket.as_fd();
    match sockopt::socket_type(socket)? {
        SocketType::STREAM => {}
        _ => {
            return Err(Cause::explained(
                Errno::PROTOTYPE,
                "the socket is not a stream socket",
            ));
        }
    }
    let address = Address::local_of(socket)?;
    if !is_listening(socket) {
        if rustix::net::getpeername(socket).is_ok() {
            let explanation = "the socket is a connection, not a listening socket";
            return Err(Cause::explained(Errno::ISCONN, explanation));
        }
        // `listen` would bind the socket to a port of the system's choice, on all interfaces.
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

/// Returns `true` if a socket is already listening. On systems that do not report this, `false`: listening a second
/// time is harmless.
fn is_listening(socket: BorrowedFd<'_>) -> bool {
    #[cfg(not(target_vendor = "apple"))]
    return sockopt::socket_acceptconn(socket).unwrap_or(false);
    #[cfg(target_vendor = "apple")]
    return {
        let _ = socket;
        false
    };
}

/// Takes the first of `candidates` that was not taken before; `None` if all of them were.
///
/// A number stays taken after its socket closes, because the system may reuse it for an unrelated descriptor.
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
    // with the borrow fail with EBADF and do nothing else. Nothing here closes it in the meantime.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    let address = match prepare(borrowed, options) {
        Ok(address) => address,
        Err(cause) => return Some(Err(cause)),
    };
    taken.insert(number);
    // SAFETY: the descriptor is open, as `prepare` succeeded, and this function returns each number once. The caller
    // that names a descriptor in an address passes its ownership (see `ListenUri::Fd`); an inherited descriptor has no
    // other owner in this process.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    Some(Ok(Bound {
        file: None,
        socket,
        address,
    }))
}
