//! What certificates say that neither rustls nor webpki tells: elements of DER, and when a certificate expires.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SECONDS_A_DAY: i64 = 86_400;

/// When the first of the certificates in a PEM file expires, in seconds since 1970; `None` if the file holds none
/// or cannot be read.
#[must_use]
pub(crate) fn first_expiry(path: &Path) -> Option<i64> {
    let certificates = CertificateDer::pem_file_iter(path).ok()?;
    certificates.filter_map(|certificate| not_after(&certificate.ok()?)).min()
}

/// Until when a certificate in DER is valid, in seconds since 1970.
///
/// Source: RFC 5280, 4.1 and 4.1.2.5.
fn not_after(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = expect(SEQUENCE, certificate)?;
    let (_, mut fields, _) = expect(SEQUENCE, certificate)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // The serial number, the algorithm of the signature, the issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = expect(SEQUENCE, fields)?;
    let (_, _, not_after) = element(validity)?;
    let (tag, text, _) = element(not_after)?;
    match tag {
        UTC_TIME => {
            let (year, rest) = number(text, 2)?;
            unix_seconds(if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = number(text, 4)?;
            unix_seconds(year, rest)
        }
        _ => None,
    }
}

/// The seconds since 1970 of a year and of `MMDDHHMMSSZ`.
fn unix_seconds(year: i64, text: &[u8]) -> Option<i64> {
    let (month, text) = number(text, 2)?;
    let (day, text) = number(text, 2)?;
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text, 2)?;
    let (second, text) = number(text, 2)?;
    let is_time = (1..=12).contains(&month) && (1..=31).contains(&day) && text == b"Z";
    is_time.then(|| {
        days_since_1970(year, month, day) * SECONDS_A_DAY + hour * 3_600 + minute * 60 + second
    })
}

/// Days of the Gregorian calendar; years begin in March, so that the leap day is the last one.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year
        - 719_468
}

/// Takes a number of so many digits off.
fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let number = number.iter().try_fold(0, |sum, digit| {
        digit.is_ascii_digit().then(|| 10 * sum + i64::from(digit - b'0'))
    });
    Some((number?, rest))
}

/// The first element, if it has this tag.
fn expect(tag: u8, der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    element(der).filter(|(found, _, _)| *found == tag)
}

/// Splits the first element off: its tag, its content and what follows.
#[must_use]
pub(crate) fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(len)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::CertificateParams;
    use rcgen::KeyPair;
    use rcgen::date_time_ymd;

    use super::*;

    fn expiring(year: i32, month: u8, day: u8) -> rcgen::Certificate {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_a_time() {
        for (year, month, day) in
            [(1970, 1, 1), (2000, 2, 29), (2049, 12, 31), (2050, 1, 1), (2100, 3, 1), (2400, 2, 29)]
        {
            let expected = date_time_ymd(year, month, day).unix_timestamp();
            let found = not_after(expiring(year, month, day).der());
            assert_eq!(found, Some(expected), "{year}-{month}-{day}");
        }
    }

    #[test]
    fn of_a_chain_the_first_end_counts() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let chain = [expiring(2031, 5, 6).pem(), expiring(2030, 5, 6).pem()].concat();
        std::fs::write(file.path(), chain).unwrap();
        let expected = date_time_ymd(2030, 5, 6).unix_timestamp();
        assert_eq!(first_expiry(file.path()), Some(expected));
        std::fs::write(file.path(), "no certificate").unwrap();
        assert_eq!(first_expiry(file.path()), None);
        assert_eq!(first_expiry(Path::new("/nowhere")), None);
    }

    #[test]
    fn what_is_cut_or_changed_has_no_end_or_another_one() {
        let certificate = expiring(2030, 5, 6);
        let der = certificate.der();
        for len in 0..der.len() {
            let _any = not_after(&der[..len]);
        }
        for idx in 0..der.len().min(200) {
            for byte in 0..=255 {
                let mut other = der.to_vec();
                other[idx] = byte;
                let _any = not_after(&other);
            }
        }
        assert_eq!(not_after(&[]), None);
    }
}
