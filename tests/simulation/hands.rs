//! The process's requests to the world: checks, uplink probes, messages, writes to disk.

use crate::dice::{Span, any_at, any_in};
use crate::network;
use crate::plan::*;
use crate::record::{Arrival, Attempt, Fed, ProbeRun, Why};
use crate::world::{Image, Occurrence, World};
use nanoserde::SerJson;
use sitemon::monitor::Event;
use sitemon::monitor::outbox::Outgoing;
use sitemon::monitor::outbox::message::{Content, Delivery, Incoming, Update};
use sitemon::monitor::persist::snapshot::Snapshot;
use sitemon::monitor::site::Site;
use sitemon::monitor::site::outcome::{Failure, FailureKind};
use sitemon::monitor::site::secret_url::SecretUrl;
use sitemon::monitor::uplink::route::Route;
use std::sync::Arc;
use std::time::Duration;

/// An uplink probe is shared by all requests within this time, in ms.
const LOOKS_APART: i64 = 5 * SECOND;
/// Limit of checks of one site in a minute. Retries, checks out of turn and users' checks need far
/// fewer.
const MOST_CHECKS: u32 = 60;
/// Most alerts that may wait.
const MAX_ALERTS: usize = 1000 + 3 * 201;

/// The direct route, and proxies.
pub fn routes(count: usize) -> Vec<Route> {
    let proxy = |number| {
        let url = format!("socks5h://198.51.100.{number}:1080");
        Route::Proxy(SecretUrl::new(url.clone(), url, Vec::new()))
    };
    let proxies = (1..count).map(proxy);
    [Route::Direct].into_iter().chain(proxies).collect()
}

