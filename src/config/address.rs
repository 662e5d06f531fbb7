//! Parses URLs of sites, of the Bot API and of other servers, which errors do not quote as they may hold
//! secrets, and the addresses of the uplink's probes, which hold none.

use super::Target;
use super::endpoint::{self, Question};
use super::host_url;
use super::ipv6_zone;
use super::scheme::Scheme;
use super::secret_looks::masked_url;
use super::value::brief;
use crate::monitor::bot::nearest::nearest;
use crate::monitor::site::network::is_lan;
use crate::monitor::site::{Auth, HostCheck, StartTls};
use percent_encoding::percent_decode_str;
use std::borrow::Cow;
use url::{Host, Url};

const HTTP_FORM: &str = "must begin with http:// or https://";
const SITE_FORM: &str =
    "must begin with http://, https://, tcp://, tls://, dns://, icmp://, host:, exec: or push:";

/// A parsed URL of a site.
pub enum Address {
    Http {
        /// Normalised, without credentials, fragment and zone.
        url: Url,
        zone: Option<String>,
        /// The decoded credentials of the URL.
        auth: Option<Auth>,
    },
    Tcp(Target),
    Tls(Target, Option<StartTls>),
    Dns(Question),
    /// A host name, or an IP address without brackets.
    Icmp(String),
    Host(HostCheck),
    /// The program is in `command`.
    Exec,
    /// A job reports to us.
    Push,
}

impl Address {
    /// The host to connect to, without brackets; `None` = the system's resolvers, or this machine.
    pub fn host(&self) -> Option<&str> {
        match self {
            Address::Http { url, .. } => Some(host_of(url.as_str())),
            Address::Tcp(target) | Address::Tls(target, _) => Some(&target.host),
            Address::Dns(question) => question.server.as_ref().map(|(host, _)| host.as_str()),
            Address::Icmp(host) => Some(host),
            Address::Host(_) | Address::Exec | Address::Push => None,
        }
    }
}

/// Returns the host of a normalised URL without credentials.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// Parses `filled`, a site's URL after its variables were replaced. Errors quote from `written` only, the
/// text of the file.
pub fn site(written: &str, filled: &str) -> Result<Address, String> {
    let Some(scheme) = Scheme::of(filled) else {
        return Err(format!("{SITE_FORM}{}", remedy(written)));
    };
    if let Some(feature) = scheme.missing() {
        return Err(format!(
            "is of a kind that this build leaves out, {}; build it with the cargo feature `{feature}`",
            scheme.prefix()
        ));
    }
    let rest = &filled[scheme.prefix().len()..];
    match scheme {
        Scheme::Http | Scheme::Https => http(written, filled),
        Scheme::Tcp => endpoint::tcp(rest).map(Address::Tcp),
        Scheme::Tls => endpoint::tls(rest).map(|(target, how)| Address::Tls(target, how)),
        Scheme::Dns => endpoint::dns(rest).map(Address::Dns),
        Scheme::Icmp => endpoint::icmp(rest).map(Address::Icmp),
        Scheme::Host => host_url::read(rest).map(Address::Host),
        Scheme::Exec if rest.is_empty() => Ok(Address::Exec),
        Scheme::Exec => Err("must be \"exec:\" alone; the program goes into `command`".to_owned()),
        Scheme::Push if rest.is_empty() => Ok(Address::Push),
        Scheme::Push => {
            Err("must be `push:` alone: a job reports by the `name` of its site".to_owned())
        }
    }
}

/// Suggests what to do about an unknown scheme.
fn remedy(written: &str) -> String {
    let Some((scheme, _)) = written.split_once("://").filter(|(s, _)| is_scheme(s)) else {
        return String::new();
    };
    let lower = scheme.to_ascii_lowercase();
    let meant = match lower.as_str() {
        "ssl" | "smtp" | "smtps" | "imap" | "imaps" | "pop3" | "pop3s" => Some("tls"),
        "ping" => Some("icmp"),
        "host" => {
            return "; nothing but `host:` stands before what is looked at, without `//`"
                .to_owned();
        }
        "push" => return "; `push:` stands alone, without `//`".to_owned(),
        "exec" => return "; `exec:` stands alone, and the program in `command`".to_owned(),
        other => nearest(other, Scheme::ALL.map(Scheme::word))
            .filter(|word| !["host", "exec", "push"].contains(word)),
    };
    match meant {
        Some(meant) => format!("; {scheme}:// is not known, did you mean {meant}://?"),
        None => format!("; {scheme}:// is not known"),
    }
}

