//! `/add` and `/remove`: sites that live in the state and not in the file, which is never
//! rewritten.
//!
//! What is asked for is examined by the rules of the file, checked once, and then taken. One that
//! fails is taken when the same is asked for again: a typing mistake watches nothing, and a site
//! that is down is watched all the same by who insists.

use crate::monitor::bot::visibility::may_see;
use crate::monitor::outbox::message::Asker;
use crate::monitor::persist::snapshot::AddedRecord;
use crate::monitor::render::text::{bold, escape, lasting, response};
use crate::monitor::site::Site;
use crate::monitor::site::outcome::Outcome;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Action, Level, Monitor};
use std::sync::Arc;
use std::time::Duration;

/// Sites that may be added, besides those of the file.
pub const MOST_ADDED: usize = 100;
/// Of those that are being checked before they are taken.
const MOST_TRIALS: usize = 5;
/// The same asked for again within this is meant.
const INSIST: Duration = Duration::from_secs(600);

/// What is known of added sites, and of those that may become some.
#[derive(Debug, Default)]
pub struct Added {
    pub records: Vec<AddedRecord>,
    trials: Vec<Trial>,
    next: u64,
    /// What failed, and when: asked for again it is taken.
    failed: Vec<(AddedRecord, Moment)>,
}

/// Somebody waits for the result of a first check.
#[derive(Debug)]
struct Trial {
    id: u64,
    asker: Asker,
    url: String,
    name: Option<String>,
    /// Once it has been examined.
    site: Option<Arc<Site>>,
    /// It has been said that it is being checked.
    announced: bool,
    /// The file was read again since it was examined.
    outdated: bool,
}

impl Monitor {
    pub(crate) fn add(&mut self, asker: &Asker, url: &str, name: Option<&str>) -> Option<String> {
        let added = &mut self.added;
        if added.trials.len() >= MOST_TRIALS {
            return Some("Not added: wait until those before it have been checked.".to_owned());
        }
        // Those that are still being checked will all be taken if they are well.
        if added.records.len() + added.trials.len() >= MOST_ADDED {
            return Some(format!(
                "Not added: there are {MOST_ADDED} added sites already. Put some into sitemon.conf."
            ));
        }
        added.next += 1;
        let id = added.next;
        added.trials.push(Trial {
            id,
            asker: asker.clone(),
            url: url.to_owned(),
            name: name.map(str::to_owned),
            site: None,
            announced: false,
            outdated: false,
        });
        self.actions.push(Action::Examine {
            id,
            url: url.to_owned(),
            name: name.map(str::to_owned),
        });
        None
    }

    /// The rules of the file have been applied to what was asked for.
    pub(crate) fn examined(&mut self, now: Now, id: u64, result: Result<Site, String>) {
        let Some(place) = self.added.trials.iter().position(|t| t.id == id) else {
            return;
        };
        let refusal = match &result {
            Err(what) => Some(format!("Not added: {}.", escape(what))),
            Ok(site) if self.hidden(self.added.trials[place].asker.chat, &site.name) => {
                let name = bold(&site.name);
                Some(format!(
                    "Not added: the name {name} is taken. /add URL NAME gives it another name."
                ))
            }
            Ok(site) if self.name_taken(&site.name) => Some(format!(
                "Not added: there is a site {} already. /add URL NAME gives it another name.",
                bold(&site.name)
            )),
            Ok(site) if !may_see(self.added.trials[place].asker.chat, site) => Some(
                "Not added: by `chats` in [defaults] this chat would not be told of it.".to_owned(),
            ),
            Ok(site) if site.is_https() && !self.clock.is_set() => {
                Some("Not added: the clock is not set yet.".to_owned())
            }
            Ok(_) => None,
        };
        let (text, asker) = match (result, refusal) {
            (Ok(site), None) => {
                let site = Arc::new(site);
                let trial = &mut self.added.trials[place];
                trial.site = Some(site.clone());
                let announced = std::mem::replace(&mut trial.announced, true);
                let asker = trial.asker.clone();
                let text = format!("Checking {} …", bold(&site.name));
                self.actions.push(Action::Try { id, site });
                if announced {
                    return;
                }
                (text, asker)
            }
            (_, refusal) => {
                let trial = self.added.trials.remove(place);
                (refusal.unwrap_or_default(), trial.asker)
            }
        };
        self.answer(now, &asker, text.into());
    }

    fn name_taken(&self, name: &str) -> bool {
        let trials = self.added.trials.iter();
        let tried = trials.filter_map(|t| t.site.as_ref());
        let kept = self.added.records.iter().any(|r| r.name == name);
        kept || self.sites.contains(name) || tried.into_iter().any(|s| s.name == name)
    }

