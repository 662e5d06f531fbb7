//! Channels besides the chats: their server, and the check that what it received was true,
//! complete, and sent once.

use crate::dice::{Span, any_at, any_in};
use crate::facts::Facts;
use crate::model::{Judgement, may_repeat_after, raised};
use crate::plan::*;
use crate::read::{Said, lines, number};
use crate::record::{Attempt, ChannelAttempt, clock};
use crate::world::{Occurrence, World};
use sitemon::monitor::Event;
use sitemon::monitor::outbox::channels::placeholders::Placeholder;
use sitemon::monitor::outbox::channels::{Channel, ChannelSend, When};
use sitemon::monitor::outbox::message::Delivery;
use std::time::Duration;

const ALL: &str = "all";
const FALLBACK: &str = "fallback";
const UNACKNOWLEDGED: &str = "unacknowledged";
/// Uncertainty of the times of others, in ms.
const SLACK: i64 = 5 * SECOND;
/// A backoff and the time before an attempt, in ms.
const SOON: i64 = 2 * MINUTE;

const DOWN: &str = " is down: ";
const UP: &str = " is up again after ";

/// The configured channels.
pub fn configured(plan: &Plan) -> Vec<Channel> {
    let Some(channels) = &plan.channels else {
        return Vec::new();
    };
    let after = |ms: i64| Duration::from_millis(ms.unsigned_abs());
    let kinds = [
        (ALL, When::Always),
        (FALLBACK, When::TelegramFails(after(channels.fails))),
        (
            UNACKNOWLEDGED,
            When::Unacknowledged(after(channels.unacknowledged)),
        ),
    ];
    let channel = |(name, when): (&str, When)| Channel {
        name: name.to_owned(),
        when,
        sites: None,
    };
    kinds.map(channel).to_vec()
}

impl World<'_> {
    pub fn send_by_channel(&mut self, send: ChannelSend) {
        let plan = self.plan;
        let Some(channels) = &plan.channels else {
            return self.record.wrong(self.now, "there is no channel");
        };
        let ChannelSend {
            id,
            channel,
            values,
        } = send;
        if self.channels_busy.contains(&channel) {
            let text = format!("two alerts at once by {channel}");
            self.record.wrong(self.now, text);
        }
        let incident = values.get(Placeholder::Number).parse::<u32>().ok();
        let on_disk = self.disk.as_ref().map_or(0, |i| i.next_incident);
        if !self.unwritable && incident.is_some_and(|n| n >= on_disk) {
            self.record
                .wrong(self.now, "an alert goes by a channel before it is on disk");
        }
        self.channels_busy.push(channel.clone());
        let attempt = self.record.by_channels.len();
        self.record.by_channels.push(ChannelAttempt {
            at: self.now,
            channel,
            incident,
            site: values.get(Placeholder::Site).to_owned(),
            text: values.get(Placeholder::Text).to_owned(),
            arrived: None,
            confirmed: None,
        });
        self.under_way += 1;
        let latency = self.channel_dice.scale(40, 400);
        let (there, back) = (self.now + latency / 2, self.now + latency);
        let later = |after: Option<u64>| Delivery::Later {
            after: after.map(Duration::from_secs),
            everywhere: false,
            reason: "it fails".into(),
        };
        let doubted = self.monitor.as_ref().is_some_and(|m| m.doubts_clock());
        let reached = |at: i64| !any_at(&plan.cuts, at) && !any_at(&plan.names_lost, at);
        let clock_set = !self.clock_unset && !doubted;
        let (at, delivery) = if !clock_set || !reached(self.now) || !reached(there) {
            (self.now + self.channel_dice.pick(&[10, 3000]), later(None))
        } else if any_at(&channels.out, there) {
            let after = self.channel_dice.chance(30).then_some(20);
            (back, later(after))
        } else {
            self.mine(there, Occurrence::ArriveByChannel(attempt));
            let vanishes = any_at(&channels.ambiguous, there) && self.channel_dice.chance(50);
            match vanishes || !reached(back) {
                true => (self.now + 10 * SECOND, later(None)),
                false => (back, Delivery::Sent { message_id: 0 }),
            }
        };
        let answered = Occurrence::AnsweredByChannel {
            id,
            attempt,
            delivery,
        };
        self.mine(at, answered);
    }

    pub fn answered_by_channel(&mut self, id: u64, attempt: usize, delivery: Delivery) {
        self.under_way -= 1;
        let sent = &mut self.record.by_channels[attempt];
        self.channels_busy.retain(|busy| *busy != sent.channel);
        if matches!(delivery, Delivery::Sent { .. }) {
            sent.confirmed = Some(self.now);
        }
        self.feed(Event::DeliveredByChannel { id, delivery });
    }
}

