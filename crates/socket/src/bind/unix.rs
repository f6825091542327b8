//! Unix sockets and their files.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, Gid, Mode, OFlags, RawMode, Uid};
use rustix::io::Errno;
use rustix::net::SocketAddrUnix;
use socket2::Domain;
use uptick_event_loop::errno;

use super::{Bound, stream_socket};
use crate::error::Cause;
use crate::{Account, Address, SocketOptions, UnixListenUri, UnixName};

pub(super) fn bind(uri: &UnixListenUri, options: &SocketOptions) -> Result<Bound, Cause> {
    let permissions = FilePermissions::of(uri)?;
    let socket = stream_socket(Domain::UNIX, None)?;
    options.apply(&socket, false)?;
    let name = match uri.name.to_system() {
        Err(Errno::OPNOTSUPP) => {
            let explanation = "only Linux has abstract socket names";
            return Err(Cause::explained(Errno::OPNOTSUPP, explanation));
        }
        name => name?,
    };
    let file = match &uri.name {
        UnixName::Abstract(_) => {
            rustix::net::bind(&socket, &name)?;
            socket.listen(options.system_backlog())?;
            None
        }
        UnixName::Path(path) => {
            // The lock is held until the socket listens. Before that, the file looks like one whose server is gone.
            let _lock = DirectoryLock::take(path);
            if let Some(mode) = permissions.mode {
                // On Linux the file is created with this mode, less the umask, and so is never accessible to more users
                // than intended. On other systems this may fail, which does no harm: no client can connect before the
                // socket listens.
                let _ = rustix::fs::fchmod(&socket, mode);
            }
            match rustix::net::bind(&socket, &name) {
                Err(Errno::ADDRINUSE) => {
                    remove_stale(path, &name)?;
                    rustix::net::bind(&socket, &name)?;
                }
                result => result?,
            }
            let file = SocketFile::at(path)?;
            permissions.apply(&file)?;
            socket.listen(options.system_backlog())?;
            Some(file)
        }
    };
    Ok(Bound {
        file,
        address: Address::from(uri.name.clone()),
        socket: socket.into(),
    })
}

/// Removes a socket file, unless a server still listens on it.
fn remove_stale(path: &Path, name: &SocketAddrUnix) -> Result<(), Cause> {
    let found = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        let explanation = "a file exists that is not a socket; it was not replaced";
        return Err(Cause::explained(Errno::NOTSOCK, explanation));
    }
    let probe = stream_socket(Domain::UNIX, None)?;
    match rustix::net::connect(&probe, name) {
        Err(Errno::CONNREFUSED) => {}
        Err(Errno::NOENT) => return Ok(()),
        // EAGAIN is a full backlog, EPROTOTYPE a socket of a different type.
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => {
            return Err(Errno::ADDRINUSE.into());
        }
        Err(error) => {
            let explanation = format!(
                "a socket file exists, and checking whether a server listens on it failed: {}",
                errno::describe(&error.into())
            );
            return Err(Cause::explained(Errno::ADDRINUSE, explanation));
        }
    }
    if !fs::symlink_metadata(path).is_ok_and(|now| is_same(&now, &found)) {
        return Err(Errno::ADDRINUSE.into());
    }
    Ok(fs::remove_file(path)?)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// The file of a listening Unix socket. Dropping it removes the file, if it is still the one that this process created
