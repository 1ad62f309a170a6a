//! What a certificate says about itself, as far as its record shows it: read
//! from its DER, without trusting any of it.
//!
//! ```text
//!   Certificate { tbs { [0] version?, serial, algorithm, issuer, validity { from, until }, subject, … }, … }
//! ```

use crate::value::Micros;
use ring::digest;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};

/// Bytes of a certificate or a list as PEM.
pub const PEM_MAX: usize = 64 * 1024;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What is shown of a certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct Shown {
    pub not_before: Micros,
    pub not_after: Micros,
    /// Pairs of hexadecimal digits, with colons between.
    pub sha256: String,
    pub sha1: String,
    /// It names itself as its issuer.
    pub self_signed: bool,
}

/// The first certificate in a PEM text; `None` if there is none, or it is not whole.
pub fn read(pem: &str) -> Option<Shown> {
    if pem.len() > PEM_MAX {
        return None;
    }
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    read_der(&der)
}

/// Whether a PEM text is a list of revoked certificates.
pub fn is_revocation_list(pem: &str) -> bool {
    let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes());
    pem.len() <= PEM_MAX && der.is_ok_and(|der| revocations(&der).is_some())
}

fn revocations(der: &[u8]) -> Option<()> {
    let (outer, rest) = expect(der, SEQUENCE)?;
    let (inner, _) = expect(outer, SEQUENCE)?;
    (rest.is_empty() && !inner.is_empty()).then_some(())
}

pub fn read_der(der: &[u8]) -> Option<Shown> {
    let (certificate, rest) = expect(der, SEQUENCE)?;
    let (mut tbs, signature) = expect(certificate, SEQUENCE)?;
    if !rest.is_empty() || signature.is_empty() {
        return None;
    }
    if tbs.first() == Some(&VERSION) {
        tbs = element(tbs)?.2;
    }
    let (_, _, tbs) = element(tbs)?; // serial
    let (_, _, tbs) = element(tbs)?; // algorithm
    let (issuer, tbs) = expect(tbs, SEQUENCE)?;
    let (validity, tbs) = expect(tbs, SEQUENCE)?;
    let (subject, _) = expect(tbs, SEQUENCE)?;
    let (tag, from, validity) = element(validity)?;
    let not_before = time(tag, from)?;
    let (tag, until, _) = element(validity)?;
    let not_after = time(tag, until)?;
    let print = |algorithm: &'static digest::Algorithm| pairs(digest::digest(algorithm, der).as_ref());
    Some(Shown {
        not_before,
        not_after,
        sha256: print(&digest::SHA256),
        sha1: print(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        self_signed: issuer == subject,
    })
}

/// The tag, the contents, and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

fn expect(bytes: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, contents, rest) = element(bytes)?;
    (tag == wanted).then_some((contents, rest))
}

/// `YYMMDDhhmmssZ`, of the century from 1950 on, or `YYYYMMDDhhmmssZ`.
fn time(tag: u8, text: &[u8]) -> Option<Micros> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let (year, rest) = match tag {
        UTC_TIME if digits && text.len() == 12 => {
            let year: i16 = text[..2].parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, &text[2..])
        }
        GENERALIZED_TIME if digits && text.len() == 14 => (text[..4].parse().ok()?, &text[4..]),
        _ => return None,
    };
    let part = |at: usize| rest[at * 2..at * 2 + 2].parse::<i8>().ok();
    let civil = jiff::civil::DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

fn pairs(bytes: &[u8]) -> String {
    let pairs: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::value::parse_time;

    /// A certificate of that name that signs itself, valid in these years.
    pub fn made(name: &str, years: (i32, i32)) -> String {
        let mut params = rcgen::CertificateParams::new(vec![name.to_string()]).expect("a name");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(years.0, 1, 2);
        params.not_after = rcgen::date_time_ymd(years.1, 3, 4);
        let key = rcgen::KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("signed").pem()
    }

    #[test]
    fn a_certificate_says_when_it_is_valid() {
        let shown = read(&made("one", (2020, 2060))).expect("a certificate");
        assert_eq!(Some(shown.not_before), parse_time("20200102T00:00:00Z"));
        assert_eq!(Some(shown.not_after), parse_time("20600304T00:00:00Z"), "a time after 2049 has four digits");
        assert!(shown.self_signed);
        assert_eq!((shown.sha256.len(), shown.sha1.len()), (95, 59));
    }

    #[test]
    fn what_is_cut_short_is_no_certificate() {
        let pem = made("one", (2020, 2030));
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM").to_vec();
        assert!(read_der(&der).is_some());
        for length in 0..der.len() {
            assert_eq!(read_der(&der[..length]), None, "{length} bytes");
        }
        assert_eq!(read("nonsense"), None);
        assert!(!is_revocation_list(&pem));
    }
}
