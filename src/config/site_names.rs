//! Checks the names of all sites: they are unique, and `after` forms no circle.

use super::error::MistakeList;
use super::toml_table::Entry;
use super::value::brief;
use crate::monitor::bot::nearest::nearest;
use std::collections::HashMap;
use toml_span::Spanned;

/// Collects names site by site, also of sites with other mistakes.
#[derive(Default)]
pub struct Names {
    /// The line of the first occurrence of each name.
    lines: HashMap<String, usize>,
    /// The line of the first occurrence of each token.
    tokens: HashMap<String, usize>,
    /// The values of `after` in the order of the file.
    after: Vec<After>,
}

struct After {
    /// The site with this `after`; `None` if it has no valid name.
    site: Option<String>,
    named: Spanned<String>,
}

impl Names {
    pub fn add(&mut self, name: &Entry<String>, after: Entry<String>, log: &mut MistakeList) {
        let mut site = None;
        if let Entry::Given(name) = name {
            match self.lines.get(&name.value) {
                Some(first) => log.add(
                    name.span,
                    format!(
                        "another site, in line {first}, has this `name` already; names are unique"
                    ),
                ),
                None => {
                    self.lines.insert(name.value.clone(), log.line(name.span));
                    site = Some(name.value.clone());
                }
            }
        }
        if let Entry::Given(named) = after {
            self.after.push(After { site, named });
        }
    }

    /// Tokens are unique as well: they identify the site.
    pub fn add_token(&mut self, token: &Entry<String>, log: &mut MistakeList) {
        let Entry::Given(token) = token else { return };
        let line = log.line(token.span);
        let first = *self.tokens.entry(token.value.clone()).or_insert(line);
        if first != line {
            log.add(
                token.span,
                format!(
                    "another site, in line {first}, has this `token` already; give each its own"
                ),
            );
        }
    }

    /// Iterates over all names so far.
    pub fn known(&self) -> impl Iterator<Item = &str> {
        self.lines.keys().map(String::as_str)
    }

    /// Checks the values of `after` once all names are known.
    pub fn finish(self, log: &mut MistakeList) {
        for After { site, named } in &self.after {
            if site.as_ref() == Some(&named.value) {
                log.add(
                    named.span,
                    "`after` names this site itself; name the one it depends on",
                );
            } else if !self.lines.contains_key(&named.value) {
                let known = self.known();
                let others = known.filter(|name| site.as_deref() != Some(name));
                let remedy = match nearest(&named.value, others) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "it wants the `name` of another [[site]]".to_owned(),
                };
                let name = brief(&named.value);
                log.add(
                    named.span,
                    format!("`after` names `{name}`, which is no site; {remedy}"),
                );
            }
        }
        self.loops(log);
    }

    /// Reports circles. Each site has at most one `after`, so a walk along them ends or enters one circle.
    fn loops(&self, log: &mut MistakeList) {
        let named = self.after.iter().enumerate();
        let next: HashMap<&str, usize> = named
            .filter_map(|(at, after)| Some((after.site.as_deref()?, at)))
            .collect();
        let mut seen = vec![false; self.after.len()];
        for start in 0..self.after.len() {
            let mut path = Vec::new();
            let mut step = Some(start);
            while let Some(at) = step.filter(|&at| !seen[at]) {
                seen[at] = true;
                path.push(at);
                step = next.get(self.after[at].named.value.as_str()).copied();
            }
            // The walk met an earlier one, which has reported its circle.
            let Some(entry) = path.iter().position(|&at| Some(at) == step) else {
                continue;
            };
            let circle = &path[entry..];
            // A site after itself is reported elsewhere.
            if let [first, _, ..] = circle {
                self.circle(circle, *first, log);
            }
        }
    }

    fn circle(&self, circle: &[usize], first: usize, log: &mut MistakeList) {
        let mut shown = String::new();
        for &at in circle.iter().chain([&first]) {
            let arrow = if shown.is_empty() { "" } else { " → " };
            shown += arrow;
            shown += self.after[at].site.as_deref().unwrap_or_default();
        }
        log.add(
            self.after[first].named.span,
            format!(
                "`after` goes round in a loop: {shown}; one of them must not depend on the next"
            ),
        );
    }
}
