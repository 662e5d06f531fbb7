//! `docs/configuration.md` is written from the table of keys; the defaults in that are the real ones.

use super::sound;
use crate::config::keys::{
    ACTION, AGENT, Key, LISTEN, LOGIN, NOTIFY, REQUEST, SITE, Section, TELEGRAM, ValueType,
    Visibility,
};
use crate::config::scheme::{Scheme, listed};
use crate::config::value::{LONGEST_DURATION, format_duration};
use crate::config::{Config, to_json};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

const HEAD: &str = "\
# The keys of `sitemon.conf`

Written from the table in `src/config/keys.rs`; `WRITE_REFERENCE=1 cargo test --lib reference` writes it anew.

The file is TOML. Durations are whole numbers with units, larger ones first: `500ms`, `10s`, `5m`, `1h30m`,
`14d`; the longest is `10000d`. An unknown key is a mistake. *Hidden* values appear in no error, not in
`sitemon config` and not in `sitemon config --json`; of a URL the user, the password, the query and the
fragment are hidden in errors.
";

fn reference() -> String {
    let mut text = HEAD.to_owned();
    for (section, about) in [
        (
            &TELEGRAM,
            "The bot and its chats. Without this table the terminal is the chat.",
        ),
        (&AGENT, "The agent itself."),
        (
            &SITE,
            "A table for each site. `[defaults]` may have all of these keys but `name`, `url`, `after`, \
             `command`, `every`, `at` and `token`; they hold for every site that does not say otherwise and is of a kind that has the key.",
        ),
        (
            &LOGIN,
            "A table in a site or in `[defaults]`: a form that is sent before the check.",
        ),
        (
            &NOTIFY,
            "A table for each further channel of alerts: [notify.md](notify.md).",
        ),
        (
            &ACTION,
            "A table for what may be done about an outage, by a button or by itself: [actions.md](actions.md).",
        ),
        (&REQUEST, "A table in an `[[action]]`: an HTTP request."),
        (
            &LISTEN,
            "Metrics for Prometheus, and reports of jobs on other machines, by HTTP: [metrics.md](metrics.md). Without this \
             table nothing is listened on.",
        ),
    ] {
        let of_sites = section.title == SITE.title;
        let sites = |column: &str| {
            if of_sites {
                format!(" {column} |")
            } else {
                String::new()
            }
        };
        let title = section.title.replace('`', "");
        let _ = writeln!(text, "\n## {title}\n\n{about}\n");
        let _ = writeln!(
            text,
            "| key | value | default |{} meaning |",
            sites("sites")
        );
        let _ = writeln!(text, "| --- | --- | --- |{} --- |", sites("---"));
        for key in section.keys {
            let _ = writeln!(
                text,
                "| `{}` | {} | {} |{} {} |",
                key.name,
                value(key),
                default(key).map_or("none".to_owned(), |toml| {
                    format!("`{}`", toml.replace(env!("CARGO_PKG_VERSION"), "VERSION"))
                }),
                sites(&kinds(key)),
                key.help
            );
        }
    }
    text
}

fn value(key: &Key) -> String {
    let bounds = |least: Duration, most: Duration| match (least, most) {
        (Duration::ZERO, LONGEST_DURATION) => String::new(),
        (least, LONGEST_DURATION) => format!(", at least {}", format_duration(least)),
        (Duration::ZERO, most) => format!(", at most {}", format_duration(most)),
        (least, most) => format!(", {} to {}", format_duration(least), format_duration(most)),
    };
    let value = match &key.takes {
        ValueType::Time((least, most)) => format!("duration{}", bounds(*least, *most)),
        ValueType::Seconds((least, most), _) => {
            format!("duration in whole seconds{}", bounds(*least, *most))
        }
        ValueType::Integer(least, most) => format!("whole number, {least} to {most}"),
        ValueType::Flag => "true or false".to_owned(),
        ValueType::Few((words, most, _)) => format!("{words}, at most {most}"),
        ValueType::List(words) | ValueType::Other(words) => (*words).to_owned(),
        ValueType::Table(section) => format!("table, see {}", section.title),
    };
    match key.shown {
        Visibility::Nothing => format!("{value}; *hidden*"),
        Visibility::Names => format!("{value}; values *hidden*"),
        Visibility::Origin => format!("{value}; user, password and path *hidden*"),
        Visibility::Url | Visibility::Value => value,
    }
}

