//! `[listen]`.

use super::{sound, wrong};
use crate::config::{summary, to_json};

fn warnings(text: &str) -> Vec<String> {
    let site = "[[site]]\nname = 'a'\nurl = 'https://h/'\n";
    sound(&format!("{text}\n{site}")).warnings
}

#[test]
fn without_the_table_nothing_is_listened_on_and_without_keys_loopback_is() {
    let none = sound("[agent]");
    assert!(none.listen.is_none() && !to_json(&none).contains("listen"));
    let listen = sound("[listen]").listen.expect("it is there");
    assert_eq!(listen.address.to_string(), "127.0.0.1:8099");
    assert_eq!(listen.token, None);
}

#[test]
fn others_on_the_network_are_warned_about_unless_there_is_a_token() {
    for address in [
        "127.0.0.1:1",
        "127.9.9.9:8099",
        "[::1]:8099",
        "[::ffff:127.0.0.1]:80",
    ] {
        let text = format!("[listen]\naddress = '{address}'");
        assert_eq!(warnings(&text), [""; 0], "{address}");
    }
    for address in [
        "0.0.0.0:8099",
        "[::]:8099",
        "192.168.1.2:8099",
        "[fe80::1%2]:8099",
    ] {
        let text = format!("[listen]\naddress = '{address}'");
        let told = warnings(&text);
        let wanted = format!("`address` of [listen] is {address}, and there is no `token`");
        assert!(told.len() == 1 && told[0].starts_with(&wanted), "{told:?}");
        let text = format!("{text}\ntoken = 'abc'");
        assert_eq!(warnings(&text), [""; 0], "{address}");
    }
}

#[test]
fn mistakes_are_shown_with_their_remedy() {
    const FORM: &str =
        "must be an IP address and a port such as \"127.0.0.1:8099\" or \"[::1]:8099\"";
    for bad in [
        "",
        "8099",
        ":8099",
        "localhost:8099",
        "127.0.0.1",
        "::1:8099:",
        "1.2.3.4:70000",
    ] {
        wrong(
            &format!("[listen]\naddress = '{bad}'"),
            &[&format!("2:12: `address` {FORM}")],
        );
    }
    wrong(
        "[listen]\naddress = '127.0.0.1:0'",
        &[&format!("2:12: `address` {FORM}; there is no port 0")],
    );
    wrong(
        "[listen]\ntoken = ''",
        &["2:10: `token` is empty; leave it out to let everyone read /metrics"],
    );
    wrong(
        "[listen]\ntoken = 'a b'\nport = 5",
        &[
            "2:10: `token` must be of letters, digits and signs of ASCII, without blanks: it is a \
             Bearer token (RFC 6750)",
            "3:1: unknown key `port`; [listen] has address, token",
        ],
    );
    wrong(
        "[listen]\ntoken = '$LISTEN_TOKEN'",
        &[
            "2:11: `token` needs the environment variable LISTEN_TOKEN, which is not set; `$$` is a dollar sign",
        ],
    );
    wrong(
        "[[listen]]",
        &["1:1: there is only one [listen]: write it with one bracket"],
    );
}

#[test]
fn the_token_is_shown_nowhere() {
    let config = sound("[listen]\naddress = '[::1]:8099'\ntoken = 's3cretToken'");
    let json = to_json(&config);
    assert!(
        json.ends_with(",\"listen\":{\"address\":\"[::1]:8099\",\"token\":\"***\"}}"),
        "{json}"
    );
    let table = summary(&config);
    assert!(
        table.ends_with("\nlisten    [::1]:8099, token ***\n"),
        "{table}"
    );
    assert!(!format!("{config:?}{json}{table}").contains("s3cret"));
}
