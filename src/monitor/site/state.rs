//! State of a site at run time: how it is judged, its last checks, and the users' orders for it.

use crate::monitor::site::access::rename;
use crate::monitor::site::flapping::Flapping;
use crate::monitor::site::job::PushJob;
use crate::monitor::site::network::is_lan;
use crate::monitor::site::outcome::{CheckResult, Failure, FailureKind, Outcome};
use crate::monitor::site::streak::{Change, Rules, Seen, Streak};
use crate::monitor::site::suppression::{Suppression, behind};
use crate::monitor::site::{Check, Site};
use crate::monitor::time::{Moment, Now, Redating};
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Offset of encoded durations in ms, see [`Checked`]. Smaller values are in microseconds.
const IN_MILLIS: u32 = 1 << 31;
/// Number of checks that `/history` shows.
const RECENT: usize = 10;

/// What a site is judged to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not checked yet, or too few failures to be judged.
    Unknown,
    Up,
    /// The site answers, but slower than `slow`.
    Degraded,
    Down,
    /// The site that it depends on (`after`) is down or unreachable.
    Unreachable,
    /// Not judged: our own connection has a fault.
    Offline,
    Paused,
}

impl State {
    pub const ALL: [State; 7] = [
        State::Unknown,
        State::Up,
        State::Degraded,
        State::Down,
        State::Unreachable,
        State::Offline,
        State::Paused,
    ];

    /// Returns the word for the JSON output, the chat and the state file.
    pub fn word(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Up => "up",
            State::Degraded => "degraded",
            State::Down => "down",
            State::Unreachable => "unreachable",
            State::Offline => "offline",
            State::Paused => "paused",
        }
    }

    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|s| s.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A site and its state.
#[derive(Debug)]
pub struct SiteState {
    config: Arc<Site>,
    /// See [`SiteState::place`].
    place: usize,
    /// See [`SiteState::has_name`].
    has_name: bool,
    streak: Streak,
    since: Moment,
    check_under_way: bool,
    check_began: Moment,
    /// Whether the next check must use a new connection.
    fresh_next: bool,
    /// Whether the last check had no outcome, because of a local fault.
    lacks_outcome: bool,
    /// The last `/pause` or `/resume`, which overrides the configuration.
    pause_order: Option<bool>,
    muted_until: Option<Moment>,
    maintenance_until: Option<i64>,
    last: Option<(Moment, Outcome)>,
    /// Newest last.
    recent: VecDeque<Checked>,
    /// Number of checks that have ended since the start, by [`CheckResult::ALL`].
    results: [u64; 3],
    cause: Option<String>,
    took: Option<Duration>,
    suppression: Option<Suppression>,
    address: Option<IpAddr>,
    failing_since: Option<Moment>,
    /// First time a name resolved after `failing_since`. A time before that is of an earlier
    /// failure.
    names_resolved: Option<Moment>,
    pending_down: Option<PendingDown>,
    flapping: Flapping,
    /// Consecutive failures that were excused because the machine stood still during the check.
    stalled_failures: u32,
    /// Certificate or domain that expires soon, which makes the site degraded.
    ends_soon: Option<String>,
    /// `Some` for a `push:` site.
    job: Option<Box<PushJob>>,
}

/// The part of a site's state that survives a restart.
#[derive(Debug)]
pub struct Remembered {
    /// The judged state, even if the site was paused or suppressed.
    pub judged: State,
    pub since: Moment,
    pub cause: Option<String>,
    pub took: Option<Duration>,
    pub pause_order: Option<bool>,
    pub muted_until: Option<Moment>,
    pub flapping: Flapping,
}

/// A failure that would make the site down, once it is confirmed.
#[derive(Clone, Debug)]
pub struct PendingDown {
    pub failed: Moment,
    /// Start of the last check that failed.
    pub began: Moment,
    pub kind: FailureKind,
    pub cause: String,
    /// Whether the site may be at fault; `false` while a short silence of the resolver may explain
    /// the failure.
    pub counts: bool,
    /// Whether the site that it depends on was failing as well.
    pub parent_failed: bool,
}

/// One entry of `/history`.
#[derive(Clone, Debug)]
pub struct Checked {
    pub at: Moment,
    pub state: State,
    /// In microseconds, or from [`IN_MILLIS`] on in ms: ten entries are kept per site, and a
    /// `Duration` takes four times as many bytes.
    took: Option<NonZeroU32>,
    pub cause: Option<Box<str>>,
    /// Whether the check failed, rather than being slow only.
    pub failed: bool,
}