/// and not that of a later server. A forked process does not remove the file of its parent.
///
/// Drop it before the socket closes. After that, another server could take the path with a file that looks the same.
#[derive(Debug)]
pub struct SocketFile {
    /// Absolute path, which stays valid when the working directory changes.
    path: PathBuf,
    device: u64,
    inode: u64,
    process: u32,
    keep: bool,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: std::path::absolute(path)?,
            device: metadata.dev(),
            inode: metadata.ino(),
            process: std::process::id(),
            keep: false,
        })
    }

    /// Returns the absolute path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the file in place, for a process that continues with the same socket.
    pub fn keep(mut self) {
        self.keep = true;
    }

    fn is_this(&self, device: u64, inode: u64) -> bool {
        (self.device, self.inode) == (device, inode)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.keep || self.process != std::process::id() {
            return;
        }
        if let Ok(found) = fs::symlink_metadata(&self.path)
            && self.is_this(found.dev(), found.ino())
        {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The mode and the owners of a socket file.
struct FilePermissions {
    mode: Option<Mode>,
    owner: Option<Uid>,
    group: Option<Gid>,
}

impl FilePermissions {
    fn of(uri: &UnixListenUri) -> Result<Self, Cause> {
        let owner = uri.owner.as_ref().map(|owner| id(owner, "/etc/passwd"));
        let group = uri.group.as_ref().map(|group| id(group, "/etc/group"));
        Ok(Self {
            mode: uri.mode.map(|mode| Mode::from_raw_mode(mode as RawMode)),
            owner: owner.transpose()?.map(Uid::from_raw),
            group: group.transpose()?.map(Gid::from_raw),
        })
    }

    /// Applies the mode and the owners to the file, before the socket listens.
    ///
    /// The calls go through a descriptor of the file, so that a user who can rename files in the directory cannot
    /// substitute another file.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn apply(&self, file: &SocketFile) -> Result<(), Cause> {
        use std::os::fd::AsRawFd;

        use rustix::fs::AtFlags;

        if self.mode.is_none() && self.owner.is_none() && self.group.is_none() {
            return Ok(());
        }
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(&file.path, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&opened)?;
        if !file.is_this(stat.st_dev, stat.st_ino) {
            let explanation = "another process replaced the socket's file";
            return Err(Cause::explained(Errno::STALE, explanation));
        }
        if let Some(mode) = self.mode
            && Mode::from_raw_mode(stat.st_mode) != mode
        {
            // fchmod(2) does not accept an `O_PATH` descriptor, and a socket cannot be opened in any other way.
            let link = format!("/proc/self/fd/{}", opened.as_raw_fd());
            match rustix::fs::chmod(link, mode) {
                Err(Errno::NOENT) => rustix::fs::chmod(&file.path, mode)?,
                result => result?,
            }
        }
        if self.owner.is_some() || self.group.is_some() {
            rustix::fs::chownat(&opened, "", self.owner, self.group, AtFlags::EMPTY_PATH)?;
        }
        Ok(())
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn apply(&self, file: &SocketFile) -> Result<(), Cause> {
        use rustix::fs::{AtFlags, CWD};

        if let Some(mode) = self.mode {
            rustix::fs::chmod(&file.path, mode)?;
        }
        if self.owner.is_some() || self.group.is_some() {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(CWD, &file.path, self.owner, self.group, flags)?;
        }
        Ok(())
    }
}

/// Returns the number of an account, the third field of both `/etc/passwd` and `/etc/group`.
fn id(account: &Account, table: &str) -> Result<u32, Cause> {
    let name = match account {
        Account::Id(id) => return Ok(*id),
        Account::Name(name) => name,
    };
    let content = fs::read(table)?;
    id_in(&String::from_utf8_lossy(&content), name).ok_or_else(|| {
        let explanation = format!(
            "{table} has no entry {name:?}; use the number of an account from another source"
        );
        Cause::explained(Errno::INVAL, explanation)
    })
}

fn id_in(table: &str, name: &str) -> Option<u32> {
    table.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then_some(())?;
        fields.nth(1)?.parse().ok()
    })
}

/// A lock against other servers that replace sockets in the same directory. It is advisory and best-effort: `bind`
/// continues without it if it is not acquired in time.
struct DirectoryLock {
    _directory: OwnedFd,
}

impl DirectoryLock {
    const ATTEMPTS: u32 = 50;
    const PAUSE: Duration = Duration::from_millis(5);

    fn take(path: &Path) -> Option<Self> {
        let parent = match path.parent()? {
            parent if parent.as_os_str().is_empty() => Path::new("."),
            parent => parent,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = rustix::fs::open(parent, flags, Mode::empty()).ok()?;
        for _ in 0..Self::ATTEMPTS {
            match rustix::fs::flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {
                    return Some(Self {
                        _directory: directory,
                    });
                }
                Err(Errno::WOULDBLOCK) => std::thread::sleep(Self::PAUSE),
                Err(_) => return None,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_full_name() {
        let table = "rooty:x:5:5\nroot:x:0:0:root:/root:/bin/sh\n\nbroken\nbad:x:y\nwww:x:33:\n";
        assert_eq!(id_in(table, "root"), Some(0));
        assert_eq!(id_in(table, "www"), Some(33));
        assert_eq!(id_in(table, "oot"), None);
        assert_eq!(id_in(table, "bad"), None);
        assert_eq!(id_in(table, "broken"), None);
        assert_eq!(id_in(table, ""), None);
    }

    #[test]
    fn a_forked_process_does_not_remove_the_file_of_its_parent() {
        let path = std::env::temp_dir().join(format!("uptick-forked-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        let mut file = SocketFile::at(&path).unwrap();
        file.process = 1;
        drop(file);
        assert!(path.exists());
        drop(SocketFile::at(&path).unwrap());
        assert!(!path.exists());
    }
}
