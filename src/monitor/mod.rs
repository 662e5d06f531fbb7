//! The pure core: takes state, an event and the time, and returns actions.
//!
//! It has no sockets, files, clock or log and uses nothing from the rest of the crate, so a test
//! simulates a year in seconds. [`Monitor`] owns the components and takes events; [`routing`]
//! passes what one component returns to the next. The rules are in the components: [`schedule`]
//! (when to check), [`judge`] and [`uplink`] (what an outcome means), [`incident`] and [`alert`]
//! (which chats are notified of what), [`outbox`] (delivery), [`bot`] and [`render`] (commands and
//! replies).

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

use self::alert::audience::Audience;
use self::alert::batching::Unsettled;
use self::alert::{Alert, Alerts};
use self::bot::Bot;
use self::bot::added_record::AddedRecord;
pub use self::event::{Action, Actions, Event, Level, Settings};
use self::expiry::{Inspections, Subject};
use self::history::recording::Recorder;
use self::history::{Extent, Record, Span};
use self::incident::Incidents;
use self::judge::flapping;
use self::outbox::Outbox;
use self::outbox::send_context::SendContext;
use self::persist::Lasting;
use self::persist::save_schedule::SaveSchedule;
use self::persist::snapshot::Snapshot;
use self::render::details::SiteDetails;
use self::render::metrics::{AgentFigures, Metrics, ProcessFigures, SiteFigures};
use self::render::{charts, text};
use self::routing::action_runs;
use self::routing::notifier::Notifier;
use self::routing::timers::{Timer, for_each_timer};
use self::schedule::Scheduler;
use self::site::Site;
use self::site::access::may_see;
use self::site::report::ReportAnswer;
use self::site::state::SiteState;
use self::site::suppression::UplinkFault;
use self::site::table::Sites;
use self::time::{Clock, Moment, Now};
use self::uplink::Uplink;
use std::collections::HashSet;
use std::sync::Arc;

/// The state of all sites and of the agent. Its one owner feeds it events and carries out its
/// actions.
#[derive(Debug)]
pub struct Monitor {
    sites: Sites,
    schedule: Scheduler,
    incidents: Incidents,
    alerts: Alerts,
    outbox: Outbox,
    bot: Bot,
    save_schedule: SaveSchedule,
    uplink: Uplink,
    clock: Clock,
    expiry: Inspections,
    history: Recorder,
    actions: Actions,
}

impl Monitor {
    /// Creates a monitor. `seed` determines all jitter, so that a run can be replayed.
    pub fn new(
        sites: impl IntoIterator<Item = impl Into<Arc<Site>>>,
        settings: Settings,
        now: Now,
        seed: u64,
    ) -> Monitor {
        let mut monitor = Monitor {
            sites: Sites::default(),
            schedule: Scheduler::new(seed, settings.heartbeat, settings.permits, now.moment()),
            incidents: Incidents::default(),
            alerts: Alerts::new(settings.quiet, settings.digest),
            outbox: Outbox::new(seed.rotate_left(32)),
            bot: Bot::new(settings.access, settings.max_jobs),
            save_schedule: SaveSchedule::default(),
            uplink: Uplink::new(settings.uplink, settings.routes),
            clock: Clock::new(settings.built, now),
            expiry: Inspections::default(),
            history: Recorder::default(),
            actions: Actions::default(),
        };
        monitor.outbox.reload_channels(settings.channels);
        let remediations = monitor.incidents.remediations_mut();
        remediations.reload(settings.remediations);
        let now = monitor.read_clock(now);
        monitor.take_sites(now, sites.into_iter().map(Into::into).collect());
        monitor
    }

