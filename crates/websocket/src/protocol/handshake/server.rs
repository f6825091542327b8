//! The server side of the handshake (RFC 6455, section 4.2).

use uptick_http::h1::{BodyLength, RequestHead, Version};
use uptick_http::{Method, StatusCode};

use super::extensions::{Extension, Malformed, is_token};
use super::{VERSION, accept_key, is_key};
use crate::protocol::deflate::Config;

/// The refusal of a request: the status, the headers and the reason of the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Refusal {
    status: StatusCode,
    fields: &'static [(&'static str, &'static str)],
    reason: &'static str,
}

impl Refusal {
    /// Returns the status: 400, 405, 426 or 501.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers that the response needs, such as `Sec-WebSocket-Version: 13`.
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.fields.iter().copied()
    }

    /// Returns the reason, for a log or a text body.
    pub fn reason(&self) -> &'static str {
        self.reason
    }

    const fn bad(reason: &'static str) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            fields: &[],
            reason,
        }
    }

    const fn upgrade(
        fields: &'static [(&'static str, &'static str)],
        reason: &'static str,
    ) -> Refusal {
        Refusal {
            status: StatusCode::UPGRADE_REQUIRED,
            fields,
            reason,
        }
    }
}

/// A valid handshake request, which may be accepted.
///
/// # Examples
///
/// ```
/// use uptick_http::h1::{self, Limits};
/// use uptick_websocket::protocol::handshake::server;
///
/// let mut decoder = h1::Decoder::new();
/// decoder.push(concat!(
///     "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
///     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n",
///     "Sec-WebSocket-Protocol: chat, superchat\r\n\r\n",
/// ).into());
/// let Some(h1::Event::Head(head)) = decoder.next(&Limits::default()) else { panic!("no head") };
/// let offer = server::check(&head).unwrap();
/// assert_eq!(offer.accept().as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
/// assert_eq!(offer.choose(["superchat", "other"]), Some("superchat"));
/// ```
#[derive(Clone, Debug)]
pub struct Offer {
    head: RequestHead,
}

/// Checks whether a request is a valid WebSocket handshake (RFC 6455, section 4.2.1; RFC 8441 for HTTP/2). It does not check the client or the origin.
///
/// # Errors
///
/// The request is not a valid handshake. The status is 405 for a method other than GET and HEAD; 426 for HEAD, for a
/// request without an upgrade or with another upgrade, and for another version of the protocol; 501 for an extended CONNECT
/// request with another protocol; and 400 for anything else.
pub fn check(head: &RequestHead) -> Result<Offer, Refusal> {
    let is_head = *head.method() == Method::HEAD;
    if *head.method() != Method::GET && !is_head {
        return Err(Refusal {
            status: StatusCode::METHOD_NOT_ALLOWED,
            // A resource with GET also has HEAD (RFC 9110, section 9.3.2), which gets the response to a GET without an upgrade.
            fields: &[("Allow", "GET, HEAD")],
            reason: "a WebSocket handshake uses GET",
        });
    }
    if head.version() == Version::Http10 {
        return Err(Refusal::bad("a WebSocket needs HTTP/1.1"));
    }
    if head.protocol().is_some_and(|name| name != "websocket") {
        return Err(Refusal {
            status: StatusCode::NOT_IMPLEMENTED,
            fields: &[],
            reason: "the protocol of the extended CONNECT request is not supported",
        });
    }
    if is_head || !head.lists_upgrades(b"websocket") {
        return Err(Refusal::upgrade(
            &[("Upgrade", "websocket")],
            "the request is not a WebSocket handshake",
        ));
    }
    if !matches!(head.body(), BodyLength::None | BodyLength::Bytes(0)) {
        return Err(Refusal::bad("a WebSocket handshake must not have a body"));
    }
    if one(head, "sec-websocket-version") != Some(VERSION.as_bytes()) {
        return Err(Refusal::upgrade(
            // A 426 response always names a protocol to upgrade to (RFC 9110, section 15.5.22).
            &[("Sec-WebSocket-Version", VERSION), ("Upgrade", "websocket")],
            "the version of the WebSocket protocol is not 13",
        ));
    }
    // In HTTP/2, the pseudo-header `:protocol` replaces the key (RFC 8441, section 5).
    if head.protocol().is_none() && !one(head, "sec-websocket-key").is_some_and(is_key) {
        return Err(Refusal::bad(
            "Sec-WebSocket-Key is not a single key of 16 bytes in Base64",
        ));
    }
    if !offered_protocols(head).all(|protocol| protocol.is_some()) {
        return Err(Refusal::bad(
            "Sec-WebSocket-Protocol is not a list of subprotocols",
        ));
    }
    if extensions(head).is_err() {
        return Err(Refusal::bad(
            "Sec-WebSocket-Extensions is not a list of extensions",
        ));
    }
    Ok(Offer { head: head.clone() })
}

