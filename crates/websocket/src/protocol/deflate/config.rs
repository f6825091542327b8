//! Negotiation of compression (RFC 7692, section 7.1).

use std::fmt::Write as _;

use crate::protocol::handshake::Extension;

/// The name of the extension.
pub const EXTENSION: &str = "permessage-deflate";

/// The four parameters of the extension, as preferred by one side or as negotiated.
///
/// # Examples
///
/// A server without context takeover, and a client that makes two offers:
///
/// ```
/// use uptick_websocket::protocol::deflate::Config;
/// use uptick_websocket::protocol::handshake::Extension;
///
/// let preferred = Config::new().server_no_context_takeover(true);
/// let offers = b"permessage-deflate; server_max_window_bits=10, permessage-deflate";
/// let (negotiated, response) = preferred.accept(&Extension::parse(offers).unwrap()).unwrap();
/// assert_eq!(negotiated.server_bits(), 10);
/// assert_eq!(response, "permessage-deflate; server_no_context_takeover; server_max_window_bits=10");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: u8,
    client_max_window_bits: u8,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }
}

impl Config {
    /// Returns the default parameters.
    pub fn new() -> Config {
        Config::default()
    }

    /// Sets whether the server compresses each message without the context of earlier ones (RFC 7692, section 7.1.1.1). Default: no.
    #[must_use]
    pub fn server_no_context_takeover(mut self, set: bool) -> Config {
        self.server_no_context_takeover = set;
        self
    }

    /// Sets whether the client compresses each message without the context of earlier ones (RFC 7692, section 7.1.1.2). Default: no.
    #[must_use]
    pub fn client_no_context_takeover(mut self, set: bool) -> Config {
        self.client_no_context_takeover = set;
        self
    }

    /// Sets the maximum window size of the server's compressor, in bits (RFC 7692, section 7.1.2.1). Default: 15.
    ///
    /// # Limits
    ///
    /// 9 to 15; other values are clamped.
    #[must_use]
    pub fn server_max_window_bits(mut self, bits: u8) -> Config {
        self.server_max_window_bits = bits.clamp(9, 15);
        self
    }

    /// Sets the maximum window size of the client's compressor, in bits (RFC 7692, section 7.1.2.2). A server sends it only to
    /// clients that offer the parameter. Default: 15.
    ///
    /// # Limits
    ///
    /// 9 to 15; other values are clamped.
    #[must_use]
    pub fn client_max_window_bits(mut self, bits: u8) -> Config {
        self.client_max_window_bits = bits.clamp(9, 15);
        self
    }

    /// Returns `true` if messages of the server may refer to earlier ones.
    pub fn server_keeps_context(&self) -> bool {
        !self.server_no_context_takeover
    }

    /// Returns `true` if messages of the client may refer to earlier ones.
    pub fn client_keeps_context(&self) -> bool {
        !self.client_no_context_takeover
    }

    /// Returns the window size of the server's compressor, in bits, 8 to 15.
    pub fn server_bits(&self) -> u8 {
        self.server_max_window_bits
    }

    /// Returns the window size of the client's compressor, in bits, 8 to 15.
    pub fn client_bits(&self) -> u8 {
        self.client_max_window_bits
    }

