//! Runs of the configured `[[action]]`s: requests, starts (once the request is on disk), ends, and
//! which chats get the result. [`crate::monitor::incident::remediation`] decides which runs are
//! due.

use crate::monitor::alert::Alerts;
use crate::monitor::incident::Incident;
use crate::monitor::incident::remediation::{Asked, Run, RunRequest, Surroundings};
use crate::monitor::outbox::Reply;
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::runs;
use crate::monitor::render::text::escape;
use crate::monitor::routing::notifier::Notifier;
use crate::monitor::time::Moment;
use crate::monitor::uplink::Uplink;
use crate::monitor::{Action, Level};
use std::time::Duration;

/// Maximum age of the probe that must have found the uplink up before an automatic run.
const PROBED_WITHIN: Duration = Duration::from_secs(60);

pub(in crate::monitor) fn surroundings(
    alerts: &Alerts,
    clock_set: bool,
    uplink: &Uplink,
) -> Surroundings {
    let muted = alerts.muted_until();
    Surroundings {
        muted_until: muted.filter(|_| !mutated!("run an action while all is muted")),
        clock_set: clock_set || mutated!("run an action by a clock that is doubted"),
        offline_since: uplink.offline_since(),
    }
}

impl Notifier<'_> {
    fn surroundings(&self) -> Surroundings {
        surroundings(self.alerts, self.clock_set, self.uplink)
    }

    /// Requests the automatic runs that are due.
    pub fn request_due_runs(&mut self) {
        let moment = self.now.moment();
        for due in self.incidents.due_runs(self.sites, self.surroundings()) {
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
                self.request_run(due.request);
            }
        }
    }

    /// Requests a run that a user has confirmed. `incident`: the incident it is for, if known.
    pub fn run_for(&mut self, action: &str, incident: Option<u32>, asked: Asked) {
        let all = self.incidents.remediations();
        let Some(remediation) = all.named(action).filter(|r| !all.is_under_way(&r.name)) else {
            return;
        };
        let of_it = |i: &&Incident| {
            let site = self.sites.named(i.site());
            let seen = i.visible_to(asked.chat, self.sites);
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
        self.request_run(request);
    }

    fn request_run(&mut self, request: RunRequest) {
        let id = self.outbox.take_id();
        let covers = (
            self.incidents.next_number() - 1,
            self.uplink.offline_since().is_some(),
        );
        let all = self.incidents.remediations_mut();
        all.request(id, request, covers, self.now.moment());
        if mutated!("run an action before that is on disk") {
            self.start_runs(id);
        }
        self.save_schedule.immediately();
    }

    /// Starts the runs up to this id, whose requests are on disk.
    pub fn start_runs(&mut self, id: u64) {
        let around = self.surroundings();
        let started = self
            .incidents
            .start_saved_runs(id, self.sites, around, self.now.moment());
        for (id, request) in started {
            self.actions.log(Level::Info, runs::begins(&request));
            self.actions.push(Action::Run { id, request });
        }
    }

    /// Ends the runs up to this id, whose requests cannot be written to disk.
    pub fn runs_not_saved(&mut self, id: u64, reason: &str) {
        for run in self.incidents.remediations_mut().on_save_failed(id) {
            let result = format!("not run, as the state cannot be written ({reason})");
            self.report_result(&run, &result);
        }
    }

    pub fn run_ended(&mut self, id: u64, result: &str) {
        let all = self.incidents.remediations_mut();
        if let Some(run) = all.on_ended(id, self.now.moment()) {
            self.save_schedule.immediately();
            self.report_result(&run, result);
        }
    }

    /// Reports the result of a run: it replaces the question, and is added to the alerts of the
    /// incident. Chats whose alert has not been delivered, or whose text is not known any more, get
    /// a notice.
    pub fn report_result(&mut self, run: &Run, result: &str) {
        let moment = self.now.moment();
        let request = &run.request;
        let text = runs::result(request, result, true);
        self.actions.log(Level::Info, text.clone());
        let asked = request.asked.as_ref();
        // After a restart the question cannot be answered any more.
        let answered = asked.filter(|_| run.id != 0);
        // The group may have migrated since, or the chat may no longer be configured.
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
        let context = SendContext::new(self.incidents, self.sites, moment);
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
            self.notice(chats, text);
        }
    }
}
