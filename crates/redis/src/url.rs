//! Redis URLs.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use uptick_emitter::Excerpt;
use uptick_socket::ConnectTarget;

use crate::Error;

/// A parsed URL.
#[derive(Clone, Debug)]
pub(crate) struct RedisUrl {
    pub(crate) target: ConnectTarget,
    /// The URL without user and password.
    pub(crate) address: Arc<str>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<u32>,
}

const DEFAULT_PORT: u16 = 6379;

const FORM: &str = "expected redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], rediss://… for TLS, or redis+unix:///PATH[?db=DATABASE]";

impl RedisUrl {
    pub(crate) fn parse(url: &str) -> Result<RedisUrl, Error> {
        parse(url).map_err(|reason| Error::InvalidUrl {
            url: Excerpt::new(without_password(url)).to_string().into(),
            reason: reason.into(),
        })
    }

    /// Returns `true` if the connection has TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.target.scheme() == "tls"
    }

    /// Returns the URL of another server with the same scheme and account, at `HOST:PORT`.
    pub(crate) fn at(&self, host_and_port: &str) -> Option<RedisUrl> {
        let (scheme, prefix) = if self.is_secure() {
            ("tls", "rediss")
        } else {
            ("tcp", "redis")
        };
        // The host is IPv6 if it has a colon: the server sends it without brackets.
        let (host, port) = host_and_port.rsplit_once(':')?;
        let host = match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        Some(RedisUrl {
            target: format!("{scheme}://{host}:{port}").parse().ok()?,
            address: format!("{prefix}://{host}:{port}").into(),
            ..self.clone()
        })
    }

    /// Returns the host, without brackets.
    pub(crate) fn host(&self) -> &str {
        let rest = self.address.split_once("://").map_or("", |(_, rest)| rest);
        let host = rest.rsplit_once(':').map_or(rest, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }
}

fn parse(url: &str) -> Result<RedisUrl, String> {
    let (scheme, rest) = url.split_once("://").ok_or(FORM)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let scheme = scheme.to_ascii_lowercase();
    let (mut user, mut password) = (None, None);
    // A password may contain `/` or `@` only encoded, but a path may contain `@`.
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let (account, rest) = match rest[..authority_end].rsplit_once('@') {
        Some((account, _)) => (Some(account), &rest[account.len() + 1..]),
        None => (None, rest),
    };
    if let Some(account) = account {
        let (name, secret) = account
            .split_once(':')
            .ok_or("a user name needs a password: USER:PASSWORD@")?;
        user = Some(decode(name)?).filter(|name| !name.is_empty());
        password = Some(decode(secret)?);
    }
    let mut database = None;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=') {
            Some(("db", number)) => database = Some(parse_database(number)?),
            Some(("user", name)) => user = Some(decode(name)?),
            Some(("pass", secret)) => password = Some(decode(secret)?),
            _ => {
                return Err(format!(
                    "the parameter {parameter:?} is not supported; db, user and pass are"
                ));
            }
        }
    }
    let (target, address) = match &*scheme {
        "redis" | "rediss" => {
            let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
            if !path.is_empty() {
                database = Some(parse_database(path)?);
            }
            let authority = match authority.rsplit_once(':') {
                Some((_, port)) if !port.ends_with(']') => authority.to_owned(),
                _ => format!("{authority}:{DEFAULT_PORT}"),
            };
            let transport = if scheme == "redis" { "tcp" } else { "tls" };
            (
                format!("{transport}://{authority}"),
                format!("{scheme}://{authority}"),
            )
        }
        "redis+unix" | "unix" if rest.starts_with('/') => {
            let path = decode(rest)?;
            (format!("unix://{path}"), format!("redis+unix://{path}"))
        }
        _ => return Err(FORM.into()),
    };
    let target = target
        .parse()
        .map_err(|error: uptick_socket::Error| match error {
            uptick_socket::Error::InvalidUri { reason, .. } => reason.to_string(),
            error => error.to_string(),
        })?;
    Ok(RedisUrl {
        target,
        address: address.into(),
        user,
        password,
        database,
    })
}

fn parse_database(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("the database {text:?} is not a number"))
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(Into::into)
        .map_err(|_| "the URL is not UTF-8".into())
}

/// Removes the account and the query of a URL, for error texts.
fn without_password(url: &str) -> String {
    let url = url.split('?').next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> RedisUrl {
        RedisUrl::parse(url).unwrap()
    }

    #[test]
    fn a_url_has_defaults_for_everything_but_the_host() {
        let url = parsed("redis://localhost");
        assert_eq!(url.target.to_string(), "tcp://localhost:6379");
        assert_eq!(&*url.address, "redis://localhost:6379");
        assert_eq!((url.user, url.password, url.database), (None, None, None));
        assert_eq!(
            parsed("redis://[::1]").target.to_string(),
            "tcp://[::1]:6379"
        );
        assert_eq!(
            parsed("REDISS://[::1]:7/").target.to_string(),
            "tls://[::1]:7"
        );
    }

    #[test]
    fn the_account_and_the_database_are_decoded() {
        let url = parsed("redis://ann:p%40ss%2Fw@127.0.0.1:7000/2");
        assert_eq!(
            (url.user.as_deref(), url.password.as_deref(), url.database),
            (Some("ann"), Some("p@ss/w"), Some(2))
        );
        assert_eq!(&*url.address, "redis://127.0.0.1:7000");
        let url = parsed("redis://:secret@localhost");
        assert_eq!((url.user, url.password.as_deref()), (None, Some("secret")));
    }

    #[test]
    fn unix_sockets_have_the_database_in_the_query() {
        for scheme in ["redis+unix", "unix"] {
            let url = parsed(&format!("{scheme}:///run/a@b.sock?db=3&user=u&pass=p"));
            assert_eq!(url.target.to_string(), "unix:///run/a@b.sock");
            assert_eq!(
                (url.user.as_deref(), url.password.as_deref(), url.database),
                (Some("u"), Some("p"), Some(3))
            );
        }
    }

    #[test]
    fn invalid_urls_are_refused_without_the_password() {
        for url in [
            "localhost",
            "http://x",
            "redis://u:secret@h:x",
            "redis://u:secret@h/x",
            "redis://u:secret@h?secret=1",
            "unix://x",
            "redis://",
        ] {
            let error = RedisUrl::parse(url).unwrap_err().to_string();
            assert!(error.starts_with("invalid Redis URL"), "{error}");
            assert!(
                error.ends_with("(EINVAL)") && !error.contains(":secret"),
                "{error}"
            );
        }
    }

    #[test]
    fn another_node_has_the_same_scheme_and_account() {
        let url = parsed("rediss://:p@localhost/1").at("::1:7001").unwrap();
        assert_eq!(
            (&*url.target.to_string(), url.password.as_deref()),
            ("tls://[::1]:7001", Some("p"))
        );
        assert_eq!(url.host(), "::1");
        assert!(url.at("nonsense").is_none());
    }
}
