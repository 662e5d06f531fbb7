//! Certificates made by rcgen and OpenSSL, compared with webpki's verdicts, and damaged ones.

use super::*;
use proptest::prelude::*;
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, Issuer};
use rcgen::{KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::{Duration, SystemTime};
use webpki::{EndEntityCert, anchor_from_trusted_cert};

const DAY: i64 = 86_400;

fn at(unix: i64) -> SystemTime {
    let distance = Duration::from_secs(unix.unsigned_abs());
    if unix < 0 {
        SystemTime::UNIX_EPOCH - distance
    } else {
        SystemTime::UNIX_EPOCH + distance
    }
}

fn params(name: impl Into<DnValue>, from: i64, to: i64) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = at(from).into();
    params.not_after = at(to).into();
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

/// Returns a certificate for `subject`, issued by `issuer`, that expires at `ends`.
fn issued(subject: &str, issuer: &str, ends: i64) -> Vec<u8> {
    let issuer = Issuer::new(params(issuer, 0, DAY), key());
    let certificate = params(subject, 0, ends).signed_by(&key(), &issuer);
    certificate.expect("a certificate").der().to_vec()
}

#[test]
fn what_openssl_made_is_read_as_openssl_reads_it() {
    for (der, ends, subject, issuer, kind) in [
        (
            // Version 1, with TeletexStrings.
            include_bytes!("samples/v1_t61.der").as_slice(),
            2_110_938_382,
            "Fritz!Box",
            "Zürich Gerät (Fritz!Box)",
            "ECDSA brainpoolP256r1",
        ),
        (
            include_bytes!("samples/bmp.der"),
            2_110_938_383,
            "Καλημέρα",
            "Ελλάδα (Καλημέρα)",
            "ECDSA secp256k1",
        ),
        (
            include_bytes!("samples/ed448.der"),
            2_110_938_383,
            "𝄞 clef",
            "Emoji (𝄞 clef)",
            "Ed448",
        ),
        (
            // Its end is a GeneralizedTime.
            include_bytes!("samples/rsa_pss.der"),
            5_251_578_383,
            "far away",
            "far away",
            "RSA-PSS 1024",
        ),
    ] {
        let read = Certificate::read(der).expect("a certificate");
        assert_eq!(read.ends(), ends, "{subject}");
        assert_eq!(read.title().as_deref(), Some(subject));
        assert_eq!(read.issuer.readable().as_deref(), Some(issuer));
        assert_eq!(read.key, kind);
        assert!(read.is_self_issued());
    }
}

#[test]
fn keys_are_told_by_kind_and_size() {
    for (algorithm, told) in [
        (&rcgen::PKCS_ECDSA_P256_SHA256, "ECDSA P-256"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "ECDSA P-384"),
        (&rcgen::PKCS_ECDSA_P521_SHA512, "ECDSA P-521"),
        (&rcgen::PKCS_ED25519, "Ed25519"),
        (&rcgen::PKCS_RSA_SHA256, "RSA 2048"),
    ] {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let made = params("k", 0, DAY).self_signed(&key).expect("made");
        let read = Certificate::read(made.der()).expect("a certificate");
        assert_eq!(read.key, told);
    }
}

#[test]
fn a_certificate_without_a_common_name_is_called_by_its_first_dns_name() {
    let mut made = params("", 0, DAY);
    made.distinguished_name = DistinguishedName::new();
    let titled = |made: &CertificateParams| {
        let made = made.self_signed(&key()).expect("made");
        Certificate::read(made.der()).expect("read").title()
    };
    assert_eq!(titled(&made), None);
    made.distinguished_name
        .push(DnType::OrganizationName, "Somebody");
    assert_eq!(titled(&made).as_deref(), Some("Somebody"));
    made.subject_alt_names = vec![
        SanType::IpAddress([192, 0, 2, 1].into()),
        SanType::DnsName("a.example".try_into().expect("a name")),
        SanType::DnsName("b.example".try_into().expect("a name")),
    ];
    // An extension before the names, longer than one length byte can say.
    let long = CustomExtension::from_oid_content(&[1, 2, 3], vec![0x30; 70_000]);
    made.custom_extensions = vec![long];
    assert_eq!(titled(&made).as_deref(), Some("a.example"));
    made.distinguished_name.push(DnType::CommonName, "name");
    assert_eq!(titled(&made).as_deref(), Some("name"));
}

#[test]
fn names_are_safe_to_show() {
    let told = |name: DnValue| {
        let made = params(name, 0, DAY).self_signed(&key()).expect("made");
        let read = Certificate::read(made.der()).expect("read");
        read.subject.common_name()
    };
    let utf8 = |name: &str| told(DnValue::Utf8String(name.to_owned()));
    assert_eq!(
        utf8(" a\u{1b}[31m\nb\u{202e}c\u{200b} ").as_deref(),
        Some("a [31m bc")
    );
    assert_eq!(utf8("\r\n \u{feff}"), None);
    assert_eq!(utf8(&"ü".repeat(5000)), Some("ü".repeat(99) + "…"));
    let bmp = "x".repeat(300).parse().expect("a BMPString");
    assert_eq!(told(DnValue::BmpString(bmp)), Some("x".repeat(99) + "…"));
}

#[test]
fn an_issuer_is_told_by_its_organization_and_name() {
    for (organization, name, told) in [
        (Some("Let's Encrypt"), Some("R3"), "Let's Encrypt (R3)"),
        (Some("Acme"), Some("Acme Root X1"), "Acme Root X1"),
        (Some("Acme"), None, "Acme"),
        (None, Some("R3"), "R3"),
    ] {
        let mut made = params("", 0, DAY);
        made.distinguished_name = DistinguishedName::new();
        for (kind, value) in [
            (DnType::OrganizationName, organization),
            (DnType::CommonName, name),
        ] {
            if let Some(value) = value {
                made.distinguished_name.push(kind, value);
            }
        }
        let made = made.self_signed(&key()).expect("made");
        let read = Certificate::read(made.der()).expect("read");
        assert_eq!(read.issuer.readable().as_deref(), Some(told));
    }
}

#[test]
fn of_a_chain_those_on_the_way_to_a_root_count() {
    #[track_caller]
    fn first(chain: &[&Vec<u8>]) -> String {
        let first = first_to_end(chain, |_, _| true).map(|first| first.title().expect("a name"));
        first.expect("a leaf")
    }
    let leaf = issued("leaf", "one", 9 * DAY);
    let one = issued("one", "two", 5 * DAY);
    let two = issued("two", "root", 3 * DAY);
    let crossed = issued("root", "older", 2 * DAY);
    let root = issued("root", "root", DAY);
    let stray = issued("stray", "root", DAY);
    let garbage = vec![0x30, 0x80, 1];
    assert_eq!(first(&[&leaf]), "leaf");
    assert_eq!(first(&[&leaf, &one]), "one");
    assert_eq!(first(&[&leaf, &two, &one]), "two", "in any order");
    assert_eq!(first(&[&leaf, &two]), "leaf", "one is missing");
    assert_eq!(first(&[&leaf, &garbage, &stray, &one]), "one");
    assert_eq!(first(&[&leaf, &one, &two, &root]), "two");
    assert_eq!(first(&[&root, &one]), "root", "it is the leaf");
    // A root that is also signed by an older one, for clients that know only the older one.
    assert_eq!(first(&[&leaf, &one, &two, &crossed]), "root");
    assert_eq!(first(&[&leaf, &one, &two, &crossed, &root]), "two");
    // Of two certificates for one name, the one that lasts longest.
    let again = issued("one", "two", 7 * DAY);
    assert_eq!(first(&[&leaf, &one, &again]), "one");
    let end_of_one = |signs: fn(&Certificate, &Certificate) -> bool| {
        first_to_end(&[&leaf, &one, &again], signs).map(|first| first.ends())
    };
    assert_eq!(end_of_one(|_, _| true), Some(7 * DAY));
    assert_eq!(
        end_of_one(|_, _| false),
        Some(7 * DAY),
        "no signature is known"
    );
    // Only one of them has the key that signed the leaf.
    assert_eq!(
        end_of_one(|issuer, _| issuer.ends() == 5 * DAY),
        Some(5 * DAY)
    );
    // A ring of issuers doesn't loop forever.
    let ring = issued("two", "one", 8 * DAY);
    assert_eq!(first(&[&leaf, &one, &ring]), "one");
    assert_eq!(first_to_end(&[&garbage, &leaf], |_, _| true), None);
    assert_eq!(first_to_end(&[] as &[Vec<u8>], |_, _| true), None);
}

#[test]
fn a_chain_of_a_thousand_is_nothing_special() {
    let leaf = issued("0", "1", 5000 * DAY);
    let one = issued("1", "1x", 4000 * DAY);
    let mut chain = vec![leaf];
    chain.extend(std::iter::repeat_n(one, 1000));
    assert_eq!(
        first_to_end(&chain, |_, _| true).map(|first| first.ends()),
        Some(4000 * DAY)
    );
}

/// Returns whether webpki accepts `leaf`, with itself as the root, at `time`.
fn holds(leaf: &CertificateDer<'_>, time: i64) -> bool {
    let anchor = anchor_from_trusted_cert(leaf).expect("an anchor");
    let leaf = EndEntityCert::try_from(leaf).expect("readable");
    let time = Duration::from_secs(u64::try_from(time).expect("after 1970"));
    leaf.verify_for_usage(
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .all,
        &[anchor],
        &[],
        UnixTime::since_unix_epoch(time),
        webpki::KeyUsage::server_auth(),
        None,
        None,
    )
    .is_ok()
}

/// Returns a valid certificate.
fn sound() -> Vec<u8> {
    let mut made = params("sound", 0, DAY);
    made.subject_alt_names = vec![SanType::DnsName("a.example".try_into().expect("a name"))];
    made.self_signed(&key()).expect("made").der().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From 1950 to 9999; webpki knows no time before 1970.
    #[test]
    fn dates_and_names_round_trip(
        from in -631_152_000i64..253_402_300_799,
        length in 1i64..253_402_300_799,
        name in "[ -~äöüß€𝄞]{1,64}",
        dns in "[a-z]{1,20}\\.[a-z]{2,9}",
    ) {
        let to = (from + length).min(253_402_300_799);
        let mut made = params(name.as_str(), from, to);
        made.subject_alt_names = vec![SanType::DnsName(dns.as_str().try_into().expect("a name"))];
        let made = made.self_signed(&key()).expect("made");
        let read = Certificate::read(made.der()).expect("read");
        prop_assert_eq!(&read.valid, &(from..=to));
        let name = Some(name.trim()).filter(|name| !name.is_empty());
        let common = read.subject.common_name();
        prop_assert_eq!(common.as_deref(), name);
        prop_assert_eq!(read.dns_name.as_deref(), Some(dns.as_str()));
        let theirs = EndEntityCert::try_from(made.der()).expect("readable");
        prop_assert_eq!(theirs.subject(), read.subject.0);
        prop_assert_eq!(theirs.issuer(), read.issuer.0);
        prop_assert!(theirs.valid_dns_names().eq([dns.as_str()]));
        if from > 0 {
            prop_assert!(holds(made.der(), from) && !holds(made.der(), from - 1));
            prop_assert!(holds(made.der(), to) && !holds(made.der(), to + 1));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = first_to_end(&[&bytes, &bytes], |_, _| true);
    }
}

#[test]
fn no_damage_panics() {
    let sound = sound();
    for end in 0..sound.len() {
        let _ = Certificate::read(&sound[..end]);
        for byte in [0, 0x30, 0x7f, 0x80, 0x83, 0xff] {
            let mut damaged = sound.clone();
            damaged[end] = byte;
            let _ = first_to_end(&[&damaged, &sound], |_, _| true);
        }
        for bit in 0..8 {
            let mut damaged = sound.clone();
            damaged[end] ^= 1 << bit;
            let _ = first_to_end(&[&damaged, &sound], |_, _| true);
        }
    }
    assert!(Certificate::read(&sound).is_some());
}
