//! Listening sockets that a service manager passes to the processes that it starts.

use std::ffi::OsString;
use std::os::fd::RawFd;

use crate::Error;

/// The listening sockets that systemd, or a compatible service manager, passed to this process.
///
/// The protocol is described in sd_listen_fds(3): `LISTEN_PID` is the process that the sockets are for, `LISTEN_FDS` their
/// number (they are the file descriptors from 3 on), `LISTEN_FDNAMES` their names, separated by colons. The variables
/// stay set: changing the environment is not safe once there are threads, and a child process ignores variables for
/// another process.
///
/// A server takes one with the address `systemd:`, `systemd:NAME` or `fd://3`. If other processes have inherited the
/// same socket, [`ServerOptions::shared`](crate::ServerOptions::shared) wakes only one of them for each connection.
///
/// # Examples
///
/// ```
/// use uptick_socket::InheritedSockets;
///
/// let environment = |name: &str| match name {
///     "LISTEN_PID" => Some("4711".into()),
///     "LISTEN_FDS" => Some("2".into()),
///     "LISTEN_FDNAMES" => Some("web:admin".into()),
///     _ => None,
/// };
/// let sockets = InheritedSockets::from_lookup(4711, environment)?;
/// assert_eq!(sockets.len(), 2);
/// assert_eq!(sockets.named("admin").next().unwrap().fd, 4);
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InheritedSockets(Vec<InheritedSocket>);

/// A listening socket inherited by this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InheritedSocket {
    /// The number of its file descriptor.
    pub fd: RawFd,
    /// Its name; `unknown` if the service manager did not pass one.
    pub name: String,
}

impl InheritedSockets {
    /// The number of the first file descriptor passed (`SD_LISTEN_FDS_START`).
    pub const FIRST: RawFd = 3;

    /// Maximum number of sockets that are taken from a service manager.
    pub const MAX: usize = 1024;

    /// Reads the environment variables of this process. There are no inherited sockets if the variables are not set or
    /// are for another process.
    ///
    /// # Errors
    ///
    /// [`Error::Inherit`] if the variables are for this process but invalid.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_lookup(std::process::id(), |name| std::env::var_os(name))
    }

    /// Reads the variables with `lookup`, for the process with the number `process`.
    ///
    /// # Errors
    ///
    /// The errors of [`from_env`](Self::from_env).
    pub fn from_lookup(
        process: u32,
        lookup: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Error> {
        parse(process, lookup)
            .map(Self)
            .map_err(|reason| Error::Inherit {
                reason: reason.into(),
            })
    }

    /// Returns the number of sockets.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns `true` if there is no socket.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns an iterator over the sockets, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &InheritedSocket> {
        self.0.iter()
    }

    /// Returns the socket at `index`, counted from 0.
    pub fn get(&self, index: usize) -> Option<&InheritedSocket> {
        self.0.get(index)
    }

    /// Returns an iterator over the sockets with a name, in order. Several sockets can have the same name.
    pub fn named(&self, name: &str) -> impl Iterator<Item = &InheritedSocket> {
        self.0.iter().filter(move |socket| socket.name == name)
    }
}

