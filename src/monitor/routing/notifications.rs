//! Routes what one component says to the others: transitions to alerts, alerts to the outbox, results
//! of deliveries back.

use crate::monitor::alert::Alerts;
use crate::monitor::alert::notifications::{Audience, NewAlert};
use crate::monitor::alert::notified::Topic;
use crate::monitor::bot::ReplyContent;
use crate::monitor::bot::check_jobs::JobResult;
use crate::monitor::bot::commands::{AlertNote, Execution, Order, View, about_site, by_user};
use crate::monitor::bot::moved_chats::Move;
use crate::monitor::incident::Incident;
use crate::monitor::incident::remediation::{Asked, Run, RunRequest, Surroundings};
use crate::monitor::judge::flapping;
use crate::monitor::outbox::channels::ChannelEffect;
use crate::monitor::outbox::message::{Delivery, Requester, Update};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::outbox::{DeliveryEffect, Reply};
use crate::monitor::render::details::SiteDetails;
use crate::monitor::render::runs;
use crate::monitor::render::stats::{self, Tally, Vitals};
use crate::monitor::render::text::escape;
use crate::monitor::site::Site;
use crate::monitor::site::flapping::ChangeNotice;
use crate::monitor::site::outcome::Outcome;
use crate::monitor::site::report::ReportAnswer;
use crate::monitor::site::suppression::UplinkFault;
use crate::monitor::time::text::SLOW;
use crate::monitor::time::{Moment, Now, text};
use crate::monitor::uplink::route::Route;
use crate::monitor::{Action, Level, Monitor};
use std::time::Duration;

/// Before an action runs by itself the uplink is seen to be up, by a probe that is no older than this.
const PROBED_WITHIN: Duration = Duration::from_secs(60);

impl Monitor {
    /// Queues alerts, for chats and channels, and has them written.
    pub(crate) fn notify(&mut self, now: Now, alerts: impl IntoIterator<Item = NewAlert>) {
        let alerts: Vec<NewAlert> = alerts.into_iter().collect();
        let outbox = &mut self.outbox;
        let by_channels = outbox.offer_to_channels(&alerts, &self.sites, now.moment());
        self.queue(now, alerts, &by_channels);
    }

    /// Queues alerts for chats and has them written. `by_channels`: the places of those that wait for
    /// channels, too.
    fn queue(&mut self, now: Now, alerts: Vec<NewAlert>, by_channels: &[usize]) {
        let moment = now.moment();
        for (place, alert) in alerts.into_iter().enumerate() {
            self.alerts.on_alert(&alert);
            let NewAlert {
                notification,
                site,
                incident,
                chats,
                at_once,
            } = alert;
            if chats.is_empty() && !by_channels.contains(&place) {
                if !at_once {
                    self.save_schedule.within_5_min(moment);
                }
                continue;
            }
            self.outbox
                .push_alert(notification, &site, incident, chats, moment);
            if at_once {
                self.save_schedule.immediately();
            } else if !self.save_schedule.on_alert(&site, moment) {
                for number in self.outbox.condense(&site) {
                    self.alerts.on_merged(number, &self.incidents);
                }
            }
        }
    }

    pub(crate) fn went_down(&mut self, now: Now, at: usize, cause: String) {
        let moment = now.moment();
        let name = self.sites[at].name().to_owned();
        let number = self.incidents.open(&name, cause.clone(), moment);
        self.alerts.keep_incidents(&self.incidents);
        self.sites
            .refresh_reach(moment, self.uplink.has_fault(UplinkFault::NoConnection));
        let notice = flapping::manner_of_change(moment, at, &mut self.sites, &mut self.actions);
        let text = format!("{name} is down: {cause} (#{number})");
        self.actions.log(level_of(notice), text);
        let behind = self.sites.behind(at);
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alerts = self
            .alerts
            .on_down(audience, at, number, &cause, notice, &behind);
        let Some(alerts) = alerts else {
            self.save_schedule.on_silent_change(notice, moment);
            return;
        };
        self.notify(now, alerts);
    }

