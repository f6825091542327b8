//! The storage model of cookies (sections 5.3 and 5.4 of RFC 6265).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::SystemTime;

use bytes::Bytes;

use super::parse::{MaxAge, SetCookie};
use super::{StoredCookie, path_matches};
use crate::url::{Scheme, Url, host_of};

/// Maximum number of cookies of one domain.
const MAX_PER_DOMAIN: usize = 50;
/// Maximum number of cookies in all.
const MAX_COOKIES: usize = 3000;
/// Maximum size of a header `Cookie`, in bytes.
const MAX_HEADER: usize = 64 * 1024;
/// Maximum length of a host name with cookies, in bytes.
const MAX_HOST: usize = 255;

/// Cookies by domain.
#[derive(Default)]
pub(super) struct CookieJar {
    domains: HashMap<String, Vec<CookieEntry>>,
    len: usize,
    /// Number of the last insertion or use.
    sequence: u64,
}

struct CookieEntry {
    cookie: StoredCookie,
    created: u64,
    used: u64,
}

impl CookieJar {
    /// Stores a cookie of a response from `url`. Returns `false` if it is ignored.
    pub(super) fn set(&mut self, url: &Url, set_cookie: SetCookie<'_>, now: SystemTime) -> bool {
        let Some(cookie) = accepted(url, &set_cookie, now) else {
            return false;
        };
        if url.scheme() == Scheme::Http && self.hides_secure_cookie(url, &cookie) {
            return false;
        }
        self.sequence += 1;
        let mut created = self.sequence;
        if let Some(old) = self.take(&cookie) {
            created = old.created;
        }
        if !cookie.is_expired(now) {
            self.make_room(&cookie.domain, now);
            let domain = cookie.domain.clone();
            self.len += 1;
            self.domains.entry(domain).or_default().push(CookieEntry {
                cookie,
                created,
                used: self.sequence,
            });
        }
        true
    }

    /// Returns `true` if a cookie from an insecure response would replace or hide one with `Secure`.
    fn hides_secure_cookie(&self, url: &Url, cookie: &StoredCookie) -> bool {
        let shields = |entry: &CookieEntry| {
            let other = &entry.cookie;
            other.is_secure && other.name == cookie.name && path_matches(&cookie.path, &other.path)
        };
        let suffix = format!(".{}", cookie.domain);
        // The domains of both cookies may be above each other.
        domains_above(url).any(|domain| {
            self.domains
                .get(domain)
                .is_some_and(|entries| entries.iter().any(shields))
        }) || (!cookie.is_host_only
            && self
                .domains
                .iter()
                .any(|(domain, entries)| domain.ends_with(&suffix) && entries.iter().any(shields)))
    }

    /// Removes the cookie with the same name, domain and path.
    fn take(&mut self, cookie: &StoredCookie) -> Option<CookieEntry> {
        let entries = self.domains.get_mut(&cookie.domain)?;
        let position = entries.iter().position(|entry| {
            entry.cookie.name == cookie.name && entry.cookie.path == cookie.path
        })?;
        let entry = entries.remove(position);
        self.len -= 1;
        if entries.is_empty() {
            self.domains.remove(&cookie.domain);
        }
        Some(entry)
    }

    /// Makes room for one more cookie of a domain.
    fn make_room(&mut self, domain: &str, now: SystemTime) {
        let is_full = |entries: &Vec<CookieEntry>| entries.len() >= MAX_PER_DOMAIN;
        if self.len < MAX_COOKIES && !self.domains.get(domain).is_some_and(is_full) {
            return;
        }
        self.retain(|entry| !entry.cookie.is_expired(now));
        if let Some(entries) = self
            .domains
            .get_mut(domain)
            .filter(|entries| is_full(entries))
        {
            let least_used = entries
                .iter()
                .enumerate()
                .min_by_key(|(_, entry)| (entry.cookie.is_secure, entry.used));
            if let Some((position, _)) = least_used {
                entries.remove(position);
                self.len -= 1;
            }
        }
        if self.len >= MAX_COOKIES {
            let uses = self.domains.values().flatten().map(|entry| entry.used);
            let oldest = uses.min();
            self.retain(|entry| Some(entry.used) != oldest);
        }
    }

    fn retain(&mut self, mut keeps: impl FnMut(&CookieEntry) -> bool) {
        self.len = 0;
        self.domains.retain(|_, entries| {
            entries.retain(&mut keeps);
            self.len += entries.len();
            !entries.is_empty()
        });
    }

    /// Returns the cookies that are sent to `url`, in the order of the header.
    pub(super) fn matching(&self, url: &Url, now: SystemTime) -> Vec<&StoredCookie> {
        let mut found: Vec<&CookieEntry> = domains_above(url)
            .filter_map(|domain| self.domains.get(domain))
            .flatten()
            .filter(|entry| entry.cookie.matches(url) && !entry.cookie.is_expired(now))
            .collect();
        found.sort_by_key(|entry| (Reverse(entry.cookie.path.len()), entry.created));
        found.into_iter().map(|entry| &entry.cookie).collect()
    }

