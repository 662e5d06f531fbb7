//! The configuration that the packages install, and its copy with the user's answers.

use crate::config::json_string;
use crate::deflated;
use std::fmt::Write;
use std::sync::LazyLock;

/// `sitemon.conf` of the repository, with active sites, for users who build from source.
static TRACKED: LazyLock<String> = LazyLock::new(|| {
    let packed = include_bytes!(concat!(env!("OUT_DIR"), "/sitemon.conf"));
    let text = deflated::unpacked(
        packed,
        include!(concat!(env!("OUT_DIR"), "/sitemon.conf.length")),
    );
    String::from_utf8(text).unwrap_or_default()
});
/// OpenWrt's `state`. OpenWrt has `/var` in memory.
const OPENWRT: &str = "/etc/sitemon/state";
/// The `state` of each installed file, and of [`TRACKED`].
pub const STATES: [&str; 3] = ["/var/lib/sitemon", OPENWRT, "state"];
/// Column at which comments begin.
const COMMENTS: usize = 32;

/// The user's answers, as they were given.
#[derive(Debug, Default)]
pub struct Answers<'a> {
    pub token_file: Option<&'a str>,
    pub chat: Option<i64>,
    pub api: Option<&'a str>,
    pub route: &'a [String],
    /// Name and URL.
    pub site: Option<(&'a str, &'a str)>,
}

impl Answers<'_> {
    /// Returns keys and values for `[telegram]`.
    fn telegram(&self) -> Vec<(&'static str, String)> {
        let routes: Vec<String> = self.route.iter().map(|way| json_string(way)).collect();
        let route = (!routes.is_empty()).then(|| format!("[{}]", routes.join(", ")));
        let keys = [
            ("token_file", self.token_file.map(json_string)),
            ("chats", self.chat.map(|chat| format!("[{chat}]"))),
            ("api", self.api.map(json_string)),
            ("route", route),
        ];
        let given = keys.into_iter();
        given
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    /// Returns the lines for `[telegram]`, without its header.
    pub fn telegram_lines(&self) -> String {
        let mut lines = String::new();
        for (key, value) in self.telegram() {
            let _ = writeln!(lines, "{key} = {value}");
        }
        lines
    }

    /// Returns the `[[site]]` table, or an empty string without a site.
    pub fn site_table(&self) -> String {
        self.site.map_or_else(String::new, |(name, url)| {
            let (name, url) = (json_string(name), json_string(url));
            format!("[[site]]\nname = {name}\nurl = {url}\n")
        })
    }
}

/// Returns the `state` of a packaged file, or `None` if `text` differs from all of them.
pub fn state_of(text: &str) -> Option<&'static str> {
    let installed = STATES.into_iter().find(|state| packaged(state) == text);
    installed.or_else(|| (text == *TRACKED).then_some("state"))
}

/// Returns [`TRACKED`] as it is installed (`conf` in packaging/lib.sh): sites are commented out,
/// the token is in a file.
fn packaged(state: &str) -> String {
    let mut text = String::with_capacity(TRACKED.len() + 128);
    let mut sites = false;
    let lines = TRACKED.lines();
    for line in lines.filter(|line| !line.starts_with("# In a checkout, ")) {
        sites |= line.starts_with("[[site]]");
        let installed = match line {
            _ if line.starts_with("state = ") && state != "state" => {
                // Columns as in packaging/lib.sh.
                let comment = line.replace("; relative to this file", "");
                let comment = comment.split_once('#').map_or("", |(_, comment)| comment);
                format!("state = \"{state}\"      #{comment}")
            }
            _ if line.starts_with("#socket = ") && state != "state" => {
                let run = if state == OPENWRT { "/var/run" } else { "/run" };
                format!(
                    "socket = \"{run}/sitemon/push.sock\"  # where `sitemon push` finds the agent"
                )
            }
            _ if line.starts_with("#spool = ") && state != "state" => concat!(
                "spool = \"/var/lib/sitemon-spool\"  ",
                "# where its reports wait while no agent runs"
            )
            .to_owned(),
            _ if line.starts_with("#token = \"123456") => concat!(
                "#token_file = \"/etc/sitemon/token\"  # holds nothing but the token; ",
                "or: token = \"123456:ABC-DEF\""
            )
            .to_owned(),
            _ if sites && !line.is_empty() && !line.starts_with('#') => format!("#{line}"),
            _ => line.to_owned(),
        };
        text.push_str(&installed);
        text.push('\n');
    }
    text
}

