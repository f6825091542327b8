//! Redirects: the next request after a response with a `Location`.

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_LOCATION,
    CONTENT_TYPE, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
};
use http::{HeaderName, HeaderValue, Method, StatusCode};

use crate::error::Failure;
use crate::url::Url;

/// Headers that describe a body, removed with it.
const BODY_HEADERS: [HeaderName; 7] = [
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_LOCATION,
    TRANSFER_ENCODING,
    EXPECT,
];

/// Headers that are meant for one origin.
const ORIGIN_HEADERS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST];

/// The request that follows a redirect.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub(crate) url: Url,
    pub(crate) method: Method,
    pub(crate) keeps_body: bool,
}

/// Returns the request that follows a response; `None` if the response is passed to the user: it is not a redirect, or the body would be sent again
/// but `can_resend` is `false`.
///
/// Removes the headers that the next request and all later ones do not have. Bodies of redirects and their number are left to the caller.
pub(crate) fn next_hop(
    status: StatusCode,
    location: Option<&[u8]>,
    url: &Url,
    method: &Method,
    can_resend: bool,
    headers: &mut Vec<(HeaderName, HeaderValue)>,
) -> Result<Option<NextHop>, Failure> {
    let Some(location) = location else {
        return Ok(None);
    };
    let becomes_get = match status.as_u16() {
        301 | 302 => *method == Method::POST,
        303 => *method != Method::HEAD,
        307 | 308 => false,
        _ => return Ok(None),
    };
    if !becomes_get && !can_resend {
        return Ok(None);
    }
    let target = url.join_bytes(location).map_err(|error| {
        let reason = format!("following the redirect failed: {}", error.reason());
        Failure::new(error.kind(), reason)
    })?;
    if becomes_get {
        headers.retain(|(name, _)| !BODY_HEADERS.contains(name));
    }
    if !target.is_same_origin(url) {
        headers.retain(|(name, _)| !ORIGIN_HEADERS.contains(name));
    }
    Ok(Some(NextHop {
        url: target,
        method: match becomes_get {
            true => Method::GET,
            false => method.clone(),
        },
        keeps_body: !becomes_get,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    const NAMES: [&str; 12] = [
        "authorization",
        "cookie",
        "proxy-authorization",
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "content-language",
        "content-location",
        "transfer-encoding",
        "expect",
        "x-other",
    ];

    fn headers() -> Vec<(HeaderName, HeaderValue)> {
        let value = HeaderValue::from_static("x");
        NAMES
            .map(|name| (HeaderName::from_static(name), value.clone()))
            .into()
    }

    fn follow(status: u16, method: &str, location: &str) -> (Option<NextHop>, Vec<String>) {
        let url = Url::parse("http://a/b?c#d").unwrap();
        let mut headers = headers();
        let status = StatusCode::from_u16(status).unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let hop = next_hop(
            status,
            Some(location.as_bytes()),
            &url,
            &method,
            true,
            &mut headers,
        )
        .unwrap();
        (
            hop,
            headers
                .into_iter()
                .map(|(name, _)| name.to_string())
                .collect(),
        )
    }

    #[test]
    fn the_method_follows_the_status() {
        for (status, method, expected) in [
            (301, "POST", "GET"),
            (302, "POST", "GET"),
            (303, "POST", "GET"),
            (307, "POST", "POST"),
            (308, "POST", "POST"),
            (301, "PUT", "PUT"),
            (302, "DELETE", "DELETE"),
            (302, "post", "post"),
            (303, "PUT", "GET"),
            (303, "GET", "GET"),
            (303, "HEAD", "HEAD"),
            (301, "HEAD", "HEAD"),
            (307, "OPTIONS", "OPTIONS"),
        ] {
            let hop = follow(status, method, "/x").0.unwrap();
            assert_eq!(hop.method.as_str(), expected, "{status} {method}");
            let becomes_get = expected == "GET";
            assert_eq!(hop.keeps_body, !becomes_get, "{status} {method}");
            assert_eq!(hop.url.as_str(), "http://a/x#d");
        }
    }

    #[test]
    fn other_responses_are_not_followed() {
        for status in [200, 201, 300, 304, 305, 306, 309, 400] {
            assert_eq!(follow(status, "GET", "/x").0, None, "{status}");
        }
        let url = Url::parse("http://a/").unwrap();
        let none = next_hop(
            StatusCode::FOUND,
            None,
            &url,
            &Method::GET,
            true,
            &mut headers(),
        );
        assert_eq!(none.unwrap(), None);
    }

    #[test]
    fn headers_of_the_body_are_removed_with_it() {
        let kept = [
            "authorization",
            "cookie",
            "proxy-authorization",
            "host",
            "x-other",
        ];
        assert_eq!(follow(303, "POST", "/x").1, kept);
        assert_eq!(follow(308, "POST", "/x").1, NAMES);
        assert_eq!(follow(303, "HEAD", "/x").1, NAMES);
    }

    #[test]
    fn credentials_are_removed_at_another_origin() {
        for location in ["//b/", "https://a/", "http://a:81/", "http://a.b/"] {
            let (hop, names) = follow(307, "POST", location);
            assert!(hop.unwrap().keeps_body);
            assert_eq!(names, &NAMES[4..], "{location}");
        }
        assert_eq!(follow(307, "POST", "http://A:80/x").1, NAMES);
        assert_eq!(follow(302, "POST", "//b/").1, ["x-other"]);
    }

    #[test]
    fn user_information_of_a_location_is_ignored() {
        let hop = follow(302, "GET", "http://user:pass@b/").0.unwrap();
        assert_eq!(hop.url.user_info(), None);
        assert_eq!(hop.url.as_str(), "http://b/#d");
    }

    #[test]
    fn a_body_that_cannot_be_sent_again_ends_the_chain() {
        let url = Url::parse("http://a/").unwrap();
        let follow = |status: StatusCode| {
            let location = Some(&b"/x"[..]);
            next_hop(status, location, &url, &Method::POST, false, &mut headers()).unwrap()
        };
        assert_eq!(follow(StatusCode::TEMPORARY_REDIRECT), None);
        assert_eq!(follow(StatusCode::PERMANENT_REDIRECT), None);
        assert!(follow(StatusCode::FOUND).is_some());
    }

    #[test]
    fn invalid_locations_are_errors() {
        let url = Url::parse("http://a/").unwrap();
        for (location, kind) in [
            ("http://", ErrorKind::InvalidUrl),
            ("http:///x", ErrorKind::InvalidUrl),
            ("http://a:b/", ErrorKind::InvalidUrl),
            ("ftp://a/", ErrorKind::UnsupportedScheme),
        ] {
            let mut headers = headers();
            let failure = next_hop(
                StatusCode::FOUND,
                Some(location.as_bytes()),
                &url,
                &Method::GET,
                true,
                &mut headers,
            )
            .unwrap_err();
            assert_eq!(failure.kind, kind, "{location}");
            assert_eq!(headers.len(), NAMES.len());
        }
    }
}