    /// Handles one event and returns the actions that it and the passed time cause.
    pub fn handle(&mut self, now: Now, event: Event) -> Vec<Action> {
        let stood_still = self.clock.stood_still(now);
        if stood_still {
            self.uplink.on_wakeup(now.moment());
            self.incidents.remediations_mut().on_wakeup(now.moment());
            self.schedule.on_stall();
        }
        if matches!(event, Event::ClockConfirmed) {
            self.clock.confirm(now);
            self.read_clock(now);
        }
        let now = self.read_clock(now);
        let clock_set = self.clock.is_set();
        self.history
            .on_wakeup(now, clock_set, stood_still, &self.sites);
        if matches!(event, Event::Update(_)) {
            self.history.bring_up_to_date(now, clock_set, &self.sites);
        }
        // The outcome of a check concerns reminders only if its site is not up, or was not.
        if !matches!(event, Event::Checked { .. } | Event::Due) {
            self.alerts.outdate_reminders();
        }
        self.refresh_maintenance(now);
        let before = self.schedule.wall_before(now, clock_set);
        if let Some(before) = before.filter(|_| stood_still) {
            self.on_jump(now, before);
        }
        match event {
            Event::Checked { site, outcome } => self.checked(now, &site.name, outcome),
            Event::Inspected {
                site,
                subject,
                result,
            } => self.inspected(now, &site, subject, result),
            Event::Reported { id, report } => self.reported(now, id, &report),
            Event::Update(update) => self.update(now, update),
            Event::Bot { username } => self.bot.on_username(username),
            Event::Notice(text) => self.notifier(now).notice_to_all(text),
            Event::Mistaken { what, safe } => self.notifier(now).mistakes(&what, &safe),
            Event::Delivered { id, delivery } => self.delivered(now, id, delivery),
            Event::DeliveredByChannel { id, delivery } => {
                self.notifier(now).delivered_by_channel(id, delivery);
            }
            Event::Ran { id, result } => self.notifier(now).run_ended(id, &result),
            Event::Admitted { job } => self.admitted(now, job),
            Event::Measured { requester, vitals } => {
                self.execution(now, 0).measured(&requester, &vitals);
            }
            Event::Saved { blocks } => {
                if let Some(id) = self.save_schedule.done(now.moment(), blocks) {
                    self.outbox.mark_stored(id);
                    self.notifier(now).start_runs(id);
                }
                self.save_schedule
                    .answer_reports(ReportAnswer::Saved, &mut self.actions);
            }
            Event::SaveFailed { reason } => self.notifier(now).save_failed(&reason),
            Event::Probed(report) => self.probed(now, report),
            Event::RouteUsed { route, failure } => {
                if let Some(text) = self.uplink.on_request(now, &route, failure) {
                    self.notifier(now).route_changed(text);
                }
            }
            Event::RouteTried { route, failure } => {
                let actions = &mut self.actions;
                if self.uplink.on_trial(now, &route, failure, actions) {
                    self.outbox.try_now();
                }
            }
            Event::Reloaded {
                sites,
                added,
                settings,
            } => self.reloaded(now, sites, added, settings),
            Event::Examined { id, result } => self.examined(now, id, result.map(|site| *site)),
            Event::Tried { id, outcome } => self.tried(now, id, &outcome),
            Event::Due | Event::ClockConfirmed => {}
        }
        // Does what is due by now, including what the event has made possible.
        let moment = now.moment();
        for_each_timer!(|timer| self.on_timeout(timer, &now, moment));
        let (clock_set, actions) = (self.clock.is_set(), &mut self.actions);
        self.history
            .record(now, clock_set, &mut self.sites, actions);
        self.actions.take()
    }

    /// Returns when to call [`Monitor::handle`] with [`Event::Due`] if no other event comes first.
    pub fn next_wakeup(&mut self, now: Now) -> Option<Moment> {
        self.sites.recount();
        let moment = now.moment();
        let never = Moment(i64::MAX);
        let mut first = never;
        for_each_timer!(|timer| {
            first = first.min(self.next_timeout(timer, &now, moment).unwrap_or(never));
        });
        let wakeup = Some(first).filter(|due| *due < never);
        self.clock.expect(wakeup);
        wakeup
    }

