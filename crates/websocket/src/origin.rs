//! From which pages browsers may connect.

use uptick_emitter::Excerpt;
use uptick_http::Request;

/// The pages from which browsers may open WebSockets.
///
/// Browsers send the origin of the page with the request, and cookies regardless of it: without a check, any page can
/// act for its visitors. Other clients may send what they like, or nothing, which is always allowed. (RFC 6455, 10.2)
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origins {
    /// Those of the host and port that the client asked for ([`Request::host`](Request::host)): behind a proxy,
    /// those that a trusted one names ([`HttpServer::trusted_proxies`](uptick_http::HttpServer::trusted_proxies)).
    #[default]
    OwnHost,
    /// All.
    Any,
    /// Those listed, such as `https://example.com` or `http://localhost:3000`.
    List(Vec<String>),
}

impl Origins {
    /// Those listed.
    pub fn list<O: Into<String>>(origins: impl IntoIterator<Item = O>) -> Self {
        Origins::List(origins.into_iter().map(Into::into).collect())
    }

    /// Whether a request with this `Origin`, for this host, is let in.
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

    /// Logs which origin met which host, and what to configure where it should be let in.
    pub(crate) fn log_refusal(&self, req: &Request, origin: &str) {
        let host = req.host().unwrap_or_default();
        let head = req.head();
        let forwarded = ["x-forwarded-host", "forwarded"].map(|name| head.field(name));
        let not_believed = forwarded.iter().any(Option::is_some) && head.host() == Some(host);
        let advice = match self {
            Origins::OwnHost if not_believed => {
                "the peer names another host in X-Forwarded-Host or Forwarded, but is not trusted: if it is your proxy, list its \
                 address in HttpServer::trusted_proxies"
            }
            Origins::OwnHost => {
                "let other pages in with WebSocketOptions::origins; behind a proxy, have it send the host that the client asked for, \
                 as Host or as X-Forwarded-Host, and list its address in HttpServer::trusted_proxies"
            }
            _ => "let further pages in with WebSocketOptions::origins",
        };
        tracing::warn!(
            origin = Excerpt::new(origin).to_string(),
            host = Excerpt::new(host).to_string(),
            peer = req.peer().map(tracing::field::display),
            "refused a WebSocket with 403, because its page is of another host; {advice}"
        );
    }
}

/// Whether an origin is on a host, where the port of the origin's scheme may be left out.
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
    fn a_page_of_the_own_host_may_connect_and_others_may_not() {
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
    fn who_sends_no_origin_is_no_browser() {
        assert!(Origins::OwnHost.allows(None, Some("example.com")));
        assert!(Origins::list(["https://a.example"]).allows(None, None));
    }

    #[test]
    fn a_list_lets_in_what_is_on_it() {
        let list = Origins::list(["https://a.example/", "http://localhost:3000"]);
        assert!(list.allows(Some("https://a.example"), Some("b.example")));
        assert!(list.allows(Some("http://localhost:3000"), None));
        assert!(!list.allows(Some("http://localhost"), Some("localhost")));
        assert!(Origins::Any.allows(Some("null"), None));
    }
}