    /// Returns the parameters negotiated by a server with this configuration, and the value of its `Sec-WebSocket-Extensions`
    /// header; `None` if there is no valid offer of this extension. The first valid offer is accepted.
    pub fn accept(&self, offers: &[Extension<'_>]) -> Option<(Config, String)> {
        offers.iter().find_map(|offer| {
            let offered = Parameters::parse(offer)?;
            let server_bits = offered.server_bits.unwrap_or(Some(15))?;
            let client_bits = match offered.client_bits {
                Some(max) => self.client_max_window_bits.min(max.unwrap_or(15)),
                None => 15,
            };
            let agreed = Config {
                server_no_context_takeover: self.server_no_context_takeover
                    || offered.server_no_context_takeover,
                client_no_context_takeover: self.client_no_context_takeover
                    || offered.client_no_context_takeover,
                server_max_window_bits: self.server_max_window_bits.min(server_bits),
                client_max_window_bits: client_bits,
            };
            let mut response = agreed.name_and_flags();
            if offered.server_bits.is_some() || agreed.server_max_window_bits < 15 {
                append_bits(&mut response, SERVER_BITS, agreed.server_max_window_bits);
            }
            if agreed.client_max_window_bits < 15 {
                append_bits(&mut response, CLIENT_BITS, agreed.client_max_window_bits);
            }
            Some((agreed, response))
        })
    }

    /// Returns the offer of a client with this configuration, for `Sec-WebSocket-Extensions`.
    pub fn offer(&self) -> String {
        let mut offer = self.name_and_flags();
        if self.server_max_window_bits < 15 {
            append_bits(&mut offer, SERVER_BITS, self.server_max_window_bits);
        }
        if self.client_max_window_bits < 15 {
            append_bits(&mut offer, CLIENT_BITS, self.client_max_window_bits);
        } else {
            offer += "; ";
            offer += CLIENT_BITS;
        }
        offer
    }

    /// Returns the parameters negotiated by a client that has made this offer and received this response; `None` if the client has to fail
    /// the connection.
    pub fn agree(&self, response: &Extension<'_>) -> Option<Config> {
        let received = Parameters::parse(response)?;
        let server_bits = received.server_bits.unwrap_or(Some(15))?;
        let client_bits = received.client_bits.unwrap_or(Some(15))?;
        let server_ignores = (self.server_no_context_takeover
            && !received.server_no_context_takeover)
            || server_bits > self.server_max_window_bits;
        if server_ignores {
            return None;
        }
        Some(Config {
            server_no_context_takeover: received.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover
                || received.client_no_context_takeover,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits.min(self.client_max_window_bits),
        })
    }

    /// Returns the name of the extension and the parameters without a value.
    fn name_and_flags(&self) -> String {
        let mut field = String::from(EXTENSION);
        for (set, name) in [
            (self.server_no_context_takeover, SERVER_NO_CONTEXT),
            (self.client_no_context_takeover, CLIENT_NO_CONTEXT),
        ] {
            if set {
                field += "; ";
                field += name;
            }
        }
        field
    }
}

const SERVER_NO_CONTEXT: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

fn append_bits(field: &mut String, name: &str, bits: u8) {
    let _ = write!(field, "; {name}={bits}");
}

/// The parameters as received; window bits may have no value.
#[derive(Default)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_bits: Option<Option<u8>>,
    client_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Returns `None` for another extension, or if a parameter is unknown, invalid or repeated (RFC 7692, section 7.1).
    fn parse(extension: &Extension<'_>) -> Option<Parameters> {
        if extension.name() != EXTENSION {
            return None;
        }
        let mut parameters = Parameters::default();
        for (name, value) in extension.parameters() {
            let fresh = match name {
                SERVER_NO_CONTEXT if value.is_none() => {
                    !std::mem::replace(&mut parameters.server_no_context_takeover, true)
                }
                CLIENT_NO_CONTEXT if value.is_none() => {
                    !std::mem::replace(&mut parameters.client_no_context_takeover, true)
                }
                SERVER_BITS => parameters.server_bits.replace(bits(value)?).is_none(),
                CLIENT_BITS => parameters.client_bits.replace(bits(value)?).is_none(),
                _ => false,
            };
            if !fresh {
                return None;
            }
        }
        Some(parameters)
    }
}

