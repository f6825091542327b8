//! Preparation of descriptors for streams: their type, and non-blocking access.

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

/// The data kept with a resource stream.
#[derive(Debug)]
pub struct Resource {
    name: ResourceName,
    /// Restores the mode of the descriptor when dropped.
    _restore: Option<RestoreBlocking>,
}

#[derive(Debug)]
enum ResourceName {
    Descriptor(RawFd),
    Standard(&'static str),
    Path(Arc<str>),
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourceName::Descriptor(fd) => write!(f, "file descriptor {fd}"),
            ResourceName::Standard(name) => f.write_str(name),
            ResourceName::Path(path) => f.write_str(path),
        }
    }
}

impl Resource {
    /// Adds the name of the stream to an error.
    pub(super) fn error(&self, error: Error) -> Error {
        Error::Stream {
            stream: self.name.to_string().into(),
            source: Arc::new(error),
        }
    }
}

/// A descriptor that is ready for a stream.
pub(super) struct OpenedResource {
    pub(super) fd: OwnedFd,
    pub(super) options: TransportOptions,
    pub(super) resource: Resource,
}

impl OpenedResource {
    /// Prepares a descriptor that the program owns.
    pub(super) fn adopt(fd: OwnedFd) -> Result<OpenedResource, Error> {
        let name = ResourceName::Descriptor(fd.as_raw_fd());
        Self::prepare(fd, name).map_err(|(name, error)| Error::open(name.to_string(), error))
    }

    pub(super) fn path(path: &Path, flags: OFlags) -> Result<OpenedResource, Error> {
        let name: Arc<str> = path.display().to_string().into();
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let mode = Mode::from_raw_mode(0o666);
        let fd = open(path, flags, mode).map_err(|errno| Error::open(Arc::clone(&name), errno))?;
        Self::prepare(fd, ResourceName::Path(name))
            .map_err(|(name, error)| Error::open(name.to_string(), error))
    }

    /// Prepares a descriptor that may be shared with other processes, such as a shell; the mode of their descriptor is kept.
    pub(super) fn inherit(
        fd: BorrowedFd<'_>,
        name: &'static str,
        access: OFlags,
    ) -> Result<OpenedResource, Error> {
        Self::share(fd, name, access).map_err(|error| Error::open(name, error))
    }

    fn share(fd: BorrowedFd<'_>, name: &'static str, access: OFlags) -> io::Result<OpenedResource> {
        let options = options_for(fd)?;
        let name = ResourceName::Standard(name);
        // A file is not reopened, as it must keep the shared position.
        if !options.blocks
            && !options.is_socket
            && let Some(fd) = reopen(fd, access)
        {
            let resource = Resource {
                name,
                _restore: None,
            };
            return Ok(OpenedResource {
                fd,
                options,
                resource,
            });
        }
        let restore = RestoreBlocking::of(fd)?;
        let opened = Self::prepare(fd.try_clone_to_owned()?, name).map_err(|(_, error)| error)?;
        Ok(OpenedResource {
            resource: Resource {
                name: opened.resource.name,
                _restore: restore,
            },
            ..opened
        })
    }

    fn prepare(
        fd: OwnedFd,
        name: ResourceName,
    ) -> Result<OpenedResource, (ResourceName, io::Error)> {
        let options = match options_for(fd.as_fd()) {
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
        Ok(OpenedResource {
            fd,
            options,
            resource,
        })
    }
}

fn options_for(fd: BorrowedFd<'_>) -> io::Result<TransportOptions> {
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

/// Opens the pipe or terminal of a descriptor again. The new descriptor has its own `O_NONBLOCK` flag; a duplicate would
/// share the flag with every process that has inherited the descriptor.
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

/// A guard that makes a shared descriptor blocking again when it is dropped.
#[derive(Debug)]
struct RestoreBlocking {
    fd: OwnedFd,
    flags: OFlags,
}

impl RestoreBlocking {
    /// Creates the guard; returns `None` if the descriptor is already non-blocking.
    fn of(fd: BorrowedFd<'_>) -> io::Result<Option<RestoreBlocking>> {
        let flags = fcntl_getfl(fd)?;
        if flags.contains(OFlags::NONBLOCK) {
            return Ok(None);
        }
        let fd = fd.try_clone_to_owned()?;
        Ok(Some(RestoreBlocking { fd, flags }))
    }
}

impl Drop for RestoreBlocking {
    fn drop(&mut self) {
        if let Err(errno) = fcntl_setfl(&self.fd, self.flags) {
            tracing::warn!("making a file descriptor blocking again failed: {errno}");
        }
    }
}