impl World<'_> {
    pub fn check(&mut self, site: Arc<Site>) {
        let Some(index) = self.plan.place_of(&site.name) else {
            self.record
                .wrong(self.now, format!("{} is no site", site.name));
            return;
        };
        if std::mem::replace(&mut self.running[index], true) {
            self.record
                .wrong(self.now, format!("two checks of {} at once", site.name));
        }
        let minute = self.now / MINUTE;
        let (last, count) = &mut self.hurry[index];
        *count = if *last == minute { *count + 1 } else { 1 };
        *last = minute;
        if *count == MOST_CHECKS {
            let text = format!("{MOST_CHECKS} checks of {} in a minute", site.name);
            self.record.wrong(self.now, text);
        }
        if self.clock_unset && site.url.starts_with("https:") {
            self.record.wrong(
                self.now,
                format!("{} is checked before the clock is set", site.name),
            );
        }
        let from = self.now;
        let (mut to, mut outcome, mut why) =
            network::check(self.plan, &self.plan.sites[index], from, &mut self.dice);
        let span = Span::new(from, to);
        let frozen = self
            .plan
            .frozen
            .iter()
            .find(|f| f.span.meets(span))
            .copied();
        if let Some(frozen) = frozen {
            // A check survives a standstill of a few seconds; after a longer one its timer is over,
            // or the connection is broken.
            let late =
                frozen.span.to > from + millis(site.timeout) || frozen.span.len() > 5 * SECOND;
            to = to.max(frozen.span.to);
            if late && self.dice.chance(70) {
                to = frozen.span.to + self.dice.between(1, 100);
                // A check of an unresolved name fails with a DNS error, however late its timer is.
                if outcome.failure_kind() != Some(FailureKind::Dns) {
                    let text = "no answer in time";
                    outcome.verdict = Err(Failure::new(FailureKind::Timeout, text));
                    outcome.took = None;
                    why = Why::Frozen;
                }
            }
        }
        self.mine(
            to,
            Occurrence::Checked {
                place: index,
                site,
                from,
                outcome,
                why,
            },
        );
    }

    pub fn probe(&mut self, deep: bool) {
        if std::mem::replace(&mut self.probing, true) {
            self.record.wrong(self.now, "two looks at the line at once");
        }
        let since = self.now - std::mem::replace(&mut self.looked, self.now);
        if since < LOOKS_APART && self.plan.frozen.is_empty() {
            self.record.wrong(
                self.now,
                format!("a look at the line {since} ms after the last: one was to be shared"),
            );
        }
        if !self.plan.uplink {
            self.record
                .wrong(self.now, "a look at the line without targets");
        }
        let (mut probe, mut report) = network::probe(self.plan, self.now, deep, &mut self.dice);
        let span = Span::new(probe.from, probe.to);
        if let Some(frozen) = self.plan.frozen.iter().find(|f| f.span.meets(span)) {
            (probe, report) = network::probe(self.plan, frozen.span.to, deep, &mut self.dice);
            probe.from = self.now;
        }
        self.mine(probe.to, Occurrence::Probed { probe, report });
    }

    pub fn admit(&mut self) {
        while self.permits > 0
            && let Some(job) = self.admission.pop_front()
        {
            self.permits -= 1;
            self.mine(self.now, Occurrence::Feed(Event::Admitted { job }));
        }
    }

    /// Uses another route to Telegram from now on, and polls at once.
    pub fn use_route(&mut self, route: &Route) {
        let routes = routes(self.plan.routes);
        let Some(number) = routes.iter().position(|other| other == route) else {
            return self.record.wrong(self.now, format!("{route} is no route"));
        };
        if number == self.route {
            return;
        }
        // A restart forgets which routes were tried.
        let birth = self.record.lives.last().map_or(self.now, |l| l.span.from);
        if birth == self.now {
            // The route of the life before.
            self.route = number;
            return self.poll_at(self.now + SECOND);
        }
        let minute = Span::new(birth.max(self.now - MINUTE), self.now + 1);
        let lately = self.record.routes.iter().filter(|(at, _)| minute.has(*at));
        // One more is allowed, since a route may have been tried before.
        if lately.count() > routes.len() + 1 && self.plan.frozen.is_empty() {
            self.record
                .wrong(self.now, "the routes are gone through again and again");
        }
        let failed = self.record.probes.last();
        let failed = failed.filter(|probe| probe.answered.is_none());
        // A jump of the clock looks like a standstill, during which a probe's failure says nothing.
        let counts = |probe: &ProbeRun| {
            let span = Span::new(probe.from, probe.to);
            !self.plan.jumps.iter().any(|(at, _)| span.has(*at))
        };
        if failed.is_some_and(counts) && number > self.route {
            self.record
                .wrong(self.now, "another route is used while the line is down");
        }
        self.record.routes.push((self.now, number));
        self.route = number;
        self.poll_at(self.now);
    }

    pub fn try_route(&mut self, route: Route) {
        let number = routes(self.plan.routes).iter().position(|r| *r == route);
        let (takes, failure) = match number.map(|number| self.fails_by(number, self.now)) {
            Some(Some(failure)) => failure,
            _ => (self.dice.scale(40, 400), String::new()),
        };
        let failure = Some(failure).filter(|text| !text.is_empty());
        self.mine(
            self.now + takes,
            Occurrence::Feed(Event::RouteTried { route, failure }),
        );
    }

    /// Returns the error of a request by this route and the time it takes, if it fails.
    fn fails_by(&self, route: usize, at: i64) -> Option<(i64, String)> {
        let by_line = || (!self.reachable(at)).then(|| (3 * SECOND, "no connection".to_owned()));
        let blocked = self.plan.blocked_at(route, at).map(|block| match block {
            Block::Reset => (10, "connection reset after the TLS hello".to_owned()),
            Block::Page => (100, "an answer that is not the Bot API's".to_owned()),
            Block::Hangs => (20 * SECOND, "no answer within 20s".to_owned()),
        });
        by_line().or(blocked)
    }

    /// Reports that a request by `route` has ended at `at`.
    fn route_used(&mut self, at: i64, route: usize, failure: Option<String>) {
        let routes = routes(self.plan.routes);
        if routes.len() > 1 {
            let route = routes[route].clone();
            self.mine(at, Occurrence::Feed(Event::RouteUsed { route, failure }));
        }
    }

    pub fn poll_at(&mut self, at: i64) {
        self.polls += 1;
        self.mine(at, Occurrence::Poll(self.polls));
    }

    /// Returns whether Telegram can be reached by a route that isn't blocked.
    pub fn reachable(&self, at: i64) -> bool {
        let plan = self.plan;
        let doubted = self.monitor.as_ref().is_some_and(|m| m.doubts_clock());
        !self.clock_unset
            && !doubted
            && ![&plan.cuts, &plan.names_lost, &plan.telegram_out]
                .iter()
                .any(|s| any_at(s, at))
    }

    pub fn send(&mut self, outgoing: Outgoing) {
        let Outgoing {
            id, message, alert, ..
        } = outgoing;
        let (addressed, edit) = (message.chat, message.edit);
        // The same chat, under its old or new id.
        let chat = match addressed {
            SUPERGROUP if self.plan.moved_by(self.now) => GROUP,
            other => other,
        };
        let known = self.configured(&self.plan.chats);
        if !self.plan.chats.contains(&chat) && !known.contains(&chat) {
            self.record
                .wrong(self.now, format!("a message for chat {chat}"));
        }
        if self
            .hushed
            .get(&chat)
            .is_some_and(|until| *until > self.now)
            && self.plan.frozen.is_empty()
        {
            self.record.wrong(
                self.now,
                format!("a message for chat {chat}, and Telegram had said to wait"),
            );
        }
        let on_disk = self.disk.as_ref().map_or(0, |i| i.next_incident);
        let numbers = message.html.split("(#").skip(1);
        let mut numbers = numbers.filter_map(|n| n.split(')').next()?.parse::<u32>().ok());
        if alert && !self.unwritable && numbers.any(|n| n >= on_disk) {
            self.record
                .wrong(self.now, "an alert is sent before it is on disk");
        }
        if message.html.encode_utf16().count() > 4096 {
            self.record
                .wrong(self.now, "a message too long for Telegram");
        }
        let attempt = self.record.attempts.len();
        let text = message.html;
        self.record.attempts.push(Attempt {
            at: self.now,
            chat,
            text,
            alert,
            confirmed: None,
            refused: false,
        });
        self.under_way += 1;
        let slow = self.dice.chance(self.plan.sluggish);
        let latency = if slow {
            self.dice.scale(300, 15_000)
        } else {
            self.dice.scale(40, 400)
        };
        let plan = self.plan;
        let (there, back) = (self.now + latency / 2, self.now + latency);
        let lost = |after| Delivery::Later {
            after,
            everywhere: true,
            reason: "no answer".into(),
        };
        let route = self.route;
        let open = |world: &World, at| world.reachable(at) && plan.blocked_at(route, at).is_none();
        let at_all = open(self, self.now) && open(self, there);
        let throttled = self.plan.throttled.iter();
        let throttled = throttled
            .filter(|(s, c)| s.has(there) && c.is_none_or(|c| c == chat))
            .max_by_key(|(s, _)| s.to);
        let (at, delivery) = if !at_all {
            let takes = self.dice.pick(&[10, 3000, 10_000]);
            let blocked = plan.blocked_at(route, self.now);
            let hangs = blocked == Some(Block::Hangs);
            let takes = if hangs { 20 * SECOND } else { takes };
            (self.now + takes, lost(None))
        } else if any_at(&self.plan.revoked, there) {
            let after = Duration::from_millis(REVOKED_WAIT.unsigned_abs());
            (back, lost(Some(after)))
        } else if addressed == GROUP && self.plan.moved_by(there) {
            (back, Delivery::Migrated { to: SUPERGROUP })
        } else if addressed == SUPERGROUP && !self.plan.moved_by(there) {
            let reason = "Bad Request: chat not found".into();
            (back, Delivery::Refused { reason })
        } else if let Some((span, whom)) = throttled {
            let after = Duration::from_millis((span.to - there) as u64 + 999).as_secs();
            let after = Some(Duration::from_secs(after));
            (
                back,
                Delivery::Later {
                    after,
                    everywhere: whom.is_none(),
                    reason: "429".into(),
                },
            )
        } else if self
            .plan
            .refused
            .iter()
            .any(|(s, c)| s.has(there) && *c == chat)
        {
            (
                back,
                Delivery::Refused {
                    reason: "403".into(),
                },
            )
        } else {
            self.mine(there, Occurrence::Arrive { attempt, edit });
            let vanishes = any_at(&self.plan.ambiguous, there) && self.dice.chance(50);
            if vanishes || !open(self, back) {
                (self.now + 10 * SECOND, lost(None))
            } else {
                self.next_message += 1;
                let message_id = edit.unwrap_or(self.next_message);
                (back, Delivery::Sent { message_id })
            }
        };
        let doubted = self.monitor.as_ref().is_some_and(|m| m.doubts_clock());
        // Nothing is sent before the clock is set.
        if !doubted && !self.clock_unset {
            let reason = match &delivery {
                Delivery::Later { reason, after, .. } if after.is_none() => Some(reason.clone()),
                _ => None,
            };
            self.route_used(at, route, reason);
        }
        self.mine(
            at,
            Occurrence::Answered {
                id,
                attempt,
                delivery,
            },
        );
    }

    pub fn arrive(&mut self, attempt: usize, edit: Option<i64>) {
        let Attempt {
            chat, text, alert, ..
        } = self.record.attempts[attempt].clone();
        let at = self.now;
        self.record.arrivals.push(Arrival {
            at,
            chat,
            text,
            alert,
            edit,
            attempt,
        });
    }

    /// Returns the image that would be written now.
    pub fn image(&mut self, snapshot: &Snapshot) -> Image {
        if snapshot.alerts.len() > MAX_ALERTS || snapshot.incidents.len() > 1000 {
            self.record.wrong(self.now, "the queues have no bounds");
        }
        let doubted = self.monitor.as_ref().is_none_or(|m| m.doubts_clock());
        let before = self.disk.as_ref().is_some_and(|i| i.dated);
        Image {
            dated: before || !self.clock_unset && !doubted,
            json: snapshot.serialize_json(),
            clean: snapshot.clean,
            fed: self.record.fed.len(),
            highest: self.highest,
            next_incident: snapshot.next_incident,
        }
    }

    pub fn save(&mut self) {
        if std::mem::replace(&mut self.saving, true) {
            self.record.wrong(self.now, "two writes at once");
        }
        let now = self.clocks();
        let Some(monitor) = &self.monitor else { return };
        let snapshot = monitor.snapshot(now);
        if snapshot.clean {
            self.record
                .wrong(self.now, "a snapshot in mid-life calls itself the last");
        }
        let image = self.image(&snapshot);
        let most = if self.dice.chance(10) { 2000 } else { 200 };
        let takes = self.dice.scale(5, most);
        self.mine(self.now + takes, Occurrence::Written { image });
    }

    pub fn written(&mut self, image: Image) {
        self.saving = false;
        if any_at(&self.plan.disk_full, self.now) {
            self.record.failed_writes.push(self.now);
            self.unwritable = true;
            let reason = "No space left on device".into();
            self.feed(Event::SaveFailed { reason });
        } else {
            self.keep(image);
            let blocks = u64::from(self.plan.writes_cost());
            self.feed(Event::Saved { blocks });
        }
    }

    /// Stores the image on disk, and records the write.
    pub fn keep(&mut self, image: Image) {
        self.record.writes.push((self.now, image.json.len()));
        if self.plan.keeps_images {
            self.record.images.push(image.json.clone());
        }
        let at = self.now;
        for fed in &mut self.record.fed[..image.fed] {
            fed.durable.get_or_insert(at);
        }
        self.unwritable = false;
        self.disk = Some(image);
    }

    /// Serves a `getUpdates`: its offset confirms the updates handled so far, and it returns the
    /// new ones.
    pub fn poll(&mut self) {
        let Some(last) = self.monitor.as_ref().map(|m| m.last_update()) else {
            return;
        };
        let several = self.plan.routes > 1;
        if self.confirmed as usize >= self.plan.written.len() && !several {
            return;
        }
        let doubted = self.monitor.as_ref().is_some_and(|m| m.doubts_clock());
        let failure = self.fails_by(self.route, self.now);
        let wait = if let Some((takes, reason)) = failure.clone() {
            let takes = match self.plan.blocked_at(self.route, self.now) {
                // Such a poll lasts for its own timeout, too.
                Some(Block::Hangs) => 60 * SECOND,
                _ => takes,
            };
            if !doubted && !self.clock_unset {
                self.route_used(self.now + takes, self.route, Some(reason));
            }
            Some(takes + 5 * SECOND)
        } else if any_at(&self.plan.revoked, self.now) {
            Some(REVOKED_WAIT)
        } else {
            let conflict = any_at(&self.plan.conflicts, self.now);
            conflict.then_some(3 * SECOND)
        };
        if let Some(wait) = wait {
            if failure.is_none() {
                self.route_used(self.now, self.route, None);
            }
            self.poll_at(self.now + wait);
            return;
        }
        self.route_used(self.now, self.route, None);
        self.confirmed = self.confirmed.max(last.unwrap_or(0));
        let begin = self.confirmed as usize;
        let plan = self.plan;
        let waiting = plan.written[begin..]
            .iter()
            .take_while(|w| w.at <= self.now)
            .count();
        let life = self.life;
        for which in begin..begin + waiting {
            self.hand_over(which);
            if self.life != life || self.monitor.is_none() {
                return;
            }
        }
        self.polled = Some(self.now);
        let next = plan.written.get(begin + waiting).map(|w| w.at + 100);
        if waiting > 0 {
            let pause = self.dice.pick(&[200, 200, 200, 8 * SECOND]);
            self.poll_at(self.now + pause);
        } else if let Some(next) = next {
            let next = next.max(self.now + SECOND);
            let parked = if several {
                self.now + 50 * SECOND
            } else {
                next
            };
            self.poll_at(next.min(parked));
        } else if several {
            self.poll_at(self.now + 50 * SECOND);
        }
    }

    /// Returns the longest time in ms for which an update may have waited, if none was left at
    /// `polled`. From then on a poll is always parked, unless a fault prevents it.
    fn unpolled(&self, polled: i64) -> i64 {
        let since = Span::new(polled, self.now);
        let plan = self.plan;
        let out = [
            &plan.cuts,
            &plan.names_lost,
            &plan.telegram_out,
            &plan.revoked,
            &plan.conflicts,
        ];
        let out = out.iter().any(|s| any_in(s, since))
            || plan.blocked.iter().any(|(span, ..)| span.meets(since));
        let frozen = plan.frozen.iter().any(|f| f.span.meets(since));
        if out || frozen || any_in(&self.record.doubted, since) {
            return since.len();
        }
        since.len().min(50 * SECOND)
    }

    fn hand_over(&mut self, which: usize) {
        let written = &self.plan.written[which];
        let date = WALL + written.at / 1000;
        let id = which as i64 + 1;
        let waited = self.polled.map(|at| self.unpolled(at));
        let waited = waited.map_or(Duration::MAX, |ms| Duration::from_millis(ms.unsigned_abs()));
        let chat = match written.chat {
            GROUP if self.plan.moved.is_some_and(|m| m.at < written.at) => SUPERGROUP,
            chat => chat,
        };
        let message = Incoming {
            chat,
            user: Some(1),
            text: written.text.clone(),
            date,
            waited,
            ..Incoming::default()
        };
        if self.highest.is_none_or(|highest| id > highest) {
            self.highest = Some(id);
            self.record.fed.push(Fed {
                at: self.now,
                which,
                durable: None,
                clock_off: self.clock_off,
                age: (self.now - written.at) / 1000,
                fresh: waited < Duration::from_secs(240),
            });
        }
        if written.text == MOVES {
            self.followed.get_or_insert(self.now);
        }
        let (from, to) = (GROUP, SUPERGROUP);
        let content = match written.text == MOVES {
            true => Content::Moved { from, to },
            false => Content::Message(message),
        };
        let content = Some(content);
        let update = Update { id, content };
        let again = self.dice.chance(5);
        self.feed(Event::Update(update.clone()));
        if again {
            self.feed(Event::Update(update));
        }
    }
}