pub fn judge(facts: &Facts, verdict: &mut Judgement) {
    let Some(channels) = &facts.plan.channels else {
        return;
    };
    let channels = Heard { facts, channels };
    channels.each_once(verdict);
    channels.also_is_so(verdict);
    channels.fallback_is_so(verdict);
    channels.acknowledged_is_silent(verdict);
    // A full disk and a power cut lose what was not written.
    if facts.plan.disk_full.is_empty() {
        channels.all_is_complete(verdict);
        channels.fallback_is_complete(verdict);
        channels.unacknowledged_is_complete(verdict);
    }
}

struct Heard<'a> {
    facts: &'a Facts<'a>,
    channels: &'a ChannelsPlan,
}

impl<'a> Heard<'a> {
    /// Returns the messages of a channel that arrived about an incident and contain `says`.
    fn arrived(
        &self,
        channel: &'static str,
        incident: u32,
        says: &'static str,
    ) -> impl Iterator<Item = &'a ChannelAttempt> + use<'a> {
        let all = self.facts.record.by_channels.iter();
        all.filter(move |a| {
            let it = a.channel == channel && a.incident == Some(incident);
            it && a.arrived.is_some() && a.text.contains(says)
        })
    }

    /// Returns the alerts that were sent to chats, accepted or not, each with what it says and its
    /// incident.
    fn told(&self) -> Vec<(&'a Attempt, Said, u32)> {
        let alerts = self.facts.record.attempts.iter().filter(|a| a.alert);
        let lines = alerts.flat_map(|attempt| {
            let lines = lines(&attempt.text).unwrap_or_default().into_iter();
            lines.filter_map(move |line| Some((attempt, line.said, line.incident?)))
        });
        lines.collect()
    }

    /// Returns when the incident began at the earliest, by the text of this attempt, which may have
    /// waited for Telegram.
    fn begun(&self, told: &Attempt, incident: u32) -> i64 {
        let mut lines = lines(&told.text).unwrap_or_default().into_iter();
        let line = lines.find(|line| line.incident == Some(incident));
        raised(self.facts, told.at, line.and_then(|line| line.ago)).from
    }

    /// Returns whether too many alerts waited and were merged into one.
    fn merged(&self) -> bool {
        let mut all = self.facts.record.by_channels.iter();
        all.any(|a| a.text.contains("older alert"))
    }

    fn each_once(&self, verdict: &mut Judgement) {
        let all = &self.facts.record.by_channels;
        for (place, again) in all.iter().enumerate().filter(|(_, a)| a.arrived.is_some()) {
            let what = [DOWN, UP]
                .into_iter()
                .find(|what| again.text.contains(what));
            let (Some(what), Some(number)) = (what, again.incident) else {
                continue;
            };
            let like = |a: &&ChannelAttempt| {
                a.channel == again.channel && a.incident == Some(number) && a.text.contains(what)
            };
            let mut before = all[..place].iter().filter(|a| a.arrived.is_some());
            let last = before.rfind(like);
            if let Some(last) = last
                && !may_repeat_after(self.facts, last.confirmed, what == UP)
            {
                verdict.faults.push(format!(
                    "{}: {} had at {} already: {:?}",
                    clock(again.at),
                    again.channel,
                    clock(last.at),
                    again.text
                ));
            }
        }
    }

    /// Checks every "also sent by": the channel must have confirmed the alert before.
    fn also_is_so(&self, verdict: &mut Judgement) {
        for attempt in &self.facts.record.attempts {
            for line in attempt.text.lines() {
                let Some((body, names)) = line.split_once(" · also sent by ") else {
                    continue;
                };
                // A notice may name an incident without being its alert.
                let Some(incident) = number(body).filter(|_| !body.starts_with("ℹ️ ")) else {
                    continue;
                };
                for name in names.split(", ") {
                    let mut all = self.facts.record.by_channels.iter();
                    let has = |a: &ChannelAttempt| {
                        let it = a.channel == name && a.incident == Some(incident);
                        it && a.confirmed.is_some_and(|at| at <= attempt.at)
                    };
                    if !all.any(has) {
                        let at = clock(attempt.at);
                        verdict.faults.push(format!("{at}: {name} has no {body:?}"));
                    }
                }
            }
        }
    }

