//! The pure core: state, an event and the time go in, actions come out.
//!
//! No sockets, no files, no clock, no logging, and nothing from the rest of the crate: so a year
//! passes in milliseconds in a test. [`Monitor::handle`] only routes; the rules live in the
//! modules: [`schedule`] (when), [`judge`] (what it means), [`incident`] and [`alert`] (what is
//! told), [`outbox`] (until it has arrived), [`command`] and [`reply`] (what people ask).

pub mod alert;
pub mod bot;
mod event;
pub mod expiry;
pub mod history;
pub mod incident;
pub mod judge;
pub mod outbox;
pub mod persist;
pub mod render;
pub mod schedule;
pub mod site;
pub mod time;
pub mod uplink;

use self::alert::Notification;
use self::alert::batching::Unsettled;
use self::alert::digest::Digest;
use self::bot::added_sites::Added;
use self::bot::check_jobs::Job;
use self::bot::check_jobs::Verdict;
use self::bot::command::Access;
use self::bot::strangers::Strangers;
pub use self::event::{Action, Actions, Event, Level, Settings};
use self::expiry::root_certificates::{by_chat, root_text};
use self::expiry::{Expiry, ExpiryEvent, Subject};
use self::history::recording::Recorder;
use self::history::{Extent, Record};
use self::incident::Incidents;
use self::incident::unclean_stop::Away;
use self::judge::{Change, Judge, JudgeEvent, Judging, State, Transition};
use self::outbox::Outbox;
use self::outbox::send_context::SendContext;
use self::outbox::shown::Shown;
use self::persist::urgency::Saving;
use self::schedule::Scheduler;
use self::site::Site;
use self::site::outcome::{Failure, FailureKind, Looked, Outcome};
use self::site::state::SiteState;
use self::site::table::Sites;
use self::time::hours::Hours;
use self::time::{Clock, ClockChange, Moment, Now, Redating};
use self::uplink::faults::Said;
use self::uplink::{Fault, Period, ProbeResult, Uplink, UplinkEvent};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// The state of everything that is watched. One owner feeds it events and carries out its actions.
#[derive(Debug)]
pub struct Monitor {
    sites: Sites,
    schedule: Scheduler,
    incidents: Incidents,
    outbox: Outbox,
    access: Access,
    added: Added,
    /// Groups that have a new id, which the configuration may not know yet.
    moved: Vec<(i64, i64)>,
    bot: Option<String>,
    jobs: VecDeque<Job>,
    next_job: u64,
    /// Done, but the message to put the result into has no id yet.
    finished: VecDeque<(Job, String)>,
    /// `/check` commands that may run at once.
    max_jobs: usize,
    muted_until: Option<Moment>,
    /// Alerts of these hours have no sound.
    quiet: Option<Hours>,
    digest: Digest,
    last_update: Option<i64>,
    /// Commands that came too late to be carried out, by chat, and when to say so.
    stale: BTreeMap<i64, (Moment, Vec<String>)>,
    strangers: Strangers,
    saving: Saving,
    internal_errors: u64,
    uplink: Uplink,
    judge: Judge,
    /// Where the last offline period was told, alone in its message: chat and message.
    told_offline: Vec<(i64, i64)>,
    /// Sites that are flapping, at least: more are not looked for.
    flapping: usize,
    /// Sites may have become slow in silence; if not, none is looked for.
    slow_untold: bool,
    /// Troubles of the line that go on, and whether people know.
    fault_notices: Vec<(Fault, Said)>,
    away: Option<Away>,
    clock: Clock,
    expiry: Expiry,
    history: Recorder,
    /// Messages whose buttons are no longer what they should be: chat and message.
    untidy: VecDeque<(i64, i64)>,
    shown: Shown,
    actions: Actions,
}