fn http(written: &str, filled: &str) -> Result<Address, String> {
    let (filled, zone) = ipv6_zone::without(filled)?;
    let mut url = http_url(written, &filled)?;
    let auth = credentials(&url)?;
    let removed = url.set_username("").and_then(|()| url.set_password(None));
    removed.map_err(|()| "cannot hold a user and a password".to_owned())?;
    url.set_fragment(None);
    Ok(Address::Http { url, zone, auth })
}

/// Parses the base URL of a server, and removes trailing slashes.
pub fn base(text: &str) -> Result<String, String> {
    let url = http_url(text, text)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("cannot hold a user and a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must end before any `?` or `#`".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Parses an `http:` or `https:` URL like [`site`], but rejects credentials.
pub fn page(written: &str, filled: &str) -> Result<String, String> {
    let mut url = http_url(written, filled)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("cannot hold a user and a password".to_owned());
    }
    url.set_fragment(None);
    Ok(url.into())
}

/// Returns the host of an `http:` URL whose traffic crosses public networks unencrypted: not this
/// machine, not a private address and not a name reserved for local networks. A single-label name may
/// resolve to any address.
pub fn open_way(url: &str) -> Option<String> {
    const LOCAL: [&str; 5] = ["localhost", "local", "lan", "internal", "home.arpa"];
    let url = Url::parse(url).ok().filter(|url| url.scheme() == "http")?;
    let near = match url.host()? {
        Host::Ipv4(v4) => is_lan(v4.into()) || v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64,
        Host::Ipv6(v6) => is_lan(v6.into()),
        Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            LOCAL.iter().any(|local| {
                let before = name.strip_suffix(local);
                before.is_some_and(|before| before.ends_with('.') || name == "localhost")
            })
        }
    };
    (!near).then(|| url.host_str().unwrap_or_default().to_owned())
}

/// Parses `tcp://HOST:PORT`. Errors quote it, except for parts that may be secret in other URLs.
pub fn target(text: &str) -> Result<Target, String> {
    let read = || endpoint::tcp(text.strip_prefix("tcp://")?).ok();
    read().ok_or_else(|| {
        format!(
            "must be a list of \"tcp://HOST:PORT\" such as \"tcp://1.1.1.1:443\" or \
             \"tcp://[2620:fe::fe]:443\"; `{}` is none",
            brief(&masked_url(text))
        )
    })
}

/// Returns `url`, as written in the file, with its password replaced by `***`.
pub fn masked(url: &str) -> String {
    let Some(slashes) = url
        .find("//")
        .filter(|_| Scheme::of(url).is_none_or(Scheme::has_host))
    else {
        return url.to_owned();
    };
    let start = slashes + 2;
    let rest = &url[start..];
    let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
    match (authority.find(':'), authority.rfind('@')) {
        (Some(colon), Some(at)) if colon < at => {
            format!("{}***{}", &url[..start + colon + 1], &url[start + at..])
        }
        _ => url.to_owned(),
    }
}

fn http_url(written: &str, filled: &str) -> Result<Url, String> {
    if filled.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("has a blank or a line break in it; write a blank as `%20`".to_owned());
    }
    // The URL standard accepts `https:x` and `https:///x`, in which `masked` would not find a password.
    let host = filled
        .split_once("://")
        .filter(|(scheme, _)| is_http(scheme))
        .map(|(_, rest)| rest)
        .ok_or_else(|| match written.split_once("://") {
            Some((scheme, _)) if is_scheme(scheme) && !is_http(scheme) => {
                format!("{HTTP_FORM}, not with {scheme}://")
            }
            _ => HTTP_FORM.to_owned(),
        })?;
    if host.is_empty() || host.starts_with(['/', '\\', '?', '#']) {
        return Err("has no host name behind the `//`".to_owned());
    }
    Url::parse(filled).map_err(|error| format!("is not a URL: {error}"))
}