fn parse(
    process: u32,
    lookup: impl Fn(&str) -> Option<OsString>,
) -> Result<Vec<InheritedSocket>, String> {
    let lookup_text = |name: &str| match lookup(name).map(OsString::into_string) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(value)) => Err(format!("{name} is {value:?}, which is not text")),
    };
    let lookup_number = |name: &str| match lookup_text(name)? {
        None => Ok(None),
        Some(value) => match value.parse::<u32>() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("{name} is {value:?}, which is not a number")),
        },
    };

    if lookup_number("LISTEN_PID")? != Some(process) {
        return Ok(Vec::new());
    }
    let Some(count) = lookup_number("LISTEN_FDS")? else {
        return Ok(Vec::new());
    };
    let count = count as usize;
    if count > InheritedSockets::MAX {
        return Err(format!(
            "LISTEN_FDS is {count}, and at most {} sockets are taken over",
            InheritedSockets::MAX
        ));
    }
    let names: Vec<String> = match lookup_text("LISTEN_FDNAMES")? {
        Some(names) if count > 0 => names.split(':').map(String::from).collect(),
        _ => vec!["unknown".into(); count],
    };
    if names.len() != count {
        return Err(format!(
            "LISTEN_FDNAMES has {} names for the {count} sockets of LISTEN_FDS",
            names.len()
        ));
    }
    let sockets = (InheritedSockets::FIRST..).zip(names);
    Ok(sockets
        .map(|(fd, name)| InheritedSocket { fd, name })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn parse(variables: &[(&str, &str)]) -> Result<InheritedSockets, Error> {
        InheritedSockets::from_lookup(7, |name| {
            let (_, value) = variables.iter().find(|(key, _)| *key == name)?;
            Some(value.into())
        })
    }

    fn error(variables: &[(&str, &str)]) -> String {
        parse(variables).unwrap_err().to_string()
    }

    #[test]
    fn sockets_are_found_by_name_and_by_index() {
        let sockets = parse(&[
            ("LISTEN_PID", "7"),
            ("LISTEN_FDS", "3"),
            ("LISTEN_FDNAMES", "web:admin:web"),
        ])
        .unwrap();
        assert_eq!(sockets.len(), 3);
        let web: Vec<RawFd> = sockets.named("web").map(|socket| socket.fd).collect();
        assert_eq!(web, [3, 5]);
        assert_eq!(sockets.get(1).unwrap().name, "admin");
        assert_eq!(sockets.get(1).unwrap().fd, 4);
        assert_eq!(sockets.get(3), None);
        assert!(sockets.named("we").next().is_none());
    }

    #[test]
    fn sockets_without_names_are_called_unknown() {
        let sockets = parse(&[("LISTEN_PID", "7"), ("LISTEN_FDS", "2")]).unwrap();
        assert!(sockets.iter().all(|socket| socket.name == "unknown"));
        assert_eq!(sockets.iter().len(), 2);
    }

    #[test]
    fn a_name_can_be_empty() {
        let variables = [
            ("LISTEN_PID", "7"),
            ("LISTEN_FDS", "2"),
            ("LISTEN_FDNAMES", "web:"),
        ];
        assert_eq!(parse(&variables).unwrap().get(1).unwrap().name, "");
    }

    #[test]
    fn variables_that_are_unset_or_for_another_process_announce_no_sockets() {
        let nothing: &[&[(&str, &str)]] = &[
            &[],
            &[("LISTEN_FDS", "1")],
            &[("LISTEN_PID", "7")],
            &[("LISTEN_PID", "8"), ("LISTEN_FDS", "1")],
            &[("LISTEN_PID", "8"), ("LISTEN_FDS", "nonsense")],
            &[("LISTEN_PID", "7"), ("LISTEN_FDS", "0")],
            &[
                ("LISTEN_PID", "7"),
                ("LISTEN_FDS", "0"),
                ("LISTEN_FDNAMES", ""),
            ],
        ];
        for variables in nothing {
            assert!(parse(variables).unwrap().is_empty(), "{variables:?}");
        }
    }

    #[test]
    fn an_invalid_variable_is_named_in_the_error() {
        assert_eq!(
            error(&[("LISTEN_PID", "x")]),
            "taking over inherited sockets failed: LISTEN_PID is \"x\", which is not a number \
             (EINVAL)"
        );
        let with = |key, value| error(&[("LISTEN_PID", "7"), (key, value), ("LISTEN_FDS", "2")]);
        assert!(with("LISTEN_FDS", "-1").contains("LISTEN_FDS is \"-1\""));
        assert!(with("LISTEN_FDS", "1025").contains("LISTEN_FDS is 1025, and at most 1024"));
        assert!(with("LISTEN_FDNAMES", "a").contains("LISTEN_FDNAMES has 1 names for the 2"));
        assert!(with("LISTEN_FDNAMES", "a:b:c").contains("LISTEN_FDNAMES has 3 names for the 2"));

        let not_utf8 = |_: &str| Some(OsString::from_vec(vec![0xff]));
        let error = InheritedSockets::from_lookup(7, not_utf8).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("LISTEN_PID is \"\\xFF\", which is not text")
        );
    }
}
