//! Origin checks.

use uptick_emitter::Excerpt;
use uptick_http::Request;

/// The pages from which browsers may open WebSockets.
///
/// Browsers send the origin of the page with the request, but they send cookies from any page: without a check, any page can
/// act on behalf of its visitors. Other clients may send any origin or none; a request without an origin is always allowed. (RFC 6455, section 10.2)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Pages of the requested host and port ([`Request::host`](Request::host)): behind a proxy, the host that a
    /// trusted proxy forwards ([`HttpServer::trusted_proxies`](uptick_http::HttpServer::trusted_proxies)).
    #[default]
    OwnHost,
    /// All pages.
    Any,
    /// Pages of the listed origins, such as `https://example.com` or `http://localhost:3000`.
    List(Vec<String>),
}

impl Origins {
    /// Returns a list of allowed origins.
    pub fn list<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Origins::List(origins.into_iter().map(Into::into).collect())
    }

    /// Returns `true` if a request with this `Origin` and host is allowed.
    pub(crate) fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        let Some(origin) = origin else { return true };
        match self {
            Origins::Any => true,
            Origins::List(all) => all
                .iter()
                .any(|one| one.trim_end_matches('/').eq_ignore_ascii_case(origin)),
            Origins::OwnHost => is_own(origin, host),
        }
    }

    /// Logs the origin, the host, and the configuration that would allow the page.
    pub(crate) fn log_refusal(&self, req: &Request, origin: &str) {
        let host = req.host().unwrap_or_default();
        let head = req.head();
        let forwarded = ["x-forwarded-host", "forwarded"].map(|name| head.field(name));
        let is_untrusted = forwarded.iter().any(Option::is_some) && head.host() == Some(host);
        let advice = match self {
            Origins::OwnHost if is_untrusted => {
                "the peer sent another host in X-Forwarded-Host or Forwarded, but is not trusted: if it is your proxy, add its \
                 address to HttpServer::trusted_proxies"
            }
            Origins::OwnHost => {
                "allow other pages with WebSocketOptions::origins; behind a proxy, configure it to send the requested host \
                 as Host or X-Forwarded-Host, and add its address to HttpServer::trusted_proxies"
            }
            _ => "allow further pages with WebSocketOptions::origins",
        };
        tracing::warn!(
            origin = Excerpt::new(origin).to_string(),
            host = Excerpt::new(host).to_string(),
            peer = req.peer().map(tracing::field::display),
            "refused a WebSocket with 403, because its page belongs to another host; {advice}"
        );
    }
}

/// Returns `true` if an origin is on a host. The default port of the origin's scheme may be omitted.
fn is_own(origin: &str, host: Option<&str>) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else {
        return false;
    };
    let default = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |authority: &str| {
        let bare = authority.strip_suffix(default).unwrap_or(authority);
        bare.to_ascii_lowercase()
    };
    host.is_some_and(|host| !host.is_empty() && bare(host) == bare(authority))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pages_of_the_own_host_may_connect_by_default() {
        let own = Origins::OwnHost;
        for (origin, host, allowed) in [
            ("http://example.com", "example.com", true),
            ("https://example.com", "example.com:443", true),
            ("http://EXAMPLE.com:80", "example.COM", true),
            ("http://localhost:8080", "localhost:8080", true),
            ("http://localhost:8080", "localhost:8081", false),
            ("https://example.com", "example.com:80", false),
            ("http://evil.com", "example.com", false),
            ("http://example.com.evil.com", "example.com", false),
            ("null", "example.com", false),
            ("file://", "", false),
            ("http://", "", false),
        ] {
            assert_eq!(own.allows(Some(origin), Some(host)), allowed, "{origin}");
        }
        assert!(!own.allows(Some("http://example.com"), None));
    }

    #[test]
    fn a_request_without_an_origin_is_allowed() {
        assert!(Origins::OwnHost.allows(None, Some("example.com")));
        assert!(Origins::list(["https://a.example"]).allows(None, None));
    }

    #[test]
    fn a_list_allows_the_listed_origins() {
        let list = Origins::list(["https://a.example/", "http://localhost:3000"]);
        assert!(list.allows(Some("https://a.example"), Some("b.example")));
        assert!(list.allows(Some("http://localhost:3000"), None));
        assert!(!list.allows(Some("http://localhost"), Some("localhost")));
        assert!(Origins::Any.allows(Some("null"), None));
    }
}