impl Checked {
    /// Returns the duration of the check: to the microsecond, from half an hour on to the
    /// millisecond.
    pub fn took(&self) -> Option<Duration> {
        Some(match self.took?.get() {
            millis @ IN_MILLIS.. => Duration::from_millis(u64::from(millis - IN_MILLIS)),
            micros => Duration::from_micros(u64::from(micros)),
        })
    }
}

impl SiteState {
    pub fn new(config: Arc<Site>, now: Now) -> SiteState {
        let address = config.literal();
        let job = new_job(&config, now);
        let now = now.moment();
        SiteState {
            config,
            place: 0,
            has_name: address.is_none(),
            address,
            streak: Streak::new(State::Unknown),
            since: now,
            check_under_way: false,
            check_began: now,
            fresh_next: false,
            lacks_outcome: false,
            pause_order: None,
            muted_until: None,
            maintenance_until: None,
            last: None,
            recent: VecDeque::with_capacity(RECENT),
            results: [0; 3],
            cause: None,
            took: None,
            suppression: None,
            failing_since: None,
            names_resolved: None,
            pending_down: None,
            flapping: Flapping::default(),
            stalled_failures: 0,
            ends_soon: None,
            job,
        }
    }

    /// Restores the state of an earlier run.
    pub fn restore(&mut self, remembered: Remembered) {
        self.streak = Streak::new(remembered.judged);
        self.since = remembered.since;
        self.cause = remembered.cause;
        self.took = remembered.took;
        self.pause_order = remembered.pause_order;
        self.muted_until = remembered.muted_until;
        self.flapping = remembered.flapping;
    }

    /// Replaces the configuration. Returns whether the host is another one.
    pub fn reconfigure(&mut self, config: Arc<Site>, now: Now) -> bool {
        match (&mut self.job, &config.check) {
            (Some(job), Check::Push(check)) => job.change_plan(check, now),
            _ => self.job = new_job(&config, now),
        }
        let before = std::mem::replace(&mut self.config, config);
        // A change of `paused` in the file is newer than a /pause or /resume.
        if before.paused != self.config.paused {
            self.pause_order = None;
        }
        let other_host = before.host() != self.config.host();
        if other_host {
            self.address = self.config.literal();
            self.has_name = self.address.is_none();
        }
        if before.check != self.config.check {
            // Failures of the old address do not count for the new one.
            self.restart_streak();
        }
        other_host
    }

    /// Returns the job of a `push:` site, which is not checked but reports.
    pub fn job(&self) -> Option<&PushJob> {
        self.job.as_deref()
    }

    pub fn job_mut(&mut self) -> Option<&mut PushJob> {
        self.job.as_deref_mut()
    }

    /// Replaces the id of a group that got a new one.
    pub fn rename_chat(&mut self, from: i64, to: i64) {
        let chats = self.config.chats.as_ref();
        if chats.is_some_and(|chats| chats.contains(&from)) {
            let config = Arc::make_mut(&mut self.config);
            rename(config.chats.get_or_insert_default(), from, to);
        }
    }

    pub fn config(&self) -> &Arc<Site> {
        &self.config
    }

    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// Returns the index of the site among all sites, by which other components keep their data
    /// about it. It changes only at a reload.
    pub fn place(&self) -> usize {
        self.place
    }

    pub(super) fn set_place(&mut self, place: usize) {
        self.place = place;
    }

    pub fn is_paused(&self) -> bool {
        self.pause_order.unwrap_or(self.config.paused)
    }

    /// Returns the last `/pause` or `/resume`, which overrides the configuration.
    pub fn pause_order(&self) -> Option<bool> {
        self.pause_order
    }

    /// Pauses or resumes the site (`/pause`, `/resume`) and resets its state.
    pub fn pause(&mut self, pause: bool, now: Moment) {
        self.pause_order = Some(pause);
        self.reset(now);
    }

    pub fn since(&self) -> Moment {
        self.since
    }

    /// Returns why the site is not up; from the state file until the first check.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// Returns the duration of the last check.
    pub fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Returns when the last check ended, and its outcome.
    pub fn last(&self) -> Option<&(Moment, Outcome)> {
        self.last.as_ref()
    }

    /// Iterates over the last checks, oldest first.
    pub fn recent(&self) -> impl DoubleEndedIterator<Item = &Checked> {
        self.recent.iter()
    }

    /// Returns the number of checks that have ended since the start.
    pub fn checks(&self) -> u64 {
        self.results.iter().sum()
    }

    /// Returns the number of checks that have ended since the start, by [`CheckResult::ALL`].
    pub fn results(&self) -> [u64; 3] {
        self.results
    }

