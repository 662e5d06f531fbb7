//! Parses URLs of this machine's resources, given the text after `host:`: `host:disk/PATH?free=10%` and
//! others. Paths are not percent-encoded.
//!
//! Variables may have been replaced in them, so errors do not quote them.

use super::value::{cut, duration_within};
use crate::monitor::bot::nearest::nearest;
use crate::monitor::site::{Amount, HostCheck};
use std::path::PathBuf;
use std::time::Duration;

/// The kinds, and the form of their URLs.
const KINDS: [(&str, &str); 6] = [
    ("disk", "\"host:disk/PATH?free=10%\""),
    ("memory", "\"host:memory?available=10%\""),
    ("load", "\"host:load?max=4\""),
    ("temperature", "\"host:temperature?max=80\""),
    ("file", "\"host:file/PATH?age=26h\""),
    ("process", "\"host:process/NAME\""),
];

/// Maximum temperature limit in degrees Celsius.
const HOTTEST: i32 = 200;
const SHORTEST_AGE: Duration = Duration::from_secs(1);
const LONGEST_AGE: Duration = super::value::LONGEST_DURATION;

pub fn read(rest: &str) -> Result<HostCheck, String> {
    if rest.chars().any(char::is_control) {
        return Err("has a line break or another control character in it".to_owned());
    }
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    let kinds = KINDS.iter();
    let Some((kind, form)) = kinds
        .copied()
        .find(|(kind, _)| kind.eq_ignore_ascii_case(word))
    else {
        let kinds = KINDS.map(|(kind, _)| kind);
        let near = nearest(word, kinds).map(|near| format!("; did you mean host:{near}?"));
        return Err(format!(
            "must be host:disk/PATH, host:memory, host:load, host:temperature, host:file/PATH or \
             host:process/NAME{}",
            near.unwrap_or_default()
        ));
    };
    let reader = Reader { form };
    match kind {
        "disk" => reader.disk(behind),
        "memory" => reader.memory(behind),
        "load" => reader.load(behind),
        "temperature" => reader.temperature(behind),
        "file" => reader.file(behind),
        _ => reader.process(behind),
    }
}

/// Reads URLs of one kind. Mistakes describe the form.
struct Reader {
    form: &'static str,
}

impl Reader {
    fn disk(&self, behind: &str) -> Result<HostCheck, String> {
        let (path, query) = self.path(behind)?;
        let [free, warn, inodes] = self.values(query, ["free", "warn", "inodes"])?;
        if free.is_none() && inodes.is_none() {
            return Err(self.wrong("how much is to be `free`, or how many `inodes`, is missing"));
        }
        let (free, warn) = (size("free", free)?, size("warn", warn)?);
        self.before("free", free, warn)?;
        Ok(HostCheck::Disk {
            path,
            free,
            warn,
            inodes: share_or("inodes", inodes, "a number such as 5000", count)?,
        })
    }

    fn memory(&self, behind: &str) -> Result<HostCheck, String> {
        let [available, warn] = self.values(self.query(behind)?, ["available", "warn"])?;
        let (available, warn) = (size("available", available)?, size("warn", warn)?);
        self.before("available", available, warn)?;
        let missing = || self.wrong("how much is to be `available` is missing");
        Ok(HostCheck::Memory {
            available: available.ok_or_else(missing)?,
            warn,
        })
    }

    fn load(&self, behind: &str) -> Result<HostCheck, String> {
        let read = |text: &str| decimal(text).filter(|&load| load > 0.0);
        let (max, warn) = self.most(behind, "a number above 0 such as 4 or 1.5", read)?;
        Ok(HostCheck::Load { max, warn })
    }

    fn temperature(&self, behind: &str) -> Result<HostCheck, String> {
        let read = |text: &str| {
            let degrees = count(text).and_then(|degrees| i32::try_from(degrees).ok());
            degrees.filter(|degrees| (1..=HOTTEST).contains(degrees))
        };
        let words = "whole degrees Celsius, from 1 to 200";
        let (max, warn) = self.most(behind, words, read)?;
        Ok(HostCheck::Temperature { max, warn })
    }

