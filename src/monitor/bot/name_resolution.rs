//! Resolves a name to one or several sites. The chat and the command line use the same rule.

use crate::monitor::bot::ReplyContent;
use crate::monitor::bot::command::Command;
use crate::monitor::bot::nearest::nearest;
use crate::monitor::outbox::callback_data::{self, CallbackData, MOST_SITES};
use crate::monitor::render::text::{bold, count};
use crate::monitor::site::Site;
use crate::monitor::site::printable::{NAME, line};
use crate::monitor::site::table::Sites;
use icu_normalizer::properties::CanonicalCompositionBorrowed;

/// A site, by its index among those that were searched, or all sites of a group.
#[derive(Debug, PartialEq, Eq)]
pub enum Resolved {
    Site(usize),
    Group(Vec<usize>),
}

/// Resolves `name` among `sites`: an exact site name wins, then an exact group, then a unique part
/// of a name. A [`callback_data::key`] is accepted in place of a name.
///
/// # Errors
///
/// Returns the indices of all sites that match: none, or more than one.
pub fn resolve<'a>(
    sites: impl Iterator<Item = (usize, &'a Site)> + Clone,
    name: &str,
) -> Result<Resolved, Vec<usize>> {
    let fitting = |test: &dyn Fn(&Site) -> bool| -> Vec<usize> {
        let fits = sites.clone().filter(|(_, site)| test(site));
        fits.map(|(at, _)| at).collect()
    };
    if let [at, ..] = fitting(&|site| site.name == name)[..] {
        return Ok(Resolved::Site(at));
    }
    let typed = composed(name);
    if let [at, ..] = fitting(&|site| composed(&site.name) == typed)[..] {
        return Ok(Resolved::Site(at));
    }
    let group = |site: &Site| site.group.as_deref().map(composed);
    let group = fitting(&|site| group(site).as_ref() == Some(&typed));
    if !group.is_empty() {
        return Ok(Resolved::Group(group));
    }
    if name.starts_with('~')
        && let [at, ..] = fitting(&|site| callback_data::key(&site.name) == name)[..]
    {
        return Ok(Resolved::Site(at));
    }
    let lower = folded(name);
    if let [at] = fitting(&|site| folded(&site.name) == lower)[..] {
        return Ok(Resolved::Site(at));
    }
    let part = fitting(&|site| folded(&site.name).contains(&lower));
    match part[..] {
        [at] => Ok(Resolved::Site(at)),
        _ => Err(part),
    }
}

/// Composes each letter with the marks behind it where Unicode has one character for both:
/// keyboards send `é` in either form. Unlike NFC (Unicode Standard Annex 15) it does not reorder
/// marks of different classes, which keyboards do not need and which would cost 43 KB.
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

/// Returns the composed name in lower case, for comparison without regard to case.
pub(super) fn folded(name: &str) -> String {
    composed(&name.to_lowercase())
}

/// A name that matches no site, or several.
#[derive(Debug)]
pub(crate) enum Unresolved {
    /// The reply, in HTML.
    Unknown(String),
    /// The question to ask, in HTML, and the sites to choose from.
    Several { question: String, sites: Vec<usize> },
}

impl Unresolved {
    /// Returns the reply that asks which site `command` is about, with a button for each candidate.
    pub fn ask(self, command: &Command, all: &Sites) -> ReplyContent {
        let (question, sites) = match self {
            Unresolved::Unknown(html) => return html.into(),
            Unresolved::Several { question, sites } => (question, sites),
        };
        let buttons = sites.iter().take(MOST_SITES).filter_map(|&at| {
            let name = all[at].name();
            let line = command.line_about(&callback_data::key(name))?;
            Some(CallbackData::Choose(line).button(name))
        });
        let more = sites.len().saturating_sub(MOST_SITES);
        let html = match more {
            0 => question,
            n => format!("{question} {n} more are not shown: write more of the name."),
        };
        ReplyContent {
            html,
            buttons: callback_data::rows(buttons),
            picture: None,
        }
    }
}

/// The sites that one chat may see, for resolving names.
#[derive(Clone, Copy)]
pub(crate) struct VisibleSites<'a> {
    pub sites: &'a Sites,
    pub chat: i64,
}