    /// Counts a check that has ended.
    pub fn count(&mut self, result: CheckResult) {
        self.results[result as usize] += 1;
    }

    /// Returns whether a check is under way. There is never more than one per site.
    pub fn check_under_way(&self) -> bool {
        self.check_under_way
    }

    /// Returns when the last check began.
    pub fn check_began(&self) -> Moment {
        self.check_began
    }

    /// Records the start of a check. Returns whether the check must use a new connection.
    pub fn begin_check(&mut self, now: Moment) -> bool {
        self.check_under_way = true;
        self.check_began = now;
        std::mem::take(&mut self.fresh_next) | self.last_failure().is_some()
    }

    pub fn end_check(&mut self) {
        self.check_under_way = false;
    }

    /// Makes the next check use a new connection.
    pub fn want_fresh_connection(&mut self) {
        self.fresh_next = true;
    }

    /// Returns when the current maintenance ends, in Unix seconds.
    pub fn maintenance_until(&self) -> Option<i64> {
        self.maintenance_until
    }

    pub fn under_maintenance(&self) -> bool {
        self.maintenance_until.is_some()
    }

    /// Sets the end of the maintenance, in Unix seconds, and returns the previous one.
    pub fn set_maintenance(&mut self, until: Option<i64>) -> Option<i64> {
        std::mem::replace(&mut self.maintenance_until, until)
    }

    pub fn muted_until(&self) -> Option<Moment> {
        self.muted_until
    }

    pub fn mute(&mut self, until: Option<Moment>) {
        self.muted_until = until;
    }

    /// Returns why the site is not judged at present.
    pub fn suppression(&self) -> Option<Suppression> {
        self.suppression
    }

    pub fn is_suppressed(&self) -> bool {
        self.suppression.is_some()
    }

    pub fn is_unreachable(&self) -> bool {
        self.suppression == Some(Suppression::Unreachable)
    }

    /// Returns the address that the name resolved to last.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns whether the host is a name, not an address.
    pub fn has_name(&self) -> bool {
        self.has_name
    }

    /// Returns the time of the first failure that is counted against the site.
    pub fn failing_since(&self) -> Option<Moment> {
        self.failing_since
    }

    /// Returns the failure that would make the site down, while its confirmation is under way.
    pub fn pending_down(&self) -> Option<&PendingDown> {
        self.pending_down.as_ref()
    }

    pub fn flapping(&self) -> &Flapping {
        &self.flapping
    }

    pub fn flapping_mut(&mut self) -> &mut Flapping {
        &mut self.flapping
    }

    /// Returns the state by outcomes alone, even if the site is paused or suppressed.
    pub fn judged_state(&self) -> State {
        self.streak.state()
    }

    /// See [`Streak::needs_retry`].
    pub fn needs_retry(&self) -> bool {
        self.streak.needs_retry()
    }

    pub fn state(&self) -> State {
        match self.suppression {
            _ if self.is_paused() => State::Paused,
            Some(Suppression::Unreachable) => State::Unreachable,
            Some(Suppression::Offline(_)) => State::Offline,
            None => match self.streak.state() {
                State::Up if self.ends_soon.is_some() => State::Degraded,
                state => state,
            },
        }
    }

    /// Sets why the site is degraded: what of it expires soon, and when.
    pub fn set_ends_soon(&mut self, reason: Option<String>) {
        self.ends_soon = reason;
    }

    /// Returns why the site is not up, or not judged.
    pub fn reason(&self) -> Option<String> {
        match self.suppression {
            _ if self.is_paused() => None,
            Some(Suppression::Unreachable) => {
                let parent = self.config.after.as_deref().unwrap_or_default();
                Some(behind(parent))
            }
            Some(Suppression::Offline(fault)) => Some(fault.reason().to_owned()),
            None => self.cause.clone().or_else(|| self.ends_soon.clone()),
        }
    }

    /// Returns the text about a certificate or domain that expires soon.
    pub fn ends_soon(&self) -> Option<&str> {
        self.ends_soon.as_deref()
    }

    pub fn is_down(&self) -> bool {
        self.judged_state() == State::Down
    }

    /// Returns whether the site fails but is not judged yet.
    pub fn is_suspect(&self) -> bool {
        self.streak.is_suspect() || self.pending_down.is_some()
    }

    /// Returns whether the site is not reached over the uplink, by its last known address.
    pub fn has_lan_address(&self) -> bool {
        self.address.is_some_and(is_lan)
    }

