//! Routes events of chats: commands and buttons, whose orders other components carry out; `/check`
//! and `/add`; results of sends; groups that migrate.

use crate::monitor::alert::notified::Topic;
use crate::monitor::bot::ReplyContent;
use crate::monitor::bot::check_jobs::JobResult;
use crate::monitor::bot::commands::{Execution, Order, View, about_site, by_user};
use crate::monitor::bot::moved_chats::Move;
use crate::monitor::outbox::DeliveryEffect;
use crate::monitor::outbox::alert_notes::AlertNote;
use crate::monitor::outbox::message::{Delivery, Requester, Update};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::details::SiteDetails;
use crate::monitor::site::Site;
use crate::monitor::site::outcome::Outcome;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Level, Monitor};

impl Monitor {
    pub(crate) fn update(&mut self, now: Now, update: Update) {
        let execution = self.execution(now, update.id);
        for order in execution.on_update(update) {
            self.execute(now, order);
        }
    }

    /// Returns the context for executing commands. `update`: the id of the update.
    pub(crate) fn execution(&mut self, now: Now, update: i64) -> Execution<'_> {
        let details = SiteDetails::new(&self.incidents, &self.expiry, &self.history, &self.clock);
        Execution {
            bot: &mut self.bot,
            view: View {
                sites: &self.sites,
                details,
                alerts: &self.alerts,
                uplink: &self.uplink,
                schedule: &self.schedule,
                now,
            },
            outbox: &mut self.outbox,
            actions: &mut self.actions,
            orders: Vec::new(),
            update,
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
                let mut execution = self.execution(now, 0);
                let mut content = about_site(execution.view, site, requester.chat);
                content.html.push_str(&note);
                return execution.answer(&requester, Some(content));
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
            } => return self.notifier(now).run_for(&action, incident, asked),
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
                self.notifier(now).close_incident(&name);
                self.refresh_reach(moment);
            }
            Order::Resume(at) => {
                self.reset_site(moment, at, false);
                self.schedule.at(at, moment);
                self.refresh_reach(moment);
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

    /// Pauses or resumes a site. Returns its name.
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

    fn note_in_alerts(&mut self, now: Moment, incidents: &[u32], note: AlertNote) {
        let context = SendContext::new(&self.incidents, &self.sites, now);
        self.outbox.note_in_alerts(&context, incidents, note);
    }

    /// Starts the checks of a `/check` that has got its permit.
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
        // All of its sites may have been removed.
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.finish_jobs(now, outbox, actions);
    }

    /// Passes the result of a check to every `/check` that waits for it.
    pub(crate) fn note_in_jobs(&mut self, now: Now, name: &str, result: &JobResult) {
        let (outbox, actions) = (&mut self.outbox, &mut self.actions);
        self.bot.on_result(now, name, result, outbox, actions);
    }

    /// Continues an `/add` after its site was validated by the rules of the configuration file.
    pub(crate) fn examined(&mut self, now: Now, id: u64, result: Result<Site, String>) {
        let (clock_set, actions) = (self.clock.is_set(), &mut self.actions);
        let answer = self
            .bot
            .examined(id, result, &self.sites, clock_set, actions);
        if let Some((requester, html)) = answer {
            self.answer(now, &requester, html.into());
        }
    }

    /// Continues an `/add` after the first check of its site.
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

    /// Takes the result of a send.
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

    /// Replaces the id of a group in all components.
    pub(crate) fn chat_moved(&mut self, now: Now, from: i64, to: i64) {
        let both = match self.bot.on_move(from, to) {
            // Drop its messages: a reply that is queued again would be sent and refused endlessly.
            Move::NotOurs => return self.drop_hidden(),
            // Another message was still in flight to the old id.
            Move::Known => return self.outbox.rename_chat(from, to),
            Move::New { both } => both,
        };
        // Do not repeat under the new id what was sent to both.
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
        self.notifier(now).notice_to_all(text);
    }

    /// Replaces old ids of groups that come from a configuration or a snapshot.
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
}
