//! What the long poll asks next and what it makes of an answer: a state machine without sockets or
//! clock. [`super::telegram`] asks [`Poller::next`], calls, hands the answer to
//! [`Poller::on_answer`] and does what the [`Step`] says.

use super::api::{self, ApiError, Refusal, Unreadable};
use crate::http::{Answer, CallError};
use crate::monitor::outbox::message::{Content, Update};
use log::Level;
use std::time::Duration;

/// Updates asked for at once; Telegram's most.
const MAX_UPDATES: u32 = 100;
/// Long-poll times over this are clamped by Telegram.
const LONGEST_POLL: Duration = Duration::from_secs(50);
/// Two polls that bring nothing new are at least this far apart.
const LEAST_INTERVAL: Duration = Duration::from_millis(500);
/// When no poll has brought everything there was for so long, the next one doesn't wait at Telegram.
/// What is there already comes with it; what comes with a later one cannot be older than this one.
const BACKLOG_AFTER: Duration = Duration::from_secs(60);
/// Between tries while the token is refused.
pub const UNAUTHORISED_WAIT: Duration = Duration::from_secs(5 * 60);
/// Between tries while another program polls: Telegram delays its answers as long.
const CONFLICT_WAIT: Duration = Duration::from_secs(3);
/// What goes on for long is logged, and a webhook deleted, at most this often.
const MINUTE: Duration = Duration::from_secs(60);
pub const WEBHOOK_DELETED: &str = "A webhook was set for this bot and kept its commands from sitemon: \
                                   it was deleted. If another program needs it, give sitemon a bot \
                                   of its own.";
/// A new count of updates, which begins at a random number, does not begin so close below the old one.
const CLOSE: i64 = 50;
/// The longest back-off.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// A lone update whose answer was cut off so often in a row is taken for unreadable.
const CUT_OFF_TRIES: u32 = 3;

/// What the poll has to tell the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollEvent {
    /// In Telegram's order; never empty. Their ids are confirmed with the next poll.
    Updates(Vec<Update>),
    /// Who we are: `/cmd@username` is ours.
    Bot { username: String },
    /// Worth telling in the chat, plain text.
    Notice(String),
}

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    GetMe,
    SetMyCommands,
    DeleteWebhook,
    /// `timeout` is the long-poll time, 0 to 50 s.
    GetUpdates {
        offset: Option<i64>,
        limit: u32,
        timeout: Duration,
    },
}

/// What to do after an answer, in this order: log, hand over the events, wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub log: Vec<(Level, String)>,
    pub events: Vec<PollEvent>,
    pub wait: Duration,
}

impl Step {
    fn note(&mut self, level: Level, text: impl Into<String>) {
        self.log.push((level, text.into()));
    }
}

/// See the module.
pub struct Poller {
    stage: Stage,
    set_commands: bool,
    timeout: Duration,
    offset: Option<i64>,
    /// Updates from this id up to `offset` were handed over: what brings one of them again is an old
    /// answer, such as a relay's cache has.
    floor: Option<i64>,
    /// When a poll last brought everything there was.
    drained: Option<Duration>,
    /// 1 to [`MAX_UPDATES`]: 1 after an answer that could not be read, then doubled with every one that could.
    limit: u32,
    /// When the call that is under way was begun.
    started: Duration,
    outage: Option<Outage>,
    /// Answers to a lone update that were cut off in a row.
    cut_off: u32,
    unauthorised_told: bool,
    conflict_told: Option<Duration>,
    flood_told: Option<Duration>,
    webhook_deleted: Option<Duration>,
    jitter: Jitter,
}

#[derive(Clone, Copy)]
enum Stage {
    GetMe,
    SetMyCommands,
    DeleteWebhook,
    GetUpdates,
}

/// Failures in a row.
struct Outage {
    since: Duration,
    failures: u32,
}

impl Poller {
    /// `offset` is the first update id wanted; `set_commands` = [`Request::SetMyCommands`] is asked
    /// once; `poll` is the long-poll time; `seed` scatters the back-off.
    pub fn new(offset: Option<i64>, set_commands: bool, poll: Duration, seed: u64) -> Poller {
        Poller {
            stage: Stage::GetMe,
            set_commands,
            timeout: poll.min(LONGEST_POLL),
            offset,
            floor: offset.map(|offset| offset.saturating_sub(CLOSE)),
            drained: None,
            limit: MAX_UPDATES,
            started: Duration::ZERO,
            outage: None,
            cut_off: 0,
            unauthorised_told: false,
            conflict_told: None,
            flood_told: None,
            webhook_deleted: None,
            jitter: Jitter(seed | 1),
        }
    }

    /// The call to make at `now`, any monotonic time.
    pub fn next(&mut self, now: Duration) -> Request {
        self.started = now;
        match self.stage {
            Stage::GetMe => Request::GetMe,
            Stage::SetMyCommands => Request::SetMyCommands,
            Stage::DeleteWebhook => Request::DeleteWebhook,
            Stage::GetUpdates => Request::GetUpdates {
                offset: self.offset,
                limit: self.limit,
                timeout: self.patience(now),
            },
        }
    }