    fn file(&self, behind: &str) -> Result<HostCheck, String> {
        let (path, query) = self.path(behind)?;
        if behind.len() - query.map_or(0, |query| query.len() + 1) <= 1 {
            return Err(self.wrong("the path is missing"));
        }
        let [age, least] = self.values(query, ["age", "size"])?;
        if age.is_none() && least.is_none() {
            return Err(self.wrong("the `age` that it may have, or its least `size`, is missing"));
        }
        let read = |text: &str| duration_within(text, SHORTEST_AGE, LONGEST_AGE).ok();
        let age = age.map(|text| {
            read(text).ok_or_else(|| "has an `age` that is no duration such as 26h".to_owned())
        });
        let least = least.map(|text| {
            bytes(text).ok_or_else(|| "has a `size` that is no size such as 1M".to_owned())
        });
        Ok(HostCheck::File {
            path,
            age: age.transpose()?,
            size: least.transpose()?,
        })
    }

    fn process(&self, behind: &str) -> Result<HostCheck, String> {
        let name = behind.strip_prefix('/').unwrap_or_default();
        match name {
            "" => Err(self.wrong("the name is missing")),
            name if name.contains('/') => Err(self.wrong("a process has a name there, not a path")),
            name if name.contains('?') => Err(self.wrong("nothing follows the name")),
            name => Ok(HostCheck::Process {
                name: name.to_owned(),
            }),
        }
    }

    /// Reads the limit `max` and the warning below it.
    fn most<T: Copy + PartialOrd>(
        &self,
        behind: &str,
        words: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<(T, Option<T>), String> {
        let [max, warn] = self.values(self.query(behind)?, ["max", "warn"])?;
        let value = |key: &str, text: Option<&str>| {
            let found = text
                .map(|text| read(text).ok_or_else(|| format!("has a `{key}` that is not {words}")));
            found.transpose()
        };
        let (max, warn) = (value("max", max)?, value("warn", warn)?);
        let max = max.ok_or_else(|| self.wrong("the `max` is missing"))?;
        match warn {
            Some(warn) if warn >= max => {
                Err("has a `warn` that is not below `max`: it comes before".to_owned())
            }
            warn => Ok((max, warn)),
        }
    }

    /// Checks that `warn` comes with `key` and is reached first.
    fn before(&self, key: &str, least: Option<Amount>, warn: Option<Amount>) -> Result<(), String> {
        match (least, warn) {
            (None, Some(_)) => Err(format!("has a `warn` without `{key}`")),
            (Some(Amount::Percent(least)), Some(Amount::Percent(warn))) if warn <= least => Err(
                format!("has a `warn` that is not above `{key}`: it comes before"),
            ),
            (Some(Amount::Count(least)), Some(Amount::Count(warn))) if warn <= least => Err(
                format!("has a `warn` that is not above `{key}`: it comes before"),
            ),
            _ => Ok(()),
        }
    }

    /// Splits an absolute path from the text after the last `?`.
    fn path<'a>(&self, behind: &'a str) -> Result<(PathBuf, Option<&'a str>), String> {
        if !behind.starts_with('/') {
            return Err(self.wrong("the `/` before the path is missing"));
        }
        Ok(match behind.rsplit_once('?') {
            Some((path, query)) => (path.into(), Some(query)),
            None => (behind.into(), None),
        })
    }

