//! Alerts sent by channels besides the chats (`[[notify]]`): unacknowledged outages, alerts that
//! could not be sent to Telegram, and results of sends. [`crate::monitor::outbox::channels`]
//! decides which channel gets which alert.

use crate::monitor::alert::audience::NewAlert;
use crate::monitor::outbox::channels::ChannelEffect;
use crate::monitor::outbox::message::Delivery;
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::routing::notifier::Notifier;
use crate::monitor::{Action, Level};

impl Notifier<'_> {
    /// Sends what is due by channels.
    pub fn send_by_channels(&mut self) {
        let moment = self.now.moment();
        if self.outbox.fall_back(self.sites, moment) {
            self.save_schedule.within_1_s(moment);
        }
        let audience = self.audience();
        if self.outbox.escalate(self.alerts, self.incidents, audience) {
            self.save_schedule.immediately();
        }
        let context = SendContext::new(self.incidents, self.sites, moment);
        while let Some(send) = (self.outbox).next_channel_send(self.now, self.clock_set, &context) {
            self.actions.push(Action::SendByChannel(send));
        }
    }

    /// Takes the result of a send by a channel.
    pub fn delivered_by_channel(&mut self, id: u64, delivery: Delivery) {
        let moment = self.now.moment();
        match self.outbox.channel_delivered(id, delivery, self.now) {
            Some(ChannelEffect::Sent { silent: true }) => self.save_schedule.within_1_h(moment),
            Some(ChannelEffect::Sent { silent: false }) => self.save_schedule.within_1_s(moment),
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
                self.save_schedule.within_1_s(moment);
                let chats = self.bot.chats().to_vec();
                if first && !chats.is_empty() {
                    let text = format!("{text}. The log has others until it takes one again.");
                    self.queue_for_chats(vec![NewAlert::notice(chats, text)], &[]);
                    self.outbox.keep_from_channel(channel);
                }
            }
            None => {}
        }
    }
}
