//! `/add` and `/remove`: sites that are kept in the state and not in the file, which is never
//! rewritten.
//!
//! A requested site is validated by the rules of the file, checked once, and then added. If that
//! check fails, a second request for the same site adds it: a typing mistake adds nothing, and a
//! user can still add a site that is down.

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

/// Maximum number of added sites, besides those of the file.
pub const MOST_ADDED: usize = 100;
/// Maximum number of sites that are being validated or checked before they are added.
const MOST_TRIALS: usize = 5;
/// A second request for a site that failed adds it within this time.
const CONFIRM_WITHIN: Duration = Duration::from_secs(600);

/// The added sites, and those that were requested.
#[derive(Debug, Default)]
pub struct AddedSites {
    records: Vec<AddedRecord>,
    trials: Vec<Trial>,
    next: u64,
    /// Sites whose first check failed, and when; a second request adds them.
    failed: Vec<(AddedRecord, Moment)>,
}

/// A requested site whose validation or first check is under way.
#[derive(Debug)]
struct Trial {
    id: u64,
    requester: Requester,
    url: String,
    name: Option<String>,
    /// The site; `None` until it is validated.
    site: Option<Arc<Site>>,
    /// Whether the chat was notified that the site is being checked.
    announced: bool,
    /// Whether the file was read again since the validation.
    outdated: bool,
}

/// The result of a first check.
#[derive(Debug)]
pub(crate) struct TrialEnd {
    pub requester: Requester,
    /// The reply, in HTML.
    pub html: String,
    /// The site, if it is added.
    pub site: Option<Arc<Site>>,
}

/// The result of merging a configuration with the added sites.
#[derive(Debug)]
pub(crate) struct Merged {
    /// The sites of the file, followed by the added ones.
    pub sites: Vec<Arc<Site>>,
    /// Notices about added sites, each with the chats that get it.
    pub notices: Vec<(Vec<i64>, String)>,
}

impl AddedSites {
    /// Returns the added sites, as they were requested.
    pub fn records(&self) -> &[AddedRecord] {
        &self.records
    }

    /// Starts the validation of a site that a user wants to add. Returns the refusal if it is not
    /// possible.
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
        // Sites that are being checked are counted, as all of them may be added.
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

    /// Removes an added site; `false`: there is no added site of this name.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.records.len();
        self.records.retain(|r| r.name != name);
        self.records.len() < before
    }

    /// Returns whether a site was added and the chat may see it. Any chat may remove one that
    /// cannot be watched any more, as it is not in `sites`.
    pub(crate) fn contains(&self, chat: i64, name: &str, sites: &Sites) -> bool {
        !sites.hidden(chat, name) && self.records.iter().any(|r| r.name == name)
    }
}

impl Bot {
    /// Takes the result of the validation by the rules of the file. Returns the reply, if there is
    /// one.
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

    /// Takes the result of a first check.
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
            // It was validated by rules that are no longer valid.
            trial.site = None;
            actions.push(trial.examine());
            return None;
        }
        let trial = self.added.trials.remove(place);
        let site = trial.site?;
        let name = bold(&site.name);
        // The result is a new message: the one to be replaced may have been edited meanwhile.
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

    /// Merges the sites of a file, `of_file`, with the added sites, which were validated by its
    /// rules. An added site whose name the file has too is dropped. `known`: the sites until now.
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
            // The chats that may see it, as far as its configuration is known.
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
