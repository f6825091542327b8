//! Addresses of Unix sockets, with the mode and the owners of their files.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use super::{OsStr, OsStrExt, Reason, unescape};
use crate::UnixName;

/// The address of a Unix socket to listen on, with the mode and the owners of its file.
///
/// A client may connect if it may write to the file. Without a mode, the umask of the process applies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UnixListenUri {
    /// The socket's name.
    pub name: UnixName,
    /// The permission bits of the file, independent of the umask.
    pub mode: Option<u32>,
    /// The user that owns the file.
    pub owner: Option<Account>,
    /// The group that owns the file.
    pub group: Option<Account>,
}

/// A user or group of the system.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Account {
    /// A user or group number.
    Id(u32),
    /// A name, which is looked up in `/etc/passwd` or `/etc/group` when the server starts. For an account from another
    /// source (LDAP), use its number.
    Name(String),
}

impl From<UnixName> for UnixListenUri {
    fn from(name: UnixName) -> Self {
        Self {
            name,
            mode: None,
            owner: None,
            group: None,
        }
    }
}

impl Display for UnixListenUri {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.name, f)?;
        let mut separator = '?';
        if let Some(mode) = self.mode {
            write!(f, "{separator}mode={mode:04o}")?;
            separator = '&';
        }
        if let Some(owner) = &self.owner {
            write!(f, "{separator}owner={owner}")?;
            separator = '&';
        }
        if let Some(group) = &self.group {
            write!(f, "{separator}group={group}")?;
        }
        Ok(())
    }
}

impl Display for Account {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => Display::fmt(id, f),
            Self::Name(name) => f.write_str(name),
        }
    }
}

pub(super) fn connect(text: &str) -> Result<UnixName, Reason> {
    if text.contains('?') {
        return Err("options such as mode= are for listening, not for connecting".into());
    }
    name(text)
}

pub(super) fn listen(text: &str) -> Result<UnixListenUri, Reason> {
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    let mut uri = UnixListenUri::from(name(path)?);
    let Some(query) = query else {
        return Ok(uri);
    };
    if uri.name.path().is_none() {
        return Err("an abstract name has no file, so it has no mode, owner or group".into());
    }
    for option in query.split('&') {
        let Some((key, value)) = option.split_once('=') else {
            return Err(format!("the option {option:?} has no value"));
        };
        let set_before = match key {
            "mode" => uri.mode.replace(mode(value)?).is_some(),
            "owner" => uri.owner.replace(account(value)?).is_some(),
            "group" => uri.group.replace(account(value)?).is_some(),
            _ => {
                return Err(format!(
                    "the option {key:?} is unknown; the supported options are mode, owner and group"
                ));
            }
        };
        if set_before {
            return Err(format!("the option {key} is set twice"));
        }
    }
    Ok(uri)
}

fn name(text: &str) -> Result<UnixName, Reason> {
    let (is_abstract, text) = match text.strip_prefix('@') {
        Some(name) => (true, name),
        None => (false, text),
    };
    let bytes = unescape(text)?;
    let kind = if is_abstract { "name" } else { "path" };
    if bytes.is_empty() {
        return Err(format!("the {kind} of the Unix socket is missing"));
    }
    if bytes.len() > UnixName::MAX_LEN {
        return Err(format!(
            "the {kind} of the Unix socket has {} bytes, but only {} fit into an address",
            bytes.len(),
            UnixName::MAX_LEN
        ));
    }
    if is_abstract {
        return Ok(UnixName::Abstract(bytes.into()));
    }
    if bytes.contains(&0) {
        return Err("the path of the Unix socket has a zero byte".into());
    }
    if bytes.ends_with(b"/") {
        return Err("the path of the Unix socket names a directory".into());
    }
    Ok(UnixName::Path(PathBuf::from(OsStr::from_bytes(&bytes))))
}

fn mode(value: &str) -> Result<u32, Reason> {
    let octal = !value.is_empty() && value.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    match u32::from_str_radix(value, 8) {
        Ok(mode) if octal && mode <= 0o777 => Ok(mode),
        _ => Err(format!(
            "the mode {value:?} must be an octal number up to 0777, such as 0660"
        )),
    }
}

fn account(value: &str) -> Result<Account, Reason> {
    if value.is_empty() {
        return Err("the name of an owner or group is empty".into());
    }
    if value.bytes().all(|byte| byte.is_ascii_digit()) {
        return match value.parse() {
            // For chown(2) the greatest number means "leave unchanged".
            Ok(id) if id != u32::MAX => Ok(Account::Id(id)),
            _ => Err(format!("there is no user or group number {value}")),
        };
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte);
    if !value.bytes().all(fits) {
        return Err(format!("{value:?} is not the name of a user or group"));
    }
    Ok(Account::Name(value.into()))
}
