//! `/add` and `/remove`: sites that live in the state and not in the file, which is never
//! rewritten.
//!
//! What is asked for is examined by the rules of the file, checked once, and then taken. One that
//! fails is taken when the same is asked for again: a typing mistake watches nothing, and a site
//! that is down is watched all the same when the user insists.

use crate::monitor::bot::Bot;
use crate::monitor::bot::added_record::AddedRecord;
use crate::monitor::outbox::message::Requester;
use crate::monitor::render::text::{bold, escape};
use crate::monitor::site::Site;
use crate::monitor::site::access::may_see;
use crate::monitor::site::outcome::Outcome;
use crate::monitor::site::table::Sites;
use crate::monitor::time::Moment;
use crate::monitor::time::text::{lasting, response};
use crate::monitor::{Action, Actions};
use std::sync::Arc;
use std::time::Duration;

/// Sites that may be added, besides those of the file.
pub const MOST_ADDED: usize = 100;
/// Of those that are being checked before they are taken.
const MOST_TRIALS: usize = 5;
/// The same asked for again within this is meant.
const CONFIRM_WITHIN: Duration = Duration::from_secs(600);

/// What is known of added sites, and of those that may become some.
#[derive(Debug, Default)]
pub struct AddedSites {
    records: Vec<AddedRecord>,
    trials: Vec<Trial>,
    next: u64,
    /// What failed, and when: asked for again it is taken.
    failed: Vec<(AddedRecord, Moment)>,
}

/// A site whose first check is awaited.
#[derive(Debug)]
struct Trial {
    id: u64,
    requester: Requester,
    url: String,
    name: Option<String>,
    /// Once it has been examined.
    site: Option<Arc<Site>>,
    /// It has been said that it is being checked.
    announced: bool,
    /// The file was read again since it was examined.
    outdated: bool,
}

/// What the end of a first check means.
#[derive(Debug)]
pub(crate) struct TrialEnd {
    pub requester: Requester,
    /// The reply, in HTML.
    pub html: String,
    /// The site, if it is watched from now on.
    pub site: Option<Arc<Site>>,
}

/// What a configuration that was read means for added sites.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The sites of the file, and those that were added behind them.
    pub sites: Vec<Arc<Site>>,
    /// Notices of added sites, each with its chats.
    pub notices: Vec<(Vec<i64>, String)>,
}

impl AddedSites {
    /// The sites that were added, as they were asked for.
    pub fn records(&self) -> &[AddedRecord] {
        &self.records
    }

    /// Has a site examined that a user asked to add; the refusal if that is not possible.
    pub(crate) fn request(
        &mut self,
        requester: &Requester,
        url: &str,
        name: Option<&str>,
        actions: &mut Actions,
    ) -> Option<String> {
        if self.trials.len() >= MOST_TRIALS {
            return Some("Not added: wait until those before it have been checked.".to_owned());
        }
        // Those that are still being checked will all be taken if they are well.
        if self.records.len() + self.trials.len() >= MOST_ADDED {
            return Some(format!(
                "Not added: there are {MOST_ADDED} added sites already. Put some into sitemon.conf."
            ));
        }
        self.next += 1;
        let trial = Trial {
            id: self.next,
            requester: requester.clone(),
            url: url.to_owned(),
            name: name.map(str::to_owned),
            site: None,
            announced: false,
            outdated: false,
        };
        actions.push(trial.examine());
        self.trials.push(trial);
        None
    }

    fn name_taken(&self, name: &str, sites: &Sites) -> bool {
        let mut tried = self.trials.iter().filter_map(|t| t.site.as_ref());
        let kept = self.records.iter().any(|r| r.name == name);
        kept || sites.contains(name) || tried.any(|s| s.name == name)
    }

    /// Takes out a site that was added; `false`: there is none of this name.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.records.len();
        self.records.retain(|r| r.name != name);
        self.records.len() < before
    }

    /// It was added, and the chat may see it. One that cannot be watched any more is no site, and any
    /// chat may remove it.
    pub(crate) fn contains(&self, chat: i64, name: &str, sites: &Sites) -> bool {
        !sites.hidden(chat, name) && self.records.iter().any(|r| r.name == name)
    }
}

