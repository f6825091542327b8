//! Opening a file below a directory, and nothing outside of it.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// What a path is.
#[derive(Debug)]
pub(super) enum Found {
    File(File, Metadata),
    Directory,
    /// Neither: a FIFO, a socket, a device.
    Other,
}

/// Not to wait for the writer of a FIFO, nor to get a controlling terminal.
fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Opens a path below a directory. Symbolic links that lead out of it are errors.
///
/// # Errors
/// Those of the system; `ELOOP` or `EXDEV` for a way out.
pub(super) fn below(root: &Path, path: &Path) -> io::Result<Found> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    #[cfg(target_os = "linux")]
    if let Some(opened) = beneath(root, path) {
        return opened.and_then(found);
    }
    checked(root, path).and_then(found)
}

/// Opens a path, wherever it leads.
///
/// # Errors
/// Those of the system.
pub(super) fn anywhere(path: &Path) -> io::Result<Found> {
    let opened = rustix::fs::open(path, flags(), Mode::empty())?;
    found(File::from(opened))
}

fn found(file: File) -> io::Result<Found> {
    let metadata = file.metadata()?;
    Ok(match metadata.file_type() {
        kind if kind.is_file() => Found::File(file, metadata),
        kind if kind.is_dir() => Found::Directory,
        _ => Found::Other,
    })
}

/// Has the kernel watch the way, so that nobody can change a link after a look at it. `None` when it cannot.
#[cfg(target_os = "linux")]
fn beneath(root: &Path, path: &Path) -> Option<io::Result<File>> {
    use rustix::fs::ResolveFlags;
    use rustix::io::Errno;

    /// Renames on the way make the kernel give up, with `EAGAIN`.
    const ATTEMPTS: usize = 8;

    let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = match rustix::fs::open(root, directory, Mode::empty()) {
        Ok(root) => root,
        Err(error) => return Some(Err(error.into())),
    };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..ATTEMPTS {
        match rustix::fs::openat2(&root, path, flags(), Mode::empty(), resolve) {
            Ok(file) => return Some(Ok(File::from(file))),
            // Old kernels do not have the call, and filters of system calls may refuse it.
            Err(Errno::NOSYS | Errno::PERM) => return None,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Some(Err(error.into())),
        }
    }
    Some(Err(Errno::AGAIN.into()))
}

/// Looks where the path leads, then opens that. Whoever can write in the directory can change it in between.
fn checked(root: &Path, path: &Path) -> io::Result<File> {
    let root = root.canonicalize()?;
    let path = root.join(path).canonicalize()?;
    if !path.starts_with(&root) {
        return Err(rustix::io::Errno::XDEV.into());
    }
    let flags = flags() | OFlags::NOFOLLOW;
    let opened = rustix::fs::open(&path, flags, Mode::empty())?;
    Ok(File::from(opened))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use super::*;

    /// A directory with `site` in it, that is removed at the end.
    struct Place(PathBuf);

    impl Place {
        fn new(name: &str) -> Place {
            let name = format!("uptick-http-open-{name}-{}", std::process::id());
            let place = Place(std::env::temp_dir().join(name));
            fs::create_dir_all(place.site().join("sub")).unwrap();
            fs::write(place.0.join("secret"), "secret").unwrap();
            fs::write(place.site().join("sub/page"), "page").unwrap();
            place
        }

        fn site(&self) -> PathBuf {
            self.0.join("site")
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    type Open = fn(&Path, &Path) -> io::Result<Found>;

    /// Both ways to open, as they have to do the same.
    const WAYS: [Open; 2] = [below, |root, path| checked(root, path).and_then(found)];

    #[test]
    fn links_are_followed_only_inside() {
        let place = Place::new("links");
        let site = place.site();
        symlink("sub/page", site.join("inside")).unwrap();
        symlink("../secret", site.join("outside")).unwrap();
        symlink("..", site.join("up")).unwrap();
        symlink(place.0.join("secret"), site.join("absolute")).unwrap();
        symlink("loop", site.join("loop")).unwrap();
        for open in WAYS {
            let open = |path: &str| open(&site, Path::new(path));
            assert!(matches!(open("inside"), Ok(Found::File(..))));
            for path in ["outside", "up/secret", "absolute", "loop", "../secret"] {
                assert!(open(path).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn a_fifo_is_neither_file_nor_directory_and_nobody_waits_for_it() {
        let place = Place::new("fifo");
        let site = place.site();
        let fifo = site.join("fifo");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, Mode::RUSR, 0).unwrap();
        for open in WAYS {
            assert!(matches!(open(&site, Path::new("fifo")), Ok(Found::Other)));
        }
        assert!(matches!(anywhere(&fifo), Ok(Found::Other)));
    }

    #[test]
    fn directories_and_what_is_missing_are_told_apart() {
        let place = Place::new("kinds");
        let site = place.site();
        for open in WAYS {
            let open = |path: &str| open(&site, Path::new(path));
            assert!(matches!(open("sub"), Ok(Found::Directory)));
            assert_eq!(open("none").unwrap_err().kind(), io::ErrorKind::NotFound);
            let below_file = open("sub/page/x").unwrap_err().kind();
            assert_eq!(below_file, io::ErrorKind::NotADirectory);
        }
        assert!(matches!(below(&site, Path::new("")), Ok(Found::Directory)));
    }
}