    /// The requests go another way from now on: what was under way is asked anew, and a back-off is over.
    pub fn on_other_route(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.failures = 0;
        }
    }

    /// The first update id that no step has handed over; `None` = Telegram knows.
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// The answer to the call that [`Poller::next`] wanted.
    pub fn on_answer(&mut self, now: Duration, outcome: Result<Answer, CallError>) -> Step {
        let mut step = Step::default();
        let judged = match self.stage {
            Stage::GetMe => api::read_me(outcome).map(|me| self.on_me(me, &mut step)),
            Stage::SetMyCommands => {
                self.on_commands_set(api::read_done(outcome), &mut step);
                return step;
            }
            Stage::DeleteWebhook => {
                api::read_done(outcome).map(|()| self.on_webhook_deleted(&mut step))
            }
            Stage::GetUpdates => {
                api::read_updates(outcome).map(|updates| self.on_updates(now, updates, &mut step))
            }
        };
        match judged {
            Ok(()) => {
                self.unauthorised_told = false;
                self.reached(now, &mut step);
            }
            Err(error) => self.on_error(now, error, &mut step),
        }
        step
    }

    fn on_me(&mut self, me: api::Me, step: &mut Step) {
        step.note(
            Level::Info,
            format!("Telegram knows us as @{}", me.username),
        );
        step.events.push(PollEvent::Bot {
            username: me.username,
        });
        self.stage = if self.set_commands {
            Stage::SetMyCommands
        } else {
            Stage::GetUpdates
        };
    }

    /// The list of commands is a convenience: without it we go on.
    fn on_commands_set(&mut self, done: Result<(), ApiError>, step: &mut Step) {
        if let Err(error) = done {
            step.note(
                Level::Warn,
                format!("Telegram did not take the list of commands: {error}"),
            );
        }
        self.stage = Stage::GetUpdates;
    }

    fn on_webhook_deleted(&mut self, step: &mut Step) {
        step.note(Level::Warn, WEBHOOK_DELETED);
        step.events.push(PollEvent::Notice(WEBHOOK_DELETED.into()));
        self.stage = Stage::GetUpdates;
    }

    fn on_updates(&mut self, now: Duration, mut updates: Vec<Update>, step: &mut Step) {
        self.cut_off = 0;
        let brought = updates.len();
        updates.retain(|update| !self.is_old(update.id));
        let drained = brought < self.limit as usize && updates.len() == brought;
        // More than was asked for comes from another server than Telegram's: the rest is not confirmed,
        // and comes again.
        updates.truncate(self.limit as usize);
        let waited = self.waited(now);
        for update in &mut updates {
            match &mut update.content {
                Some(Content::Message(message)) => message.waited = waited,
                Some(Content::Press(press)) => press.waited = waited,
                Some(Content::Moved { .. }) | None => {}
            }
        }
        if drained {
            self.drained = Some(now);
        }
        self.limit = if drained {
            MAX_UPDATES
        } else {
            (self.limit * 2).min(MAX_UPDATES)
        };
        // Telegram may begin a new count after a week without updates: the last id counts, be it
        // smaller than those before.
        let offset = updates
            .iter()
            .map(|update| update.id)
            .max()
            .map(|id| id.saturating_add(1));
        if offset.is_none() || offset <= self.offset {
            step.wait = self.pace(now);
        }
        if offset.is_some() {
            let first = updates.iter().map(|update| update.id).min();
            self.floor = self.floor.or(first).min(first);
            self.offset = offset;
            step.events.push(PollEvent::Updates(updates));
        }
    }

    fn is_old(&self, id: i64) -> bool {
        let range = self.floor.zip(self.offset);
        range.is_some_and(|(floor, offset)| (floor..offset).contains(&id))
    }

    fn on_error(&mut self, now: Duration, error: ApiError, step: &mut Step) {
        match error {
            ApiError::Unreachable { .. } => self.failed(now, &error, step),
            ApiError::Unreadable(unreadable) => self.on_unreadable(now, unreadable, step),
            ApiError::Refused(Refusal {
                code: code @ (401 | 404),
                ..
            }) => {
                self.reached(now, step);
                if !self.unauthorised_told {
                    self.unauthorised_told = true;
                    let text = format!(
                        "Telegram refuses the token ({code}): check `token` in sitemon.conf with @BotFather; \
                         trying again every 5 minutes"
                    );
                    step.note(Level::Error, text);
                }
                step.wait = UNAUTHORISED_WAIT;
            }
            ApiError::Refused(Refusal {
                code: 409,
                description,
                ..
            }) => {
                self.reached(now, step);
                self.on_conflict(now, &description, step);
            }
            ApiError::Refused(Refusal {
                code: 429,
                retry_after: Some(wait),
                ..
            }) => {
                self.reached(now, step);
                if due(&mut self.flood_told, now) {
                    step.note(
                        Level::Warn,
                        format!("Telegram wants {} s of rest (429)", wait.as_secs()),
                    );
                }
                step.wait = wait;
            }
            ApiError::Refused(_) => self.failed(now, &error, step),
        }
    }

    fn on_conflict(&mut self, now: Duration, description: &str, step: &mut Step) {
        if !api::names_webhook(description) {
            if due(&mut self.conflict_told, now) {
                let text = "another program asks for this bot's updates (409): its commands reach us only now and \
                            then; stop the other one, or give sitemon a bot of its own";
                step.note(Level::Warn, text);
            }
            self.stage = Stage::GetUpdates;
            step.wait = CONFLICT_WAIT;
        } else if due(&mut self.webhook_deleted, now) {
            self.stage = Stage::DeleteWebhook;
        } else {
            self.stage = Stage::GetUpdates;
            let since = self.webhook_deleted.unwrap_or(now);
            step.wait = (since + MINUTE).saturating_sub(now);
        }
    }

    /// One poisoned update must not stop those behind it: they are asked for one by one, so that
    /// none is skipped but the one that can't be read.
    fn on_unreadable(&mut self, now: Duration, unreadable: Unreadable, step: &mut Step) {
        if !matches!(self.stage, Stage::GetUpdates) {
            return self.failed(now, &ApiError::Unreadable(unreadable), step);
        }
        if self.limit > 1 {
            self.limit = 1;
            step.note(
                Level::Warn,
                "Telegram's updates can't be read: asking for them one by one",
            );
            step.wait = self.pace(now);
            return;
        }
        if unreadable.cut_off {
            self.cut_off += 1;
        }
        match unreadable.update_id {
            Some(id) if self.is_old(id) => step.wait = self.pace(now),
            Some(id) if !unreadable.cut_off || self.cut_off >= CUT_OFF_TRIES => {
                self.cut_off = 0;
                self.offset = Some(id.saturating_add(1));
                self.reached(now, step);
                step.note(Level::Warn, format!("update {id} can't be read: skipped"));
                step.events
                    .push(PollEvent::Updates(vec![Update { id, content: None }]));
                step.wait = self.pace(now);
            }
            _ => self.failed(now, &ApiError::Unreadable(unreadable), step),
        }
    }

    /// Backs off; the first failure of an outage alone is logged.
    fn failed(&mut self, now: Duration, error: &ApiError, step: &mut Step) {
        let outage = self.outage.get_or_insert(Outage {
            since: now,
            failures: 0,
        });
        outage.failures = outage.failures.saturating_add(1);
        if outage.failures == 1 {
            let text = match error {
                ApiError::Unreachable { text } => {
                    format!("Telegram can't be reached, trying again: {text}")
                }
                error => format!("Telegram doesn't serve us, trying again: {error}"),
            };
            step.note(Level::Warn, text);
        }
        step.wait = self.jitter.back_off(outage.failures);
        if matches!(self.stage, Stage::DeleteWebhook) {
            self.stage = Stage::GetUpdates;
        }
    }

    /// Telegram answered, whatever it said.
    fn reached(&mut self, now: Duration, step: &mut Step) {
        if let Some(outage) = self.outage.take() {
            let seconds = now.saturating_sub(outage.since).as_secs();
            step.note(
                Level::Info,
                format!("Telegram can be reached again, after {seconds} s"),
            );
        }
    }

    /// How long the next poll is to wait at Telegram for something to bring.
    fn patience(&self, now: Duration) -> Duration {
        match self.drained {
            Some(at) if now.saturating_sub(at) < BACKLOG_AFTER => self.timeout,
            _ => Duration::ZERO,
        }
    }

    /// How long what a poll brings may have waited at most: nothing was left by the one before.
    fn waited(&self, now: Duration) -> Duration {
        self.drained
            .map_or(Duration::MAX, |at| now.saturating_sub(at))
    }

    /// What is missing until [`LEAST_INTERVAL`] after the call was begun.
    fn pace(&self, now: Duration) -> Duration {
        (self.started + LEAST_INTERVAL).saturating_sub(now)
    }
}

/// At most once a minute: whether `last` is that long ago, and is `now` from here on.
fn due(last: &mut Option<Duration>, now: Duration) -> bool {
    let due = last.is_none_or(|last| now.saturating_sub(last) >= MINUTE);
    if due {
        *last = Some(now);
    }
    due
}

/// A small xorshift generator (Marsaglia, "Xorshift RNGs", 2003). Never zero.
struct Jitter(u64);

impl Jitter {
    /// The wait after so many failures in a row: 1 to 2 s, then twice as long each, 30 to 60 s at most.
    fn back_off(&mut self, failures: u32) -> Duration {
        let longest = Duration::from_secs(1 << failures.min(6)).min(LONGEST_BACK_OFF);
        let half = longest / 2;
        half + Duration::from_millis(self.next() % (half.as_millis() as u64 + 1))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

#[cfg(test)]
#[path = "poller_tests.rs"]
mod tests;