impl Bot {
    /// The rules of the file have been applied to what was asked for: the reply, if there is one.
    pub(crate) fn examined(
        &mut self,
        id: u64,
        result: Result<Site, String>,
        sites: &Sites,
        clock_set: bool,
        actions: &mut Actions,
    ) -> Option<(Requester, String)> {
        let place = self.added.trials.iter().position(|t| t.id == id)?;
        let chat = self.added.trials[place].requester.chat;
        let refusal = match &result {
            Err(what) => Some(format!("Not added: {}.", escape(what))),
            Ok(site) if sites.hidden(chat, &site.name) => {
                let name = bold(&site.name);
                Some(format!(
                    "Not added: the name {name} is taken. /add URL NAME gives it another name."
                ))
            }
            Ok(site) if self.added.name_taken(&site.name, sites) => Some(format!(
                "Not added: there is a site {} already. /add URL NAME gives it another name.",
                bold(&site.name)
            )),
            Ok(site) if !may_see(chat, site) => Some(
                "Not added: by `chats` in [defaults] this chat would not be told of it.".to_owned(),
            ),
            Ok(site) if site.uses_tls() && !clock_set => {
                Some("Not added: the clock is not set yet.".to_owned())
            }
            Ok(_) => None,
        };
        let (Ok(site), None) = (result, &refusal) else {
            let trial = self.added.trials.remove(place);
            return Some((trial.requester, refusal.unwrap_or_default()));
        };
        let site = Arc::new(site);
        let trial = &mut self.added.trials[place];
        trial.site = Some(site.clone());
        let text = format!("Checking {} …", bold(&site.name));
        actions.push(Action::Try { id, site });
        let announced = std::mem::replace(&mut trial.announced, true);
        (!announced).then(|| (trial.requester.clone(), text))
    }

    /// A first check has ended.
    pub(crate) fn tried(
        &mut self,
        now: Moment,
        id: u64,
        outcome: &Outcome,
        sites: &Sites,
        actions: &mut Actions,
    ) -> Option<TrialEnd> {
        let place = self.added.trials.iter().position(|t| t.id == id)?;
        let trial = &mut self.added.trials[place];
        if std::mem::take(&mut trial.outdated) {
            // By rules that hold no more.
            trial.site = None;
            actions.push(trial.examine());
            return None;
        }
        let trial = self.added.trials.remove(place);
        let site = trial.site?;
        let name = bold(&site.name);
        // A check that came back late must not speak for a message of ours that has been edited.
        let requester = Requester {
            instead: None,
            ..trial.requester
        };
        let end = |html: String, site| TrialEnd {
            requester,
            html,
            site,
        };
        if self.added.name_taken(&site.name, sites) {
            let html = format!("Not added: there is a site {name} by now.");
            return Some(end(html, None));
        }
        let record = AddedRecord {
            name: site.name.clone(),
            url: trial.url,
        };
        let failed = &mut self.added.failed;
        failed.retain(|(_, at)| now.since(*at) < CONFIRM_WITHIN);
        let insisted = failed.iter().position(|(r, _)| *r == record);
        let html = match (&outcome.verdict, insisted) {
            (Err(failure), None) => {
                if failed.len() == MOST_ADDED {
                    failed.remove(0);
                }
                failed.push((record, now));
                let html = format!(
                    "❌ Not added: {name} fails: {}\nTo add it as it is, send the same again within {}.",
                    escape(&failure.detail),
                    lasting(CONFIRM_WITHIN)
                );
                return Some(end(html, None));
            }
            (Err(failure), Some(at)) => {
                failed.remove(at);
                format!(
                    "➕ {name} is watched, though it fails: {}",
                    escape(&failure.detail)
                )
            }
            (Ok(()), _) => {
                let took = outcome.took.map_or(String::new(), |took| {
                    format!(" It answered in {}.", response(took))
                });
                let every = lasting(site.interval);
                format!("➕ {name} is watched, every {every}.{took}")
            }
        };
        self.added.records.push(record);
        Some(end(html, Some(site)))
    }

    /// Takes the added sites by the rules of a file that has the sites `of_file`. A name that the
    /// file has too is the file's. `known`: the sites until now.
    pub(crate) fn merge_added(
        &mut self,
        of_file: Vec<Arc<Site>>,
        added: Vec<(AddedRecord, Result<Site, String>)>,
        known: &Sites,
    ) -> Merged {
        for trial in &mut self.added.trials {
            trial.outdated = trial.site.is_some();
        }
        self.added.records.clear();
        let mut notices = Vec::new();
        let mut valid = Vec::new();
        for (record, result) in added {
            let name = &record.name;
            let in_file = of_file.iter().find(|s| s.name == *name);
            // As far as it is known which chats may know of it.
            let chats = match in_file.or(known.named(name).map(|w| w.config())) {
                Some(site) => self.access.chats_of(site),
                None => self.access.chats.clone(),
            };
            if in_file.is_some() {
                let text = format!(
                    "{name} is in sitemon.conf now: the one that was added in the chat is forgotten."
                );
                notices.push((chats, text));
                continue;
            }
            match result {
                Ok(site) => valid.push(Arc::new(site)),
                Err(what) => {
                    let text = format!(
                        "{name}, added in the chat, cannot be watched any more: {what}. /remove {name} forgets it."
                    );
                    notices.push((chats, text));
                }
            }
            self.added.records.push(record);
        }
        let sites = of_file.into_iter().chain(valid).collect();
        Merged { sites, notices }
    }
}

impl Trial {
    fn examine(&self) -> Action {
        Action::Examine {
            id: self.id,
            url: self.url.clone(),
            name: self.name.clone(),
        }
    }
}