/// Returns the packaged file with this `state`, and with the answers in place of its examples.
pub fn filled(state: &str, answers: &Answers) -> String {
    let mut keys = answers.telegram();
    let mut site = Some(answers.site_table()).filter(|table| !table.is_empty());
    let mut lines: Vec<String> = Vec::new();
    let mut header = 0;
    for line in packaged(state).lines() {
        if line == "#[telegram]" {
            lines.push("[telegram]".to_owned());
            header = lines.len();
            continue;
        }
        if line == "#[[site]]"
            && let Some(table) = site.take()
        {
            lines.push(table);
        }
        let key = line
            .strip_prefix('#')
            .and_then(|line| line.split_once(" = "));
        let given = key.and_then(|(key, _)| keys.iter().position(|(name, _)| *name == key));
        match given {
            Some(at) => lines.push(commented(&keys.remove(at), line)),
            None => lines.push(line.to_owned()),
        }
    }
    // Keys without an example in the file.
    for key in &keys {
        lines.insert(header, commented(key, ""));
    }
    lines.join("\n") + "\n"
}

/// Returns the line of the key, with the comment of its example.
fn commented((key, value): &(&str, String), example: &str) -> String {
    let line = format!("{key} = {value}");
    match example.split_once("  # ") {
        Some((_, comment)) => format!(
            "{line:<width$}# {comment}",
            width = COMMENTS.max(line.len() + 2)
        ),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packaged_file_is_known_by_its_whole_text() {
        // A test of the binary compares this with the output of packaging/lib.sh.
        let debian = packaged("/var/lib/sitemon");
        assert_eq!(state_of(&debian), Some("/var/lib/sitemon"));
        // The same replacement as in packaging/openwrt/Makefile and packaging/install.sh.
        let openwrt = debian.replace("\"/var/lib/sitemon\"", "\"/etc/sitemon/state\"");
        let openwrt = openwrt.replace("\"/run/", "\"/var/run/");
        assert_eq!(state_of(&openwrt), Some("/etc/sitemon/state"));
        assert_eq!(state_of(&TRACKED), Some("state"));
        for other in [
            "",
            "[telegram]\n",
            &debian.replace("60s", "61s"),
            &debian[1..],
            &(debian.clone() + "\n"),
        ] {
            assert_eq!(state_of(other), None);
        }
    }

    #[test]
    fn answers_stand_in_the_places_of_the_examples() {
        let route = ["direct".to_owned(), "socks5h://127.0.0.1:1080".to_owned()];
        let answers = Answers {
            token_file: Some("/etc/sitemon/token"),
            chat: Some(-5),
            api: Some("http://127.0.0.1:8081"),
            route: &route,
            site: Some(("a \"b\"", "https://example.org/")),
        };
        for state in STATES {
            let text = filled(state, &answers);
            let root = toml_span::parse(&text).expect("TOML");
            let at = |path: &str| {
                root.pointer(path)
                    .unwrap_or_else(|| panic!("no {path}: {text}"))
            };
            assert_eq!(at("/telegram/token_file").as_str(), answers.token_file);
            assert_eq!(at("/telegram/chats/0").as_integer(), answers.chat);
            assert_eq!(at("/telegram/api").as_str(), answers.api);
            assert_eq!(
                at("/telegram/route/1").as_str(),
                Some("socks5h://127.0.0.1:1080")
            );
            assert_eq!(at("/agent/state").as_str(), Some(state));
            assert_eq!(at("/site/0/name").as_str(), Some("a \"b\""));
            assert_eq!(at("/site/0/url").as_str(), Some("https://example.org/"));
            assert_eq!(at("/site").as_array().map(|sites| sites.len()), Some(1));
            // All other lines are still commented out.
            let (new, old) = (text.lines().count(), packaged(state).lines().count());
            assert!((old + 4..=old + 6).contains(&new), "{text}");
            assert!(
                text.contains("\nchats = [-5]                    # chats that get"),
                "{text}"
            );
        }
    }
}
