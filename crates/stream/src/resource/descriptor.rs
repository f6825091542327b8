//! Descriptors as streams take them in: what they are, and how to read and write them without waiting.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, open};
use rustix::io::Errno;
use rustix::net::SocketType;
use rustix::net::sockopt::socket_type;

use crate::error::Error;
use crate::transport::{SocketFamily, TransportOptions};

/// What is kept with a resource stream.
#[derive(Debug)]
pub struct Resource {
    name: Name,
    /// Gives the descriptor back as it was.
    _restore: Option<Restore>,
}

#[derive(Debug)]
enum Name {
    Descriptor(RawFd),
    Standard(&'static str),
    Path(Arc<str>),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Name::Descriptor(fd) => write!(f, "file descriptor {fd}"),
            Name::Standard(name) => f.write_str(name),
            Name::Path(path) => f.write_str(path),
        }
    }
}

impl Resource {
    /// Says which stream an error is of.
    pub(super) fn error(&self, error: Error) -> Error {
        Error::Of {
            stream: self.name.to_string().into(),
            source: Arc::new(error),
        }
    }
}

/// A descriptor that is ready to be a stream.
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) options: TransportOptions,
    pub(super) resource: Resource,
}

impl Opened {
    /// Takes a descriptor that the program owns.
    pub(super) fn adopt(fd: OwnedFd) -> Result<Opened, Error> {
        let name = Name::Descriptor(fd.as_raw_fd());
        Self::prepare(fd, name).map_err(|(name, error)| Error::open(name.to_string(), error))
    }

    pub(super) fn path(path: &Path, flags: OFlags) -> Result<Opened, Error> {
        let name: Arc<str> = path.display().to_string().into();
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o666);
        let fd = open(path, flags, mode).map_err(|errno| Error::open(Arc::clone(&name), errno))?;
        Self::prepare(fd, Name::Path(name))
            .map_err(|(name, error)| Error::open(name.to_string(), error))
    }

    /// Takes a descriptor that other processes may hold too, as a shell does: theirs stays as it is.
    pub(super) fn inherit(
        fd: BorrowedFd<'_>,
        name: &'static str,
        access: OFlags,
    ) -> Result<Opened, Error> {
        Self::share(fd, name, access).map_err(|error| Error::open(name, error))
    }

    fn share(fd: BorrowedFd<'_>, name: &'static str, access: OFlags) -> io::Result<Opened> {
        let options = options_of(fd)?;
        let name = Name::Standard(name);
        // A file is read where the others have left off.
        if !options.blocks
            && !options.is_socket
            && let Some(fd) = reopen(fd, access)
        {
            let resource = Resource {
                name,
                _restore: None,
            };
            return Ok(Opened {
                fd,
                options,
                resource,
            });
        }
        let restore = Restore::of(fd)?;
        let opened = Self::prepare(fd.try_clone_to_owned()?, name).map_err(|(_, error)| error)?;
        Ok(Opened {
            resource: Resource {
                name: opened.resource.name,
                _restore: restore,
            },
            ..opened
        })
    }

    fn prepare(fd: OwnedFd, name: Name) -> Result<Opened, (Name, io::Error)> {
        let options = match options_of(fd.as_fd()) {
            Ok(options) => options,
            Err(error) => return Err((name, error)),
        };
        if !options.blocks
            && let Err(errno) = rustix::io::ioctl_fionbio(&fd, true)
        {
            return Err((name, errno.into()));
        }
        let resource = Resource {
            name,
            _restore: None,
        };
        Ok(Opened {
            fd,
            options,
            resource,
        })
    }
}

fn options_of(fd: BorrowedFd<'_>) -> io::Result<TransportOptions> {
    let kind = FileType::from_raw_mode(fstat(fd)?.st_mode);
    match kind {
        FileType::Directory => return Err(Errno::ISDIR.into()),
        FileType::Socket if socket_type(fd)? != SocketType::STREAM => {
            return Err(Errno::PROTOTYPE.into());
        }
        _ => {}
    }
    Ok(TransportOptions {
        is_socket: kind == FileType::Socket,
        family: match kind {
            FileType::Socket => SocketFamily::of(fd),
            _ => SocketFamily::Other,
        },
        blocks: matches!(kind, FileType::RegularFile | FileType::BlockDevice),
        shared: true,
        ..TransportOptions::default()
    })
}

/// Opens the pipe or the terminal behind a descriptor once more. The `O_NONBLOCK` of the new one is its own; that of a
/// duplicate would be shared with every process that has inherited the descriptor.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn reopen(fd: BorrowedFd<'_>, access: OFlags) -> Option<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).ok()
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn reopen(_: BorrowedFd<'_>, _: OFlags) -> Option<OwnedFd> {
    None
}

/// Makes a shared descriptor blocking again when it is dropped.
#[derive(Debug)]
struct Restore {
    fd: OwnedFd,
    flags: OFlags,
}

impl Restore {
    /// `None` when nothing will have to be restored.
    fn of(fd: BorrowedFd<'_>) -> io::Result<Option<Restore>> {
        let flags = fcntl_getfl(fd)?;
        if flags.contains(OFlags::NONBLOCK) {
            return Ok(None);
        }
        let fd = fd.try_clone_to_owned()?;
        Ok(Some(Restore { fd, flags }))
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        if let Err(errno) = fcntl_setfl(&self.fd, self.flags) {
            tracing::warn!("making a file descriptor blocking again failed: {errno}");
        }
    }
}