    fn all_is_complete(&self, verdict: &mut Judgement) {
        if self.merged() {
            return;
        }
        for (attempt, said, incident) in self.told() {
            let what = match said {
                Said::Down => DOWN,
                Said::Up(_) => UP,
                _ => continue,
            };
            let late = attempt.at > self.facts.plan.end - 5 * MINUTE;
            if self.arrived(ALL, incident, what).next().is_none() && !late {
                verdict.faults.push(format!(
                    "{}: a chat was told that #{incident}{what}…, and {ALL} never had it",
                    clock(attempt.at)
                ));
            }
        }
    }

    /// Checks that the fallback channel is silent while Telegram accepts messages.
    fn fallback_is_so(&self, verdict: &mut Judgement) {
        let record = self.facts.record;
        let mut taken: Vec<i64> = record.attempts.iter().filter_map(|a| a.confirmed).collect();
        taken.sort_unstable();
        taken.insert(0, 0);
        taken.push(self.facts.plan.end);
        let fails = self.channels.fails - SLACK;
        let gaps = taken.windows(2).map(|pair| Span::new(pair[0], pair[1]));
        let gaps: Vec<Span> = gaps.filter(|gap| gap.len() >= fails).collect();
        for sent in record.by_channels.iter().filter(|a| a.channel == FALLBACK) {
            if !gaps.iter().any(|gap| gap.from + fails <= sent.at) {
                verdict.faults.push(format!(
                    "{}: {FALLBACK} has {:?}, and Telegram never failed so long",
                    clock(sent.at),
                    sent.text
                ));
            }
        }
    }

    fn fallback_is_complete(&self, verdict: &mut Judgement) {
        let (plan, record) = (self.facts.plan, self.facts.record);
        // An alert that waits for a write may be merged with others; a moved group counts as an
        // answer.
        if plan.writes_cost() || plan.moved.is_some() || self.merged() {
            return;
        }
        for (attempt, said, incident) in self.told() {
            let wait = Span::new(attempt.at, attempt.at + self.channels.fails + SOON);
            let mut lives = record.lives.iter().map(|life| life.span);
            let lived = lives.any(|life| life.from <= wait.from && life.to > wait.to + SOON);
            let answered = record.attempts.iter().any(|a| {
                let refused = a.refused && wait.wider(MINUTE, 0).has(a.at);
                refused || a.confirmed.is_some_and(|at| wait.has(at))
            });
            let frozen = plan.frozen.iter().any(|f| f.span.meets(wait));
            let mistold = said != Said::Down || wait.to > plan.end;
            if mistold || !lived || answered || frozen {
                continue;
            }
            if self.arrived(FALLBACK, incident, DOWN).next().is_none() {
                verdict.faults.push(format!(
                    "{}: Telegram took nothing until {}, and {FALLBACK} never had #{incident}",
                    clock(wait.from),
                    clock(wait.to)
                ));
            }
        }
    }

    /// Checks that the channel of unacknowledged incidents is silent once a user has acknowledged.
    fn acknowledged_is_silent(&self, verdict: &mut Judgement) {
        let (plan, record) = (self.facts.plan, self.facts.record);
        let told = self.told();
        for sent in &record.by_channels {
            let still =
                sent.channel == UNACKNOWLEDGED && sent.text.contains(" is still down, for ");
            let Some(incident) = sent.incident.filter(|_| still) else {
                continue;
            };
            // The first attempt counts, at its due time: later ones may have waited for the server.
            let mut all = record.by_channels.iter();
            let first = all.find(|a| a.channel == sent.channel && a.incident == Some(incident));
            let first = first.map_or(sent.at, |a| a.at);
            let known = told.iter().filter(|(_, _, number)| *number == incident);
            let Some(known) = known.map(|(a, ..)| *a).min_by_key(|a| a.at) else {
                continue;
            };
            let begun = self.begun(known, incident);
            let known = known.at;
            let ups = told
                .iter()
                .filter(|(_, said, number)| *number == incident && matches!(said, Said::Up(_)));
            let ended = ups.map(|(a, ..)| a.at).min().unwrap_or(i64::MAX);
            // An /ack after the end doesn't count, even if a power cut lost that end and the
            // incident went on.
            let ended = ended.min(self.forgotten_end(&sent.site, known));
            let acknowledged = record.fed.iter().any(|fed| {
                let written = &plan.written[fed.which];
                let all = written.text == "/ack" && plan.chats.contains(&written.chat);
                let visible = self.facts.index(&sent.site).is_some_and(|at| {
                    let chats = &plan.sites[at].site.chats;
                    chats
                        .as_ref()
                        .is_none_or(|chats| chats.contains(&written.chat))
                });
                let until = ended
                    .min(first - SOON)
                    .min(begun + self.channels.unacknowledged);
                let between = Span::new(known, until).has(fed.at);
                all && visible && between && self.facts.sure(fed.which, fed.at)
            });
            if acknowledged {
                verdict.faults.push(format!(
                    "{}: {UNACKNOWLEDGED} has #{incident}, which was acknowledged",
                    clock(sent.at)
                ));
            }
        }
    }