fn kinds(key: &Key) -> String {
    match key.sites.len() == Scheme::ALL.len() {
        true => "all".to_owned(),
        false => {
            let words: Vec<&str> = key.sites.iter().map(|scheme| scheme.word()).collect();
            listed(&words, "and")
        }
    }
}

/// The default as the file would have it.
fn default(key: &Key) -> Option<String> {
    let quoted = match &key.takes {
        ValueType::Time(..) | ValueType::Seconds(..) => true,
        ValueType::Other(words) => words.contains("in quotes"),
        _ => false,
    };
    match key.default {
        "" => None,
        all if matches!(key.takes, ValueType::Few(_) | ValueType::List(_)) => {
            Some(format!("[\"{}\"]", all.replace(", ", "\", \"")))
        }
        default if quoted => Some(format!("\"{default}\"")),
        default => Some(default.to_owned()),
    }
}

#[test]
fn the_reference_is_what_the_table_of_keys_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    if std::env::var_os("WRITE_REFERENCE").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == reference(),
        "docs/configuration.md is not what src/config/keys.rs says; write it anew with \
         `WRITE_REFERENCE=1 cargo test --lib reference`"
    );
}

#[test]
fn the_defaults_of_the_table_of_keys_are_the_real_ones() {
    let version = env!("CARGO_PKG_VERSION");
    let with = |section: &Section, key: &Key, line: &str| -> Config {
        let scheme = key.sites.last().unwrap_or(&Scheme::Https);
        let url = match scheme {
            Scheme::Dns => "dns:///h.example",
            Scheme::Tls => "tls://h.example:443",
            Scheme::Push => "push:",
            Scheme::Exec if key.sites.len() == 1 => "exec:'\ncommand = ['/bin/true",
            _ => "https://h.example/",
        };
        let (telegram, agent, site, notify, listen) = match section.title {
            "[telegram]" => (line, "", "", "", ""),
            "[agent]" => ("", line, "", "", ""),
            "[[notify]]" => ("", "", "", line, ""),
            "[listen]" => ("", "", "", "", line),
            _ => ("", "", line, "", ""),
        };
        let schedule = match scheme {
            Scheme::Push if section.title == "[[site]]" => "every = '1d'",
            _ => "",
        };
        let url = match schedule {
            "" if *scheme == Scheme::Push => "https://h.example/",
            _ => url,
        };
        let end = if url.contains('[') { "]" } else { "" };
        sound(&format!(
            "[telegram]\ntoken = '1:a'\n{telegram}\n[agent]\n{agent}\n\
             [[site]]\nname = 'a'\nurl = '{url}'{end}\n{schedule}\n{site}\n\
             [[notify]]\nname = 'a'\nurl = 'https://h/'\n{notify}\n[listen]\n{listen}\n"
        ))
    };
    let mut tried = 0;
    for section in [&TELEGRAM, &AGENT, &SITE, &NOTIFY, &LISTEN] {
        for key in section.keys {
            let Some(default) = default(key) else {
                continue;
            };
            let line = format!("{} = {default}", key.name).replace("VERSION", version);
            let (given, not) = (with(section, key, &line), with(section, key, ""));
            assert_eq!(to_json(&given), to_json(&not), "{line}");
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

#[test]
fn what_has_no_default_in_the_table_is_null_or_empty() {
    let json = to_json(&sound(
        "[telegram]\ntoken = '1:a'\n[[site]]\nname = 'a'\nurl = 'https://h/'\n\
         [[notify]]\nname = 'a'\nurl = 'https://h/'\n[listen]",
    ));
    for section in [&TELEGRAM, &AGENT, &SITE, &NOTIFY, &LISTEN] {
        for key in section.keys {
            let member = |value: &str| json.contains(&format!("\"{}\":{value}", key.name));
            let given = ["token", "token_file", "name", "url"].contains(&key.name);
            if key.default.is_empty() && !given && key.sites.contains(&Scheme::Https) {
                assert!(member("null") || member("[]"), "{}: {json}", key.name);
            }
        }
    }
}