    /// Returns when [`Monitor::on_timeout`] has work for this timer.
    #[inline(always)] // Of a known timer one arm remains.
    fn next_timeout(&self, timer: Timer, now: &Now, moment: Moment) -> Option<Moment> {
        let clock_set = self.clock.is_set();
        let dated = |at: Option<Moment>| at.filter(|_| clock_set);
        let checking = |at: Option<Moment>| at.filter(|_| !self.schedule.stopping());
        match timer {
            Timer::Maintenance => dated(self.schedule.next_maintenance(*now)),
            Timer::Check => self.schedule.next_timeout(),
            Timer::Job => dated(self.schedule.next_job()),
            Timer::Inspection => {
                let roots = self.expiry.next_roots();
                let roots = roots.map(|due| self.alerts.after_mute(due));
                let inspection = self.expiry.next_timeout(moment, &self.sites);
                checking(dated(inspection.into_iter().chain(roots).min()))
            }
            Timer::Remediation if self.incidents.remediations().is_empty() => None,
            Timer::Remediation => {
                let around = action_runs::surroundings(&self.alerts, clock_set, &self.uplink);
                checking(self.incidents.next_run(&self.sites, around, moment))
            }
            Timer::Probe => checking(self.uplink.next_timeout(moment)),
            Timer::Route => self.uplink.next_route(moment),
            Timer::Flapping => flapping::next_timeout(&self.sites, clock_set),
            Timer::Reminder => self.alerts.next_reminder_or_mute_end(),
            // Without a connection nothing can be learned about the other faults.
            Timer::Fault if self.uplink.has_fault(UplinkFault::NoConnection) => None,
            Timer::Fault => self.alerts.next_fault(),
            Timer::UncleanStop => dated(self.incidents.next_timeout()),
            Timer::Digest => dated(self.alerts.next_digest(*now)),
            Timer::Heartbeat => self.schedule.next_beat(moment),
            Timer::Bot => self.bot.next_timeout(moment, &self.outbox),
            Timer::Keyboard => self.outbox.next_keyboard(moment),
            Timer::Channel if !self.outbox.has_channels() => None,
            Timer::Channel => {
                let audience = Audience::new(&self.sites, self.bot.access(), *now);
                (self.outbox).next_channel_due(&self.alerts, &self.incidents, audience)
            }
            Timer::Save => self.save_schedule.next_due(),
            Timer::Send => self.outbox.next_due(*now, self.unsettled(*now)),
        }
    }