    /// Returns when a check after `since` found the site up, if the outcome was lost. `i64::MAX`
    /// otherwise.
    fn forgotten_end(&self, site: &str, since: i64) -> i64 {
        let lost = self.facts.index(site).and_then(|at| {
            let mut checks = self.facts.record.checks[at].iter();
            checks.find(|c| c.to > since && !c.why.failed() && self.facts.forgotten(at, c))
        });
        lost.map_or(i64::MAX, |check| check.to)
    }

    fn unacknowledged_is_complete(&self, verdict: &mut Judgement) {
        let plan = self.facts.plan;
        for (attempt, said, incident) in &self.told() {
            if *said == Said::Down {
                self.goes_on(attempt, *incident, verdict);
            }
            // The end of an incident is sent to the channel that received its beginning.
            let ends = matches!(said, Said::Up(_));
            let mut begun = self.arrived(UNACKNOWLEDGED, *incident, " is still down, for ");
            let begun = begun.any(|a| a.confirmed.is_some_and(|at| at < attempt.at - SLACK));
            let late = attempt.at > plan.end - 5 * MINUTE;
            let ended = || self.arrived(UNACKNOWLEDGED, *incident, UP).next().is_some();
            // The end may be reported as "steady" or "flapping" instead.
            if ends && begun && !late && !self.merged() && !ended() {
                let at = clock(attempt.at);
                let text = format!("{at}: {UNACKNOWLEDGED} never had the end of #{incident}");
                verdict.faults.push(text);
            }
        }
    }

    /// Checks an outage that was reported, goes on, and is not acknowledged.
    fn goes_on(&self, attempt: &Attempt, incident: u32, verdict: &mut Judgement) {
        let (plan, record) = (self.facts.plan, self.facts.record);
        if attempt.text.contains(" ago") {
            // The alert was late: the outage that goes on now may be the next one.
            return;
        }
        let due = attempt.at + self.channels.unacknowledged + SOON;
        let site = lines(&attempt.text).unwrap_or_default().into_iter();
        let mut site = site.filter(|line| line.incident == Some(incident));
        let Some(site) = site.find_map(|line| self.facts.index(&line.site)) else {
            return;
        };
        let mut outages = plan.sites[site].outages.iter().map(|o| o.span);
        let outage = outages.find(|o| o.has(attempt.at) && o.to > due + SOON);
        let Some(outage) = outage else {
            return;
        };
        let whole = Span::new(outage.from, due);
        let calm = self.facts.calm(site, whole) == [whole];
        let spoken = record.fed.iter().any(|fed| {
            let text = &plan.written[fed.which].text;
            whole.wider(0, SOON).has(fed.at) && !text.starts_with("/status")
        });
        let lived = record
            .lives
            .iter()
            .any(|life| life.span.from <= whole.from && life.span.to > whole.to + SOON);
        let frozen = plan.frozen.iter().any(|f| f.span.meets(whole));
        let reread = record.reloads.iter().any(|at| whole.has(*at));
        if !calm || spoken || !lived || frozen || reread || any_in(&plan.cuts, whole) {
            return;
        }
        let says = " is still down, for ";
        if self
            .arrived(UNACKNOWLEDGED, incident, says)
            .next()
            .is_none()
        {
            verdict.faults.push(format!(
                "{}: #{incident} was not acknowledged until {}, and {UNACKNOWLEDGED} never had it",
                clock(attempt.at),
                clock(due)
            ));
        }
    }
}