impl Offer {
    /// Returns the value of `Sec-WebSocket-Accept`; `None` in HTTP/2, which does not use it.
    pub fn accept(&self) -> Option<String> {
        if self.head.protocol().is_some() {
            return None;
        }
        let key = self.head.field("sec-websocket-key").unwrap_or_default();
        Some(accept_key(str::from_utf8(key).unwrap_or_default()))
    }

    /// Returns the subprotocols offered by the client, preferred ones first (RFC 6455, section 1.9).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        offered_protocols(&self.head).flatten()
    }

    /// Returns the subprotocol for `Sec-WebSocket-Protocol`: the first one offered by the client that is also in `supported`. Case-sensitive.
    pub fn choose<'a>(
        &self,
        supported: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Option<&'a str> {
        self.subprotocols()
            .find_map(|offered| supported.clone().into_iter().find(|name| *name == offered))
    }

    /// Returns the extensions offered by the client, preferred ones first.
    pub fn extensions(&self) -> Vec<Extension<'_>> {
        extensions(&self.head).unwrap_or_default()
    }

    /// Returns the negotiated compression, and the value of `Sec-WebSocket-Extensions`; `None` if the client makes no acceptable
    /// offer.
    pub fn deflate(&self, config: &Config) -> Option<(Config, String)> {
        config.accept(&self.extensions())
    }

    /// Returns the head of the request.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }
}