fn is_http(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

fn is_scheme(text: &str) -> bool {
    (1..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

fn credentials(url: &Url) -> Result<Option<Auth>, String> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let decoded = |text: &str| {
        let text = percent_decode_str(text).decode_utf8().ok();
        text.filter(|text| !text.chars().any(char::is_control))
            .map(Cow::into_owned)
            .ok_or_else(|| "has a user or a password that is no text; use `auth`".to_owned())
    };
    let user = decoded(url.username())?;
    if user.contains(':') {
        return Err(
            "has a user with a colon in it, which Basic authentication cannot say".to_owned(),
        );
    }
    Ok(Some(Auth::Basic {
        user,
        password: decoded(url.password().unwrap_or_default())?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn read(text: &str) -> (String, Option<Auth>) {
        match site(text, text) {
            Ok(Address::Http { url, auth, .. }) => (url.into(), auth),
            Ok(_) => panic!("not http"),
            Err(why) => panic!("{why}"),
        }
    }

    #[track_caller]
    fn refused(text: &str, why: &str) {
        assert_eq!(site(text, text).err().as_deref(), Some(why));
    }

    #[test]
    fn urls_are_normalised_and_lose_their_fragment() {
        for (text, url) in [
            ("https://example.com", "https://example.com/"),
            (
                "HTTP://Example.COM:80/a/../b?q#top",
                "http://example.com/b?q",
            ),
            (
                "https://bücher.example/ä",
                "https://xn--bcher-kva.example/%C3%A4",
            ),
            ("http://[::1]:8080/", "http://[::1]:8080/"),
        ] {
            let (read, auth) = read(text);
            assert_eq!(read, url);
            assert!(auth.is_none());
        }
    }

    #[test]
    fn credentials_move_out_of_the_url_decoded() {
        let text = "https://me%40home:p%C3%A4ss%3A@example.com/";
        let (url, auth) = read(text);
        assert_eq!(url, "https://example.com/");
        let basic = |user: &str, password: &str| {
            Some(Auth::Basic {
                user: user.to_owned(),
                password: password.to_owned(),
            })
        };
        assert!(auth == basic("me@home", "päss:"));
        assert!(read("http://me@h/").1 == basic("me", ""));
        refused(
            "http://a:%FF@h/",
            "has a user or a password that is no text; use `auth`",
        );
        refused(
            "http://a%3Ab:c@h/",
            "has a user with a colon in it, which Basic authentication cannot say",
        );
    }

    #[test]
    fn a_bad_url_says_what_is_wrong_without_quoting_it() {
        let form = "must begin with http://, https://, tcp://, tls://, dns://, icmp://, host:, exec: or push:";
        refused("", form);
        refused("example.com", form);
        refused("localhost:8080", form);
        refused("https:example.com", form);
        refused("se cret://h/", form);
        refused(
            "push://h",
            &format!("{form}; `push:` stands alone, without `//`"),
        );
        refused(
            "host://disk/",
            &format!("{form}; nothing but `host:` stands before what is looked at, without `//`"),
        );
        refused(
            "exec:///bin/true",
            &format!("{form}; `exec:` stands alone, and the program in `command`"),
        );
        refused(
            "exec:/bin/true",
            "must be \"exec:\" alone; the program goes into `command`",
        );
        refused("hots://h/", &format!("{form}; hots:// is not known"));
        refused("gopher://h/", &format!("{form}; gopher:// is not known"));
        for (scheme, meant) in [
            ("htps", "https"),
            ("SSL", "tls"),
            ("imaps", "tls"),
            ("ping", "icmp"),
        ] {
            refused(
                &format!("{scheme}://h"),
                &format!("{form}; {scheme}:// is not known, did you mean {meant}://?"),
            );
        }
        refused(
            "https://h/a b",
            "has a blank or a line break in it; write a blank as `%20`",
        );
        refused("tcp://h:22 ", "has a blank or a line break in it");
        refused("https:///u:p@h", "has no host name behind the `//`");
        refused("https://", "has no host name behind the `//`");
        refused("https://u:p@/", "is not a URL: empty host");
        refused("https://h:99999/", "is not a URL: invalid port number");
        assert_eq!(site("$URL", "secret://x").err().as_deref(), Some(form));
    }

    #[test]
    fn the_host_is_who_is_spoken_to() {
        for (text, host) in [
            ("http://h", Some("h")),
            ("https://u:p@H.example:8/a:b@c?d", Some("h.example")),
            ("https://[::1]:8/", Some("::1")),
            ("tcp://[::1]:8", Some("::1")),
            ("tls://h:8", Some("h")),
            ("dns://[::1]/a", Some("::1")),
            ("dns:///a", None),
            ("ICMP://h", Some("h")),
        ] {
            assert_eq!(site(text, text).ok().unwrap().host(), host, "{text}");
        }
    }

    #[test]
    fn passwords_are_masked() {
        assert_eq!(masked("https://u:p:q@x@h/a:b@c"), "https://u:***@h/a:b@c");
        assert_eq!(masked("https://u:$PW@h"), "https://u:***@h");
        for plain in [
            "https://h:80/@",
            "https://u@h:80",
            "$URL",
            "https://h?a:b@c",
        ] {
            assert_eq!(masked(plain), plain);
        }
    }

    #[test]
    fn a_server_is_a_base_url_without_a_slash_at_its_end() {
        assert_eq!(
            base("https://api.telegram.org").as_deref(),
            Ok("https://api.telegram.org")
        );
        assert_eq!(
            base("http://127.0.0.1:8081/x//").as_deref(),
            Ok("http://127.0.0.1:8081/x")
        );
        assert_eq!(
            base("http://h/?a").unwrap_err(),
            "must end before any `?` or `#`"
        );
        assert_eq!(
            base("http://u:p@h/").unwrap_err(),
            "cannot hold a user and a password"
        );
    }

    #[test]
    fn a_page_is_a_url_without_credentials() {
        let read = |text: &str| page(text, text);
        assert_eq!(
            read("https://HC.example/id?a#b").as_deref(),
            Ok("https://hc.example/id?a")
        );
        assert_eq!(
            read("https://u:p@h/").unwrap_err(),
            "cannot hold a user and a password"
        );
        assert_eq!(
            page("$URL", "secret").unwrap_err(),
            "must begin with http:// or https://"
        );
    }

    #[test]
    fn plain_http_is_open_to_others_beyond_the_local_network() {
        for (url, host) in [
            ("http://far", Some("far")),
            ("http://api.example.com:8081/x", Some("api.example.com")),
            ("http://203.0.113.5", Some("203.0.113.5")),
            ("http://[2001:db8::1]/", Some("[2001:db8::1]")),
            ("http://notlocalhost", Some("notlocalhost")),
            ("http://lan", Some("lan")),
            ("https://far", None),
            ("http://localhost:8081", None),
            ("http://a.localhost", None),
            ("http://127.0.0.1", None),
            ("http://[::1]:8081", None),
            ("http://192.168.1.5", None),
            ("http://100.64.1.2", None),
            ("http://[fd00::5]", None),
            ("http://nas.lan", None),
            ("http://pi.local.", None),
        ] {
            assert_eq!(open_way(url).as_deref(), host, "{url}");
        }
    }

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("tcp://1.1.1.1:443", "1.1.1.1", 443),
            ("tcp://Dns.Example:53", "dns.example", 53),
            ("tcp://[2620:FE:0::fe]:65535", "2620:fe::fe", 65535),
        ] {
            let read = target(text).unwrap();
            assert_eq!((read.host.as_str(), read.port), (host, port));
            assert_eq!(target(&read.to_string()), Ok(read));
        }
        for bad in [
            "",
            "1.1.1.1:443",
            "udp://1.1.1.1:53",
            "tcp://1.1.1.1",
            "tcp://1.1.1.1:",
            "tcp://1.1.1.1:0",
            "tcp://1.1.1.1:+1",
            "tcp://1.1.1.1:65536",
            "tcp://1.1.1.1:443/",
            "tcp://1.1:443",
            "tcp://:443",
            "tcp://::1:443",
            "tcp://a b:443",
        ] {
            assert_eq!(
                target(bad).unwrap_err(),
                format!(
                    "must be a list of \"tcp://HOST:PORT\" such as \"tcp://1.1.1.1:443\" or \
                     \"tcp://[2620:fe::fe]:443\"; `{bad}` is none"
                )
            );
        }
    }

    #[test]
    fn a_target_of_another_kind_is_quoted_without_its_secrets() {
        let what = target("http://u:p@h/a?k=v").unwrap_err();
        assert!(what.ends_with("; `http://***@h/a***` is none"), "{what}");
    }

    proptest! {
        #[test]
        fn no_url_breaks_the_reader_and_no_password_is_shown(
            text in "(https?://)?.{0,20}",
            password in "[A-Z]{12}",
        ) {
            let _ = (site(&text, &text), base(&text), masked(&text));
            let _ = (page(&text, &text), target(&text));
            let url = format!("https://user:{password}@example.com/");
            prop_assert!(!masked(&url).contains(&password));
        }
    }
}