    pub(crate) fn recovered(&mut self, now: Now, at: usize) {
        let moment = now.moment();
        let name = self.sites[at].name().to_owned();
        let notice = flapping::manner_of_change(moment, at, &mut self.sites, &mut self.actions);
        self.sites
            .refresh_reach(moment, self.uplink.has_fault(UplinkFault::NoConnection));
        let Some(ended) = self.close_incident(&name, moment) else {
            return;
        };
        let lasted = text::lasting(ended.length(now));
        let text = format!("{name} is up again after {lasted} (#{})", ended.number());
        self.actions.log(level_of(notice), text);
        self.save_schedule.on_silent_change(notice, moment);
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alert = self.alerts.on_up(audience, at, &ended, notice);
        self.notify(now, alert);
    }

    pub(crate) fn slowed(&mut self, now: Now, at: usize, cause: String) {
        let notice =
            flapping::manner_of_change(now.moment(), at, &mut self.sites, &mut self.actions);
        let name = self.sites[at].name();
        let text = match cause.starts_with(SLOW) {
            true => format!("{name} is slow: {cause}"),
            false => format!("{name} is degraded: {cause}"),
        };
        self.actions.log(level_of(notice), text);
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alert = self.alerts.on_slow(audience, at, cause, notice);
        self.notify(now, alert);
    }

    pub(crate) fn sped_up(&mut self, now: Now, at: usize, lasted: Duration) {
        let notice =
            flapping::manner_of_change(now.moment(), at, &mut self.sites, &mut self.actions);
        let well = match self.sites[at].config().slow {
            Some(_) => "fast",
            None => "well",
        };
        let text = format!("{} is {well} again", self.sites[at].name());
        self.actions.log(level_of(notice), text);
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alert = self.alerts.on_fast(audience, at, lasted, notice);
        self.notify(now, alert);
    }

    pub(crate) fn end_flapping(&mut self, now: Now) {
        let moment = now.moment();
        let set = self.clock.is_set();
        for at in flapping::take_steady(moment, &mut self.sites, set) {
            let name = self.sites[at].name().to_owned();
            self.save_schedule.within_5_min(moment);
            self.actions
                .log(Level::Info, format!("{name} is steady again"));
            let open = self.incidents.open_of_mut(&name);
            let audience = Audience::new(&self.sites, self.bot.access(), now);
            let alert = self.alerts.on_steady(audience, at, open);
            self.notify(now, alert);
        }
    }

    pub(crate) fn end_mutes(&mut self, now: Now) {
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alerts = self.alerts.end_mutes(audience, &mut self.incidents);
        self.notify(now, alerts);
    }

    pub(crate) fn remind(&mut self, now: Now) {
        let queued = |number| self.outbox.alerts().any(|a| a.incident == Some(number));
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alerts = self.alerts.remind(audience, &mut self.incidents, queued);
        self.notify(now, alerts);
    }

    pub(crate) fn notify_of_digest(&mut self, now: Now) {
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let details = SiteDetails {
            incidents: &self.incidents,
            expiry: &self.expiry,
            history: &self.history,
            dated: self.clock.is_set(),
        };
        if let Some(alerts) = self.alerts.digest_alerts(audience, details) {
            self.save_schedule.immediately();
            self.notify(now, alerts);
        }
    }

