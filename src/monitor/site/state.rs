//! One watched site: its judgement, its last checks, and what people decided about it.

use crate::monitor::expiry::{self, Subject};
use crate::monitor::history::History;
pub(super) use crate::monitor::judge::State;
use crate::monitor::judge::flapping::Flapping;
use crate::monitor::judge::{Change, Rules, Seen, Streak};
use crate::monitor::render::text::response;
use crate::monitor::site::Site;
use crate::monitor::site::network::is_lan;
use crate::monitor::site::outcome::{FailureKind, Outcome};
use crate::monitor::time::{Moment, Now, Redating};
use crate::monitor::uplink::Fault;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Checks that `/history` shows.
const HISTORY: usize = 10;

#[derive(Debug)]
pub struct SiteState {
    pub site: Arc<Site>,
    pub judge: Streak,
    /// Since when it has been in its state.
    pub since: Moment,
    /// A check of it is under way: never a second one.
    pub running: bool,
    /// When its last check began.
    pub began: Moment,
    /// Its next check must not ride on a connection that is open.
    pub anew: bool,
    /// `/pause` or `/resume`, over what the configuration says.
    pub pause_order: Option<bool>,
    pub muted_until: Option<Moment>,
    /// When the maintenance that it is under ends, in Unix seconds.
    pub maintenance: Option<i64>,
    pub last: Option<(Moment, Outcome)>,
    /// Newest last.
    pub history: VecDeque<Checked>,
    pub past: History,
    pub checks: u64,
    /// Why it is not up, as the state file remembers it until the first check.
    pub cause: Option<String>,
    pub took: Option<Duration>,
    /// Why it is not judged at present.
    pub suppression: Option<Suppression>,
    /// The address that its name last resolved to.
    pub address: Option<IpAddr>,
    /// Its host is a name and not an address.
    pub named: bool,
    /// The first of the failures that are counted against it.
    pub failing_since: Option<Moment>,
    /// Enough failures for down, but is it the site's own fault?
    pub pending_down: Option<PendingDown>,
    pub flapping: Flapping,
    /// Failures in a row that did not count because we stood still meanwhile.
    pub overslept: u32,
    certificate: expiry::Watch,
    /// Boxed, as few sites have one that is looked at.
    domain: Option<Box<expiry::Watch>>,
}

/// Why a site is checked but not judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suppression {
    /// What it depends on is down.
    Unreachable,
    /// Our own line is at fault.
    Offline(Fault),
}

/// A failure that would make the site down.
#[derive(Clone, Debug)]
pub struct PendingDown {
    pub failed: Moment,
    /// When the last check that failed began.
    pub began: Moment,
    pub kind: FailureKind,
    pub cause: String,
    /// What it depends on was failing as well.
    pub parent_failed: bool,
}

/// One line of `/history`.
#[derive(Clone, Debug)]
pub struct Checked {
    pub at: Moment,
    pub state: State,
    pub took: Option<Duration>,
    pub cause: Option<Box<str>>,
    /// It failed, and was not only slow.
    pub failed: bool,
}

/// Why a site is unreachable: what it depends on is down.
pub fn behind(parent: &str) -> String {
    format!("behind {parent}")
}

impl SiteState {
    pub fn new(site: Arc<Site>, now: Moment) -> SiteState {
        SiteState {
            address: site.literal(),
            named: site.literal().is_none(),
            site,
            judge: Streak::new(State::Unknown),
            since: now,
            running: false,
            began: now,
            anew: false,
            pause_order: None,
            muted_until: None,
            maintenance: None,
            last: None,
            history: VecDeque::with_capacity(HISTORY),
            past: History::new(0),
            checks: 0,
            cause: None,
            took: None,
            suppression: None,
            failing_since: None,
            pending_down: None,
            flapping: Flapping::default(),
            overslept: 0,
            certificate: expiry::Watch::default(),
            domain: None,
        }
    }

    pub fn name(&self) -> &str {
        &self.site.name
    }

