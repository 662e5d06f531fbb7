//! Which site, or which sites, a name in a command means, among those that the chat may see.

use crate::monitor::Monitor;
use crate::monitor::bot::callback_data::{self, MOST_SITES, Wish};
use crate::monitor::bot::command::Command;
use crate::monitor::bot::nearest::nearest;
use crate::monitor::bot::updates::Answer;
use crate::monitor::render::text::{bold, count};
use crate::monitor::site::printable::{NAME, line};
use icu_normalizer::properties::CanonicalCompositionBorrowed;

/// A name that does not say which site.
#[derive(Debug)]
pub(crate) enum Unclear {
    /// The sentence to answer with.
    Unknown(String),
    /// The question to ask, and the sites to choose from.
    Several { question: String, sites: Vec<usize> },
}

/// What a name means.
enum Meant {
    One(usize),
    Group(Vec<usize>),
}

/// `name` with every letter and the marks behind it as one character where there is one: keyboards
/// differ in what they send for `é`. For what they send it is NFC (Unicode Standard Annex 15), which
/// would put marks of different kinds in order besides, for 43 KB.
fn composed(name: &str) -> String {
    let pairs = CanonicalCompositionBorrowed::new();
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        match text.pop() {
            Some(before) => match pairs.compose(before, c) {
                Some(both) => text.push(both),
                None => text.extend([before, c]),
            },
            None => text.push(c),
        }
    }
    text
}

/// The same for comparison without regard to capitals.
fn folded(name: &str) -> String {
    composed(&name.to_lowercase())
}

impl Monitor {
    /// The one site that is meant.
    pub(crate) fn one(&self, chat: i64, name: &str) -> Result<usize, Unclear> {
        match self.meant(chat, name, false)? {
            Meant::One(at) => Ok(at),
            Meant::Group(sites) => Err(Unclear::Several {
                question: format!(
                    "{} is a group, and this takes one site. Which one?",
                    bold(name)
                ),
                sites,
            }),
        }
    }

    /// The site, or all sites of the group.
    pub(crate) fn some(&self, chat: i64, name: &str) -> Result<Vec<usize>, Unclear> {
        Ok(match self.meant(chat, name, true)? {
            Meant::One(at) => vec![at],
            Meant::Group(sites) => sites,
        })
    }

    /// The same, or all sites without a name.
    pub(crate) fn some_or_all(&self, chat: i64, name: Option<&str>) -> Result<Vec<usize>, Unclear> {
        match name {
            Some(name) => self.some(chat, name),
            None => Ok(self.visible(chat)),
        }
    }

    /// Where the site is that a button means; its [`callback_data::key`] stands where a name would.
    pub(crate) fn of_key(&self, chat: i64, key: &str) -> Option<usize> {
        key.strip_prefix('~')?;
        let mut sites = self.visible(chat).into_iter();
        sites.find(|&at| callback_data::key(self.sites[at].name()) == key)
    }

    /// An exact site name wins, then an exact group, then a unique part of a name (SPEC 10).
    /// `groups`: a group would do too.
    fn meant(&self, chat: i64, name: &str, groups: bool) -> Result<Meant, Unclear> {
        if let Some(at) = self.find(chat, name) {
            return Ok(Meant::One(at));
        }
        let visible = self.visible(chat);
        let typed = composed(name);
        let mut named = visible.iter().copied();
        if let Some(at) = named.find(|&at| composed(self.sites[at].name()) == typed) {
            return Ok(Meant::One(at));
        }
        let in_group = |at: &usize| {
            let group = self.sites[*at].site.group.as_deref();
            group.is_some_and(|group| composed(group) == typed)
        };
        let group: Vec<usize> = visible.iter().copied().filter(in_group).collect();
        if !group.is_empty() {
            return Ok(Meant::Group(group));
        }
        if let Some(at) = self.of_key(chat, name) {
            return Ok(Meant::One(at));
        }
        let lower = folded(name);
        let matching = |test: &dyn Fn(&str) -> bool| -> Vec<usize> {
            let fits = |at: &usize| test(&folded(self.sites[*at].name()));
            visible.iter().copied().filter(fits).collect()
        };
        let same = matching(&|candidate| candidate == lower);
        if let [at] = same.as_slice() {
            return Ok(Meant::One(*at));
        }
        let part = matching(&|candidate| candidate.contains(&lower));
        match part.as_slice() {
            [at] => Ok(Meant::One(*at)),
            [] => Err(self.unknown(chat, name, groups)),
            several => Err(Unclear::Several {
                question: format!(
                    "{} fits {}. Which one?",
                    bold(&line(name, NAME)),
                    count(several.len(), "site")
                ),
                sites: part,
            }),
        }
    }

    /// There is a site or a group of this name, capitals aside, that the chat may see.
    pub(crate) fn is_name(&self, chat: i64, name: &str) -> bool {
        let typed = folded(name);
        self.visible(chat).into_iter().any(|at| {
            let site = &self.sites[at].site;
            let names = [Some(site.name.as_str()), site.group.as_deref()];
            names.into_iter().flatten().any(|n| folded(n) == typed)
        })
    }

    /// There is nothing of that name: something like it may be meant.
    fn unknown(&self, chat: i64, name: &str, groups: bool) -> Unclear {
        let what = match groups {
            true => "neither a site nor a group",
            false => "no site",
        };
        let none = format!("There is {what} {}.", bold(&line(name, NAME)));
        let visible = self.visible(chat);
        let visible = self.watched(&visible);
        if let Some(near) = nearest(name, visible.iter().map(|w| w.name())) {
            return Unclear::Several {
                question: format!("{none} Did you mean {}?", bold(near)),
                sites: self.sites.find(near).into_iter().collect(),
            };
        }
        let known = visible.iter().filter_map(|w| w.site.group.as_deref());
        let near = nearest(name, known.filter(|_| groups));
        Unclear::Unknown(match near {
            Some(near) => format!("{none} Did you mean the group {}?", bold(near)),
            None => format!("{none} /list shows all."),
        })
    }

    /// The question which site `command` means, with a button for each.
    pub(crate) fn ask_back(&self, command: &Command, unclear: Unclear) -> Answer {
        let (question, sites) = match unclear {
            Unclear::Unknown(html) => return html.into(),
            Unclear::Several { question, sites } => (question, sites),
        };
        let buttons = sites.iter().take(MOST_SITES).filter_map(|&at| {
            let name = self.sites[at].name();
            let line = command.line_about(&callback_data::key(name))?;
            Some(Wish::Choose(line).button(name))
        });
        let more = sites.len().saturating_sub(MOST_SITES);
        let html = match more {
            0 => question,
            n => format!("{question} {n} more are not shown: write more of the name."),
        };
        Answer {
            html,
            buttons: callback_data::rows(buttons),
            picture: None,
        }
    }
}
