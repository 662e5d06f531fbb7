//! Selects the next message to send: answers first, then alerts, which may wait to be batched; at
//! most one of each in flight for a chat.

use crate::monitor::alert::batching::{Unsettled, hold_until};
use crate::monitor::alert::words::{ComposedAlert, compose, first_message};
use crate::monitor::alert::{Alert, Notification};
use crate::monitor::outbox::message::{CONSOLE, Message};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::outbox::{
    InFlight, Kind, Outbox, Outgoing, Payload, REPLY_LIFE, Reply, kind_of,
};
use crate::monitor::render::replies::printed_lines;
use crate::monitor::render::text::{escape, link};
use crate::monitor::site::Check;
use crate::monitor::time::{Moment, Now};
use std::collections::BTreeSet;

impl Outbox {
    /// Returns the next message that may be sent now, answers first.
    pub(crate) fn next_send(
        &mut self,
        now: Now,
        unsettled: Unsettled,
        context: &SendContext,
    ) -> Option<Outgoing> {
        if !self.any_waiting() || self.everywhere.holds(now.moment()).is_some() {
            return None;
        }
        self.next_reply(now)
            .or_else(|| self.next_alert(now, unsettled, context))
    }

    /// Returns when to call [`Outbox::next_send`] again if nothing else happens.
    pub fn next_due(&self, now: Now, unsettled: Unsettled) -> Option<Moment> {
        let moment = now.moment();
        if !self.any_waiting() {
            return None;
        }
        let everywhere = self.everywhere.holds(moment);
        if everywhere.is_some() {
            return everywhere;
        }
        let chats = self.chats_waiting();
        chats
            .iter()
            .filter_map(|chat| {
                let held = self.held(*chat, moment);
                if held.is_some() || self.in_flight(*chat, Kind::Alert) {
                    return held;
                }
                let ready = self.alerts_for(*chat);
                hold_until(&ready, self.unwritten(*chat), unsettled).filter(|until| *until > moment)
            })
            .min()
    }

    /// Updates buttons: one message at a time for each chat, and only while nothing else waits for
    /// the chat.
    pub(crate) fn refresh_keyboards(&mut self, context: &SendContext) {
        let now = context.now;
        for _ in 0..self.keyboards.outdated.len() {
            let Some((chat, message_id)) = self.keyboards.outdated.pop_front() else {
                return;
            };
            let alert_waits = self.alerts.iter().any(|a| a.chats.contains(&chat));
            if alert_waits || self.calm_at(chat).is_none_or(|at| at > now) {
                self.keyboards.outdated.push_back((chat, message_id));
                continue;
            }
            let Some(html) = self.keyboards.get(chat, message_id).map(str::to_owned) else {
                continue;
            };
            let buttons = context.buttons(&context.incidents_of(chat, message_id));
            if buttons.is_empty() {
                self.keyboards.forget(chat, message_id);
            }
            self.push_reply(Reply {
                edit: Some(message_id),
                touch_up: true,
                buttons,
                lasting: true,
                ..Reply::new(chat, html, now)
            });
        }
    }

    /// Returns when [`Outbox::refresh_keyboards`] is due, unless it waits for a delivery.
    pub(crate) fn next_keyboard(&self, now: Moment) -> Option<Moment> {
        let due = self.keyboards.outdated.iter();
        let due = due.filter_map(|(chat, _)| self.calm_at(*chat));
        due.filter(|at| *at > now).min()
    }

    fn next_reply(&mut self, now: Now) -> Option<Outgoing> {
        let moment = now.moment();
        self.replies
            .retain(|r| r.lasting || moment.since(r.queued) < REPLY_LIFE);
        let place = self.replies.iter().position(|r| {
            self.held(r.chat, moment).is_none() && !self.in_flight(r.chat, kind_of(r))
        })?;
        let reply = self.replies.remove(place)?;
        Some(self.send(moment, reply.clone(), Payload::Reply(reply)))
    }

