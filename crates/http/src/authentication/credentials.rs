//! The credentials in the `Authorization` header of a request.

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::Request;

/// Base64 without required padding, which some clients omit.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user name and a password (RFC 7617). Compare the password with [`constant_time_eq`](crate::constant_time_eq), not with `==`.
#[derive(Clone)]
pub struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// Returns the name of the user.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the password.
    pub fn password(&self) -> &str {
        &self.password
    }

    fn decode(text: &str) -> Option<Self> {
        let text = String::from_utf8(BASE64.decode(text).ok()?).ok()?;
        let (name, password) = text.split_once(':')?;
        Some(Credentials {
            name: name.to_owned(),
            password: password.to_owned(),
        })
    }
}

/// Omits the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// Returns the name and the password in `Authorization: Basic`, not verified; `None` if they are missing, malformed or not UTF-8, or if
    /// the request has several such headers. [`Authentication`](crate::Authentication) verifies them for a group of routes.
    pub fn basic_credentials(&self) -> Option<Credentials> {
        Credentials::decode(self.authorization("basic")?)
    }

    /// Returns the token in `Authorization: Bearer`, not verified; `None` if it is missing or if the request has several such headers.
    pub fn bearer_token(&self) -> Option<&str> {
        self.authorization("bearer")
            .filter(|token| !token.is_empty())
    }

    /// Returns the credentials of the only `Authorization` header, if it has this scheme.
    fn authorization(&self, scheme: &str) -> Option<&str> {
        let mut headers = self.head().fields_of("authorization");
        let header = std::str::from_utf8(headers.next()?).ok()?;
        if headers.next().is_some() {
            return None;
        }
        let (name, credentials) = header.split_once(' ')?;
        name.eq_ignore_ascii_case(scheme)
            .then(|| credentials.trim())
    }
}