    #[inline(always)] // Of a known timer one arm remains.
    fn on_timeout(&mut self, timer: Timer, now: &Now, moment: Moment) {
        let clock_set = self.clock.is_set();
        let (sites, actions) = (&mut self.sites, &mut self.actions);
        match timer {
            // The event is judged by it, so that was before.
            Timer::Maintenance => {}
            Timer::Check => self.schedule.on_timeout(moment, clock_set, sites, actions),
            Timer::Job if clock_set => self.look_at_jobs(*now),
            Timer::Job => {}
            Timer::Inspection => {
                let due = self.expiry.is_due(moment);
                if due && clock_set && !self.schedule.stopping() {
                    self.inspect(*now);
                }
            }
            Timer::Remediation => {
                if !self.incidents.remediations().is_empty() && !self.schedule.stopping() {
                    self.notifier(*now).request_due_runs();
                }
            }
            Timer::Probe => {
                if !self.sites.recount().pending.is_empty() {
                    self.settle_pending(*now);
                }
                if !self.schedule.stopping() {
                    self.uplink.on_timeout(moment, &mut self.actions);
                }
            }
            Timer::Flapping => {
                if !self.sites.recount().flapping.is_empty() {
                    self.end_flapping(*now);
                }
            }
            Timer::Route => {
                if self.uplink.on_route_timeout(*now, actions) {
                    self.outbox.try_now();
                }
            }
            Timer::Reminder => {
                if self.sites.take_touched_not_up() {
                    self.alerts.outdate_reminders();
                }
                if self.alerts.reminders_due(moment) {
                    let mut notifier = self.notifier(*now);
                    notifier.end_mutes();
                    notifier.remind();
                    (self.alerts).plan_reminders(&self.sites, &self.incidents, moment);
                }
            }
            Timer::Fault if self.uplink.has_fault(UplinkFault::NoConnection) => {}
            Timer::Fault => {
                if self.alerts.next_fault().is_some_and(|due| due <= moment) {
                    self.notifier(*now).due_faults();
                }
            }
            Timer::UncleanStop if clock_set && self.incidents.next_timeout().is_some() => {
                self.notifier(*now).unclean_stop();
            }
            Timer::Digest if clock_set && self.alerts.take_digest(*now) => {
                let details =
                    SiteDetails::new(&self.incidents, &self.expiry, &self.history, &self.clock);
                let audience = Audience::new(&self.sites, self.bot.access(), *now);
                let alerts = Alerts::digest_alerts(audience, details);
                self.save_schedule.immediately();
                self.notifier(*now).queue(alerts);
            }
            Timer::UncleanStop | Timer::Digest => {}
            Timer::Heartbeat => {
                if self.schedule.beat(moment, sites) {
                    actions.push(Action::Heartbeat);
                }
            }
            Timer::Bot => self.bot.on_timeout(*now, &mut self.outbox, actions),
            Timer::Keyboard => {
                let context = SendContext::new(&self.incidents, sites, moment);
                self.outbox.refresh_keyboards(&context);
            }
            Timer::Channel => {
                if self.outbox.has_channels() {
                    self.notifier(*now).send_by_channels();
                }
            }
            Timer::Save => {
                if self
                    .save_schedule
                    .begin(moment, self.outbox.last_alert_id())
                {
                    self.clock.stamp(*now);
                    actions.push(Action::Save);
                }
            }
            Timer::Send => {
                if self.outbox.any_waiting() {
                    self.send(*now);
                }
            }
        }
    }

    fn send(&mut self, now: Now) {
        self.sites.recount();
        let unsettled = self.unsettled(now);
        let context = SendContext::new(&self.incidents, &self.sites, now.moment());
        while let Some(mut outgoing) = self.outbox.next_send(now, unsettled, &context) {
            if outgoing.digest {
                let sites = self.sites.visible(outgoing.message.chat);
                if !sites.is_empty() {
                    let sites = self.sites.at(&sites);
                    let (_, picture) = charts::many(&sites, &self.history, Span::Day, now);
                    outgoing.message.html.push_str(&charts::numbers(&picture));
                    outgoing.message.picture = Some(Arc::new(picture));
                }
            }
            self.actions.push(Action::Send(outgoing));
        }
    }

    /// Stops starting checks. Checks under way still report.
    pub fn stop(&mut self) {
        self.schedule.stop();
    }

    /// Whether the scheduler makes progress: the checks that it started end.
    pub fn healthy(&self, now: Now) -> bool {
        self.schedule.healthy(now.moment(), &self.sites)
    }

    /// Returns the figures of `/metrics`. `process`: the figures that only the shell knows.
    pub fn metrics(&self, process: ProcessFigures) -> Metrics {
        let open: HashSet<&str> = self.incidents.iter_open().map(|i| i.site()).collect();
        let site = |watched: &SiteState| {
            let certificate = self.expiry.of(watched, Subject::Certificate);
            SiteFigures {
                site: watched.config().clone(),
                state: watched.state(),
                took: watched.took(),
                phases: watched.last().and_then(|(_, outcome)| outcome.phases),
                results: watched.results(),
                certificate_ends: certificate.and_then(|watch| Some(watch.found()?.ends)),
                incident_open: open.contains(watched.name()),
            }
        };
        Metrics {
            sites: self.sites.iter().map(site).collect(),
            agent: AgentFigures {
                uplink_up: self.uplink.faults().is_empty(),
                alerts_waiting: self.outbox.waiting_alerts(),
                rounds_late: self.schedule.round_counts().0,
            },
            process,
        }
    }