    pub fn paused(&self) -> bool {
        self.pause_order.unwrap_or(self.site.paused)
    }

    pub fn state(&self) -> State {
        match self.suppression {
            _ if self.paused() => State::Paused,
            Some(Suppression::Unreachable) => State::Unreachable,
            Some(Suppression::Offline(_)) => State::Offline,
            None => match self.judge.state() {
                State::Up if self.expiries().any(expiry::Watch::ends_soon) => State::Degraded,
                state => state,
            },
        }
    }

    /// What is known of its certificate or its domain; `None` = nothing.
    pub fn expiry(&self, subject: Subject) -> Option<&expiry::Watch> {
        match subject {
            Subject::Certificate => Some(&self.certificate),
            Subject::Domain => self.domain.as_deref(),
        }
    }

    fn expiries(&self) -> impl Iterator<Item = &expiry::Watch> {
        Subject::ALL.into_iter().filter_map(|s| self.expiry(s))
    }

    pub fn expiry_mut(&mut self, subject: Subject) -> &mut expiry::Watch {
        match subject {
            Subject::Certificate => &mut self.certificate,
            Subject::Domain => self.domain.get_or_insert_default(),
        }
    }

    pub fn forget_expiry(&mut self, subject: Subject) {
        match subject {
            Subject::Certificate => self.certificate = expiry::Watch::default(),
            Subject::Domain => self.domain = None,
        }
    }

    /// Why it is not up, or not judged.
    pub fn reason(&self) -> Option<String> {
        match self.suppression {
            _ if self.paused() => None,
            Some(Suppression::Unreachable) => {
                let parent = self.site.after.as_deref().unwrap_or_default();
                Some(behind(parent))
            }
            Some(Suppression::Offline(trouble)) => Some(trouble.reason().to_owned()),
            None => self.cause.clone().or_else(|| {
                let reason = |s: Subject| self.expiry(s)?.reason(s);
                Subject::ALL.into_iter().find_map(reason)
            }),
        }
    }

    pub fn down(&self) -> bool {
        self.judge.state() == State::Down
    }

    /// Failing, but not yet judged.
    pub fn suspect(&self) -> bool {
        self.judge.suspect() || self.pending_down.is_some()
    }

    /// It is not reached over the line, as far as its name resolved.
    pub fn lan(&self) -> bool {
        self.address.is_some_and(is_lan)
    }

    /// The last failure was that of its name.
    pub fn unresolved(&self) -> bool {
        matches!(&self.last, Some((_, Outcome { verdict: Err(f), address: None, .. })) if matches!(f.kind, FailureKind::Dns | FailureKind::NoName))
    }

    /// It is on this network, and its last failure was not that of its name.
    pub fn local(&self) -> bool {
        self.lan() && !self.unresolved()
    }

    /// The last check was a good one and ended at `since` or later.
    pub fn seen_good(&self, since: Moment) -> bool {
        matches!(&self.last, Some((at, outcome)) if *at >= since && outcome.verdict.is_ok())
    }

    /// A captive portal could have made it fail like that: it answers any plain request itself, and
    /// with a certificate of its own where one is asked for.
    pub fn portal_like(&self, kind: FailureKind) -> bool {
        kind.foreign() || kind.spoke() && !self.site.is_https()
    }

    /// It was not looked at since its state was remembered or came out of the dark: who knows how
    /// it is by now?
    pub fn stale(&self) -> bool {
        self.last.as_ref().is_none_or(|(at, _)| *at < self.since)
    }

    pub fn rules(&self) -> Rules {
        Rules {
            tries: self.site.tries,
            recover: self.site.recover,
        }
    }

    pub fn muted(&self, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }

    /// Its last check ran into its timeout: it shares half of the permits with its like.
    pub fn hanging(&self) -> bool {
        matches!(&self.last, Some((_, Outcome { verdict: Err(f), .. })) if f.kind == FailureKind::Timeout)
    }