    /// What is known of the sites besides their states.
    pub(crate) fn details(&self) -> SiteDetails<'_> {
        SiteDetails {
            incidents: &self.incidents,
            expiry: &self.expiry,
            history: &self.history,
            dated: self.clock.is_set(),
        }
    }

    pub(crate) fn notify_of_unclean_stop(&mut self, now: Now) {
        if let Some(stop) = self.incidents.take_unclean_stop(now.moment()) {
            let audience = Audience::new(&self.sites, self.bot.access(), now);
            let (text, alerts) = Alerts::unclean_stop(audience, &stop);
            self.actions.log(Level::Info, text);
            self.notify(now, alerts);
            self.save_schedule.immediately();
        }
    }

    pub(crate) fn notify_of_mistakes(&mut self, now: Now, what: &str, safe: &str) {
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let alerts = Alerts::mistakes(audience, what, safe);
        self.notify(now, alerts);
    }

    /// A notice for these chats, which is in the log already.
    pub(crate) fn notify_chats(&mut self, now: Now, chats: Vec<i64>, text: String) {
        self.notify(now, [NewAlert::notice(chats, text)]);
    }

    /// A notice that is in the log already.
    pub(crate) fn notify_all(&mut self, now: Now, text: String) {
        let chats = self.bot.chats().to_vec();
        self.notify_chats(now, chats, text);
    }

    /// A notice about our own line, which may come and go all day: it is written within the day's
    /// budget, as a site's alerts are. One that still waits is not said again.
    pub(crate) fn notify_of_uplink(&mut self, now: Now, chats: Vec<i64>, text: String) {
        let alert = NewAlert {
            at_once: false,
            ..NewAlert::notice(chats, text)
        };
        if self
            .outbox
            .alerts()
            .all(|a| a.notification != alert.notification)
        {
            self.notify(now, [alert]);
        }
    }

    /// A request to Telegram has ended.
    pub(crate) fn route_used(&mut self, now: Now, route: &Route, failure: Option<String>) {
        if let Some(text) = self.uplink.on_request(now, route, failure) {
            self.actions.log(Level::Info, text.clone());
            let chats = self.bot.chats().to_vec();
            self.save_schedule.within_5_min(now.moment());
            self.notify_of_uplink(now, chats, text);
        }
    }

    pub(crate) fn save_failed(&mut self, now: Now, reason: &str) {
        let (alerts, first) = self.save_schedule.failed(now.moment());
        if let Some(id) = alerts {
            self.outbox.mark_stored(id);
            for run in self.incidents.remediations_mut().on_save_failed(id) {
                let result = format!("not run, as the state cannot be written ({reason})");
                self.tell_of_run(now, &run, &result);
            }
        }
        self.answer_reports(ReportAnswer::Unsaved);
        if first {
            let text = format!(
                "The state cannot be written ({reason}). Alerts still go out, but a restart forgets them."
            );
            self.actions.log(Level::Warn, text.clone());
            self.notify_all(now, text);
            self.outbox.mark_stored(self.outbox.last_alert_id());
        }
    }

    /// A sending has ended.
    pub(crate) fn delivered(&mut self, now: Now, id: u64, delivery: Delivery) {
        for effect in self.outbox.delivered(id, delivery, now) {
            match effect {
                DeliveryEffect::Notified {
                    incident,
                    chat,
                    message_id,
                } => {
                    self.alerts.add_notified(Topic::Incident(incident), &[chat]);
                    for outdated in self.incidents.on_message(incident, chat, message_id) {
                        self.outbox.outdate_keyboard(chat, outdated);
                    }
                }
                DeliveryEffect::Offline { chat, message_id } => {
                    self.alerts.on_offline_message(chat, message_id);
                }
                DeliveryEffect::Job {
                    job,
                    chat,
                    edited,
                    message_id,
                } => {
                    let outbox = &mut self.outbox;
                    let moment = now.moment();
                    self.bot
                        .on_job_message(moment, job, chat, edited, message_id, outbox);
                }
                DeliveryEffect::Migrated { from, to } => self.chat_moved(now, from, to),
                DeliveryEffect::Dropped { chat, reason } => self.actions.log(
                    Level::Warn,
                    format!("a message for chat {chat} was refused and dropped: {reason}"),
                ),
                DeliveryEffect::Delayed { reason } => {
                    self.actions
                        .log(Level::Info, format!("a message waits: {reason}"));
                }
                DeliveryEffect::AlertsChanged { .. }
                    if mutated!("never write that an alert was delivered") => {}
                DeliveryEffect::AlertsChanged { silent: true } => {
                    self.save_schedule.within_1_h(now.moment())
                }
                DeliveryEffect::AlertsChanged { silent: false } => {
                    self.save_schedule.within_1_s(now.moment())
                }
            }
        }
    }

    /// When [`Monitor::send_by_channels`] has something to do.
    pub(crate) fn next_channel(&self, now: Now) -> Option<Moment> {
        let moment = now.moment();
        let escalations = self.outbox.escalations(&self.incidents, &self.sites);
        let escalations = escalations.filter(|(due, _, incident)| {
            *due > moment && self.alerts.may_escalate(incident, &self.sites, moment)
        });
        let due = escalations.map(|(due, ..)| due);
        due.chain(self.outbox.next_channel_due(moment)).min()
    }

    /// What is to go by channels now.
    pub(crate) fn send_by_channels(&mut self, now: Now) {
        let moment = now.moment();
        let audience = Audience::new(&self.sites, self.bot.access(), now);
        let escalations = self.outbox.escalations(&self.incidents, &self.sites);
        let due = escalations.filter(|(due, _, incident)| {
            *due <= moment && self.alerts.may_escalate(incident, &self.sites, moment)
        });
        let due: Vec<(String, NewAlert)> = due
            .filter_map(|(_, channel, incident)| {
                let site = self.sites.named(incident.site())?;
                Some((channel.name.clone(), audience.still_down(site, incident)))
            })
            .collect();
        if self.outbox.fall_back(&self.sites, moment) {
            self.save_schedule.within_1_s(moment);
        }
        for (channel, alert) in due {
            self.outbox.escalate(&channel, &alert, moment);
            self.save_schedule.immediately();
        }
        let context = SendContext::new(&self.incidents, &self.sites, moment);
        let dated = self.clock.is_set();
        while let Some(send) = self.outbox.next_channel_send(now, dated, &context) {
            self.actions.push(Action::SendByChannel(send));
        }
    }

    /// A sending by a channel has ended.
    pub(crate) fn delivered_by_channel(&mut self, now: Now, id: u64, delivery: Delivery) {
        match self.outbox.channel_delivered(id, delivery, now) {
            Some(ChannelEffect::Sent { silent: true }) => {
                self.save_schedule.within_1_h(now.moment())
            }
            Some(ChannelEffect::Sent { silent: false }) => {
                self.save_schedule.within_1_s(now.moment())
            }
            Some(ChannelEffect::Delayed {
                channel,
                reason,
                first,
            }) => {
                let level = if first { Level::Info } else { Level::Debug };
                let text = format!("an alert for {channel} waits: {reason}");
                self.actions.log(level, text);
            }
            Some(ChannelEffect::Refused {
                channel,
                reason,
                first,
            }) => {
                let text = format!("{channel} refused an alert, which is dropped: {reason}");
                self.actions.log(Level::Warn, text.clone());
                self.save_schedule.within_1_s(now.moment());
                let chats = self.bot.chats().to_vec();
                if first && !chats.is_empty() {
                    let text = format!("{text}. The log has others until it takes one again.");
                    let notice = NewAlert::notice(chats, text);
                    self.queue(now, vec![notice], &[]);
                    self.outbox.keep_from_channel(channel);
                }
            }
            None => {}
        }
    }

    /// A group has a new id: all that knows it by the old one follows at once.
    pub(crate) fn chat_moved(&mut self, now: Now, from: i64, to: i64) {
        let both = match self.bot.on_move(from, to) {
            // A reply to it, put back, would be sent and refused again at once, for ever.
            Move::NotOurs => return self.drop_hidden(),
            // Something was still under way to it.
            Move::Known => return self.outbox.rename_chat(from, to),
            Move::New { both } => both,
        };
        // What went to both ids is not to go to the new one again.
        if !mutated!("tell a group under both its ids") {
            self.outbox.drop_delivered(from, to);
        }
        self.rename_chat(from, to);
        for incident in self.incidents.iter_mut() {
            incident.chat_moved(from, to);
        }
        self.save_schedule.immediately();
        let what = match both {
            true => format!("take {from} out of `chats` of sitemon.conf"),
            false => "put the new id into `chats` of sitemon.conf".to_owned(),
        };
        let text = format!("Group {from} became {to}: {what}.");
        self.actions.log(Level::Info, text.clone());
        self.notify_all(now, text);
    }

    /// Puts the new ids of groups where a configuration or a snapshot has the old ones.
    pub(crate) fn follow_moves(&mut self) {
        for (from, to) in self.bot.follow_moves() {
            self.rename_chat(from, to);
        }
    }

    fn rename_chat(&mut self, from: i64, to: i64) {
        self.outbox.rename_chat(from, to);
        self.sites.rename_chat(from, to);
        self.alerts.rename_chat(from, to);
    }

    /// A `/check` has its permit: its sites are checked now.
    pub(crate) fn admitted(&mut self, now: Now, job: u64) {
        let moment = now.moment();
        for name in self.bot.admitted(moment, job, &mut self.actions) {
            let Some(at) = self.sites.find(&name) else {
                continue;
            };
            if self.sites[at].is_paused() {
                self.note_in_jobs(now, &name, &JobResult::Paused);
                continue;
            }
            self.expiry.inspect_now(now, &self.sites[at]);
            let watched = &mut self.sites[at];
            let (clock_set, actions) = (self.clock.is_set(), &mut self.actions);
            if !watched.check_under_way()
                && !self.schedule.start(moment, clock_set, watched, actions)
                && !self.schedule.stopping()
            {
                let result = JobResult::Bad("the clock is not set yet".into());
                self.note_in_jobs(now, &name, &result);
            }
        }
        // Its sites may all be gone.
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.finish_jobs(now, outbox, actions);
    }

    /// A check has ended: every `/check` that waits for it takes the result.
    pub(crate) fn note_in_jobs(&mut self, now: Now, name: &str, result: &JobResult) {
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.on_result(now, name, result, outbox, actions);
    }

    /// The rules of the file have been applied to what a user wants to add.
    pub(crate) fn examined(&mut self, now: Now, id: u64, result: Result<Site, String>) {
        let (clock_set, actions) = (self.clock.is_set(), &mut self.actions);
        let answer = self
            .bot
            .examined(id, result, &self.sites, clock_set, actions);
        if let Some((requester, html)) = answer {
            self.answer(now, &requester, html.into());
        }
    }

    /// The first check of a site that a user wants to add has ended.
    pub(crate) fn tried(&mut self, now: Now, id: u64, outcome: &Outcome) {
        let (sites, actions) = (&self.sites, &mut self.actions);
        let Some(end) = self.bot.tried(now.moment(), id, outcome, sites, actions) else {
            return;
        };
        if let Some(site) = end.site {
            let text = format!("{} was added{}", site.name, by_user(&end.requester));
            let sites = self.sites.iter().map(|w| w.config().clone());
            let sites = sites.chain([site]).collect();
            self.take_sites(now, sites);
            self.sites_changed(now);
            self.actions.log(Level::Info, text);
        }
        self.answer(now, &end.requester, end.html.into());
    }

    fn answer(&mut self, now: Now, requester: &Requester, content: ReplyContent) {
        content.send(now.moment(), requester, &mut self.outbox);
    }

    pub(crate) fn update(&mut self, now: Now, update: Update) {
        let execution = Execution {
            bot: &mut self.bot,
            view: View {
                sites: &self.sites,
                details: SiteDetails {
                    incidents: &self.incidents,
                    expiry: &self.expiry,
                    history: &self.history,
                    dated: self.clock.is_set(),
                },
                alerts: &self.alerts,
                uplink: &self.uplink,
                schedule: &self.schedule,
                now,
            },
            outbox: &mut self.outbox,
            actions: &mut self.actions,
            orders: Vec::new(),
            update: update.id,
        };
        for order in execution.on_update(update) {
            self.execute(now, order);
        }
    }

    fn execute(&mut self, now: Now, order: Order) {
        let moment = now.moment();
        match order {
            Order::KeepOffset => return self.save_schedule.within_5_min(moment),
            Order::MoveChat { from, to } => return self.chat_moved(now, from, to),
            Order::ShowSite {
                requester,
                site,
                note,
            } => {
                let (schedule, details) = (&self.schedule, self.details());
                let mut content =
                    about_site(&self.sites, site, requester.chat, schedule, details, now);
                content.html.push_str(&note);
                return self.answer(now, &requester, content);
            }
            Order::MuteAll(until, note) => {
                self.alerts.mute_all(Some(until));
                self.note_in_all_alerts(moment, note);
            }
            Order::UnmuteAll(note) => {
                self.alerts.mute_all(None);
                self.sites.iter_mut().for_each(|w| w.mute(None));
                self.note_in_all_alerts(moment, note);
            }
            Order::Mute { sites, until, note } => {
                self.sites.mute(&sites, until);
                let names = sites.iter().map(|&at| self.sites[at].name());
                let open = names.filter_map(|name| self.incidents.open_of(name));
                let open: Vec<u32> = open.map(|i| i.number()).collect();
                self.note_in_alerts(moment, &open, note);
            }
            Order::Run {
                action,
                incident,
                asked,
            } => return self.run_for(now, &action, incident, asked),
            Order::Acknowledge {
                incidents,
                by,
                note,
            } => {
                self.incidents.acknowledge(&incidents, &by);
                self.note_in_alerts(moment, &incidents, note);
            }
            Order::Pause(at) => {
                let name = self.reset_site(moment, at, true);
                self.schedule.clear(at);
                self.close_incident(&name, moment);
                self.sites
                    .refresh_reach(moment, self.uplink.has_fault(UplinkFault::NoConnection));
            }
            Order::Resume(at) => {
                self.reset_site(moment, at, false);
                self.schedule.at(at, moment);
                self.sites
                    .refresh_reach(moment, self.uplink.has_fault(UplinkFault::NoConnection));
            }
            Order::Remove { name, by } => {
                let rest = self.sites.iter().filter(|w| w.name() != name);
                let sites = rest.map(|w| w.config().clone()).collect();
                self.take_sites(now, sites);
                self.sites_changed(now);
                self.actions
                    .log(Level::Info, format!("{name} was removed{by}"));
            }
        }
        self.save_schedule.immediately();
    }

    fn surroundings(&self) -> Surroundings {
        let muted = self.alerts.muted_until();
        Surroundings {
            muted_until: muted.filter(|_| !mutated!("run an action while all is muted")),
            clock_set: self.clock.is_set() || mutated!("run an action by a clock that is doubted"),
            offline_since: self.uplink.offline_since(),
        }
    }

    /// When [`Monitor::run_by_itself`] has something to do that no event brings about.
    pub(crate) fn next_run(&self, now: Moment) -> Option<Moment> {
        let due = self.incidents.due_runs(&self.sites, self.surroundings());
        due.iter().map(|run| run.at).filter(|at| *at > now).min()
    }

    /// Requests the runs that are due by themselves.
    pub(crate) fn run_by_itself(&mut self, now: Now) {
        let moment = now.moment();
        for due in self.incidents.due_runs(&self.sites, self.surroundings()) {
            let recent = Moment(moment.0 - PROBED_WITHIN.as_millis() as i64);
            let probed = due.elsewhere && self.uplink.has_targets();
            if due.at <= moment
                && (!probed
                    || mutated!("run an action without a look at the uplink")
                    || self
                        .uplink
                        .result_since(due.at.max(recent), false)
                        .is_some_and(|result| result.up))
            {
                self.request_run(now, due.request);
            }
        }
    }

    /// A user has confirmed that an action is to run, because of this incident if of one.
    fn run_for(&mut self, now: Now, action: &str, incident: Option<u32>, asked: Asked) {
        let all = self.incidents.remediations();
        let Some(remediation) = all.named(action).filter(|r| !all.is_under_way(&r.name)) else {
            return;
        };
        let of_it = |i: &&Incident| {
            let site = self.sites.named(i.site());
            let seen = i.visible_to(asked.chat, &self.sites);
            seen && site.is_some_and(|site| remediation.is_for(site.config()))
        };
        let known = incident.and_then(|number| self.incidents.get(number));
        let incident = known.or_else(|| self.incidents.iter_open().find(of_it));
        let only = match remediation.sites.as_slice() {
            [site] => site.as_str(),
            _ => "",
        };
        let site = self.sites.named(incident.map_or(only, Incident::site));
        let request = RunRequest {
            action: remediation.name.clone(),
            site: site.map_or("", |site| site.name()).to_owned(),
            state: site.map_or("", |site| site.state().word()).to_owned(),
            cause: incident.map_or("", Incident::cause).to_owned(),
            incident: incident.map(Incident::number),
            asked: Some(asked),
        };
        self.request_run(now, request);
    }

    fn request_run(&mut self, now: Now, request: RunRequest) {
        let id = self.outbox.take_id();
        let covers = (
            self.incidents.next_number() - 1,
            self.uplink.offline_since().is_some(),
        );
        let all = self.incidents.remediations_mut();
        all.request(id, request, covers, now.moment());
        if mutated!("run an action before that is on disk") {
            self.start_runs(now.moment(), id);
        }
        self.save_schedule.immediately();
    }

    /// What was requested up to this id is on disk.
    pub(crate) fn start_runs(&mut self, now: Moment, id: u64) {
        let around = self.surroundings();
        let started = self
            .incidents
            .start_saved_runs(id, &self.sites, around, now);
        for (id, request) in started {
            self.actions.log(Level::Info, runs::begins(&request));
            self.actions.push(Action::Run { id, request });
        }
    }

    /// A run has ended.
    pub(crate) fn ran(&mut self, now: Now, id: u64, result: &str) {
        let all = self.incidents.remediations_mut();
        if let Some(run) = all.on_ended(id, now.moment()) {
            self.save_schedule.immediately();
            self.tell_of_run(now, &run, result);
        }
    }

    /// The result of a run takes the place of the question, and stands under the alerts of its incident;
    /// where their text is not known any more, or they have not arrived, it is an alert of its own.
    pub(crate) fn tell_of_run(&mut self, now: Now, run: &Run, result: &str) {
        let moment = now.moment();
        let request = &run.request;
        let text = runs::result(request, result, true);
        self.actions.log(Level::Info, text.clone());
        let asked = request.asked.as_ref();
        // Of a run of before a restart the question is not asked any more.
        let answered = asked.filter(|_| run.id != 0);
        // Since the question was asked, the group may have moved, or the file lost the chat.
        let answered = answered.and_then(|asked| Some((asked, self.bot.configured(asked.chat)?)));
        if let Some((asked, chat)) = answered {
            self.outbox.push_reply(Reply {
                topic: asked.topic,
                edit: asked.message.filter(|_| chat == asked.chat),
                lasting: true,
                ..Reply::new(chat, format!("⚙️ {}", escape(&text)), moment)
            });
        }
        let site = self.sites.named(&request.site);
        let mut chats = match (site, request.incident) {
            (Some(site), Some(_)) => self.bot.access().chats_of(site.config()),
            (None, Some(number)) => {
                let messages = self.incidents.messages_of(&[number]);
                messages.into_iter().map(|(chat, _)| chat).collect()
            }
            _ if asked.is_none() => self.bot.chats().to_vec(),
            _ => asked.map(|asked| asked.chat).into_iter().collect(),
        };
        let incidents: Vec<u32> = request.incident.into_iter().collect();
        let context = SendContext::new(&self.incidents, &self.sites, moment);
        for (chat, message_id) in self.incidents.messages_of(&incidents) {
            let many = !context.part_of(chat, message_id, &incidents).is_empty();
            let note = format!("⚙️ {}", escape(&runs::result(request, result, many)));
            if !self.outbox.is_failing() && self.outbox.note(chat, message_id, &note) {
                self.outbox.outdate_keyboard(chat, message_id);
                chats.retain(|known| *known != chat);
            }
        }
        let mut chats: Vec<i64> = chats
            .iter()
            .filter_map(|c| self.bot.configured(*c))
            .collect();
        chats.retain(|chat| answered.is_none_or(|(_, answered)| answered != *chat));
        if !chats.is_empty() {
            self.notify_chats(now, chats, text);
        }
    }

    /// Pauses or resumes a site: its name.
    fn reset_site(&mut self, now: Moment, at: usize, paused: bool) -> String {
        let watched = &mut self.sites[at];
        watched.pause(paused, now);
        let name = watched.name().to_owned();
        self.alerts.on_reset(&name);
        name
    }

    fn note_in_all_alerts(&mut self, now: Moment, note: AlertNote) {
        let open: Vec<u32> = self.incidents.iter_open().map(|i| i.number()).collect();
        self.note_in_alerts(now, &open, note);
    }

    /// The alerts that told of these incidents get the buttons that fit now, and say what was done: the
    /// one whose button was pressed, or all of the chat in which a command was given.
    fn note_in_alerts(&mut self, now: Moment, incidents: &[u32], note: AlertNote) {
        let AlertNote { chat, text, press } = note;
        let but = press.as_ref().map(|(p, _)| (p.chat, p.message_id));
        let context = SendContext::new(&self.incidents, &self.sites, now);
        let typed = press.is_none();
        if let Some((press, numbers)) = press
            && let Some(message_id) = press.message()
        {
            let (message, html) = ((press.chat, message_id), press.html);
            let of = context.part_of(press.chat, message_id, incidents);
            self.outbox.annotate(
                message,
                html.as_deref(),
                &format!("{text}{of}"),
                context.buttons(&numbers),
                now,
            );
        }
        for (in_chat, message_id) in self.incidents.messages_of(incidents) {
            if Some((in_chat, message_id)) == but {
                continue;
            }
            if typed && in_chat == chat {
                let of = context.part_of(in_chat, message_id, incidents);
                self.outbox
                    .note(in_chat, message_id, &format!("{text}{of}"));
            }
            self.outbox.outdate_keyboard(in_chat, message_id);
        }
    }

    pub(crate) fn answer_stats(&mut self, now: Now, requester: &Requester, vitals: &Vitals) {
        let visible = self.sites.visible(requester.chat);
        let all = visible.len() == self.sites.len();
        let tally = Tally {
            sites: visible.len(),
            checks: match all {
                true => self.history.checks(),
                false => visible.iter().map(|&at| self.sites[at].checks()).sum(),
            },
            late: self.schedule.round_counts(),
            internal_errors: self.history.internal_errors(),
            excused: self.uplink.excused_checks(),
            alerts_waiting: match all {
                true => self.outbox.waiting_alerts(),
                false => {
                    let waiting = self.outbox.alerts();
                    waiting
                        .filter(|a| a.chats.contains(&requester.chat))
                        .count()
                }
            },
        };
        let channels = match all {
            true => self.outbox.channel_lines(),
            false => Vec::new(),
        };
        let late = self.schedule.late_figures();
        let text = stats::render(vitals, tally, late.as_deref(), &channels);
        self.answer(now, requester, text.into());
    }

    /// Ends the site's open incident: nothing can be done about it any more.
    pub(crate) fn close_incident(&mut self, site: &str, now: Moment) -> Option<Incident> {
        let alerts = &self.alerts;
        let notified = |number| alerts.notified(&Topic::Incident(number)).is_some();
        let ended = self.incidents.close(site, now, notified)?;
        for &(chat, message_id) in ended.messages() {
            self.outbox.outdate_keyboard(chat, message_id);
        }
        Some(ended)
    }
}

/// What a site does over and over is not worth a line each in a log that may be on flash.
fn level_of(notice: ChangeNotice) -> Level {
    match notice {
        ChangeNotice::Silent => Level::Debug,
        ChangeNotice::Normal | ChangeNotice::Flapping => Level::Info,
    }
}
