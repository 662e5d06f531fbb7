//! Reads X.509 certificates (RFC 5280) for display: validity, subject, issuer and key. Nothing is
//! verified here.
//!
//! Dates are parsed strictly; other fields may be malformed without making the certificate unreadable.

#[cfg(test)]
mod tests;
mod text;

use super::der::{BIT_STRING, Elements, INTEGER, OCTET_STRING, OID, SEQUENCE, SET, time};
use std::ops::RangeInclusive;
use text::text;

/// Maximum length of a path, longer than any verifier follows.
const MAX_CHAIN: usize = 16;

/// A parsed certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate<'a> {
    /// `notBefore` to `notAfter` in Unix seconds.
    pub valid: RangeInclusive<i64>,
    pub subject: Name<'a>,
    pub issuer: Name<'a>,
    /// The first dNSName of the subjectAltName extension, safe to show.
    pub dns_name: Option<String>,
    /// E.g. `ECDSA P-256`, `RSA 2048`, `Ed25519` or `unknown`.
    pub key: String,
    /// The whole certificate.
    pub der: &'a [u8],
    /// The signed part (`tbsCertificate`).
    pub signed: &'a [u8],
    pub signature: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// `None` if the bytes are no certificate, or one without valid dates.
    pub fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        const VERSION: u8 = 0xa0;
        const EXTENSIONS: u8 = 0xa3;
        let mut certificate = Elements::of(der).inside(SEQUENCE)?;
        let signed = certificate.whole(SEQUENCE)?;
        let _algorithm = certificate.body(SEQUENCE);
        // The first byte counts unused bits.
        let signature = certificate.body(BIT_STRING).and_then(|bits| bits.get(1..));
        let mut tbs = Elements::of(signed).inside(SEQUENCE)?;
        tbs.optional(VERSION);
        let _serial = tbs.body(INTEGER)?;
        let _algorithm = tbs.body(SEQUENCE)?;
        let issuer = Name(tbs.body(SEQUENCE)?);
        let mut validity = tbs.inside(SEQUENCE)?;
        let valid = time(validity.next()?)?..=time(validity.next()?)?;
        let subject = Name(tbs.body(SEQUENCE)?);
        let key = key(tbs.inside(SEQUENCE)?).unwrap_or_else(|| "unknown".to_owned());
        let dns_name = tbs
            .find(|element| element.tag == EXTENSIONS)
            .and_then(|extensions| dns_name(extensions.body));
        Some(Certificate {
            valid,
            subject,
            issuer,
            dns_name,
            key,
            der,
            signed,
            signature: signature.unwrap_or_default(),
        })
    }

    /// The last second of validity, in Unix seconds.
    pub fn ends(&self) -> i64 {
        *self.valid.end()
    }

    /// A root, or another self-signed certificate.
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// The subject's common name, else the first DNS name.
    pub fn title(&self) -> Option<String> {
        self.subject
            .common_name()
            .or_else(|| self.dns_name.clone())
            .or_else(|| self.subject.organization())
    }
}

/// A distinguished name, compared byte by byte as verifiers do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl Name<'_> {
    pub fn common_name(&self) -> Option<String> {
        self.attribute(&[0x55, 4, 3])
    }

    pub fn organization(&self) -> Option<String> {
        self.attribute(&[0x55, 4, 10])
    }

    /// `Let's Encrypt (R3)`: organization and common name, whichever there are.
    pub fn readable(&self) -> Option<String> {
        match (self.organization(), self.common_name()) {
            (Some(organization), Some(name)) if !name.contains(&organization) => {
                Some(format!("{organization} ({name})"))
            }
            (organization, name) => name.or(organization),
        }
    }

    /// Returns the last nonempty attribute of this type, the most specific one.
    fn attribute(&self, oid: &[u8]) -> Option<String> {
        let mut found = None;
        for set in Elements::of(self.0).filter(|element| element.tag == SET) {
            for pair in Elements::of(set.body).filter(|element| element.tag == SEQUENCE) {
                let mut pair = Elements::of(pair.body);
                if pair.body(OID) == Some(oid) {
                    found = pair.next().and_then(text).or(found);
                }
            }
        }
        found
    }
}

