//! The pure core: state, an event and the time go in, actions come out.
//!
//! No sockets, no files, no clock, no logging, and nothing from the rest of the crate: so a year
//! passes in seconds in a test. [`Monitor`] owns the components and takes events; [`routing`] hands
//! what one component returns to the next. The rules are in the components: [`schedule`] (when),
//! [`judge`] and [`uplink`] (what it means), [`incident`] and [`alert`] (what chats are told),
//! [`outbox`] (until it has arrived), [`bot`] and [`render`] (what users ask).

#[macro_use]
pub mod mutation;

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
mod routing;
pub mod schedule;
pub mod site;
pub mod time;
pub mod uplink;

use self::alert::Alerts;
use self::alert::batching::Unsettled;
use self::bot::Bot;
pub use self::event::{Action, Actions, Event, Level, Settings};
use self::expiry::Inspections;
use self::history::recording::Recorder;
use self::history::{Extent, Record, Span};
use self::incident::Incidents;
use self::judge::{Judge, State};
use self::outbox::Outbox;
use self::outbox::send_context::SendContext;
use self::persist::urgency::Saving;
use self::render::charts;
use self::schedule::Scheduler;
use self::site::Site;
use self::site::state::SiteState;
use self::site::table::Sites;
use self::time::{Clock, Moment, Now};
use self::uplink::{Fault, Uplink};
use std::sync::Arc;

/// The state of everything that is watched. One owner feeds it events and carries out its actions.
#[derive(Debug)]
pub struct Monitor {
    sites: Sites,
    schedule: Scheduler,
    incidents: Incidents,
    alerts: Alerts,
    outbox: Outbox,
    bot: Bot,
    saving: Saving,
    internal_errors: u64,
    uplink: Uplink,
    judge: Judge,
    clock: Clock,
    expiry: Inspections,
    history: Recorder,
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
            alerts: Alerts::new(settings.quiet, settings.digest),
            outbox: Outbox::new(seed.rotate_left(32)),
            bot: Bot::new(settings.access, settings.max_jobs),
            saving: Saving::default(),
            internal_errors: 0,
            uplink: Uplink::new(settings.uplink),
            judge: Judge::default(),
            clock: Clock::new(settings.built, now),
            expiry: Inspections::default(),
            history: Recorder::default(),
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
            Event::Bot { username } => self.bot.on_username(username),
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
        let clock_set = self.clock.is_set();
        let probe = self.uplink.next_timeout(now.moment());
        let probe = probe.filter(|_| !self.schedule.stopping());
        let maintenance = self.schedule.next_maintenance(now);
        let digest = self.alerts.next_digest(now);
        // While there is no connection at all nothing can be known of the other faults.
        let offline = self.uplink.has(Fault::Line);
        let fault = self.alerts.next_fault().filter(|_| !offline);
        self.alerts
            .next_reminder(&self.sites, &self.incidents, now.moment())
            .into_iter()
            .chain(self.schedule.next_timeout())
            .chain(probe)
            .chain(self.judge.next_timeout(&self.sites, self.clock.is_set()))
            .chain(self.next_expiry())
            .chain(fault)
            .chain(maintenance.filter(|_| clock_set))
            .chain(digest.filter(|_| clock_set))
            .chain(self.incidents.next_timeout().filter(|_| clock_set))
            .chain(self.schedule.next_beat(now.moment()))
            .chain(self.outbox.next_due(now, self.unsettled(now)))
            .chain(self.saving.next_due())
            .chain(self.bot.next_timeout(now.moment(), &self.outbox))
            .chain(self.outbox.next_keyboard(now.moment()))
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
        self.bot.last_update()
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
        self.tell_faults(now);
        self.tell_unclean_stop(now);
        self.tell_digest(now);
        if self.schedule.beat(now.moment(), &self.sites) {
            self.actions.push(Action::Heartbeat);
        }
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.on_timeout(now, outbox, actions);
        let context = SendContext::new(&self.incidents, &self.sites, moment);
        self.outbox.refresh_keyboards(&context);
        if self.saving.begin(moment, self.outbox.last_alert_id()) {
            self.clock.stamp(now);
            self.actions.push(Action::Save);
        }
        let unsettled = self.unsettled(now);
        while let Some(mut outgoing) = self.outbox.next_send(now, unsettled, &context) {
            if outgoing.digest {
                let sites = self.sites.visible(outgoing.message.chat);
                if !sites.is_empty() {
                    let sites = self.sites.at(&sites);
                    let (_, picture) = charts::many(&sites, Span::Day, now);
                    outgoing.message.html.push_str(&charts::numbers(&picture));
                    outgoing.message.picture = Some(Arc::new(picture));
                }
            }
            self.actions.push(Action::Send(outgoing));
        }
    }

    /// The wall clock is not to be believed: see [`time::wall_clock`].
    pub fn doubts_clock(&self) -> bool {
        !self.clock.is_set()
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
        let none = Unsettled {
            quiet: self.clock.is_set() && self.alerts.quiet(now),
            writes_apart: self.saving.apart(),
            ..Unsettled::default()
        };
        watched.fold(none, |mut sum, w| {
            sum.suspects += usize::from(w.suspect());
            sum.recovering += usize::from(w.down() && w.judge.wavering());
            sum
        })
    }

    /// The state of the site with this name: for tests and the log.
    pub fn state_of(&self, name: &str) -> Option<State> {
        self.sites.named(name).map(SiteState::state)
    }

    fn log(&mut self, level: Level, text: String) {
        self.actions.log(level, text);
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