    /// Returns the header `Cookie` of a request.
    pub(super) fn header(&mut self, url: &Url, now: SystemTime) -> Option<Bytes> {
        if self.domains.is_empty() {
            return None;
        }
        let mut text = String::new();
        for cookie in self.matching(url, now) {
            if text.len() + cookie.name.len() + cookie.value.len() + 3 > MAX_HEADER {
                continue;
            }
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.extend([&*cookie.name, "=", &*cookie.value]);
        }
        self.sequence += 1;
        for domain in domains_above(url) {
            for entry in self.domains.get_mut(domain).into_iter().flatten() {
                if entry.cookie.matches(url) {
                    entry.used = self.sequence;
                }
            }
        }
        (!text.is_empty()).then(|| text.into())
    }

    /// Removes the cookies with a name that are sent to `url`.
    pub(super) fn remove(&mut self, url: &Url, name: &str) -> bool {
        let before = self.len;
        for domain in domains_above(url) {
            if let Some(entries) = self.domains.get_mut(domain) {
                let count = entries.len();
                entries.retain(|entry| entry.cookie.name != name || !entry.cookie.matches(url));
                self.len -= count - entries.len();
                if entries.is_empty() {
                    self.domains.remove(domain);
                }
            }
        }
        self.len < before
    }

    /// Returns the cookies that have not expired, the oldest first.
    pub(super) fn all(&self, now: SystemTime) -> Vec<StoredCookie> {
        let mut entries: Vec<&CookieEntry> = self.domains.values().flatten().collect();
        entries.retain(|entry| !entry.cookie.is_expired(now));
        entries.sort_by_key(|entry| entry.created);
        entries
            .into_iter()
            .map(|entry| entry.cookie.clone())
            .collect()
    }
}

/// Returns the host and the domains that contain it, the host first. An address is contained in no domain.
fn domains_above(url: &Url) -> impl Iterator<Item = &str> {
    let host = Some(url.host()).filter(|host| host.len() <= MAX_HOST);
    let is_address = url.ip().is_some();
    std::iter::successors(host, move |domain| match is_address {
        true => None,
        false => domain.split_once('.').map(|(_, parent)| parent),
    })
    .filter(|domain| !domain.is_empty())
}

/// Returns the cookie to be stored; `None` if it is ignored.
fn accepted(url: &Url, set_cookie: &SetCookie<'_>, now: SystemTime) -> Option<StoredCookie> {
    let host = url.host();
    if host.len() > MAX_HOST || (set_cookie.is_secure && url.scheme() == Scheme::Http) {
        return None;
    }
    let domain = match set_cookie.domain {
        None => None,
        Some(domain) => {
            let domain = host_of(domain)?;
            let is_host = domain == host;
            let contains_host = is_host
                || (url.ip().is_none()
                    && host
                        .strip_suffix(&*domain)
                        .is_some_and(|rest| rest.ends_with('.')));
            match (contains_host, is_public_suffix(&domain)) {
                (false, _) => return None,
                // A public suffix may set cookies for itself.
                (true, true) if is_host => None,
                (true, true) => return None,
                (true, false) => Some(domain),
            }
        }
    };
    if !satisfies_prefix(url, set_cookie) {
        return None;
    }
    let path = set_cookie.path.unwrap_or_else(|| default_path(url.path()));
    let expires = match set_cookie.max_age {
        None => set_cookie.expires,
        Some(MaxAge::Expired) => Some(SystemTime::UNIX_EPOCH),
        // A time that the system cannot represent never comes.
        Some(MaxAge::For(age)) => now.checked_add(age),
    };
    Some(StoredCookie {
        name: set_cookie.name.to_owned(),
        value: set_cookie.value.to_owned(),
        is_host_only: domain.is_none(),
        domain: domain.unwrap_or_else(|| host.to_owned()),
        path: path.to_owned(),
        expires,
        is_secure: set_cookie.is_secure,
        is_http_only: set_cookie.is_http_only,
    })
}

/// Returns `true` if the cookie has the attributes that the prefix of its name requires.
fn satisfies_prefix(url: &Url, cookie: &SetCookie<'_>) -> bool {
    let has_prefix = |prefix: &str| {
        cookie
            .name
            .get(..prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_secure = cookie.is_secure && url.scheme() == Scheme::Https;
    if has_prefix("__Host-") {
        return is_secure && cookie.domain.is_none() && cookie.path == Some("/");
    }
    !has_prefix("__Secure-") || is_secure
}

/// Returns the path of a cookie without the attribute (section 5.1.4 of RFC 6265).
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(position) => &path[..position],
    }
}

/// Returns `true` for a public suffix, also for a top-level domain that is not in the list.
fn is_public_suffix(domain: &str) -> bool {
    psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.as_bytes().len() == domain.len())
}