impl Monitor {
    /// `seed` makes all jitter, so that a run can be replayed.
    pub fn new(
        sites: impl IntoIterator<Item = impl Into<Arc<Site>>>,
        settings: Settings,
        now: Now,
        seed: u64,
    ) -> Monitor {
        let mut monitor = Monitor {
            sites: Sites::default(),
            schedule: Scheduler::new(seed, settings.heartbeat, now.moment()),
            incidents: Incidents::new(),
            outbox: Outbox::new(seed.rotate_left(32)),
            access: settings.access.clone(),
            added: Added::default(),
            moved: Vec::new(),
            bot: None,
            jobs: VecDeque::new(),
            next_job: 1,
            finished: VecDeque::new(),
            max_jobs: settings.max_jobs.max(1),
            muted_until: None,
            quiet: settings.quiet,
            digest: Digest {
                at: settings.digest,
                sent: None,
            },
            last_update: None,
            stale: BTreeMap::new(),
            strangers: Strangers::default(),
            saving: Saving::default(),
            internal_errors: 0,
            uplink: Uplink::new(settings.uplink),
            judge: Judge::default(),
            told_offline: Vec::new(),
            flapping: 0,
            slow_untold: false,
            fault_notices: Vec::new(),
            away: None,
            clock: Clock::new(settings.built, now),
            expiry: Expiry::default(),
            history: Recorder::default(),
            untidy: VecDeque::new(),
            shown: Shown::default(),
            actions: Actions::default(),
        };
        let now = monitor.read_clock(now);
        monitor.take_sites(sites.into_iter().map(Into::into).collect(), now);
        monitor
    }