impl<'a> VisibleSites<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = (usize, &'a Site)> + Clone {
        let visible = self.sites.visible(self.chat).into_iter();
        visible.map(move |at| (at, self.sites[at].config().as_ref()))
    }

    /// Returns whether the chat may see a site of exactly this name.
    pub fn sees(self, name: &str) -> bool {
        self.sites.find_visible(self.chat, name).is_some()
    }

    /// Resolves a name to one site.
    pub fn one(self, name: &str) -> Result<usize, Unresolved> {
        match self.resolve(name, false)? {
            Resolved::Site(at) => Ok(at),
            Resolved::Group(sites) => Err(Unresolved::Several {
                question: format!(
                    "{} is a group, and this takes one site. Which one?",
                    bold(name)
                ),
                sites,
            }),
        }
    }

    /// Resolves a name to a site or the sites of a group; without a name, to all that the chat may
    /// see.
    pub fn some_or_all(self, name: Option<&str>) -> Result<Vec<usize>, Unresolved> {
        let Some(name) = name else {
            return Ok(self.sites.visible(self.chat));
        };
        Ok(match self.resolve(name, true)? {
            Resolved::Site(at) => vec![at],
            Resolved::Group(sites) => sites,
        })
    }

    /// Resolves one or several names, separated by blanks. A name may itself contain blanks.
    pub fn several_or_all(self, names: Option<&str>) -> Result<Vec<usize>, Unresolved> {
        let whole = match self.some_or_all(names) {
            Err(whole) => whole,
            found => return found,
        };
        let words: Vec<&str> = names.unwrap_or_default().split_whitespace().collect();
        let mut rest = words.as_slice();
        let mut places = Vec::new();
        while !rest.is_empty() && words.len() > 1 {
            // The longest sequence of words that is a name; otherwise one word.
            let longest = (1..=rest.len()).rev();
            let of_name = longest.filter(|&n| self.is_name(&rest[..n].join(" ")));
            let (name, after) = rest.split_at(of_name.max().unwrap_or(1));
            rest = after;
            match (self.some_or_all(Some(&name.join(" "))), &whole) {
                (Ok(found), _) => places.extend(found),
                (Err(_), Unresolved::Several { .. }) => return Err(whole),
                (Err(_), _) if places.is_empty() => return Err(whole),
                (Err(word), _) => return Err(word),
            }
        }
        if places.is_empty() {
            return Err(whole);
        }
        places.sort_unstable();
        places.dedup();
        Ok(places)
    }

    /// Returns the index of the site that a button's [`callback_data::key`] stands for.
    pub fn of_key(self, key: &str) -> Option<usize> {
        key.strip_prefix('~')?;
        let site = self
            .iter()
            .find(|(_, s)| callback_data::key(&s.name) == key);
        site.map(|(at, _)| at)
    }

    /// Returns whether a site or group has this name, without regard to case.
    pub fn is_name(self, name: &str) -> bool {
        let typed = folded(name);
        self.iter().any(|(_, site)| {
            let names = [Some(site.name.as_str()), site.group.as_deref()];
            names.into_iter().flatten().any(|n| folded(n) == typed)
        })
    }

    /// `groups`: whether the command accepts a group.
    fn resolve(self, name: &str, groups: bool) -> Result<Resolved, Unresolved> {
        if let Some(at) = self.sites.find_visible(self.chat, name) {
            return Ok(Resolved::Site(at));
        }
        resolve(self.iter(), name).map_err(|sites| match sites.len() {
            0 => self.unknown(name, groups),
            several => Unresolved::Several {
                question: format!(
                    "{} fits {}. Which one?",
                    bold(&line(name, NAME)),
                    count(several, "site")
                ),
                sites,
            },
        })
    }

    /// Returns the reply for an unknown name, with the most similar name if there is one.
    fn unknown(self, name: &str, groups: bool) -> Unresolved {
        let what = match groups {
            true => "neither a site nor a group",
            false => "no site",
        };
        let none = format!("There is {what} {}.", bold(&line(name, NAME)));
        if let Some(near) = nearest(name, self.iter().map(|(_, site)| site.name.as_str())) {
            return Unresolved::Several {
                question: format!("{none} Did you mean {}?", bold(near)),
                sites: self.sites.find(near).into_iter().collect(),
            };
        }
        let known = self.iter().filter_map(|(_, site)| site.group.as_deref());
        let near = nearest(name, known.filter(|_| groups));
        Unresolved::Unknown(match near {
            Some(near) => format!("{none} Did you mean the group {}?", bold(near)),
            None => format!("{none} /list shows all."),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::tests::builders;

    #[test]
    fn a_name_then_a_group_then_a_unique_part_whatever_the_keyboard_sends() {
        let named = |name: &str, group: Option<&str>| Site {
            group: group.map(str::to_owned),
            ..builders::site(name)
        };
        let sites = [
            named("Café", Some("shops")),
            named("café 2", Some("shops")),
            named("shop", None),
            named("wiki", Some("wikis")),
        ];
        let find = |name: &str| resolve(sites.iter().enumerate(), name);
        assert_eq!(find("Cafe\u{301}"), Ok(Resolved::Site(0)));
        assert_eq!(find("CAFE\u{301} 2"), Ok(Resolved::Site(1)));
        assert_eq!(
            find("CAFÉ"),
            Ok(Resolved::Site(0)),
            "all of a name, not a part"
        );
        assert_eq!(find("shops"), Ok(Resolved::Group(vec![0, 1])));
        assert_eq!(find("Wik"), Ok(Resolved::Site(3)));
        assert_eq!(find(&callback_data::key("shop")), Ok(Resolved::Site(2)));
        assert_eq!(find("caf"), Err(vec![0, 1]));
        assert_eq!(find("blog"), Err(Vec::new()));
    }
}