    /// Its first check has ended.
    pub(crate) fn tried(&mut self, now: Now, id: u64, outcome: &Outcome) {
        let Some(place) = self.added.trials.iter().position(|t| t.id == id) else {
            return;
        };
        let trial = &mut self.added.trials[place];
        if std::mem::take(&mut trial.outdated) {
            // By rules that hold no more.
            trial.site = None;
            self.actions.push(Action::Examine {
                id,
                url: trial.url.clone(),
                name: trial.name.clone(),
            });
            return;
        }
        let trial = self.added.trials.remove(place);
        let Some(site) = trial.site else {
            return;
        };
        let name = site.name.clone();
        // A check that came back late must not speak for a message of ours that has been edited.
        let asker = Asker {
            instead: None,
            ..trial.asker
        };
        if self.name_taken(&name) {
            let text = format!("Not added: there is a site {} by now.", bold(&name));
            return self.answer(now, &asker, text.into());
        }
        let record = AddedRecord {
            name: name.clone(),
            url: trial.url,
        };
        let moment = now.moment();
        let failed = &mut self.added.failed;
        failed.retain(|(_, at)| moment.since(*at) < INSIST);
        let insisted = failed.iter().position(|(r, _)| *r == record);
        let text = match (&outcome.verdict, insisted) {
            (Err(failure), None) => {
                if failed.len() == MOST_ADDED {
                    failed.remove(0);
                }
                failed.push((record, moment));
                let text = format!(
                    "❌ Not added: {} fails: {}\nTo add it as it is, send the same again within {}.",
                    bold(&name),
                    escape(&failure.detail),
                    lasting(INSIST)
                );
                return self.answer(now, &asker, text.into());
            }
            (Err(failure), Some(at)) => {
                failed.remove(at);
                format!(
                    "➕ {} is watched, though it fails: {}",
                    bold(&name),
                    escape(&failure.detail)
                )
            }
            (Ok(()), _) => {
                let took = outcome.took.map_or(String::new(), |took| {
                    format!(" It answered in {}.", response(took))
                });
                let every = lasting(site.interval);
                format!("➕ {} is watched, every {every}.{took}", bold(&name))
            }
        };
        self.added.records.push(record);
        let mut sites: Vec<_> = self.sites.iter().map(|w| w.site.clone()).collect();
        sites.push(site);
        self.take_sites(sites, now);
        self.sites_changed(now);
        let who = asker
            .user
            .map_or(String::new(), |id| format!(" by user {id}"));
        self.log(Level::Info, format!("{name} was added{who}"));
        self.answer(now, &asker, text.into());
    }

    /// Takes out a site that was added; `None`: it is one of the file.
    pub(crate) fn remove(&mut self, now: Now, asker: &Asker, name: &str) -> Option<String> {
        let place = self.added.records.iter().position(|r| r.name == name)?;
        self.added.records.remove(place);
        let rest = self.sites.iter().filter(|w| w.name() != name);
        let sites = rest.map(|w| w.site.clone()).collect();
        self.take_sites(sites, now);
        self.sites_changed(now);
        let who = asker
            .user
            .map_or(String::new(), |id| format!(" by user {id}"));
        self.log(Level::Info, format!("{name} was removed{who}"));
        Some(format!("➖ {} is not watched any more.", bold(name)))
    }

    /// It was added, and the chat may see it. One that cannot be watched any more is no site, and any
    /// chat may remove it.
    pub(crate) fn is_added(&self, chat: i64, name: &str) -> bool {
        !self.hidden(chat, name) && self.added.records.iter().any(|r| r.name == name)
    }

    /// The sites that were added, as they were asked for.
    pub fn added(&self) -> &[AddedRecord] {
        &self.added.records
    }

    /// Takes over the sites that an earlier run was given in the chat. To be called once, before
    /// [`Monitor::restore`].
    pub fn adopt(&mut self, added: Vec<(AddedRecord, Result<Site, String>)>, now: Now) {
        if added.is_empty() {
            return;
        }
        let sites = self.sites.iter().map(|w| w.site.clone()).collect();
        let sites = self.beside(sites, added, now);
        self.take_sites(sites, now);
    }

    /// The sites of the file, and those that were added behind them. A name that the file has too is
    /// the file's.
    pub(crate) fn beside(
        &mut self,
        mut sites: Vec<Arc<Site>>,
        added: Vec<(AddedRecord, Result<Site, String>)>,
        now: Now,
    ) -> Vec<Arc<Site>> {
        let of_file = sites.len();
        for trial in &mut self.added.trials {
            trial.outdated = trial.site.is_some();
        }
        self.added.records.clear();
        for (record, result) in added {
            let name = &record.name;
            // As far as it is known who may know of it.
            let of_file = sites[..of_file].iter().find(|s| s.name == *name);
            let known = self.sites.find(name).map(|at| &self.sites[at].site);
            let chats = match of_file.or(known) {
                Some(site) => self.chats_of(site),
                None => self.access.chats.clone(),
            };
            if of_file.is_some() {
                let text = format!(
                    "{name} is in sitemon.conf now: the one that was added in the chat is forgotten."
                );
                self.log(Level::Info, text.clone());
                self.notice_to(now, chats, text);
                continue;
            }
            match result {
                Ok(site) => sites.push(Arc::new(site)),
                Err(what) => {
                    let text = format!(
                        "{name}, added in the chat, cannot be watched any more: {what}. /remove {name} forgets it."
                    );
                    self.log(Level::Info, text.clone());
                    self.notice_to(now, chats, text);
                }
            }
            self.added.records.push(record);
        }
        sites
    }
}
