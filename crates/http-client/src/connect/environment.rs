//! Proxies of environment variables.

use super::Proxy;
use super::no_proxy::NoProxy;
use crate::error::{ErrorKind, Failure};
use crate::url::Scheme;

/// The proxies that environment variables specify.
#[derive(Debug)]
pub(super) struct EnvironmentProxies {
    http: Option<ProxyVariable>,
    https: Option<ProxyVariable>,
    no_proxy: NoProxy,
}

/// A proxy, or the reason why the variable is not valid.
type ProxyVariable = Result<Proxy, String>;

impl EnvironmentProxies {
    /// Reads the variables by `get`, which returns the value of a variable.
    pub(super) fn read(get: impl Fn(&str) -> Option<String>) -> EnvironmentProxies {
        let variable = |names: &[&'static str]| {
            let set = |name: &&'static str| {
                let value = get(name).filter(|value| !value.trim().is_empty())?;
                Some((*name, value))
            };
            names.iter().find_map(set)
        };
        let proxy = |names: &[&'static str]| {
            let (name, url) = variable(names)?;
            let proxy = Proxy::parse(url.trim());
            Some(proxy.map_err(|error| format!("the variable {name} is not valid: {error}")))
        };
        let all = || proxy(&["all_proxy", "ALL_PROXY"]);
        EnvironmentProxies {
            http: proxy(&["http_proxy"]).or_else(all),
            https: proxy(&["https_proxy", "HTTPS_PROXY"]).or_else(all),
            no_proxy: match variable(&["no_proxy", "NO_PROXY"]) {
                Some((_, list)) => NoProxy::parse(&list),
                None => NoProxy::default(),
            },
        }
    }

    /// Returns the proxy for a host.
    pub(super) fn choose(
        &self,
        scheme: Scheme,
        host: &str,
        port: u16,
    ) -> Result<Option<Proxy>, Failure> {
        let proxy = match scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        match proxy {
            None => Ok(None),
            Some(_) if self.no_proxy.matches(host, port) => Ok(None),
            Some(Ok(proxy)) => Ok(Some(proxy.clone())),
            Some(Err(reason)) => Err(Failure::new(ErrorKind::Proxy, reason.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], scheme: Scheme, host: &str) -> String {
        let proxies = EnvironmentProxies::read(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        match proxies.choose(scheme, host, 80) {
            Ok(Some(proxy)) => proxy.to_string(),
            Ok(None) => "direct".into(),
            Err(failure) => format!("{}: {}", failure.kind, failure.reason),
        }
    }

    #[test]
    fn each_scheme_has_its_variable() {
        let variables = [("http_proxy", "http://a:1"), ("https_proxy", "http://b:2")];
        assert_eq!(chosen(&variables, Scheme::Http, "x"), "http://a:1");
        assert_eq!(chosen(&variables, Scheme::Https, "x"), "http://b:2");
        assert_eq!(chosen(&[], Scheme::Http, "x"), "direct");
    }

    #[test]
    fn the_variable_for_http_is_read_in_lower_case_only() {
        let variables = [
            ("HTTP_PROXY", "http://evil:1"),
            ("HTTPS_PROXY", "http://b:2"),
        ];
        assert_eq!(chosen(&variables, Scheme::Http, "x"), "direct");
        assert_eq!(chosen(&variables, Scheme::Https, "x"), "http://b:2");
    }

    #[test]
    fn the_name_in_lower_case_takes_precedence() {
        let variables = [("https_proxy", "http://a:1"), ("HTTPS_PROXY", "http://b:2")];
        assert_eq!(chosen(&variables, Scheme::Https, "x"), "http://a:1");
        let variables = [("all_proxy", "http://a:1"), ("ALL_PROXY", "http://b:2")];
        assert_eq!(chosen(&variables, Scheme::Https, "x"), "http://a:1");
    }

    #[test]
    fn all_proxy_applies_to_the_schemes_without_a_proxy() {
        let variables = [("ALL_PROXY", "socks5://s"), ("https_proxy", "http://b:2")];
        assert_eq!(chosen(&variables, Scheme::Http, "x"), "socks5://s:1080");
        assert_eq!(chosen(&variables, Scheme::Https, "x"), "http://b:2");
    }

    #[test]
    fn an_empty_variable_is_not_set() {
        let variables = [("http_proxy", ""), ("all_proxy", "http://a:1")];
        assert_eq!(chosen(&variables, Scheme::Http, "x"), "http://a:1");
    }

    #[test]
    fn excluded_hosts_are_connected_to_directly() {
        let variables = [("http_proxy", "http://a:1"), ("NO_PROXY", "example.com")];
        assert_eq!(chosen(&variables, Scheme::Http, "example.com"), "direct");
        assert_eq!(
            chosen(&variables, Scheme::Http, "example.org"),
            "http://a:1"
        );
        let variables = [
            ("http_proxy", "http://a:1"),
            ("no_proxy", "example.org"),
            ("NO_PROXY", "example.com"),
        ];
        assert_eq!(chosen(&variables, Scheme::Http, "example.org"), "direct");
    }

    #[test]
    fn an_invalid_variable_is_an_error_of_the_requests_that_need_it() {
        let variables = [("http_proxy", "ftp://user:secret@a"), ("no_proxy", "x")];
        assert_eq!(
            chosen(&variables, Scheme::Http, "y"),
            "proxy: the variable http_proxy is not valid: invalid proxy URL \"a\": \
             the scheme is not supported, only http, socks5 and socks5h are"
        );
        assert_eq!(chosen(&variables, Scheme::Http, "x"), "direct");
        assert_eq!(chosen(&variables, Scheme::Https, "y"), "direct");
    }
}
