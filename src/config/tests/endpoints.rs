//! URLs of what is not HTTP.

use crate::config::Target;
use crate::config::endpoint::{Question, STARTTLS, dns, icmp, record, tcp, tls};
use crate::monitor::site::RecordKind;
use proptest::prelude::*;

#[track_caller]
fn refused<T: std::fmt::Debug>(read: impl Fn(&str) -> Result<T, String>, cases: &[(&str, &str)]) {
    for (rest, why) in cases {
        assert_eq!(read(rest).unwrap_err(), *why, "{rest}");
    }
}

fn target(host: &str, port: u16) -> Target {
    Target {
        host: host.to_owned(),
        port,
    }
}

#[test]
fn tcp_is_a_host_and_a_port() {
    for (rest, host, port) in [
        ("192.0.2.1:22", "192.0.2.1", 22),
        ("NAS.local.:65535", "nas.local.", 65535),
        ("[2001:DB8:0::1]:1", "2001:db8::1", 1),
        ("bücher.example:80", "xn--bcher-kva.example", 80),
        ("my_nas-2:80", "my_nas-2", 80),
    ] {
        assert_eq!(tcp(rest), Ok(target(host, port)));
    }
    let form = |why: &str| format!("must be \"tcp://HOST:PORT\": {why}");
    let long = format!("{}:1", "a".repeat(64));
    for (rest, why) in [
        ("", "the host is missing"),
        (":22", "the host is missing"),
        ("h", "the port is missing"),
        ("h:", "the port is missing"),
        ("[::1]", "the port is missing"),
        ("h:0", "the port is no number from 1 to 65535"),
        ("h:65536", "the port is no number from 1 to 65535"),
        ("h:+1", "the port is no number from 1 to 65535"),
        ("h:ssh", "the port is no number from 1 to 65535"),
        ("h:22/", "it has no path, not even a `/`"),
        ("h/:22", "it has no path, not even a `/`"),
        ("h:22?a", "nothing follows the port"),
        ("h:22#a", "it has no `#`"),
        ("::1:22", "an IPv6 address stands in brackets, as in [::1]"),
        ("::1", "an IPv6 address stands in brackets, as in [::1]"),
        ("1.1:22", "the host is no name and no address"),
        ("300.1.1.1:22", "the host is no name and no address"),
        ("[::1:22", "an IPv6 address stands in brackets, as in [::1]"),
        ("a..b:22", "the host is no name and no address"),
        ("a,b:22", "the host is no name and no address"),
        (&long, "the host is no name and no address"),
    ] {
        assert_eq!(tcp(rest).unwrap_err(), form(why), "{rest}");
    }
    refused(tcp, &[("u:p@h:22", "cannot hold a user and a password")]);
}

#[test]
fn tls_may_begin_with_a_word_of_another_protocol() {
    assert_eq!(tls("h:853"), Ok((target("h", 853), None)));
    for (word, protocol) in STARTTLS {
        let rest = format!("h:25?StartTLS={}", word.to_uppercase());
        assert_eq!(tls(&rest), Ok((target("h", 25), Some(protocol))));
    }
    let only = "must be \"tls://HOST:PORT\": only `?starttls=smtp`, `imap` or `pop3` may \
                follow the port";
    refused(
        tls,
        &[
            ("h", "must be \"tls://HOST:PORT\": the port is missing"),
            (
                "h:0",
                "must be \"tls://HOST:PORT\": the port is no number from 1 to 65535",
            ),
            (
                "h:1/x",
                "must be \"tls://HOST:PORT\": it has no path, not even a `/`",
            ),
            ("h:1?", only),
            ("h:1?tls=smtp", only),
            ("h:1?starttls=smtp&x=1", only),
            (
                "h:1?starttls",
                "has a `starttls` other than smtp, imap and pop3",
            ),
            (
                "h:1?starttls=ftp",
                "has a `starttls` other than smtp, imap and pop3",
            ),
            ("h:1?starttls=smtp&starttls=smtp", "has `starttls` twice"),
            ("u@h:1", "cannot hold a user and a password"),
        ],
    );
}