/// Finds the certificate of `chain` (leaf first, as servers send it) that expires first among those on
/// the path from the leaf towards a root; others that were sent are ignored. The path excludes the root,
/// which clients have. `None` if the leaf cannot be read.
///
/// For chains without a trusted root; for others the verifier knows the path. `signs` says whether the
/// key of the first certificate made the signature of the second. Of several certificates with the
/// issuer's name, those with the right key count, and of these the one that is valid longest. If `signs`
/// confirms none (it may not know the algorithm), all of that name count.
pub fn first_to_end<'a>(
    chain: &'a [impl AsRef<[u8]>],
    signs: impl Fn(&Certificate<'a>, &Certificate<'a>) -> bool,
) -> Option<Certificate<'a>> {
    let (leaf, others) = chain.split_first()?;
    let leaf = Certificate::read(leaf.as_ref())?;
    // A thousand certificates are no problem, verifying a signature for each would be.
    let others: Vec<Certificate> = others
        .iter()
        .filter_map(|der| Certificate::read(der.as_ref()))
        .take(MAX_CHAIN)
        .collect();
    let (mut first, mut here) = (&leaf, &leaf);
    for _ in 0..MAX_CHAIN {
        if here.is_self_issued() {
            break;
        }
        let mut issuers: Vec<&Certificate> = others
            .iter()
            .filter(|other| other.subject == here.issuer)
            .collect();
        if issuers.len() > 1 && issuers.iter().any(|issuer| signs(issuer, here)) {
            issuers.retain(|issuer| signs(issuer, here));
        }
        if issuers.iter().any(|issuer| issuer.is_self_issued()) {
            break;
        }
        let Some(next) = issuers.into_iter().max_by_key(|issuer| issuer.ends()) else {
            break;
        };
        here = next;
        if here.ends() < first.ends() {
            first = here;
        }
    }
    Some(first.clone())
}

/// Type and size of a SubjectPublicKeyInfo.
fn key(mut info: Elements<'_>) -> Option<String> {
    let mut algorithm = info.inside(SEQUENCE)?;
    let oid = algorithm.body(OID)?;
    // The first byte of a BIT STRING counts unused bits at its end.
    let bits = info.body(BIT_STRING)?.get(1..)?;
    let named = match oid {
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, kind @ (1 | 10)] => {
            let name = if *kind == 1 { "RSA" } else { "RSA-PSS" };
            let size = Elements::of(bits)
                .inside(SEQUENCE)
                .and_then(|mut key| key.body(INTEGER))
                .map_or(0, bit_length);
            return Some(format!("{name} {size}"));
        }
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1] => match algorithm.body(OID).unwrap_or_default() {
            [0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7] => "ECDSA P-256",
            [0x2b, 0x81, 4, 0, 33] => "ECDSA P-224",
            [0x2b, 0x81, 4, 0, 34] => "ECDSA P-384",
            [0x2b, 0x81, 4, 0, 35] => "ECDSA P-521",
            [0x2b, 0x81, 4, 0, 10] => "ECDSA secp256k1",
            [0x2b, 0x24, 3, 3, 2, 8, 1, 1, 7] => "ECDSA brainpoolP256r1",
            [0x2b, 0x24, 3, 3, 2, 8, 1, 1, 11] => "ECDSA brainpoolP384r1",
            [0x2b, 0x24, 3, 3, 2, 8, 1, 1, 13] => "ECDSA brainpoolP512r1",
            _ => "ECDSA",
        },
        [0x2b, 0x65, 112] => "Ed25519",
        [0x2b, 0x65, 113] => "Ed448",
        [0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1] => "DSA",
        // FIPS 204.
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17] => "ML-DSA-44",
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 18] => "ML-DSA-65",
        [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 19] => "ML-DSA-87",
        _ => return None,
    };
    Some(named.to_owned())
}

/// Length of a nonnegative number.
fn bit_length(integer: &[u8]) -> usize {
    let zeros = integer.iter().take_while(|&&byte| byte == 0).count();
    let digits = &integer[zeros..];
    digits
        .first()
        .map_or(0, |first| digits.len() * 8 - first.leading_zeros() as usize)
}

/// Returns the first dNSName in the subjectAltName (RFC 5280 section 4.2.1.6).
fn dns_name(extensions: &[u8]) -> Option<String> {
    const DNS_NAME: u8 = 0x82;
    let value = Elements::of(extensions)
        .inside(SEQUENCE)?
        .filter(|extension| extension.tag == SEQUENCE)
        .find_map(|extension| {
            let mut extension = Elements::of(extension.body);
            let is_names = extension.body(OID)? == [0x55, 0x1d, 17];
            let value = extension.find(|element| element.tag == OCTET_STRING)?;
            is_names.then_some(value.body)
        })?;
    Elements::of(value)
        .inside(SEQUENCE)?
        .find(|name| name.tag == DNS_NAME)
        .and_then(|name| text::ascii(name.body))
}
