//! Parsing of certificates (RFC 5280).

use rustls::CertificateError;

#[cfg(feature = "x509")]
pub(crate) use contents::{names_of, subject_of, validity};

/// The error text for a version 1 certificate, which `openssl x509 -req` issues without extensions.
pub(crate) const VERSION_1: &str = "it is an X.509 version 1 certificate, but only version 3 is supported: reissue it \
                                    with extensions (`openssl x509 -req -extfile FILE`)";

/// Returns `true` if a certificate is rejected because it is not of version 3.
pub(crate) fn is_version_1(error: &CertificateError) -> bool {
    let CertificateError::Other(other) = error else {
        return false;
    };
    matches!(
        other.0.downcast_ref(),
        Some(webpki::Error::UnsupportedCertVersion)
    )
}

#[cfg(feature = "x509")]
mod contents {
    use std::fmt::Write;
    use std::time::Duration;

    use rustls_pki_types::CertificateDer;
    use x509_cert::certificate::{CertificateInner, Raw};
    use x509_cert::der::oid::AssociatedOid;
    use x509_cert::der::{self, Decode, Encode};
    use x509_cert::ext::pkix::SubjectAltName;

    fn parse(certificate: &CertificateDer<'_>) -> der::Result<CertificateInner<Raw>> {
        CertificateInner::from_der(certificate)
    }

    /// Returns the begin and the end of the validity period, as times since 1970.
    pub(crate) fn validity(certificate: &CertificateDer<'_>) -> der::Result<(Duration, Duration)> {
        let validity = parse(certificate)?.tbs_certificate.validity;
        Ok((
            validity.not_before.to_unix_duration(),
            validity.not_after.to_unix_duration(),
        ))
    }

    /// Returns the subject as a distinguished name (RFC 4514): `CN=alice,O=Example`.
    ///
    /// Control characters are escaped. The result is `None` if the certificate cannot be parsed.
    pub(crate) fn subject_of(certificate: &CertificateDer<'_>) -> Option<String> {
        let subject = parse(certificate).ok()?.tbs_certificate.subject;
        let mut text = String::new();
        write!(text, "{subject}").ok()?;
        Some(text)
    }

    /// Returns the names for which a certificate is valid: the encoded `subjectAltName` entries in a fixed order, or its subject if it has
    /// no such entries.
    pub(crate) fn names_of(certificate: &CertificateDer<'_>) -> der::Result<Vec<Vec<u8>>> {
        let certificate = parse(certificate)?.tbs_certificate;
        let mut names = Vec::new();
        for extension in certificate.extensions.iter().flatten() {
            if extension.extn_id == SubjectAltName::OID {
                let entries = SubjectAltName::from_der(extension.extn_value.as_bytes())?;
                for entry in &entries.0 {
                    names.push(entry.to_der()?);
                }
            }
        }
        if names.is_empty() {
            names.push(certificate.subject.to_der()?);
        }
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }
}

#[cfg(feature = "x509")]
#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
    use rustls_pki_types::CertificateDer;

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    #[test]
    fn a_subject_is_formatted_with_the_most_specific_name_first() {
        let certificate = certificate(&[
            (DnType::CountryName, "AT"),
            (DnType::OrganizationName, "Example"),
            (DnType::CommonName, "alice"),
        ]);
        assert_eq!(subject_of(&certificate).unwrap(), "CN=alice,O=Example,C=AT");
    }

    #[test]
    fn separators_and_line_ends_in_a_name_are_escaped() {
        let certificate = certificate(&[(DnType::CommonName, "alice,O=Example\nX ")]);
        assert_eq!(
            subject_of(&certificate).unwrap(),
            "CN=alice\\,O=Example\\0aX\\ "
        );
    }

    #[test]
    fn the_names_of_a_certificate_are_independent_of_their_order_and_of_its_subject() {
        let named = |names: &[&str], subject: &str| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let mut params = CertificateParams::new(names).unwrap();
            params
                .distinguished_name
                .push(DnType::CommonName, subject.to_owned());
            let key = KeyPair::generate().unwrap();
            names_of(params.self_signed(&key).unwrap().der()).unwrap()
        };
        let names = named(&["a.example", "b.example", "127.0.0.1"], "a");
        assert_eq!(names.len(), 3);
        assert_eq!(names, named(&["127.0.0.1", "b.example", "a.example"], "b"));
        assert_ne!(names, named(&["a.example", "b.example"], "a"));
        // Without names, the subject is used.
        assert_eq!(named(&[], "a"), named(&[], "a"));
        assert_ne!(named(&[], "a"), named(&[], "b"));
    }

    #[test]
    fn malformed_certificates_have_no_subject() {
        assert_eq!(subject_of(&CertificateDer::from(vec![0x30, 0])), None);
        assert!(validity(&CertificateDer::from(vec![])).is_err());
    }
}
