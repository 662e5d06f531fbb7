//! The pure core: state, an event and the time go in, actions come out.
//!
//! No sockets, no files, no clock, no logging, and nothing from the rest of the crate: so a year
//! passes in milliseconds in a test. [`Monitor::handle`] hands each event to the component that it
//! concerns, and routes what that returns to the next: [`schedule`] (when), [`judge`] (what it means),
//! [`incident`] and [`alert`] (what the chats are told), [`outbox`] (until it is delivered), [`bot`]
//! (what users ask), [`persist`] (what survives a restart).

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
use self::expiry::root_certificates::Roots;
use self::history::Span;
use self::history::recording::Recording;
use self::incident::Incidents;
use self::judge::State;
use self::outbox::Outbox;
use self::outbox::send_context::SendContext;
use self::persist::urgency::Saving;
use self::render::charts;
use self::schedule::Schedule;
use self::schedule::late_rounds::Rounds;
use self::schedule::liveness::Progress;
use self::schedule::maintenance::Page;
use self::site::Site;
use self::site::state::SiteState;
use self::site::table::Sites;
use self::time::suspend::Awake;
use self::time::wall_clock::{Restored, WallClock};
use self::time::{Jitter, Moment, Now};
use self::uplink::Line;
use self::uplink::local_faults::Lacking;
use std::sync::Arc;