    /// Returns whether the site is on this network, and its name was resolved in the last check.
    pub fn bypasses_uplink(&self) -> bool {
        let unresolved = self.last.as_ref().is_some_and(|(_, outcome)| {
            let kind = outcome.failure_kind();
            let by_name = matches!(kind, Some(FailureKind::Dns | FailureKind::NoName));
            by_name && outcome.address.is_none()
        });
        self.has_lan_address() && !unresolved
    }

    /// Returns why the last check failed; `None` if it succeeded.
    pub fn last_failure(&self) -> Option<&Failure> {
        self.last.as_ref()?.1.verdict.as_ref().err()
    }

    /// Returns whether the last check succeeded and ended at `since` or later.
    pub fn succeeded_since(&self, since: Moment) -> bool {
        matches!(&self.last, Some((at, outcome)) if *at >= since && outcome.verdict.is_ok())
    }

    /// Returns whether a captive portal may have caused the failure: it answers plain requests
    /// itself, and TLS handshakes with a certificate of its own.
    pub fn may_be_portal(&self, kind: FailureKind) -> bool {
        kind.foreign() || kind.spoke() && !self.config.uses_tls()
    }

    /// Returns whether the site was not checked since its state was restored or its suppression
    /// ended.
    pub fn is_stale(&self) -> bool {
        self.last.as_ref().is_none_or(|(at, _)| *at < self.since)
    }

    /// Returns whether the site must not be reported as down or degraded before its next check: its
    /// state is stale, or its last check had no outcome or contradicts it. A slow site that fails is
    /// told as slow once it answers so again, or as down.
    pub fn is_uncertain(&self) -> bool {
        let contradicted = self.needs_retry();
        let unseen = self.is_stale() || self.lacks_outcome;
        unseen || contradicted && !mutated!("tell what the last check speaks against")
    }

    pub fn is_muted(&self, now: Moment) -> bool {
        self.muted_until.is_some_and(|until| until > now)
    }

    /// Returns whether the last check timed out. Such sites share half of the permits.
    pub fn timed_out(&self) -> bool {
        self.last_failure()
            .is_some_and(|failure| failure.kind == FailureKind::Timeout)
    }

    /// Returns the part of `cause` that other sites may share, if it is the last failure's: see
    /// [`crate::monitor::site::outcome::Failure::common`].
    pub fn common_cause(&self, cause: &str) -> Option<String> {
        let failure = self.last_failure().filter(|f| f.detail == cause)?;
        failure.common.clone()
    }

    /// Records that a check had no outcome, because of a local fault.
    pub fn record_local_fault(&mut self) {
        self.lacks_outcome = true;
    }

    /// Records the outcome of a check, without judging it.
    pub fn record_outcome(&mut self, outcome: Outcome, now: Now) -> (Seen, Option<String>) {
        let degraded = outcome.degraded_by(self.config.slow);
        let (seen, cause) = match (&outcome.verdict, degraded) {
            (Err(failure), _) => (Seen::Failed, Some(failure.detail.clone())),
            (Ok(()), Some(cause)) => (Seen::Slow, Some(cause)),
            (Ok(()), None) => (Seen::Fast, None),
        };
        self.took = outcome.took;
        self.address = outcome.address.or(self.address);
        let before = self.last.replace((now.moment(), outcome));
        if std::mem::take(&mut self.lacks_outcome) {
            let seen_until = before.map(|(at, _)| at);
            self.flapping.exclude(seen_until, now.moment());
        }
        (seen, cause)
    }

    /// Judges the outcome of a check.
    pub fn judge(&mut self, seen: Seen, cause: Option<&str>, now: Now) -> Option<Change> {
        self.pending_down = None;
        self.stalled_failures = 0;
        match seen {
            Seen::Failed => {
                self.failing_since.get_or_insert(now.moment());
            }
            Seen::Fast | Seen::Slow => self.failing_since = None,
        }
        let change = self.streak.observe(seen, Rules::of(&self.config));
        if change.is_some() {
            self.since = now.moment();
        }
        // Neither the first success of a down site nor the first failure of a degraded one replaces
        // the cause of that state.
        let why = match self.streak.state() {
            State::Up => true,
            State::Degraded => seen == Seen::Slow,
            _ => cause.is_some(),
        };
        if why {
            self.cause = cause.map(str::to_owned);
        }
        change
    }

    /// Confirms the pending down: the failure is judged.
    pub fn confirm_down(&mut self, cause: &str, now: Now) -> Option<Change> {
        let change = self.judge(Seen::Failed, Some(cause), now);
        if let Some(last) = self.recent.back_mut() {
            last.state = self.streak.state();
        }
        change
    }

