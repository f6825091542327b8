//! Opening of files, confined to a directory.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// The result of opening a path.
#[derive(Debug)]
pub(super) enum OpenedPath {
    File(File, Metadata),
    Directory,
    /// Another file type: a FIFO, a socket or a device.
    Other,
}

/// Returns flags with which opening does not block on a FIFO and does not set the controlling terminal.
fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY
}

/// Opens a path below a directory. Symbolic links to targets outside of the directory are errors.
///
/// # Errors
/// If the system cannot open the path; `ELOOP` or `EXDEV` if it leads outside of the directory.
pub(super) fn open_below(root: &Path, path: &Path) -> io::Result<OpenedPath> {
    let path = match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    };
    #[cfg(target_os = "linux")]
    if let Some(opened) = open_beneath(root, path) {
        return opened.and_then(classify);
    }
    open_checked(root, path).and_then(classify)
}

/// Opens a path without restrictions.
///
/// # Errors
/// If the system cannot open the path.
pub(super) fn open(path: &Path) -> io::Result<OpenedPath> {
    let opened = rustix::fs::open(path, flags(), Mode::empty())?;
    classify(File::from(opened))
}

fn classify(file: File) -> io::Result<OpenedPath> {
    let metadata = file.metadata()?;
    Ok(match metadata.file_type() {
        kind if kind.is_file() => OpenedPath::File(file, metadata),
        kind if kind.is_dir() => OpenedPath::Directory,
        _ => OpenedPath::Other,
    })
}

/// Opens a path with `openat2`, in which case the kernel enforces the confinement without a race; `None` if the kernel does not support it.
#[cfg(target_os = "linux")]
fn open_beneath(root: &Path, path: &Path) -> Option<io::Result<File>> {
    use rustix::fs::ResolveFlags;
    use rustix::io::Errno;

    /// Maximum number of attempts, because concurrent renames make the kernel return `EAGAIN`.
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
            // Old kernels lack the system call, and seccomp filters may refuse it.
            Err(Errno::NOSYS | Errno::PERM) => return None,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Some(Err(error.into())),
        }
    }
    Some(Err(Errno::AGAIN.into()))
}

/// Resolves a path, checks it, and opens the result. A process with write access to the directory can change the path in between.
fn open_checked(root: &Path, path: &Path) -> io::Result<File> {
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

    /// A directory with a subdirectory `site`, which is removed on drop.
    struct TestDirectory(PathBuf);

    impl TestDirectory {
        fn new(name: &str) -> TestDirectory {
            let name = format!("uptick-http-open-{name}-{}", std::process::id());
            let directory = TestDirectory(std::env::temp_dir().join(name));
            fs::create_dir_all(directory.site().join("sub")).unwrap();
            fs::write(directory.0.join("secret"), "secret").unwrap();
            fs::write(directory.site().join("sub/page"), "page").unwrap();
            directory
        }

        fn site(&self) -> PathBuf {
            self.0.join("site")
        }
    }

    impl Drop for TestDirectory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    type Open = fn(&Path, &Path) -> io::Result<OpenedPath>;

    /// Both implementations, which must behave the same.
    const IMPLEMENTATIONS: [Open; 2] = [open_below, |root, path| {
        open_checked(root, path).and_then(classify)
    }];

    #[test]
    fn links_are_followed_only_inside_the_directory() {
        let directory = TestDirectory::new("links");
        let site = directory.site();
        symlink("sub/page", site.join("inside")).unwrap();
        symlink("../secret", site.join("outside")).unwrap();
        symlink("..", site.join("up")).unwrap();
        symlink(directory.0.join("secret"), site.join("absolute")).unwrap();
        symlink("loop", site.join("loop")).unwrap();
        for open in IMPLEMENTATIONS {
            let open = |path: &str| open(&site, Path::new(path));
            assert!(matches!(open("inside"), Ok(OpenedPath::File(..))));
            for path in ["outside", "up/secret", "absolute", "loop", "../secret"] {
                assert!(open(path).is_err(), "{path}");
            }
        }
    }

    #[test]
    fn opening_a_fifo_does_not_block() {
        let directory = TestDirectory::new("fifo");
        let site = directory.site();
        let fifo = site.join("fifo");
        let kind = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, Mode::RUSR, 0).unwrap();
        for open in IMPLEMENTATIONS {
            assert!(matches!(
                open(&site, Path::new("fifo")),
                Ok(OpenedPath::Other)
            ));
        }
        assert!(matches!(open(&fifo), Ok(OpenedPath::Other)));
    }

    #[test]
    fn directories_and_missing_files_are_distinguished() {
        let directory = TestDirectory::new("kinds");
        let site = directory.site();
        for open in IMPLEMENTATIONS {
            let open = |path: &str| open(&site, Path::new(path));
            assert!(matches!(open("sub"), Ok(OpenedPath::Directory)));
            assert_eq!(open("none").unwrap_err().kind(), io::ErrorKind::NotFound);
            let below_file = open("sub/page/x").unwrap_err().kind();
            assert_eq!(below_file, io::ErrorKind::NotADirectory);
        }
        assert!(matches!(
            open_below(&site, Path::new("")),
            Ok(OpenedPath::Directory)
        ));
    }
}