/// The state of everything that is watched. One owner feeds it events and carries out its actions.
#[derive(Debug)]
pub struct Monitor {
    sites: Sites,
    schedule: Schedule,
    incidents: Incidents,
    alerts: Alerts,
    outbox: Outbox,
    bot: Bot,
    /// `None`: the windows of maintenance are to be looked up.
    page: Option<Page>,
    saving: Saving,
    jitter: Jitter,
    checks: u64,
    internal_errors: u64,
    /// Checks that failed for want of something on this machine.
    excused: u64,
    lacks: Vec<Lacking>,
    stopping: bool,
    line: Line,
    /// Sites in doubt, at least: more than that are not looked for.
    pending_downs: usize,
    /// Sites that are flapping, at least: more are not looked for.
    flapping: usize,
    awake: Awake,
    /// Sites have something that runs out.
    inspects: bool,
    roots: Roots,
    progress: Progress,
    rounds: Rounds,
    recording: Recording,
    /// When many were last seen failing at once.
    storm: Option<Moment>,
    wall_clock: WallClock,
    /// The wall clock is believed.
    clock_set: bool,
    /// An earlier run's state, when it was taken over while the clock was doubted.
    restored: Option<Restored>,
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
            schedule: Schedule::default(),
            incidents: Incidents::new(),
            alerts: Alerts::new(settings.quiet, settings.digest),
            outbox: Outbox::new(seed.rotate_left(32)),
            bot: Bot::new(settings.access, settings.max_jobs),
            page: None,
            saving: Saving::default(),
            jitter: Jitter::new(seed),
            checks: 0,
            internal_errors: 0,
            excused: 0,
            lacks: Vec::new(),
            stopping: false,
            line: Line::new(settings.uplink),
            pending_downs: 0,
            flapping: 0,
            awake: Awake::new(now),
            inspects: false,
            roots: Roots::default(),
            storm: None,
            progress: Progress::new(settings.heartbeat, now.moment()),
            rounds: Rounds::default(),
            recording: Recording::default(),
            wall_clock: WallClock::new(settings.built),
            clock_set: true,
            restored: None,
            actions: Actions::default(),
        };
        let now = monitor.read_clock(now);
        monitor.take_sites(sites.into_iter().map(Into::into).collect(), now);
        monitor
    }

    /// Takes one event and gives back everything that is to be done now.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        let stood_still = self.awake.asleep(now);
        if stood_still {
            self.line.woke(now.moment());
            self.rounds.stood_still();
        }
        if matches!(event, Event::ClockConfirmed) {
            self.confirm_clock(now);
        }
        let now = self.read_clock(now);
        self.record_absence(now, stood_still);
        // The others change no state, or say so. What is told counts the time until now.
        let stirs = !matches!(
            event,
            Event::Checked { .. } | Event::Delivered { .. } | Event::Due
        );
        if stirs {
            self.recording.stir();
            self.record(now);
            self.recording.stir();
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
        self.awake.expect(wakeup);
        wakeup
    }

    fn wakeup(&self, now: Now) -> Option<Moment> {
        let scheduled = if self.stopping {
            None
        } else {
            self.schedule.next()
        };
        let line = self.line.next_look(now.moment()).filter(|_| !self.stopping);
        let digest = self.alerts.next_digest(now).filter(|_| self.clock_set);
        self.alerts
            .next_reminder(&self.sites, &self.incidents, now.moment())
            .into_iter()
            .chain(scheduled)
            .chain(line)
            .chain(self.next_steady())
            .chain(self.next_look_due())
            .chain(self.next_root_told())
            .chain(self.alerts.next_fault())
            .chain(self.page_ends(now))
            .chain(digest)
            .chain(self.incidents.next_timeout().filter(|_| self.clock_set))
            .chain(self.progress.next_beat(now.moment()))
            .chain(self.outbox.next_due(now, self.unsettled(now)))
            .chain(self.saving.next_due())
            .chain(self.bot.next_timeout(now.moment(), &self.outbox))
            .chain(self.outbox.next_keyboard(now.moment()))
            .min()
    }

    /// No check is started any more; what is under way may still report.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Checks that were started are ending: the scheduler makes progress.
    pub fn healthy(&self, now: Now) -> bool {
        self.progress.healthy(now.moment(), &self.sites)
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
        self.start_checks(now);
        self.start_looks(now);
        self.tell_roots(now);
        self.settle_doubts(now);
        self.look_at_line(now);
        self.end_flapping(now);
        self.end_mutes(now);
        self.remind(now);
        self.tell_troubles(now);
        self.tell_unclean_stop(now);
        self.tell_digest(now);
        if self.progress.beat(now.moment(), &self.sites) {
            self.actions.push(Action::Heartbeat);
        }
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.on_timeout(now, outbox, actions);
        let moment = now.moment();
        let context = SendContext::new(&self.incidents, &self.sites, moment);
        self.outbox.refresh_keyboards(&context);
        if self.saving.begin(moment, self.outbox.last_alert_id()) {
            self.wall_clock.stamped(now);
            self.actions.push(Action::Save);
        }
        let unsettled = self.unsettled(now);
        while let Some(mut outgoing) = self.outbox.next_send(now, unsettled, &context) {
            if outgoing.digest {
                let sites = self.sites.visible(outgoing.message.chat);
                if !sites.is_empty() {
                    let sites = self.sites.at(&sites);
                    let (_, picture) = charts::many(&sites, Span::Day, now);
                    outgoing.message.picture = Some(Arc::new(picture));
                }
            }
            self.actions.push(Action::Send(outgoing));
        }
    }

    fn start_checks(&mut self, now: Now) {
        if self.stopping {
            return;
        }
        while let Some(name) = self.schedule.pop(now.moment(), &mut self.jitter) {
            self.start_check(now, &name);
        }
    }

    /// Starts a check, unless it cannot be made now.
    fn start_check(&mut self, now: Now, name: &str) -> bool {
        let Some(at) = self.sites.find(name) else {
            return false;
        };
        let watched = &mut self.sites[at];
        if watched.running || watched.paused() || self.stopping {
            return false;
        }
        if !self.clock_set && watched.site.is_https() {
            self.schedule.next_turn(name, now.moment());
            return false;
        }
        watched.running = true;
        watched.began = now.moment();
        self.progress.started(now.moment());
        self.schedule.clear(name);
        self.actions.push(Action::Check {
            site: watched.site.clone(),
            fresh: std::mem::take(&mut watched.anew) | watched.fresh(),
            hanging: watched.hanging(),
        });
        true
    }

    fn unsettled(&self, now: Now) -> Unsettled {
        if self.outbox.waiting_alerts() == 0 {
            return Unsettled::default();
        }
        let watched = self.sites.iter().filter(|w| !w.paused());
        let none = Unsettled {
            quiet: self.clock_set && self.alerts.quiet(now),
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