    /// Takes one event and gives back everything that is to be done now.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        let stood_still = self.clock.stood_still(now);
        if stood_still {
            self.uplink.on_wakeup(now.moment());
            self.schedule.stood_still();
        }
        if matches!(event, Event::ClockConfirmed) {
            self.clock.confirm(now);
            self.read_clock(now);
        }
        let now = self.read_clock(now);
        let clock_set = self.clock.is_set();
        self.history
            .on_wakeup(now, clock_set, stood_still, &mut self.sites);
        // The others change no state, or say so. What is told counts the time until now.
        let stirs = !matches!(
            event,
            Event::Checked { .. } | Event::Delivered { .. } | Event::Due
        );
        if stirs {
            self.history.site_changed();
            self.record(now);
            self.history.site_changed();
        }
        self.refresh_maintenance(now);
        match event {
            Event::Checked {
                site,
                outcome,
                waited,
            } => self.checked(now, &site, outcome, waited),
            Event::Inspected {
                site,
                subject,
                result,
            } => self.inspected(now, &site, subject, result),
            Event::Update(update) => self.update(now, update),
            Event::Bot { username } => self.bot = Some(username),
            Event::Notice(text) => self.announce(now, text),
            Event::Mistaken { what, safe } => self.tell_mistakes(now, &what, &safe),
            Event::Delivered { id, delivery } => self.delivered(now, id, delivery),
            Event::Admitted { job } => self.admitted(now, job),
            Event::Measured { asker, vitals } => self.answer_stats(now, &asker, &vitals),
            Event::Saved { blocks } => {
                if let Some(id) = self.saving.done(now.moment(), blocks) {
                    self.outbox.mark_stored(id);
                }
            }
            Event::SaveFailed { reason } => self.save_failed(now, &reason),
            Event::Probed(report) => self.probed(now, report),
            Event::Reloaded {
                sites,
                added,
                settings,
            } => self.reloaded(now, sites, added, settings),
            Event::Examined { id, result } => self.examined(now, id, result.map(|site| *site)),
            Event::Tried { id, outcome } => self.tried(now, id, &outcome),
            Event::Due | Event::ClockConfirmed => {}
        }
        self.proceed(now);
        self.record(now);
        self.actions.take()
    }

    /// When to call [`Monitor::handle`] with [`Event::Due`] if nothing else happens before.
    pub fn next_wakeup(&mut self, now: Now) -> Option<Moment> {
        let wakeup = self.wakeup(now);
        self.clock.expect(wakeup);
        wakeup
    }

    fn wakeup(&self, now: Now) -> Option<Moment> {
        let open = self.incidents.iter_open();
        let reminders = open.filter_map(|i| self.reminder_due(i, now));
        let edits = self.next_edit(now);
        let probe = self.uplink.next_timeout(now.moment());
        let probe = probe.filter(|_| !self.schedule.stopping());
        let maintenance = self.schedule.next_maintenance(now);
        reminders
            .chain(self.schedule.next_timeout())
            .chain(probe)
            .chain(self.next_steady())
            .chain(self.next_expiry())
            .chain(self.next_trouble_told())
            .chain(maintenance.filter(|_| self.clock.is_set()))
            .chain(self.digest_due(now))
            .chain(self.away_due())
            .chain(self.schedule.next_beat(now.moment()))
            .chain(self.outbox.next_due(now, self.unsettled(now)))
            .chain(self.saving.next_due())
            .chain(self.stale.values().map(|(at, _)| *at))
            .chain(self.strangers.next_timeout())
            .chain(edits)
            .chain(self.tidy_due(now.moment()))
            .min()
    }

    /// No check is started any more; what is under way may still report.
    pub fn stop(&mut self) {
        self.schedule.stop();
    }

    /// Checks that were started are ending: the scheduler makes progress.
    pub fn healthy(&self, now: Now) -> bool {
        self.schedule.healthy(now.moment(), &self.sites)
    }

    /// Messages that are being sent.
    pub fn messages_under_way(&self) -> usize {
        self.outbox.under_way()
    }

    /// Where `getUpdates` goes on.
    pub fn last_update(&self) -> Option<i64> {
        self.last_update
    }

    /// Everything that time alone brings about.
    fn proceed(&mut self, now: Now) {
        self.refresh_maintenance(now);
        let moment = now.moment();
        self.schedule.on_timeout(
            moment,
            self.clock.is_set(),
            &mut self.sites,
            &mut self.actions,
        );
        self.proceed_with_expiry(now);
        self.settle_pending(now);
        if !self.schedule.stopping() {
            self.uplink.on_timeout(moment, &mut self.actions);
        }
        self.end_flapping(now);
        self.end_mutes(now);
        self.remind(now);
        self.tell_troubles(now);
        self.tell_away(now);
        self.tell_digest(now);
        if self.schedule.beat(now.moment(), &self.sites) {
            self.actions.push(Action::Heartbeat);
        }
        self.tell_stale(now);
        self.log_strangers(now);
        self.edit_jobs(now);
        self.tidy(moment);
        if self.saving.begin(moment, self.outbox.last_alert_id()) {
            self.clock.stamp(now);
            self.actions.push(Action::Save);
        }
        let unsettled = self.unsettled(now);
        let book = SendContext {
            incidents: &self.incidents,
            sites: &self.sites,
            now: moment,
        };
        while let Some(mut outgoing) = self.outbox.next_send(now, unsettled, &book) {
            if outgoing.digest {
                outgoing.message.picture = self.digest_picture(now, outgoing.message.chat);
            }
            self.actions.push(Action::Send(outgoing));
        }
    }

    /// The wall clock is not to be believed: see [`time::wall_clock`].
    pub fn doubts_clock(&self) -> bool {
        !self.clock.is_set()
    }

    /// The time to go by.
    fn read_clock(&mut self, now: Now) -> Now {
        let (now, change) = self.clock.read(now);
        if change.is_some() {
            self.schedule.forget_maintenance();
        }
        match change {
            Some(ClockChange::Doubted(why)) => self.log(Level::Warn, why),
            Some(ClockChange::Set(redating)) => self.clock_is_set(now, &redating),
            None => {}
        }
        now
    }

    fn clock_is_set(&mut self, now: Now, redating: &Redating) {
        self.log(Level::Info, "the clock is set".to_owned());
        let moment = now.moment();
        let (since, floor) = redating.this_run();
        self.outbox.redate_periods(since, floor, redating.seconds);
        self.uplink.redate_period(floor, redating.seconds);
        for incident in self.incidents.iter_mut() {
            redating.moment(&mut incident.start);
            redating.moment(&mut incident.reminded);
            incident.end.iter_mut().for_each(|at| redating.moment(at));
            if let Some(acknowledged) = &mut incident.acknowledged {
                redating.moment(&mut acknowledged.at);
            }
        }
        redating.mute(None, &mut self.muted_until);
        self.uplink.redate(|at| redating.moment(at));
        self.outbox.redate(|at| redating.moment(at));
        if redating.shifts() {
            let length = |number| self.incidents.get(number).map(|i| i.length(now));
            self.outbox.relength(length);
        }
        if let Some(away) = &mut self.away {
            away.clock = moment;
        }
        for watched in self.sites.iter_mut() {
            watched.clock_is_set(moment, redating);
        }
        self.schedule.check_https_soon(moment, &self.sites);
    }

    fn record(&mut self, now: Now) {
        let clock_set = self.clock.is_set();
        self.history
            .record(now, clock_set, &mut self.sites, &mut self.actions);
    }

    /// The first hour that is still to be written.
    pub fn unwritten_hour(&self) -> Option<i64> {
        self.history.unwritten_hour()
    }

    /// See [`Recorder::records`].
    pub fn history_records(&self, extent: Extent, last: bool) -> Vec<Record> {
        self.history.records(&self.sites, extent, last)
    }

    /// The hours of these records are on disk.
    pub fn history_saved(&mut self, records: &[Record]) {
        self.history.on_saved(records);
    }

    /// What is written must not stay, as the clock was set back for good.
    pub fn history_afresh(&self) -> bool {
        self.history.afresh()
    }

    /// Takes back what an earlier run wrote. To be called after [`Monitor::restore`]: see
    /// [`Recorder::restore`].
    pub fn restore_history(&mut self, record: &Record) {
        self.history.restore(&mut self.sites, record);
    }

    /// The sites that the history is of.
    pub fn site_names(&self) -> impl Iterator<Item = &str> {
        self.sites.iter().map(SiteState::name)
    }

    /// Dates can be inspected and judged.
    fn inspects(&self) -> bool {
        self.clock.is_set() && !self.schedule.stopping()
    }

    fn next_expiry(&self) -> Option<Moment> {
        let roots = self.expiry.next_roots();
        let roots = roots.map(|due| self.muted_until.map_or(due, |until| until.max(due)));
        let due = self.expiry.next_timeout(&self.sites);
        due.into_iter()
            .chain(roots)
            .min()
            .filter(|_| self.inspects())
    }

    fn proceed_with_expiry(&mut self, now: Now) {
        if !self.inspects() {
            return;
        }
        let moment = now.moment();
        self.expiry
            .on_timeout(moment, &mut self.sites, &mut self.actions);
        if self.silenced(moment) {
            return;
        }
        for (root, sites) in self.expiry.take_ending_roots(now, &self.sites) {
            self.saving.now();
            self.log(Level::Warn, root_text(&root, &sites, now));
            for (sites, chats) in by_chat(&self.sites, &sites, &self.access.chats) {
                self.notice_to(now, chats, root_text(&root, &sites, now));
            }
        }
    }

    fn inspected(
        &mut self,
        now: Now,
        name: &str,
        subject: Subject,
        result: Result<Looked, Failure>,
    ) {
        let Some(at) = self.sites.find(name) else {
            return;
        };
        let muted = self.muted(name, now.moment());
        let (watched, found) = (&mut self.sites[at], (subject, result));
        let events = self
            .expiry
            .on_inspected(now, watched, found, muted, &mut self.actions);
        let site = self.sites[at].site.clone();
        for event in events {
            let news = match event {
                ExpiryEvent::EndsSoon(expiry) => Notification::Expiring { subject, expiry },
                ExpiryEvent::Renewed(expiry) => Notification::Renewed { subject, expiry },
                ExpiryEvent::Changed => {
                    self.saving.later(now.moment());
                    continue;
                }
                ExpiryEvent::RootsChanged => {
                    self.saving.soon(now.moment());
                    continue;
                }
            };
            self.tell(now, &site, news, None);
        }
    }

    fn refresh_reach(&mut self, now: Now) {
        let offline = self.uplink.has(Fault::Line);
        self.sites.refresh_reach(now.moment(), offline);
    }

    fn behind(&self, at: usize) -> Vec<usize> {
        self.sites.behind(at)
    }

    fn probed(&mut self, now: Now, result: ProbeResult) {
        let clock_set = self.clock.is_set();
        let (sites, actions) = (&mut self.sites, &mut self.actions);
        let ended = self
            .uplink
            .on_probe_result(now, result, clock_set, sites, actions);
        let Some((began, events)) = ended else {
            return;
        };
        self.on_uplink(now, events);
        if result.up {
            let events = self.judging(now).suppress_failing(result, began);
            self.on_judged(now, events);
        }
        let (sites, actions) = (&mut self.sites, &mut self.actions);
        let events = self.uplink.end_faults(now, result, sites, actions);
        self.on_uplink(now, events);
    }

    fn on_uplink(&mut self, now: Now, events: impl IntoIterator<Item = UplinkEvent>) {
        let moment = now.moment();
        for event in events {
            match event {
                // After a power cut the outages of then would else count the time without judging.
                UplinkEvent::Offline => self.saving.now_if_calm(moment),
                UplinkEvent::Online {
                    since,
                    unjudged,
                    period,
                    goes_on,
                } => {
                    for at in unjudged {
                        // The outage of a site that was down before goes on, but not by that time.
                        let name = &self.sites[at].site.name;
                        if let Some(incident) = self.incidents.open_of_mut(name) {
                            incident.blind += moment.since(since.max(incident.start));
                        }
                    }
                    self.saving.later(moment);
                    self.tell_online(now, period, goes_on);
                }
                UplinkEvent::FaultBegan { fault, due } => {
                    self.saving.later(moment);
                    self.fault_notices.push((fault, Said::Due(due)));
                }
                UplinkEvent::FaultEnded { fault, notice } => {
                    self.saving.later(moment);
                    let place = self.fault_notices.iter().position(|(t, _)| *t == fault);
                    let told =
                        place.is_some_and(|at| self.fault_notices.remove(at).1 == Said::Told);
                    if told {
                        self.announce_line(now, notice);
                    }
                }
                UplinkEvent::Contradicted { notice } => {
                    self.announce_line(now, notice.to_owned());
                }
            }
        }
    }

    fn tell_online(&mut self, now: Now, period: Period, goes_on: bool) {
        let moment = now.moment();
        if !goes_on {
            self.told_offline.clear();
        }
        if self.silenced(moment) {
            return;
        }
        let chats = self.access.chats.clone();
        let news = Notification::Offline(period);
        let edits = &self.told_offline;
        self.outbox
            .push_offline(news, chats, edits, goes_on, moment);
        self.saving.alert("", moment);
    }

    /// When a fault has lasted long enough to be told.
    fn next_trouble_told(&self) -> Option<Moment> {
        let due = self
            .fault_notices
            .iter()
            .filter_map(|(_, said)| match said {
                Said::Due(at) => Some(*at),
                Said::Told => None,
            });
        let told = |at: Moment| self.muted_until.map_or(at, |until| until.max(at));
        due.min().map(told)
    }

    fn tell_troubles(&mut self, now: Now) {
        let moment = now.moment();
        if self.silenced(moment) {
            return;
        }
        let mut texts = Vec::new();
        for (fault, said) in &mut self.fault_notices {
            if matches!(said, Said::Due(at) if *at <= moment) {
                *said = Said::Told;
                texts.extend(fault.began());
            }
        }
        for text in texts {
            self.announce_line(now, text.to_owned());
        }
    }

    fn judging(&mut self, now: Now) -> Judging<'_> {
        Judging {
            judge: &mut self.judge,
            now,
            clock: &self.clock,
            sites: &mut self.sites,
            schedule: &mut self.schedule,
            uplink: &mut self.uplink,
            actions: &mut self.actions,
        }
    }

    /// A check has ended. `waited`: how long it waited before it began.
    fn checked(&mut self, now: Now, name: &str, outcome: Outcome, waited: Duration) {
        let moment = now.moment();
        self.history.count_check();
        self.schedule.check_ended(moment);
        let kind = outcome.verdict.as_ref().err().map(|f| f.kind);
        if kind == Some(FailureKind::Internal) {
            self.internal_errors += 1;
        }
        let verdict = Verdict::of(&outcome);
        let Some(at) = self.sites.find(name) else {
            return;
        };
        if let Some(text) = self.schedule.round_ended(moment, &self.sites[at], waited) {
            self.log(Level::Warn, text.clone());
            self.announce(now, text);
        }
        let watched = &mut self.sites[at];
        watched.running = false;
        if watched.paused() {
            self.note_in_jobs(now, name, &Verdict::Paused);
            return;
        }
        if let Some(FailureKind::Local(lack)) = kind {
            self.schedule.check_soon(moment, &self.sites[at]);
            let quiet = self.silenced(moment);
            let notice = self.uplink.on_lack(now, lack, quiet, &mut self.actions);
            if let Some(text) = notice {
                self.announce(now, text);
            }
            // Our own connection may be at fault.
            let kind = FailureKind::Local(lack);
            self.uplink.on_failure(moment, &self.sites[at], kind);
            self.note_in_jobs(now, name, &verdict);
            return;
        }
        self.uplink.on_check(moment, &mut self.actions);
        self.schedule.next_turn(name, moment);
        let untimely = matches!(kind, Some(FailureKind::Tls | FailureKind::Untrusted));
        if self.clock.is_set() || !untimely {
            let (events, transition) = self.judging(now).on_outcome(at, outcome);
            self.on_uplink(now, events);
            self.on_judged(now, transition.map(JudgeEvent::Transition));
            self.seen_after_away(name);
        }
        self.note_in_jobs(now, name, &verdict);
    }

    /// Decides the pending downs that can be decided by now.
    fn settle_pending(&mut self, now: Now) {
        for at in self.judge.pending() {
            let event = self.judging(now).settle(at);
            self.on_judged(now, event);
        }
    }

    fn on_judged(&mut self, now: Now, events: impl IntoIterator<Item = JudgeEvent>) {
        for event in events {
            match event {
                JudgeEvent::Transition(transition) => self.on_transition(now, transition),
                JudgeEvent::Suppressed(fault) => {
                    self.saving.later(now.moment());
                    self.on_uplink(now, fault);
                }
            }
        }
    }

    fn on_transition(&mut self, now: Now, transition: Transition) {
        let Transition {
            at,
            change,
            cause,
            lasted,
        } = transition;
        self.history.site_changed();
        match change {
            Change::WentDown => {
                self.history.on_down(now, &mut self.sites[at]);
                self.went_down(now, at, cause);
            }
            Change::Recovered => self.recovered(now, at),
            Change::Slowed => self.slowed(now, at, cause),
            Change::SpedUp => self.sped_up(now, at, lasted),
            Change::FirstUp => {
                let name = self.sites[at].name();
                self.actions.log(Level::Debug, format!("{name} is up"));
                // Once all are known it is worth showing.
                let known = |w: &SiteState| w.paused() || w.state() != State::Unknown;
                if self.sites.iter().all(known) {
                    self.saving.soon(now.moment());
                } else {
                    self.saving.later(now.moment());
                }
            }
        }
    }

    fn refresh_maintenance(&mut self, now: Now) {
        self.schedule.refresh_maintenance(
            now,
            self.clock.is_set(),
            &mut self.sites,
            &mut self.actions,
        );
    }

    /// Starts a check, unless it cannot be made now.
    fn start_check(&mut self, now: Now, name: &str) -> bool {
        let Some(at) = self.sites.find(name) else {
            return false;
        };
        let (moment, watched) = (now.moment(), &mut self.sites[at]);
        self.schedule
            .start(moment, self.clock.is_set(), watched, &mut self.actions)
    }

    /// Whether the site is under maintenance now.
    pub fn in_maintenance(&self, name: &str) -> bool {
        let watched = self.sites.named(name);
        watched.is_some_and(|w| w.maintenance.is_some())
    }

    fn unsettled(&self, now: Now) -> Unsettled {
        if self.outbox.waiting_alerts() == 0 {
            return Unsettled::default();
        }
        let watched = self.sites.iter().filter(|w| !w.paused());
        let hushed = self.quiet.filter(|_| self.clock.is_set());
        let none = Unsettled {
            hushed: hushed.is_some_and(|hours| hours.have(now.wall, now.zone)),
            writes_apart: self.saving.apart(),
            ..Unsettled::default()
        };
        watched.fold(none, |mut sum, w| {
            sum.suspects += usize::from(w.suspect());
            sum.recovering += usize::from(w.down() && w.judge.wavering());
            sum
        })
    }

    fn log(&mut self, level: Level, text: String) {
        self.actions.log(level, text);
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