    /// Returns the number of messages that are being sent.
    pub fn messages_under_way(&self) -> usize {
        self.outbox.under_way()
    }

    /// Returns the number of the last update, from which `getUpdates` continues.
    pub fn last_update(&self) -> Option<i64> {
        self.bot.last_update()
    }

    /// Whether the wall clock is not trusted: see [`time::wall_clock`].
    pub fn doubts_clock(&self) -> bool {
        !self.clock.is_set()
    }

    /// Returns the first hour that is not written yet.
    pub fn unwritten_hour(&self) -> Option<i64> {
        self.history.unwritten_hour()
    }

    /// See [`Recorder::records`].
    pub fn history_records(&self, extent: Extent, last: bool) -> Vec<Record> {
        self.history.records(&self.sites, extent, last)
    }

    /// Records that the hours of these records are on disk.
    pub fn history_saved(&mut self, records: &[Record]) {
        self.history.on_saved(records);
    }

    /// Whether the written history must be replaced because the clock was set back permanently.
    pub fn history_afresh(&self) -> bool {
        self.history.afresh()
    }

    /// Restores a record of an earlier run. Called after [`Monitor::restore`]: see
    /// [`Recorder::restore`].
    pub fn restore_history(&mut self, record: &Record) {
        self.history.restore(record, &self.sites);
    }

    /// Returns the names of the sites that the history covers.
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

    fn refresh_reach(&mut self, now: Moment) {
        let offline = self.uplink.has_fault(UplinkFault::NoConnection);
        self.sites.refresh_reach(now, offline);
    }