    fn next_alert(
        &mut self,
        now: Now,
        unsettled: Unsettled,
        context: &SendContext,
    ) -> Option<Outgoing> {
        let moment = now.moment();
        for chat in self.chats_waiting() {
            if self.held(chat, moment).is_some() || self.in_flight(chat, Kind::Alert) {
                continue;
            }
            let ready = self.alerts_for(chat);
            if hold_until(&ready, self.unwritten(chat), unsettled)
                .is_none_or(|until| until > moment)
            {
                continue;
            }
            let edit = ready.iter().find_map(|a| {
                let (_, message) = a.edits.iter().find(|(c, _)| *c == chat)?;
                Some((a.id, *message))
            });
            let ready: Vec<&Alert> = match edit {
                Some((id, _)) => ready.into_iter().filter(|a| a.id == id).collect(),
                None => apart(ready),
            };
            // Private chats have no topics.
            let topic_of = |a: &Alert| {
                let site = context.sites.named(&a.site).filter(|_| chat < 0);
                site.and_then(|site| site.config().topic)
            };
            let topic = ready.first().and_then(|a| topic_of(a));
            let ready: Vec<&Alert> = ready.into_iter().filter(|a| topic_of(a) == topic).collect();
            let mut composed = compose(&ready, now, &|n| context.message_of(n, chat).is_some());
            add_notes(&mut composed, &ready, context, chat);
            let (html, ids) = first_message(&composed, &ready);
            let covered: Vec<&&Alert> = ready.iter().filter(|a| ids.contains(&a.id)).collect();
            let going_on = covered.iter().filter(|a| !a.notification.ends_incident());
            let incidents: Vec<u32> = going_on.filter_map(|a| a.incident).collect();
            let offline =
                matches!(covered[..], [a] if matches!(a.notification, Notification::Offline(_)));
            let digest =
                matches!(covered[..], [a] if matches!(a.notification, Notification::Digest { .. }));
            let buttons = context.buttons(&incidents);
            let shown = (!buttons.is_empty()).then(|| html.clone());
            let message = Message {
                chat,
                topic,
                html,
                silent: composed.silent || unsettled.quiet,
                reply_to: composed
                    .recovery_of
                    .and_then(|n| context.message_of(n, chat))
                    .filter(|message| *message != 0),
                edit: edit.map(|(_, message)| message),
                buttons,
                ..Message::default()
            };
            let payload = Payload::Alerts {
                ids,
                incidents,
                html: shown,
                offline,
            };
            let outgoing = self.send(moment, message, payload);
            return Some(Outgoing { digest, ..outgoing });
        }
        None
    }

    fn send(&mut self, now: Moment, message: Message, payload: Payload) -> Outgoing {
        let id = self.take_id();
        let alert = matches!(payload, Payload::Alerts { .. });
        let chat = message.chat;
        self.chat_states.entry(chat).or_default().last = Some(now);
        self.failing_since.get_or_insert(now);
        self.in_flight.insert(
            id,
            InFlight {
                chat,
                sent_to: chat,
                payload,
            },
        );
        Outgoing {
            id,
            message,
            alert,
            digest: false,
        }
    }

    /// Returns until when nothing may be sent to the chat.
    fn held(&self, chat: i64, now: Moment) -> Option<Moment> {
        self.chat_states.get(&chat)?.wait.holds(now)
    }

    fn chats_waiting(&self) -> BTreeSet<i64> {
        let of_alerts = self.alerts.iter().flat_map(|a| &a.chats).copied();
        of_alerts
            .chain(self.replies.iter().map(|r| r.chat))
            .collect()
    }

    fn alerts_for(&self, chat: i64) -> Vec<&Alert> {
        self.alerts
            .iter()
            .filter(|a| a.stored && a.chats.contains(&chat))
            .collect()
    }

    /// Returns when the newest alert for a chat that is not yet on disk was made.
    fn unwritten(&self, chat: i64) -> Option<Moment> {
        let waiting = self.alerts.iter().filter(|a| !a.stored);
        let mine = waiting.filter(|a| a.chats.contains(&chat));
        mine.map(|a| a.at).max()
    }
}

/// Adds addresses and notes of sites to their down alerts; lines about several sites get none.
fn add_notes(composed: &mut ComposedAlert, ready: &[&Alert], context: &SendContext, chat: i64) {
    for (line, covers) in &mut composed.lines {
        let [id] = covers[..] else { continue };
        let down = |a: &&&Alert| a.id == id && a.notification.wants_note();
        let alert = ready.iter().find(down);
        let Some(site) = alert.and_then(|a| context.sites.named(&a.site)) else {
            continue;
        };
        // A terminal does not open links.
        if let Check::Http(_) = site.config().check
            && chat != CONSOLE
        {
            line.push_str(&format!("\n{}", link(&site.config().url)));
        }
        line.extend(site.job().and_then(|job| {
            let printed = printed_lines(job.failed_lines()?)?;
            Some(format!("\n{printed}"))
        }));
        if let Some(note) = &site.config().note {
            line.push_str(&format!("\n{}", escape(note)));
        }
    }
}

/// Separates a daily summary, which is a message of its own, from the alerts before it.
fn apart(ready: Vec<&Alert>) -> Vec<&Alert> {
    let digest = |a: &&Alert| matches!(a.notification, Notification::Digest { .. });
    let alone = match ready.iter().position(digest) {
        Some(0) => 1,
        Some(before) => before,
        None => ready.len(),
    };
    ready.into_iter().take(alone).collect()
}