    /// What of `cause`, the last failure's, other sites may share: [`crate::monitor::site::outcome::Failure::common`].
    pub fn common_cause(&self, cause: &str) -> Option<String> {
        let (_, outcome) = self.last.as_ref()?;
        let failure = outcome.verdict.as_ref().err()?;
        let common = failure.common.clone();
        common.filter(|_| failure.detail == cause)
    }

    /// Its last check failed: the next must not ride on a connection that is open.
    pub fn fresh(&self) -> bool {
        matches!(&self.last, Some((_, outcome)) if outcome.verdict.is_err())
    }

    /// Takes what a check found, without judging it.
    pub fn take(&mut self, outcome: Outcome, now: Now) -> (Seen, Option<String>) {
        let slow = self
            .site
            .slow
            .zip(outcome.took)
            .filter(|(limit, took)| took > limit);
        let (seen, cause) = match (&outcome.verdict, slow) {
            (Err(failure), _) => (Seen::Failed, Some(failure.detail.clone())),
            (Ok(()), Some((limit, took))) => (
                Seen::Slow,
                Some(format!("{}, wanted {}", response(took), response(limit))),
            ),
            (Ok(()), None) => (Seen::Fast, None),
        };
        self.took = outcome.took;
        self.address = outcome.address.or(self.address);
        self.checks += 1;
        self.last = Some((now.moment(), outcome));
        (seen, cause)
    }

    /// Judges what a check found.
    pub fn judged(&mut self, seen: Seen, cause: Option<&str>, now: Now) -> Option<Change> {
        self.pending_down = None;
        self.overslept = 0;
        match seen {
            Seen::Failed => {
                self.failing_since.get_or_insert(now.moment());
            }
            Seen::Fast | Seen::Slow => self.failing_since = None,
        }
        let change = self.judge.observe(seen, self.rules());
        if change.is_some() {
            self.since = now.moment();
        }
        // A down site's first good answer is no reason to forget why it is down.
        if cause.is_some() || self.judge.state() == State::Up {
            self.cause = cause.map(str::to_owned);
        }
        change
    }

    /// Puts the last check into the history, as it was judged.
    pub fn remember(&mut self, now: Now, cause: Option<String>) {
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        if let Some((
            _,
            Outcome {
                verdict: Ok(()),
                took: Some(took),
                ..
            },
        )) = &self.last
        {
            self.past.add(*took);
        }
        self.history.push_back(Checked {
            at: now.moment(),
            state: self.state(),
            took: self.took,
            cause: cause.map(String::into_boxed_str),
            failed: self.last.as_ref().is_some_and(|(_, o)| o.verdict.is_err()),
        });
    }

    /// It is not judged from now on. What was counted against it counts no more.
    pub fn cover(&mut self, suppression: Suppression, now: Moment) {
        if self.suppression != Some(suppression) {
            self.suppression = Some(suppression);
            self.since = now;
        }
        self.restart_streak();
    }

    /// What was counted against it counts no more.
    pub fn restart_streak(&mut self) {
        self.judge.restart_streak();
        self.failing_since = None;
        self.pending_down = None;
    }

    /// The wall clock is believed from now on.
    pub fn clock_is_set(&mut self, now: Moment, redating: &Redating) {
        redating.moment(&mut self.since);
        self.flapping.redate(|at| redating.moment(at));
        let name = &self.site.name;
        redating.mute(Some(name), &mut self.muted_until);
        if self.site.is_https() {
            self.flapping.rest(now);
        }
    }

    /// It is judged again, afresh.
    pub fn uncover(&mut self, now: Moment) {
        self.suppression = None;
        self.since = now;
        self.restart_streak();
        self.flapping.rest(now);
    }

    /// Judging starts afresh: after a pause nothing is known.
    pub fn reset(&mut self, now: Moment) {
        self.judge = Streak::new(State::Unknown);
        self.since = now;
        self.cause = None;
        self.took = None;
        self.last = None;
        self.failing_since = None;
        self.pending_down = None;
        self.flapping = Flapping::default();
    }
}