    fn notifier(&mut self, now: Now) -> Notifier<'_> {
        Notifier {
            now,
            clock_set: self.clock.is_set(),
            sites: &self.sites,
            bot: &self.bot,
            uplink: &mut self.uplink,
            incidents: &mut self.incidents,
            alerts: &mut self.alerts,
            outbox: &mut self.outbox,
            save_schedule: &mut self.save_schedule,
            actions: &mut self.actions,
        }
    }

    fn unsettled(&self, now: Now) -> Unsettled {
        if self.outbox.waiting_alerts() == 0 {
            return Unsettled::default();
        }
        Unsettled {
            quiet: self.clock.is_set() && self.alerts.quiet(now),
            writes_apart: self.save_schedule.least_interval(),
            suspects: self.sites.census().failing.len(),
            recovering: self.sites.census().recovering.len(),
            down: self.sites.census().down,
        }
    }

    /// Returns all state that must survive a restart.
    pub fn snapshot(&self, now: Now) -> Snapshot {
        let lasting = Lasting {
            sites: &self.sites,
            uplink: &self.uplink,
            expiry: &self.expiry,
            incidents: &self.incidents,
            alerts: &self.alerts,
            outbox: &self.outbox,
            bot: &self.bot,
        };
        lasting.snapshot(self.clock.estimate(now))
    }

    /// Returns the last snapshot of an orderly stop, which tells the next start that this was no
    /// crash.
    pub fn last_snapshot(&self, now: Now) -> Snapshot {
        Snapshot {
            clean: true,
            ..self.snapshot(now)
        }
    }

    /// Continues where an earlier run stopped. Called once, before the first event. The state of
    /// sites that are no longer configured is dropped; alerts about them are still delivered.
    pub fn restore(&mut self, snapshot: &Snapshot, now: Now) {
        self.clock.restore(now, snapshot.written);
        let now = self.read_clock(now);
        let moment = now.moment();
        self.bot.restore_updates(snapshot.last_update);
        let muted_until = persist::muted_until(snapshot, now);
        self.alerts.restore(muted_until, snapshot.digested);
        let clock_set = self.clock.is_set();
        let (sites, schedule, alerts) = (&mut self.sites, &mut self.schedule, &mut self.alerts);
        persist::restore_sites(snapshot, sites, schedule, now, clock_set);
        let mutes = sites.iter();
        let mutes = mutes.filter_map(|w| Some((w.name().to_owned(), w.muted_until()?)));
        self.clock.remember_restored(now, muted_until, mutes);
        let mut remediations = std::mem::take(self.incidents.remediations_mut());
        let runs = snapshot.runs.as_deref().unwrap_or_default();
        let unknown = remediations.restore(runs, snapshot.offline_since.is_some(), now);
        self.incidents = persist::incidents(snapshot, now);
        *self.incidents.remediations_mut() = remediations;
        let waiting = snapshot.alerts.iter().filter(|a| a.channel.is_none());
        let waiting: Vec<Alert> = waiting.map(|a| a.restore(now)).collect();
        let chats = self.bot.chats();
        persist::restore_notified(snapshot, alerts, &self.incidents, &waiting, chats);
        alerts.keep_sites(sites);
        for record in &snapshot.sites {
            if let Some(at) = sites.find(&record.name) {
                self.expiry.restore(at, &record.expiry);
            }
        }
        self.expiry.restore_roots(&snapshot.roots);
        if let Some(route) = &snapshot.route {
            self.uplink.restore_route(route, moment);
        }
        self.expiry.plan(now, sites, schedule.jitter());
        persist::restore_uplink(snapshot, &mut self.uplink, alerts, chats, sites, now);
        self.refresh_reach(moment);
        self.reconcile(now);
        self.outbox.restore(waiting);
        let (waiting, escalated) = persist::channels(snapshot, &self.incidents, now);
        let dropped = self.outbox.restore_channels(waiting, escalated);
        self.log_all(Level::Info, dropped);
        self.bot.restore_moves(persist::moves(snapshot));
        self.follow_moves();
        self.drop_hidden();
        for run in unknown {
            let result = "result unknown, as sitemon ended meanwhile";
            self.notifier(now).report_result(&run, result);
        }
        let accident = !snapshot.clean || mutated!("every start was an accident");
        let seen = accident.then_some(snapshot.written);
        if let Some(seen) = snapshot.unclean_since.or(seen) {
            // A job cannot be checked again after the start: its last report stays valid.
            let asked = self.sites.iter().filter(|w| w.job().is_none());
            let down = asked.filter(|w| w.is_down() && !w.is_paused());
            let down = down.map(|w| w.name().to_owned()).collect();
            self.incidents.on_unclean_stop(seen, moment, down);
        }
        // The start of this run must be on disk, or the next start would not detect a power cut.
        self.save_schedule.immediately();
    }

    /// Returns the sites added in chats, as they were requested.
    pub fn added(&self) -> &[AddedRecord] {
        self.bot.added()
    }

    /// Takes over the sites that were added in chats during an earlier run. Called once, before
    /// [`Monitor::restore`].
    pub fn adopt(&mut self, added: Vec<(AddedRecord, Result<Site, String>)>, now: Now) {
        if added.is_empty() {
            return;
        }
        let sites = self.sites.iter().map(|w| w.config().clone()).collect();
        self.take_configuration(now, sites, added);
    }

    fn reloaded(
        &mut self,
        now: Now,
        sites: Vec<Arc<Site>>,
        added: Vec<(AddedRecord, Result<Site, String>)>,
        settings: Settings,
    ) {
        self.bot.reload(settings.access, settings.max_jobs);
        self.alerts.reload(settings.quiet, settings.digest);
        self.clock.reload(settings.built);
        self.schedule.reload(settings.heartbeat);
        self.incidents
            .remediations_mut()
            .reload(settings.remediations);
        let dropped = self.outbox.reload_channels(settings.channels);
        self.log_all(Level::Info, dropped);
        self.take_configuration(now, sites, added);
        let (clock_set, sites) = (self.clock.is_set(), &mut self.sites);
        let online =
            self.uplink
                .set_targets(now, clock_set, settings.uplink, sites, &mut self.actions);
        self.on_uplink(now, online);
        self.uplink.set_routes(settings.routes, now.moment());
        if !settings.uplink {
            for fault in UplinkFault::PROBED {
                self.alerts.on_fault_end(fault);
            }
        }
        self.follow_moves();
        self.drop_hidden();
        self.sites_changed(now);
    }

    /// Takes the sites of a file, followed by the added ones.
    fn take_configuration(
        &mut self,
        now: Now,
        of_file: Vec<Arc<Site>>,
        added: Vec<(AddedRecord, Result<Site, String>)>,
    ) {
        let merged = self.bot.merge_added(of_file, added, &self.sites);
        for (chats, text) in merged.notices {
            self.actions.log(Level::Info, text.clone());
            self.notifier(now).notice(chats, text);
        }
        self.take_sites(now, merged.sites);
    }

    fn take_sites(&mut self, now: Now, sites: Vec<Arc<Site>>) {
        let before = std::mem::take(&mut self.sites);
        let (schedule, expiry) = (&mut self.schedule, &mut self.expiry);
        let (sites, origins) = persist::take_sites(sites, before, schedule, expiry, now);
        self.sites = sites;
        self.alerts.keep_sites(&self.sites);
        self.history.follow(&origins);
        self.expiry.follow(&origins);
        self.expiry
            .plan(now, &mut self.sites, self.schedule.jitter());
    }

    fn log_all(&mut self, level: Level, lines: Vec<String>) {
        for line in lines {
            self.actions.log(level, line);
        }
    }

    /// Updates the other components after sites were added or removed.
    fn sites_changed(&mut self, now: Now) {
        self.reconcile(now);
        self.refresh_reach(now.moment());
        self.incidents.keep_sites(|name| self.sites.contains(name));
        self.outbox.keep_escalated(&self.incidents);
        self.save_schedule.immediately();
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.keep_sites(&self.sites);
        self.bot.finish_jobs(now, outbox, actions);
        let sites = text::count(self.sites.len(), "site");
        self.actions.log(Level::Info, format!("watching {sites}"));
        self.refresh_maintenance(now);
    }

    /// Makes incidents and states agree: closes the open incident of a site that is removed, paused
    /// or not down, and resets a site that is down without an open incident.
    fn reconcile(&mut self, now: Now) {
        let goes_on = |w: &SiteState| w.is_down() && !w.is_paused();
        let open = self.incidents.iter_open();
        let over = open.filter(|i| !self.sites.named(i.site()).is_some_and(goes_on));
        let over: Vec<String> = over.map(|i| i.site().to_owned()).collect();
        for site in over {
            self.notifier(now).close_incident(&site);
        }
        for watched in self.sites.iter_mut() {
            if watched.is_down() && self.incidents.open_of(watched.name()).is_none() {
                watched.reset(now.moment());
                self.alerts.on_reset(watched.name());
            }
        }
    }

    /// Drops queued alerts of chats that may not, or may no longer, see their sites.
    pub(crate) fn drop_hidden(&mut self) {
        let (chats, sites) = (self.bot.chats(), &self.sites);
        let dropped = self.outbox.keep_chats(&|site, chat| {
            let site = sites.named(site).map(|w| w.config());
            chats.contains(&chat) && site.is_none_or(|site| may_see(chat, site))
        });
        for (topic, chat) in dropped {
            self.alerts.on_dropped(&topic, chat, &self.incidents);
        }
    }
}

#[cfg(test)]
#[path = "tests/mod.rs"]
pub(crate) mod tests;
