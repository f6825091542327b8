//! Operating system errors with their errno names: `Connection refused (ECONNREFUSED)`.
//!
//! Rust prints `Connection refused (os error 111)`, where the number differs between systems. Error
//! texts in Uptick catch_and_log the errno name instead.

use std::io::{Error, ErrorKind};

use rustix::io::Errno;

/// Pairs each constant of [`Errno`] with its C name, which is the constant's name after an `E`.
macro_rules! errno_names {
    ($($constant:ident)*) => { [$((Errno::$constant, concat!("E", stringify!($constant)))),*] };
}

/// Errno names that differ from the name of the constant.
const RENAMED: &[(Errno, &str)] = &[(Errno::ACCESS, "EACCES"), (Errno::TOOBIG, "E2BIG")];

/// Errno names that exist on all systems. If two names share a number (EAGAIN and EWOULDBLOCK, EOPNOTSUPP and ENOTSUP), the
/// first one listed is used.
const COMMON: &[(Errno, &str)] = &errno_names![
    ADDRINUSE ADDRNOTAVAIL AFNOSUPPORT AGAIN ALREADY BADF BADMSG BUSY CANCELED CHILD CONNABORTED
    CONNREFUSED CONNRESET DEADLK DESTADDRREQ DOM DQUOT EXIST FAULT FBIG HOSTDOWN HOSTUNREACH IDRM
    ILSEQ INPROGRESS INTR INVAL IO ISCONN ISDIR LOOP MFILE MLINK MSGSIZE NAMETOOLONG NETDOWN
    NETRESET NETUNREACH NFILE NOBUFS NODEV NOENT NOEXEC NOLCK NOMEM NOMSG NOPROTOOPT NOSPC NOSYS
    NOTBLK NOTCONN NOTDIR NOTEMPTY NOTSOCK NOTTY NXIO OPNOTSUPP NOTSUP OVERFLOW PERM PFNOSUPPORT
    PIPE PROTO PROTONOSUPPORT PROTOTYPE RANGE REMOTE ROFS SHUTDOWN SOCKTNOSUPPORT SPIPE SRCH STALE
    TIMEDOUT TOOMANYREFS TXTBSY USERS WOULDBLOCK XDEV
];

/// Errno names that exist only on some systems.
#[cfg(any(target_os = "linux", target_os = "android"))]
const PLATFORM: &[(Errno, &str)] = &errno_names![
    BADFD COMM ISNAM KEYEXPIRED KEYREJECTED KEYREVOKED MEDIUMTYPE MULTIHOP NODATA NOKEY NOLINK
    NOMEDIUM NONET NOPKG NOSR NOSTR NOTNAM NOTRECOVERABLE NOTUNIQ OWNERDEAD REMCHG REMOTEIO RESTART
    STRPIPE TIME UCLEAN UNATCH
];
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const PLATFORM: &[(Errno, &str)] = &[];

/// Returns the errno name of an I/O error, such as `"ECONNREFUSED"`.
///
/// An error without a code of the operating system (one created from an [`ErrorKind`]) has the
/// name of the only errno of that kind. The result is `None` if there is no such errno or more
/// than one (`PermissionDenied` is EACCES or EPERM), and for an unknown code.
///
/// # Examples
///
/// ```
/// use std::io::{Error, ErrorKind};
/// use uptick_event_loop::errno;
///
/// let missing = std::fs::File::open("/no/such/file").unwrap_err();
/// assert_eq!(errno::name(&missing), Some("ENOENT"));
/// assert_eq!(errno::name(&Error::from(ErrorKind::TimedOut)), Some("ETIMEDOUT"));
/// assert_eq!(errno::name(&Error::other("no such user")), None);
/// ```
pub fn name(error: &Error) -> Option<&'static str> {
    let error = innermost(error);
    match error.raw_os_error() {
        Some(_) => name_of_code(Errno::from_io_error(error)?),
        None => name_of_kind(error.kind()),
    }
}

/// Returns the text of an I/O error with its errno name: `Connection refused (ECONNREFUSED)`.
///
/// The text of an error without a [`name`] is returned unchanged.
///
/// # Examples
///
/// ```
/// use uptick_event_loop::errno;
///
/// let missing = std::fs::File::open("/no/such/file").unwrap_err();
/// assert_eq!(errno::describe(&missing), "No such file or directory (ENOENT)");
/// ```
pub fn describe(error: &Error) -> String {
    let error = innermost(error);
    let mut text = error.to_string();
    let Some(name) = name(error) else { return text };
    if let Some(code) = error.raw_os_error() {
        let suffix = format!(" (os error {code})");
        if text.ends_with(&suffix) {
            text.truncate(text.len() - suffix.len());
        }
    }
    let named = format!(" ({name})");
    if !text.ends_with(&named) {
        text.push_str(&named);
    }
    text
}

/// Returns the innermost of nested `io::Error`s.
fn innermost(error: &Error) -> &Error {
    let mut error = error;
    while let Some(inner) = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        error = inner;
    }
    error
}

