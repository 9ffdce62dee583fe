//! The names in a client certificate: the common name of its subject, and its alternative names.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::der::element;

/// An attribute of a name: OBJECT IDENTIFIER 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OBJECT_IDENTIFIER: u8 = 0x06;
/// `UTF8String`, `PrintableString` and `IA5String`; the others are out of use.
const TEXTS: [u8; 3] = [0x0c, 0x13, 0x16];

/// Whom a certificate speaks of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CertificateNames {
    /// The most specific common name of the subject.
    pub(super) cn: Option<String>,
    /// DNS names and URIs.
    pub(super) sans: Vec<String>,
}

impl CertificateNames {
    /// Reads the names of a certificate that was verified; what cannot be read is no name.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Self {
        let Ok(certificate) = EndEntityCert::try_from(certificate) else { return Self::default() };
        let sans = certificate.valid_dns_names().chain(certificate.valid_uri_names());
        Self { cn: common_name(certificate.subject()), sans: sans.map(str::to_owned).collect() }
    }
}

/// Reads a name in DER, without its outermost tag: sets of pairs.
fn common_name(mut name: &[u8]) -> Option<String> {
    let mut found = None;
    while let Some((SET, mut attributes, rest)) = element(name) {
        while let Some((SEQUENCE, attribute, others)) = element(attributes) {
            if let Some((OBJECT_IDENTIFIER, COMMON_NAME, value)) = element(attribute)
                && let Some((tag, text, _)) = element(value)
                && TEXTS.contains(&tag)
                && let Ok(text) = str::from_utf8(text)
            {
                found = Some(text.to_owned());
            }
            attributes = others;
        }
        name = rest;
    }
    found
}

#[cfg(test)]
mod tests {
    use rcgen::CertificateParams;
    use rcgen::DnType;
    use rcgen::KeyPair;
    use rcgen::SanType;

    use super::*;

    #[test]
    fn the_names_of_a_certificate_are_read() {
        let mut params = CertificateParams::new(["ops.example".to_owned()]).unwrap();
        let uri = "spiffe://example/ops".try_into().unwrap();
        params.subject_alt_names.push(SanType::URI(uri));
        params.distinguished_name.push(DnType::OrganizationName, "Example");
        params.distinguished_name.push(DnType::CommonName, "alice");
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let names = CertificateNames::of(certificate.der());
        assert_eq!(names.cn.as_deref(), Some("alice"));
        assert_eq!(names.sans, ["ops.example", "spiffe://example/ops"]);
    }

    #[test]
    fn what_is_no_name_is_none() {
        assert_eq!(
            CertificateNames::of(&vec![0x30, 0x03, 1, 2, 3].into()),
            CertificateNames::default()
        );
        let name = [&[SET, 12, SEQUENCE, 10, 6, 3][..], COMMON_NAME, &[0x0c, 3, b'b', b'o', b'b']];
        let name = name.concat();
        assert_eq!(common_name(&name).as_deref(), Some("bob"));
        for len in 0..name.len() {
            assert_eq!(common_name(&name[..len]), None, "{len} bytes");
        }
        // Whatever the bytes are, reading ends.
        for idx in 0..name.len() {
            for byte in 0..=255 {
                let mut other = name.clone();
                other[idx] = byte;
                let _any = common_name(&other);
            }
        }
    }
}
