//! The state machine of the long poll, without I/O and clock. [`super::telegram`] gets the next
//! call from [`Poller::next`], makes it, passes the response to [`Poller::on_answer`] and executes
//! the [`Step`] that it returns.

use super::api::{self, ApiError, Refusal, Unreadable};
use crate::http::{Answer, CallError};
use crate::monitor::outbox::message::{Content, Update};
use log::Level;
use std::time::Duration;

/// Maximum number of updates per poll, which is Telegram's limit.
const MAX_UPDATES: u32 = 100;
/// Telegram's limit of the long-poll time.
const LONGEST_POLL: Duration = Duration::from_secs(50);
/// Minimum time between the starts of two polls, if the first one brings no new updates.
const LEAST_INTERVAL: Duration = Duration::from_millis(500);
/// If the backlog was last empty this long ago, the next poll has a timeout of 0. It fetches what
/// is already there, so that the updates of the following one are known to be newer.
const BACKLOG_AFTER: Duration = Duration::from_secs(60);
/// Retry interval while the token is refused.
pub const UNAUTHORISED_WAIT: Duration = Duration::from_secs(5 * 60);
/// Retry interval while another program polls; Telegram delays its responses for as long.
const CONFLICT_WAIT: Duration = Duration::from_secs(3);
/// Minimum interval between logs of a lasting condition, and between deletions of a webhook.
const MINUTE: Duration = Duration::from_secs(60);
pub const WEBHOOK_DELETED: &str = "A webhook was set for this bot and kept its commands from sitemon: \
                                   it was deleted. If another program needs it, give sitemon a bot \
                                   of its own.";
/// A new sequence of update ids, which starts at a random number, isn't expected this close below
/// the old one.
const CLOSE: i64 = 50;
/// Maximum backoff.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);
/// Number of consecutive truncated responses after which a lone update counts as unreadable.
const CUT_OFF_TRIES: u32 = 3;

/// An event for the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollEvent {
    /// Updates in Telegram's order, never empty. The next poll confirms their ids.
    Updates(Vec<Update>),
    /// The bot's name: `/cmd@username` is addressed to it.
    Bot { username: String },
    /// Plain text for the chat.
    Notice(String),
}

/// A call of the Bot API.
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

/// What to do after a response, in this order: log, pass on the events, wait.
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

/// The state machine of the long poll.
pub struct Poller {
    stage: Stage,
    set_commands: bool,
    timeout: Duration,
    offset: Option<i64>,
    /// The updates from this id up to `offset` were passed on. A response that contains one of them
    /// is an old one, for example from a relay's cache.
    floor: Option<i64>,
    /// When a poll last emptied the backlog.
    drained: Option<Duration>,
    /// 1 to [`MAX_UPDATES`]: 1 after an unreadable response, then doubled with each readable one.
    limit: u32,
    /// When the current call began.
    started: Duration,
    outage: Option<Outage>,
    /// Number of consecutive truncated responses with a lone update.
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

/// A streak of failures.
struct Outage {
    since: Duration,
    failures: u32,
}

impl Poller {
    /// `offset` is the first update id to ask for; `set_commands` makes one call of
    /// [`Request::SetMyCommands`]; `poll` is the long-poll time; `seed` is for the jitter of the
    /// backoff.
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

    /// Returns the call to make at `now`, in any monotonic time.
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

    /// Resets the backoff because requests take another route from now on; the current call is
    /// repeated.
    pub fn on_other_route(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.failures = 0;
        }
    }

    /// Returns the first update id that wasn't passed on, or `None` if only Telegram knows it.
    pub fn offset(&self) -> Option<i64> {
        self.offset
    }

    /// Handles the response to the call that [`Poller::next`] returned.
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

    /// The list of commands isn't essential: a failure is only logged.
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
        // A server other than Telegram's may send more than was asked for. The rest isn't
        // confirmed, so it is sent again.
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
        // Telegram may start a new sequence of ids after a week without updates: the last id counts
        // even if it is smaller than earlier ones.
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

    /// Asks for updates one by one after an unreadable response, so that only the unreadable update
    /// is skipped.
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

    /// Backs off. Logs only the first failure of an outage.
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

    /// Notes that Telegram responded, even if with an error.
    fn reached(&mut self, now: Duration, step: &mut Step) {
        if let Some(outage) = self.outage.take() {
            let seconds = now.saturating_sub(outage.since).as_secs();
            step.note(
                Level::Info,
                format!("Telegram can be reached again, after {seconds} s"),
            );
        }
    }

    /// Returns the long-poll time of the next poll.
    fn patience(&self, now: Duration) -> Duration {
        match self.drained {
            Some(at) if now.saturating_sub(at) < BACKLOG_AFTER => self.timeout,
            _ => Duration::ZERO,
        }
    }

    /// Returns the maximum time for which the updates of a poll may have waited: the previous poll
    /// left none behind.
    fn waited(&self, now: Duration) -> Duration {
        self.drained
            .map_or(Duration::MAX, |at| now.saturating_sub(at))
    }

    /// Returns the rest of [`LEAST_INTERVAL`] since the call began.
    fn pace(&self, now: Duration) -> Duration {
        (self.started + LEAST_INTERVAL).saturating_sub(now)
    }
}

/// Returns whether at least a minute has passed since `last`; if so, sets `last` to `now`.
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
    /// Returns the wait after `failures` failures in a row: 1 to 2 s, doubled each time, at most 30
    /// to 60 s.
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