/// Parses 8 to 15, without leading zeros, or no value; returns `None` for anything else.
fn bits(value: Option<&str>) -> Option<Option<u8>> {
    let Some(value) = value else {
        return Some(None);
    };
    (8..=15)
        .find(|bits: &u8| bits.to_string() == value)
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the response of a server to offers.
    fn response(config: Config, offers: &str) -> Option<String> {
        let offers = Extension::parse(offers.as_bytes()).unwrap();
        config.accept(&offers).map(|(_, response)| response)
    }

    fn agree(config: Config, response: &str) -> Option<Config> {
        config.agree(&Extension::parse(response.as_bytes()).unwrap()[0])
    }

    const PMD: &str = "permessage-deflate";

    #[test]
    fn a_server_responds_to_each_parameter_as_in_the_rfc() {
        for (offers, expected) in [
            ("", ""),
            ("; client_max_window_bits", ""),
            ("; client_max_window_bits=10", "; client_max_window_bits=10"),
            (
                "; client_max_window_bits=\"8\"",
                "; client_max_window_bits=8",
            ),
            ("; server_max_window_bits=15", "; server_max_window_bits=15"),
            ("; server_max_window_bits=8", "; server_max_window_bits=8"),
            (
                "; server_no_context_takeover",
                "; server_no_context_takeover",
            ),
            (
                "; client_no_context_takeover",
                "; client_no_context_takeover",
            ),
        ] {
            let actual = response(Config::new(), &format!("{PMD}{offers}"));
            assert_eq!(actual.unwrap(), format!("{PMD}{expected}"), "{offers}");
        }
        let config = Config::new()
            .server_no_context_takeover(true)
            .client_no_context_takeover(true)
            .server_max_window_bits(12)
            .client_max_window_bits(11);
        let both = format!("{PMD}; server_no_context_takeover; client_no_context_takeover");
        for (offers, expected) in [
            ("", "; server_max_window_bits=12"),
            (
                "; client_max_window_bits; server_max_window_bits=13",
                "; server_max_window_bits=12; client_max_window_bits=11",
            ),
            (
                "; client_max_window_bits=9; server_max_window_bits=9",
                "; server_max_window_bits=9; client_max_window_bits=9",
            ),
        ] {
            let actual = response(config, &format!("{PMD}{offers}"));
            assert_eq!(actual.unwrap(), format!("{both}{expected}"), "{offers}");
        }
    }

    #[test]
    fn an_invalid_offer_is_declined_and_the_next_accepted() {
        for wrong in [
            "; unknown",
            "; server_max_window_bits",
            "; server_max_window_bits=7",
            "; server_max_window_bits=16",
            "; server_max_window_bits=08",
            "; server_max_window_bits=+9",
            "; client_max_window_bits=0",
            "; server_no_context_takeover=1",
            "; client_no_context_takeover; client_no_context_takeover",
            "; client_max_window_bits; client_max_window_bits=9",
        ] {
            assert_eq!(
                response(Config::new(), &format!("{PMD}{wrong}")),
                None,
                "{wrong}"
            );
            let actual = response(Config::new(), &format!("{PMD}{wrong}, other, {PMD}"));
            assert_eq!(actual.unwrap(), PMD);
        }
        assert_eq!(response(Config::new(), "x-webkit-deflate-frame"), None);
        assert_eq!(response(Config::new(), ""), None);
    }

    #[test]
    fn a_client_accepts_only_parameters_that_it_has_offered() {
        let config = Config::new().server_max_window_bits(12);
        assert_eq!(
            config.offer(),
            "permessage-deflate; server_max_window_bits=12; client_max_window_bits"
        );
        for wrong in [
            "",
            "; server_max_window_bits=13",
            "; server_max_window_bits",
            "; client_max_window_bits; server_max_window_bits=12",
            "; server_max_window_bits=12; unknown",
        ] {
            assert_eq!(agree(config, &format!("{PMD}{wrong}")), None, "{wrong}");
        }
        let response = format!("{PMD}; server_max_window_bits=10; client_max_window_bits=9");
        let agreed = agree(config, &response).unwrap();
        assert_eq!((agreed.server_bits(), agreed.client_bits()), (10, 9));
        let config = Config::new().server_no_context_takeover(true);
        assert_eq!(agree(config, PMD), None);
        let agreed = agree(config, &format!("{PMD}; server_no_context_takeover")).unwrap();
        assert!(!agreed.server_keeps_context() && agreed.client_keeps_context());
        assert_eq!(agree(Config::new(), "other"), None);
    }

    #[test]
    fn both_sides_negotiate_the_same_parameters() {
        for number in 0..64_u8 {
            let of = |shift: u8| {
                let number = number.rotate_left(u32::from(shift));
                Config::new()
                    .server_no_context_takeover(number & 1 != 0)
                    .client_no_context_takeover(number & 2 != 0)
                    .server_max_window_bits(9 + (number >> 2) % 7)
                    .client_max_window_bits(9 + (number >> 4) % 7)
            };
            let (client, server) = (of(0), of(3));
            let offer = client.offer();
            let (agreed, response) = server
                .accept(&Extension::parse(offer.as_bytes()).unwrap())
                .unwrap();
            assert_eq!(agree(client, &response), Some(agreed), "{offer} {response}");
        }
    }
}