fn name_of_code(code: Errno) -> Option<&'static str> {
    [RENAMED, COMMON, PLATFORM]
        .into_iter()
        .flatten()
        .find(|(errno, _)| *errno == code)
        .map(|(_, name)| *name)
}

fn name_of_kind(kind: ErrorKind) -> Option<&'static str> {
    Some(match kind {
        ErrorKind::AddrInUse => "EADDRINUSE",
        ErrorKind::AddrNotAvailable => "EADDRNOTAVAIL",
        ErrorKind::AlreadyExists => "EEXIST",
        ErrorKind::ArgumentListTooLong => "E2BIG",
        ErrorKind::BrokenPipe => "EPIPE",
        ErrorKind::ConnectionAborted => "ECONNABORTED",
        ErrorKind::ConnectionRefused => "ECONNREFUSED",
        ErrorKind::ConnectionReset => "ECONNRESET",
        ErrorKind::CrossesDevices => "EXDEV",
        ErrorKind::Deadlock => "EDEADLK",
        ErrorKind::DirectoryNotEmpty => "ENOTEMPTY",
        ErrorKind::ExecutableFileBusy => "ETXTBSY",
        ErrorKind::FileTooLarge => "EFBIG",
        ErrorKind::HostUnreachable => "EHOSTUNREACH",
        ErrorKind::Interrupted => "EINTR",
        ErrorKind::InvalidInput => "EINVAL",
        ErrorKind::IsADirectory => "EISDIR",
        ErrorKind::NetworkDown => "ENETDOWN",
        ErrorKind::NetworkUnreachable => "ENETUNREACH",
        ErrorKind::NotADirectory => "ENOTDIR",
        ErrorKind::NotConnected => "ENOTCONN",
        ErrorKind::NotFound => "ENOENT",
        ErrorKind::NotSeekable => "ESPIPE",
        ErrorKind::OutOfMemory => "ENOMEM",
        ErrorKind::QuotaExceeded => "EDQUOT",
        ErrorKind::ReadOnlyFilesystem => "EROFS",
        ErrorKind::ResourceBusy => "EBUSY",
        ErrorKind::StaleNetworkFileHandle => "ESTALE",
        ErrorKind::StorageFull => "ENOSPC",
        ErrorKind::TimedOut => "ETIMEDOUT",
        ErrorKind::TooManyLinks => "EMLINK",
        ErrorKind::WouldBlock => "EAGAIN",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn os(code: Errno) -> Error {
        Error::from_raw_os_error(code.raw_os_error())
    }

    #[test]
    fn an_os_error_is_described_with_its_name_and_without_its_number() {
        assert_eq!(
            describe(&os(Errno::CONNREFUSED)),
            "Connection refused (ECONNREFUSED)"
        );
        assert_eq!(describe(&os(Errno::ACCESS)), "Permission denied (EACCES)");
        assert_eq!(name(&os(Errno::MFILE)), Some("EMFILE"));
        assert_eq!(name(&os(Errno::TOOBIG)), Some("E2BIG"));
    }

    #[test]
    fn the_usual_name_wins_where_two_names_share_a_number() {
        assert_eq!(name(&os(Errno::WOULDBLOCK)), Some("EAGAIN"));
        assert_eq!(name(&os(Errno::OPNOTSUPP)), Some("EOPNOTSUPP"));
    }

    #[test]
    fn an_unknown_code_keeps_its_number() {
        let error = Error::from_raw_os_error(4000);
        assert_eq!(name(&error), None);
        assert!(
            describe(&error).ends_with("(os error 4000)"),
            "{}",
            describe(&error)
        );
        assert_eq!(name(&Error::from_raw_os_error(-7)), None);
    }

    #[test]
    fn an_error_made_from_a_kind_has_the_name_of_the_only_matching_errno() {
        assert_eq!(
            describe(&Error::new(ErrorKind::TimedOut, "no answer in 10 s")),
            "no answer in 10 s (ETIMEDOUT)"
        );
        assert_eq!(
            describe(&Error::from(ErrorKind::PermissionDenied)),
            "permission denied"
        );
        assert_eq!(describe(&Error::other("no such user")), "no such user");
    }

    #[test]
    fn a_wrapped_error_is_described_like_the_error_inside() {
        let wrapped = Error::other(Error::new(ErrorKind::InvalidData, os(Errno::PIPE)));
        assert_eq!(describe(&wrapped), "Broken pipe (EPIPE)");
    }

    #[test]
    fn a_text_that_already_ends_with_the_name_is_not_named_twice() {
        let error = Error::new(
            ErrorKind::TimedOut,
            "connecting failed: Connection timed out (ETIMEDOUT)",
        );
        assert_eq!(
            describe(&error),
            "connecting failed: Connection timed out (ETIMEDOUT)"
        );
    }

    /// The standard library maps each code to its kind.
    #[test]
    fn the_names_of_kinds_agree_with_the_names_of_codes() {
        for &(code, expected) in [RENAMED, COMMON, PLATFORM].into_iter().flatten() {
            if let Some(of_kind) = name_of_kind(os(code).kind()) {
                assert_eq!(Some(of_kind), name_of_code(code), "{expected}");
            }
        }
    }
}