/// Returns the value of a field that occurs exactly once.
fn one<'a>(head: &'a RequestHead, name: &'a str) -> Option<&'a [u8]> {
    let mut values = head.fields_of(name);
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// Returns the subprotocols offered by a client; `None` in place of a malformed one.
pub(crate) fn offered_protocols(head: &RequestHead) -> impl Iterator<Item = Option<&str>> {
    tokens(head, "sec-websocket-protocol")
}

/// Returns the elements of the lists in all fields with this name; `None` in place of an element that is not a token.
fn tokens<'a>(head: &'a RequestHead, name: &'a str) -> impl Iterator<Item = Option<&'a str>> {
    head.fields_of(name)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
        .map(|element| {
            str::from_utf8(element)
                .ok()
                .filter(|_| element.iter().all(|&byte| is_token(byte)))
        })
}

fn extensions(head: &RequestHead) -> Result<Vec<Extension<'_>>, Malformed> {
    let mut all = Vec::new();
    for value in head.fields_of("sec-websocket-extensions") {
        all.extend(Extension::parse(value)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use uptick_http::h1::{Decoder, Event, Limits};

    /// The fields of a valid request.
    const FIELDS: [(&str, &str); 5] = [
        ("Host", "example.com"),
        ("Upgrade", "websocket"),
        ("Connection", "keep-alive, Upgrade"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Version", "13"),
    ];

    fn head(line: &str, fields: &[(&str, &str)]) -> RequestHead {
        let fields: String = fields
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let mut decoder = Decoder::new();
        decoder.push(format!("{line}\r\n{fields}\r\n").into());
        match decoder.next(&Limits::default()) {
            Some(Event::Head(head)) => head,
            other => panic!("{other:?}"),
        }
    }

    /// Returns a valid request with one field changed or removed.
    fn changed(name: &str, value: Option<&str>) -> RequestHead {
        let mut fields = FIELDS.to_vec();
        fields.retain(|field| field.0 != name);
        fields.extend(value.map(|value| (name, value)));
        head("GET /chat HTTP/1.1", &fields)
    }

    fn status(head: &RequestHead) -> u16 {
        check(head).map_or_else(|refusal| refusal.status().as_u16(), |_| 101)
    }

    #[test]
    fn each_field_of_a_request_is_checked() {
        for (name, value, expected) in [
            ("Upgrade", None, 426),
            ("Upgrade", Some("h2c"), 426),
            ("Upgrade", Some("h2c, WebSocket"), 101),
            ("Connection", None, 426),
            ("Connection", Some("close"), 426),
            ("Sec-WebSocket-Version", None, 426),
            ("Sec-WebSocket-Version", Some("8"), 426),
            ("Sec-WebSocket-Version", Some("13, 8"), 426),
            ("Sec-WebSocket-Key", None, 400),
            ("Sec-WebSocket-Key", Some(""), 400),
            ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQ"), 400),
            ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZQ==="), 400),
            ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZ!=="), 400),
            ("Sec-WebSocket-Key", Some("dGhlIHNhbXBsZSBub25jZSE="), 400),
            ("Sec-WebSocket-Protocol", Some("a b"), 400),
            ("Sec-WebSocket-Protocol", Some("a,, b"), 101),
            ("Sec-WebSocket-Extensions", Some("a;"), 400),
            ("Sec-WebSocket-Extensions", Some("a; b=1"), 101),
            ("Content-Length", Some("0"), 101),
            ("Content-Length", Some("1"), 400),
            ("Transfer-Encoding", Some("chunked"), 400),
        ] {
            let head = changed(name, value);
            assert_eq!(status(&head), expected, "{name}: {value:?}");
        }
        assert_eq!(status(&head("POST / HTTP/1.1", &FIELDS)), 405);
        assert_eq!(status(&head("HEAD / HTTP/1.1", &FIELDS)), 426);
        assert_eq!(status(&head("GET / HTTP/1.0", &FIELDS)), 400);
        assert_eq!(status(&head("GET / HTTP/1.1", &FIELDS)), 101);
    }

    #[test]
    fn a_repeated_key_or_version_is_refused() {
        for (field, expected) in [(FIELDS[3], 400), (FIELDS[4], 426)] {
            let fields = [&FIELDS[..], &[field]].concat();
            assert_eq!(status(&head("GET / HTTP/1.1", &fields)), expected);
        }
    }

    #[test]
    fn a_refusal_names_the_supported_version_and_methods() {
        let of = |head| Vec::from_iter(check(&head).unwrap_err().fields());
        let upgrade = ("Upgrade", "websocket");
        let version = of(changed("Sec-WebSocket-Version", Some("7")));
        assert_eq!(version, [("Sec-WebSocket-Version", "13"), upgrade]);
        assert_eq!(of(changed("Upgrade", None)), [upgrade]);
        assert_eq!(
            of(head("PUT / HTTP/1.1", &FIELDS)),
            [("Allow", "GET, HEAD")]
        );
        assert_eq!(of(head("HEAD / HTTP/1.1", &FIELDS)), [upgrade]);
    }

    #[test]
    fn the_first_subprotocol_that_both_support_is_chosen() {
        let fields = [
            &FIELDS[..],
            &[
                ("Sec-WebSocket-Protocol", "a, b"),
                ("Sec-WebSocket-Protocol", "c"),
            ],
        ]
        .concat();
        let offer = check(&head("GET / HTTP/1.1", &fields)).unwrap();
        assert_eq!(offer.subprotocols().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(offer.choose(["c", "b"]), Some("b"));
        assert_eq!(offer.choose(["A", "d"]), None);
    }

    #[test]
    fn extensions_may_be_in_several_fields() {
        let name = "Sec-WebSocket-Extensions";
        let fields = [&FIELDS[..], &[(name, "a"), (name, "permessage-deflate")]].concat();
        let offer = check(&head("GET / HTTP/1.1", &fields)).unwrap();
        assert_eq!(offer.extensions().len(), 2);
        let (_, answer) = offer.deflate(&Config::new()).unwrap();
        assert_eq!(answer, "permessage-deflate");
    }
}