#[test]
fn dns_names_a_server_or_none_and_what_is_asked() {
    let server = |host: &str, port| Some((host.to_owned(), port));
    for (rest, from, name, kind) in [
        ("/example.com", None, "example.com", RecordKind::A),
        (
            "/Example.COM.?type=aaaa",
            None,
            "example.com",
            RecordKind::Aaaa,
        ),
        (
            "9.9.9.9/a?TYPE=MX;CLASS=in",
            server("9.9.9.9", 53),
            "a",
            RecordKind::Mx,
        ),
        (
            "[2620:fe::fe]:5353/a?class=IN&type=txt",
            server("2620:fe::fe", 5353),
            "a",
            RecordKind::Txt,
        ),
        (
            "ns.example:54/_sip._tcp.example.com?type=SRV",
            server("ns.example", 54),
            "_sip._tcp.example.com",
            RecordKind::Srv,
        ),
        (
            "/1.2.0.192.in-addr.arpa?type=PTR",
            None,
            "1.2.0.192.in-addr.arpa",
            RecordKind::Ptr,
        ),
        (
            "/bücher.example",
            None,
            "xn--bcher-kva.example",
            RecordKind::A,
        ),
    ] {
        let expected = Question {
            server: from,
            name: name.to_owned(),
            kind,
        };
        assert_eq!(dns(rest), Ok(expected));
    }
    let form = |why: &str| {
        format!(
            "must be \"dns://SERVER/NAME\" or, for the system's resolvers, \"dns:///NAME\": {why}"
        )
    };
    for (rest, why) in [
        ("", "the `/` before the name is missing"),
        ("example.com", "the `/` before the name is missing"),
        ("example.com?type=A", "the `/` before the name is missing"),
        ("/", "the name is missing"),
        ("9.9.9.9/?type=A", "the name is missing"),
        ("/a/b", "a name has no `/` in it"),
        ("/a..b", "the name is none"),
        ("/.", "the name is none"),
        ("/a%00", "the name is none"),
        ("/a?", "only `?type=A` or another type may follow the name"),
        (
            "/a?kind=A",
            "only `?type=A` or another type may follow the name",
        ),
        ("/a#b", "it has no `#`"),
        ("9.9.9.9:0/a", "the port is no number from 1 to 65535"),
        ("9.9.9.9:/a", "the port is missing"),
        (":53/a", "the host is missing"),
        (
            "2620:fe::fe/a",
            "an IPv6 address stands in brackets, as in [::1]",
        ),
    ] {
        assert_eq!(dns(rest).unwrap_err(), form(why), "{rest}");
    }
    let address = "asks for an address instead of a name; whose 192.0.2.1 is says \
                   \"dns:///1.2.0.192.in-addr.arpa?type=PTR\"";
    let types = "can ask for the types A, AAAA, CNAME, MX, NS, TXT, SOA, CAA, PTR and SRV";
    refused(
        dns,
        &[
            ("/192.0.2.1", address),
            ("/[::1]", address),
            ("/a?type=", types),
            ("/a?type=ANY", types),
            ("/a?type=A;type=MX", "has `type` twice"),
            ("/a?class=CH", "can ask for class IN alone"),
            ("u:p@9.9.9.9/a", "cannot hold a user and a password"),
        ],
    );
}

#[test]
fn icmp_is_a_host_alone() {
    assert_eq!(icmp("Router.lan").as_deref(), Ok("router.lan"));
    assert_eq!(icmp("[fe80::1]").as_deref(), Ok("fe80::1"));
    assert_eq!(icmp("192.0.2.1").as_deref(), Ok("192.0.2.1"));
    for zone in ["eth0", "2", "br-lan.10", "25"] {
        let wanted = format!("fe80::1%{zone}");
        assert_eq!(icmp(&format!("[FE80::0:1%25{zone}]")), Ok(wanted));
    }
    assert_eq!(icmp("[fe80::1%eth0]").as_deref(), Ok("fe80::1%eth0"));
    let none = "must be \"icmp://HOST\": the host is no name and no address";
    refused(
        icmp,
        &[
            ("[fe80::1%]", none),
            ("[fe80::1%25a%20b]", none),
            ("[fe80::1%25averylongname123]", none),
            ("[2001:db8::1%25eth0]", none),
            (
                "fe80::1%25eth0",
                "must be \"icmp://HOST\": an IPv6 address stands in brackets, as in [::1]",
            ),
        ],
    );
    refused(
        icmp,
        &[
            ("", "must be \"icmp://HOST\": the host is missing"),
            ("h:7", "must be \"icmp://HOST\": a ping has no port"),
            ("h/", "must be \"icmp://HOST\": nothing follows the host"),
            ("h?a", "must be \"icmp://HOST\": nothing follows the host"),
            ("u@h", "cannot hold a user and a password"),
            (
                "fe80::1",
                "must be \"icmp://HOST\": an IPv6 address stands in brackets, as in [::1]",
            ),
        ],
    );
}

#[test]
fn an_expected_record_has_the_form_of_its_kind() {
    assert_eq!(
        record(RecordKind::A, " 192.0.2.1").as_deref(),
        Ok("192.0.2.1")
    );
    assert_eq!(
        record(RecordKind::Aaaa, "2001:DB8:0::1").as_deref(),
        Ok("2001:db8::1")
    );
    assert_eq!(
        record(RecordKind::Mx, "10 mail.example").as_deref(),
        Ok("10 mail.example")
    );
    assert_eq!(record(RecordKind::Txt, " v=1 ").as_deref(), Ok(" v=1 "));
    for (kind, value, why) in [
        (
            RecordKind::A,
            "::1",
            "must be an IPv4 address, for that is what A records hold",
        ),
        (
            RecordKind::Aaaa,
            "h",
            "must be an IPv6 address, for that is what AAAA records hold",
        ),
        (
            RecordKind::Txt,
            "a\nb",
            "has a line break or another control character in it",
        ),
    ] {
        assert_eq!(record(kind, value).unwrap_err(), why);
    }
}

/// A URL of the same meaning, from behind its `://`.
fn rendered(question: &Question) -> String {
    let server = match &question.server {
        None => String::new(),
        Some((host, port)) if host.contains(':') => format!("[{host}]:{port}"),
        Some((host, port)) => format!("{host}:{port}"),
    };
    format!("{server}/{}?type={}", question.name, question.kind.word())
}

proptest! {
    #[test]
    fn no_text_breaks_the_readers(rest in ".{0,30}") {
        let _ = (tcp(&rest), tls(&rest), dns(&rest), icmp(&rest));
    }

    #[test]
    fn a_question_is_written_and_read_again(
        rest in r"([a-z0-9.]{0,8}|\[[0-9a-f:]{2,9}\])(:[0-9]{1,5})?/[A-Za-zä0-9._*-]{1,12}(\?type=[A-Zaxm]{1,4})?"
    ) {
        if let Ok(question) = dns(&rest) {
            prop_assert_eq!(dns(&rendered(&question)), Ok(question));
        }
    }
}