    fn query<'a>(&self, behind: &'a str) -> Result<Option<&'a str>, String> {
        match cut(behind, |c| c == '?') {
            ("", query) => Ok(query),
            _ => Err(self.wrong("it has no path, not even a `/`")),
        }
    }

    /// Returns the values of these keys in `a=b&c=d`; other keys are mistakes.
    fn values<'a, const N: usize>(
        &self,
        query: Option<&'a str>,
        keys: [&str; N],
    ) -> Result<[Option<&'a str>; N], String> {
        let mut values = [None; N];
        for pair in query.into_iter().flat_map(|query| query.split('&')) {
            let (key, value) = cut(pair, |c| c == '=');
            let Some(at) = keys.iter().position(|known| *known == key) else {
                let known = keys.map(|key| format!("`{key}`")).join(", ");
                return Err(self.wrong(&format!("only {known} may follow the `?`")));
            };
            if values[at].replace(value.unwrap_or_default()).is_some() {
                return Err(format!("has `{key}` twice"));
            }
        }
        Ok(values)
    }

    fn wrong(&self, why: &str) -> String {
        format!("must be {}: {why}", self.form)
    }
}

fn size(key: &str, text: Option<&str>) -> Result<Option<Amount>, String> {
    share_or(key, text, "a size such as 100M", bytes)
}

/// Parses a share such as `10%`, or with `read` an amount, which `words` describe.
fn share_or(
    key: &str,
    text: Option<&str>,
    words: &str,
    read: impl Fn(&str) -> Option<u64>,
) -> Result<Option<Amount>, String> {
    let Some(text) = text else {
        return Ok(None);
    };
    let amount = match text.strip_suffix('%') {
        Some(share) => decimal(share)
            .filter(|&share| share > 0.0 && share <= 100.0)
            .map(Amount::Percent),
        None => read(text).map(Amount::Count),
    };
    let wrong = || format!("has a `{key}` that is neither a share such as 10% nor {words}");
    amount.map(Some).ok_or_else(wrong)
}

/// Parses `100M`: a whole number with one of the units K, M, G, T, in powers of 1,024.
fn bytes(text: &str) -> Option<u64> {
    let unit = text.chars().last()?.to_ascii_uppercase();
    let power = "KMGT".find(unit)? as u32 + 1;
    count(&text[..text.len() - 1])?.checked_mul(1024_u64.pow(power))
}

/// Parses a positive whole number.
fn count(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|&count| digits && count > 0)
}

fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    text.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn is(rest: &str, check: HostCheck) {
        assert_eq!(read(rest), Ok(check), "{rest}");
    }

    #[track_caller]
    fn refused(rest: &str, why: &str) {
        assert_eq!(read(rest), Err(why.to_owned()), "{rest}");
    }

    fn disk(path: &str, free: Option<Amount>) -> HostCheck {
        HostCheck::Disk {
            path: path.into(),
            free,
            warn: None,
            inodes: None,
        }
    }

    #[test]
    fn a_url_says_what_is_looked_at_and_how_far_it_may_go() {
        let share = |percent| Some(Amount::Percent(percent));
        is("disk/?free=10%", disk("/", share(10.0)));
        is("Disk/mnt/a b?free=0.5%", disk("/mnt/a b", share(0.5)));
        is(
            "disk/a%20b?c?free=100M",
            disk("/a%20b?c", Some(Amount::Count(100 << 20))),
        );
        is(
            "disk/overlay?inodes=5%&warn=2g&free=1G",
            HostCheck::Disk {
                path: "/overlay".into(),
                free: Some(Amount::Count(1 << 30)),
                warn: Some(Amount::Count(2 << 30)),
                inodes: share(5.0),
            },
        );
        is(
            "memory?available=10%&warn=64M",
            HostCheck::Memory {
                available: Amount::Percent(10.0),
                warn: Some(Amount::Count(64 << 20)),
            },
        );
        is(
            "load?max=4&warn=2.5",
            HostCheck::Load {
                max: 4.0,
                warn: Some(2.5),
            },
        );
        is(
            "temperature?max=80",
            HostCheck::Temperature {
                max: 80,
                warn: None,
            },
        );
        is(
            "file/var/backups/last?age=26h&size=1M",
            HostCheck::File {
                path: "/var/backups/last".into(),
                age: Some(Duration::from_secs(26 * 3600)),
                size: Some(1 << 20),
            },
        );
        is(
            "process/dnsmasq",
            HostCheck::Process {
                name: "dnsmasq".to_owned(),
            },
        );
    }

    #[test]
    fn a_bad_one_says_what_is_wrong_and_what_would_be_right() {
        let kinds = "must be host:disk/PATH, host:memory, host:load, host:temperature, \
                     host:file/PATH or host:process/NAME";
        refused("", kinds);
        refused("8080", kinds);
        refused("dsk/?free=1%", &format!("{kinds}; did you mean host:disk?"));
        let disk = "must be \"host:disk/PATH?free=10%\": ";
        let missing = "how much is to be `free`, or how many `inodes`, is missing";
        for (rest, why) in [
            ("disk?free=10%", "the `/` before the path is missing"),
            ("disk/", missing),
            ("disk/?warn=10%", missing),
            (
                "disk/?fre=10%",
                "only `free`, `warn`, `inodes` may follow the `?`",
            ),
            ("disk/?", "only `free`, `warn`, `inodes` may follow the `?`"),
        ] {
            refused(rest, &format!("{disk}{why}"));
        }
        let amount = "has a `free` that is neither a share such as 10% nor a size such as 100M";
        for bad in [
            "",
            "10",
            "%",
            "0%",
            "101%",
            "-1%",
            "1e1%",
            "10 %",
            "M",
            "1.5G",
            "0M",
            "99999999T",
            "ä",
        ] {
            refused(&format!("disk/?free={bad}"), amount);
        }
        refused("disk/?free=1%&free=2%", "has `free` twice");
        refused("disk/?inodes=5%&warn=7%", "has a `warn` without `free`");
        for bad in ["free=10%&warn=10%", "free=2G&warn=1G"] {
            let why = "has a `warn` that is not above `free`: it comes before";
            refused(&format!("disk/?{bad}"), why);
        }
        refused(
            "memory/?available=1%",
            "must be \"host:memory?available=10%\": it has no path, not even a `/`",
        );
        refused(
            "memory",
            "must be \"host:memory?available=10%\": how much is to be `available` is missing",
        );
        refused("load", "must be \"host:load?max=4\": the `max` is missing");
        refused(
            "load?max=0",
            "has a `max` that is not a number above 0 such as 4 or 1.5",
        );
        refused(
            "load?max=2&warn=3",
            "has a `warn` that is not below `max`: it comes before",
        );
        refused(
            "temperature?max=80.5",
            "has a `max` that is not whole degrees Celsius, from 1 to 200",
        );
        let file = "must be \"host:file/PATH?age=26h\": ";
        refused("file/?age=1h", &format!("{file}the path is missing"));
        refused(
            "file/a",
            &format!("{file}the `age` that it may have, or its least `size`, is missing"),
        );
        refused(
            "file/a?age=26",
            "has an `age` that is no duration such as 26h",
        );
        refused("file/a?size=5", "has a `size` that is no size such as 1M");
        let process = "must be \"host:process/NAME\": ";
        refused("process", &format!("{process}the name is missing"));
        refused("process/", &format!("{process}the name is missing"));
        refused(
            "process/usr/sbin/dnsmasq",
            &format!("{process}a process has a name there, not a path"),
        );
        refused("process/a?b", &format!("{process}nothing follows the name"));
        refused(
            "disk/a\nb?free=1%",
            "has a line break or another control character in it",
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(kind in 0..6_usize, rest in "[/?]?.{0,30}") {
            let _ = read(&format!("{}{rest}", KINDS[kind].0));
        }

        #[test]
        fn every_path_is_taken_as_it_is(path in "/[^\\p{Cc}]{0,30}") {
            let read = read(&format!("disk{path}?free=10%"));
            prop_assert_eq!(read, Ok(disk(&path, Some(Amount::Percent(10.0)))));
        }
    }
}