    /// Returns whether one more failure makes the site pending down, or it already is.
    pub fn makes_pending(&self) -> bool {
        let rules = Rules::of(&self.config);
        self.pending_down.is_some() || self.streak.next_failure_is_down(rules)
    }

    /// Records that a name resolved at `at`. Only a time since the first counted failure matters.
    pub fn note_resolved(&mut self, at: Option<Moment>) {
        let since = self.failing_since;
        if since.is_some() && self.names_resolved < since && at >= since {
            self.names_resolved = at;
        }
    }

    /// Records a failure that would make the site down. The time of the first one that counts is
    /// kept: otherwise a probe that takes longer than `retry` would be too old for every new
    /// failure.
    pub fn set_pending_down(&mut self, kind: FailureKind, cause: String, now: Moment) {
        let since = *self.failing_since.get_or_insert(now);
        let resolved = self.names_resolved.filter(|at| *at >= since);
        // The name still does not resolve, though other names did before this check began.
        let counts = kind != FailureKind::Dns || resolved.is_some_and(|at| at <= self.check_began);
        let counts = counts || mutated!("believe the first failure of a name");
        let before = self.pending_down.take().filter(|d| d.counts || !counts);
        self.pending_down = Some(PendingDown {
            failed: before.as_ref().map_or(now, |d| d.failed),
            began: self.check_began,
            kind,
            cause,
            counts,
            parent_failed: before.is_some_and(|d| d.parent_failed),
        });
    }

    /// Records that the site that it depends on fails as well.
    pub fn set_parent_failed(&mut self) {
        if let Some(pending_down) = &mut self.pending_down {
            pending_down.parent_failed = true;
        }
    }

    /// Excuses a failure because the machine stood still during the check; at most `most` in a row.
    pub fn excuse_stalled(&mut self, most: u32) -> bool {
        let excused = self.stalled_failures < most;
        self.stalled_failures += u32::from(excused);
        excused
    }

    /// Appends the last check to the recent ones, with the state it was judged to.
    pub fn record_recent(&mut self, now: Now, cause: Option<String>) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Checked {
            at: now.moment(),
            state: self.state(),
            took: self.took.map(encoded),
            cause: cause.map(String::into_boxed_str),
            failed: self.last_failure().is_some(),
        });
    }

    /// Suppresses the site: it is not judged from now on, and its streak restarts.
    pub fn suppress(&mut self, suppression: Suppression, now: Moment) {
        if self.suppression != Some(suppression) {
            self.suppression = Some(suppression);
            self.since = now;
        }
        self.restart_streak();
    }

    /// Discards the failures that are counted against the site.
    pub fn restart_streak(&mut self) {
        self.streak.restart_streak();
        self.failing_since = None;
        self.pending_down = None;
    }

    /// Corrects the times that were taken before the clock was set.
    pub fn clock_is_set(&mut self, now: Moment, redating: &Redating) {
        redating.moment(&mut self.since);
        self.flapping.redate(|at| redating.moment(at));
        let name = &self.config.name;
        redating.mute(Some(name), &mut self.muted_until);
        if self.config.needs_clock() {
            self.flapping.restart_steady_time(now);
        }
    }

    /// Ends the suppression: the site is judged again, with a new streak.
    pub fn end_suppression(&mut self, now: Moment) {
        self.suppression = None;
        self.since = now;
        self.reset_job(now);
        self.restart_streak();
        self.flapping.restart_steady_time(now);
    }

    /// Resets the state to unknown, as after a pause.
    pub fn reset(&mut self, now: Moment) {
        self.streak = Streak::new(State::Unknown);
        self.since = now;
        self.cause = None;
        self.took = None;
        self.last = None;
        self.failing_since = None;
        self.pending_down = None;
        self.flapping = Flapping::default();
        self.reset_job(now);
    }

    fn reset_job(&mut self, now: Moment) {
        if let Some(job) = &mut self.job {
            job.on_reset(now);
        }
    }
}

fn new_job(config: &Site, now: Now) -> Option<Box<PushJob>> {
    match &config.check {
        Check::Push(check) => Some(Box::new(PushJob::new(check.clone(), now))),
        _ => None,
    }
}

/// Encodes a duration for [`Checked`], clamped to 1 µs .. 24 days.
fn encoded(took: Duration) -> NonZeroU32 {
    let micros = u32::try_from(took.as_micros()).ok();
    let code = micros
        .filter(|micros| *micros < IN_MILLIS)
        .unwrap_or_else(|| {
            let millis = u32::try_from(took.as_millis()).unwrap_or(u32::MAX);
            millis.saturating_add(IN_MILLIS)
        });
    NonZeroU32::new(code).unwrap_or(NonZeroU32::MIN)
}
