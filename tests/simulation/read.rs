//! Reads the text that arrived in a chat, as a user would: which site, what happened, since when.

/// The statement of one line.
#[derive(Clone, Debug, PartialEq)]
pub enum Said {
    Down,
    StillDown,
    /// Down and up again in one line, and for how long it was down.
    WasDown(Lasting),
    Up(Lasting),
    Slow,
    Fast,
    /// Flapping, and whether it is down now.
    Flapping(bool),
    /// Several changes that had to wait, in one line, and the present state.
    Changes(Now),
    /// No longer flapping, and whether it is down now.
    Steady(bool),
    Offline,
    /// This machine lacks descriptors or an address.
    Lacking,
    /// DNS on this network is gone (true) or back.
    Names(bool),
    /// The agent was off; these sites are still down.
    Away(Vec<String>),
    /// A notice about the agent itself.
    Notice(String),
}

impl Said {
    pub fn down(&self) -> bool {
        use Said::*;
        matches!(
            self,
            Down | StillDown | WasDown(_) | Flapping(true) | Steady(true) | Changes(Now::Down)
        )
    }
}

/// The present state of a site in a line that sums up its past.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Now {
    Up,
    Slow,
    Down,
}

/// A duration as written, rounded: at least `least`, and less than `most`, in ms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lasting {
    pub least: i64,
    pub most: i64,
}

#[derive(Clone, Debug)]
pub struct Line {
    pub said: Said,
    /// Empty when the line is about the agent.
    pub site: String,
    pub incident: Option<u32>,
    /// Time between the event and the sending.
    pub ago: Option<Lasting>,
}

/// Reads every line of a message. A line that can't be read is an error.
pub fn lines(text: &str) -> Result<Vec<Line>, String> {
    let mut out = Vec::new();
    let mut rest = text.lines();
    while let Some(line) = rest.next() {
        let line = line.split(" · also sent by ").next().unwrap_or(line);
        let (body, ago) = split_ago(line);
        if line.starts_with("<b>") || line.starts_with("<a href=") {
            continue; // the headline, or the address of the site above
        }
        let group = |word: &str| body.contains(&format!(" sites are {word}</b>"));
        if group("down") || group("up again") {
            let down = group("down");
            let names = rest.next().ok_or("a group without names")?;
            for name in names.split(", ") {
                let (site, what) = name.split_once(' ').ok_or(format!("in a group: {name}"))?;
                let said = if down {
                    Said::Down
                } else {
                    Said::Up(lasting_in(what, "after ")?)
                };
                out.push(Line {
                    said,
                    site: site.into(),
                    incident: number(what),
                    ago,
                });
            }
            continue;
        }
        out.push(one(body, ago).ok_or(format!("not understood: {line}"))?);
    }
    Ok(out)
}

fn one(body: &str, ago: Option<Lasting>) -> Option<Line> {
    let about_us = |said| {
        Some(Line {
            said,
            site: String::new(),
            incident: None,
            ago,
        })
    };
    if body.starts_with("📡 I was offline") {
        return about_us(Said::Offline);
    }
    if let Some(notice) = body.strip_prefix("ℹ️ ") {
        if notice.starts_with("This machine has no ") {
            return about_us(Said::Lacking);
        }
        if notice.starts_with("DNS on this network doesn't answer") {
            return about_us(Said::Names(true));
        }
        if notice.starts_with("DNS on this network answers again") {
            return about_us(Said::Names(false));
        }
        if notice.starts_with("I was away, ") {
            let still = notice
                .split_once("; still down: ")
                .map_or("", |(_, names)| names);
            let names = still
                .split(", ")
                .filter(|n| !n.is_empty())
                .map(str::to_owned);
            return about_us(Said::Away(names.collect()));
        }
        return about_us(Said::Notice(notice.into()));
    }
    let (_, rest) = body.split_once("<b>")?;
    let (site, what) = rest.split_once("</b> ")?;
    let said = if what.starts_with("is down: ") {
        Said::Down
    } else if what.starts_with("is still down, for ") {
        Said::StillDown
    } else if what.starts_with("was down for ") {
        Said::WasDown(lasting_in(what, "was down for ").ok()?)
    } else if what.starts_with("is up again after ") {
        Said::Up(lasting_in(what, "is up again after ").ok()?)
    } else if what.starts_with("is slow: ") {
        Said::Slow
    } else if what.starts_with("is fast again after ") {
        Said::Fast
    } else if what.starts_with("is flapping, ") {
        if !what.ends_with("for 15 min or down for 5 min without a break.") {
            return None;
        }
        Said::Flapping(what.starts_with("is flapping, down now: "))
    } else if what.starts_with("changed ") {
        let (_, now) = what.split_once(" times, ")?;
        Said::Changes(match now {
            "up now" => Now::Up,
            _ if now.starts_with("slow now: ") => Now::Slow,
            _ if now.starts_with("down now: ") => Now::Down,
            _ => return None,
        })
    } else if what.starts_with("has been down for ") {
        Said::Steady(true)
    } else if what.starts_with("is steady again") {
        Said::Steady(false)
    } else {
        return None;
    };
    Some(Line {
        said,
        site: site.into(),
        incident: number(what),
        ago,
    })
}

fn split_ago(line: &str) -> (&str, Option<Lasting>) {
    let Some((body, tail)) = line.rsplit_once(" · ") else {
        return (line, None);
    };
    match tail.strip_suffix(" ago").and_then(lasting) {
        Some(ago) => (body, Some(ago)),
        None => (line, None),
    }
}

pub fn number(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("(#")?;
    rest.split_once(')')?.0.parse().ok()
}

fn lasting_in(text: &str, after: &str) -> Result<Lasting, String> {
    let (_, rest) = text.split_once(after).ok_or(text)?;
    lasting(rest).ok_or(text.to_owned())
}

/// Reads `3 min 20 s` at the start of a text.
fn lasting(text: &str) -> Option<Lasting> {
    let unit = |word: &str| match word {
        "s" => Some(1000),
        "min" => Some(60_000),
        "h" => Some(3_600_000),
        "d" => Some(86_400_000),
        _ => None,
    };
    let mut words = text.split([' ', '(', ':']).filter(|w| !w.is_empty());
    let n: i64 = words.next()?.parse().ok()?;
    let first = unit(words.next()?)?;
    let mut least = n * first;
    // The second unit is left out when it is zero.
    let step = if first == 1000 {
        1000
    } else {
        first / if first == 86_400_000 { 24 } else { 60 }
    };
    if let (Some(Ok(n)), Some(Some(second))) =
        (words.next().map(str::parse::<i64>), words.next().map(unit))
    {
        least += n * second;
    }
    // Rounded to the second.
    Some(Lasting {
        least: least - 500,
        most: least + step.max(1000),
    })
}
