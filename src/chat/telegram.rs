//! The Telegram Bot API: sends messages and drives the long poll.

use super::api;
pub use super::api::{ApiError, Me, Refusal, Unreadable};
use super::api_types::{AnswerCallbackQuery, BotCommand, GetUpdates, SetMyCommands};
use super::message_request::{Form, JSON, Verdict, judge};
pub use super::poller::PollEvent;
use super::poller::{Poller, Request, WEBHOOK_DELETED};
use crate::clock::Clock;
use crate::http::{Answer, CallError, CallOptions, Client, HeaderValue};
use crate::machine;
use crate::monitor::outbox::message::{CallbackAnswer, Delivery, Message};
use crate::monitor::site::printable;
use crate::monitor::site::{IpVersion, Proxy};
use crate::monitor::uplink::route;
use crate::secret::{self, Secret};
use crate::timer::Timer;
use async_channel::{Receiver, Sender};
use futures_lite::FutureExt;
use nanoserde::SerJson;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Timeout of all calls except the long poll.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Time that a long poll may take in addition to its long-poll time.
const POLL_GRACE: Duration = Duration::from_secs(10);
/// While the clock isn't set: when to retry a message, and how often the poll checks the clock.
const CLOCK_WAIT: Duration = Duration::from_secs(5);
const CLOCK_LOOK: Duration = Duration::from_secs(1);
/// A topic that was closed or deleted is tried again after this time, because it may be open by
/// then.
const TOPIC_WAIT: Duration = Duration::from_secs(60 * 60);
const CLOCK_NOT_SET: &str = "clock not set";
/// Number and interval of the attempts to skip pending updates.
const SKIP_ATTEMPTS: u32 = 5;
const SKIP_WAIT: Duration = Duration::from_secs(3);
/// Maximum length of a log line in characters.
const LOG_LINE: usize = 1000;
/// Capacity of the channel of [`RouteUse`]s; more are dropped.
const REPORTS: usize = 16;

/// The Bot API server and the bot's token.
#[derive(Clone, Debug)]
pub struct Settings {
    pub token: Secret,
    /// Base URL of the Bot API, without a slash at its end.
    pub api: String,
    /// Routes to it, in the order in which they are tried; at least one.
    pub routes: Vec<route::Route>,
    /// Long-poll time of `getUpdates`, 0 to 50 s.
    pub poll: Duration,
    /// The topic for messages to groups (`message_thread_id`, 1 = General).
    pub topic: Option<i64>,
}

/// The result of a request by a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteUse {
    pub route: route::Route,
    /// Why there was no response from a Bot API; `None` if there was one.
    pub failure: Option<String>,
}

/// One bot at one Bot API server; clones share its state. Its errors and log lines never contain
/// the token.
#[derive(Clone)]
pub struct Telegram(Rc<Inner>);

struct Inner {
    client: Client,
    settings: Settings,
    clock: Clock,
    route: Route,
    routes: Routes,
    /// First update id that [`Telegram::poll`] hasn't passed on yet.
    handed_over: Cell<Option<i64>>,
    answers: Cell<Option<bool>>,
    without_topic: WithoutTopic,
}

impl Telegram {
    pub fn new(client: Client, settings: Settings, clock: Clock) -> Telegram {
        Telegram(Rc::new(Inner {
            routes: Routes::new(&settings.routes),
            client,
            settings,
            clock,
            route: Route::default(),
            handed_over: Cell::new(None),
            answers: Cell::new(None),
            without_topic: WithoutTopic::default(),
        }))
    }

    /// Uses `route` from now on. A poll by another route is restarted.
    pub fn use_route(&self, route: &route::Route) {
        let routes = &self.0.routes;
        if *routes.active.borrow() != *route {
            routes.active.replace(route.clone());
            routes.works.set(false);
            // If the channel is full, a change is already signalled.
            let _ = routes.changed.0.try_send(());
        }
    }

    /// Returns the base URL of requests by the active route, and their proxy.
    pub fn way(&self) -> (String, Proxy) {
        self.way_by(&self.0.routes.active.borrow())
    }

    fn way_by(&self, route: &route::Route) -> (String, Proxy) {
        let api = || self.0.settings.api.clone();
        match route {
            route::Route::Direct => (api(), Proxy::Environment),
            route::Route::Proxy(url) => (api(), Proxy::Server(url.clone())),
            route::Route::Relay(url) => (url.expose().to_owned(), Proxy::Environment),
        }
    }

    /// Returns whether a Bot API that accepts the token answered the last request; `None` before
    /// the first.
    #[cfg(feature = "listen")]
    pub fn answers(&self) -> Option<bool> {
        self.0.answers.get()
    }

    /// Returns a channel of results of requests by the active route, if there are several routes:
    /// each failure, and the first success after a failure or a change.
    pub fn route_uses(&self) -> Receiver<RouteUse> {
        self.0.routes.uses.1.clone()
    }

    /// Calls `getMe` by this route. Returns why no Bot API answered, or `None` if one did.
    pub async fn try_route(&self, route: &route::Route) -> Option<String> {
        if self.lacks_clock() {
            return Some(CLOCK_NOT_SET.to_owned());
        }
        let outcome = self.call_by(route, "getMe", JSON, b"{}", TIMEOUT).await;
        self.route_failure(route, &outcome)
    }

    /// Uses the first route by which a Bot API answers. For commands that run without a monitor.
    pub async fn find_route(&self) {
        for route in self
            .0
            .settings
            .routes
            .iter()
            .filter(|_| self.0.routes.several)
        {
            match self.try_route(route).await {
                None => return self.use_route(route),
                Some(cause) => log::warn!("{route}: {cause}"),
            }
        }
    }

    /// Calls `getMe` once.
    pub async fn get_me(&self) -> Result<Me, ApiError> {
        if self.lacks_clock() {
            let text = CLOCK_NOT_SET.to_owned();
            return Err(ApiError::Unreachable { text });
        }
        let outcome = self.call("getMe", "{}", TIMEOUT).await;
        api::read_me(outcome).map_err(|error| error.scrubbed(&self.0.settings.token))
    }

    /// Skips all pending updates and returns the offset for [`Telegram::poll`]. If a webhook is
    /// set, deletes it and its pending updates. Makes up to [`SKIP_ATTEMPTS`] attempts.
    pub async fn skip_pending(&self) -> Result<Option<i64>, ApiError> {
        // "All previous updates will be forgotten" (Bot API, `getUpdates`, a negative offset).
        let body = get_updates(Some(-1), 1, Duration::ZERO);
        let mut attempt = 1;
        loop {
            let error = match api::read_updates(self.call("getUpdates", &body, TIMEOUT).await) {
                Ok(updates) => return Ok(updates.last().map(|last| last.id.saturating_add(1))),
                // An unreadable update is skipped too.
                Err(ApiError::Unreadable(Unreadable {
                    update_id: Some(id),
                    ..
                })) => return Ok(Some(id.saturating_add(1))),
                Err(error) => error,
            };
            if attempt == SKIP_ATTEMPTS || error.is_unauthorised() {
                return Err(error.scrubbed(&self.0.settings.token));
            }
            attempt += 1;
            if error.is_webhook() {
                log::warn!("{WEBHOOK_DELETED}");
                let body = "{\"drop_pending_updates\":true}";
                // If this fails, the next attempt fails too.
                let _ = self.call("deleteWebhook", body, TIMEOUT).await;
                continue;
            }
            log::warn!("{}", self.line(&format!("trying again: {error}")));
            let asked = match error {
                ApiError::Refused(Refusal { retry_after, .. }) => retry_after,
                _ => None,
            };
            Timer::after(asked.unwrap_or(SKIP_WAIT)).await;
        }
    }

    /// Sends or edits a message; `png` is its drawn [`Message::picture`], without which only the
    /// text is sent. Retries at once only with a simpler form: as plain text if the HTML is
    /// refused, without a topic that is gone, as a new message if the one to edit is gone. Later
    /// retries are up to the caller.
    pub async fn send(&self, message: &Message, png: Option<&[u8]>) -> Delivery {
        if self.lacks_clock() {
            return Delivery::Later {
                after: Some(CLOCK_WAIT),
                everywhere: true,
                reason: CLOCK_NOT_SET.to_owned(),
            };
        }
        let mut form = Form::of(message, self.topic(message), png.is_some());
        loop {
            let (method, body) = form.request(message, png.unwrap_or_default());
            let content_type = body.content_type();
            let outcome = self
                .call_with(method, content_type, body.bytes(), TIMEOUT)
                .await;
            match judge(message, form, outcome) {
                Verdict::Again(simpler) => {
                    if form.topic.is_some() && simpler.topic.is_none() && message.topic.is_none() {
                        self.0.without_topic.note(message.chat, Instant::now());
                    }
                    form = simpler;
                }
                Verdict::Done(delivery) => return self.scrubbed(delivery),
            }
        }
    }

    /// Calls `answerCallbackQuery` once; a later retry would be too late.
    pub async fn answer_press(&self, answer: &CallbackAnswer) {
        let body = AnswerCallbackQuery {
            callback_query_id: answer.id.clone(),
            text: Some(answer.text.clone()).filter(|text| !text.is_empty()),
        };
        let body = body.serialize_json();
        let outcome = self.call("answerCallbackQuery", &body, TIMEOUT).await;
        match api::read_done(outcome) {
            Ok(()) => {}
            // Telegram refuses answers to presses that are too old.
            Err(ApiError::Refused(Refusal { code: 400, .. })) => {}
            Err(error) => {
                let text = format!("a pressed button could not be answered: {error}");
                log::debug!("{}", self.line(&text));
            }
        }
    }

    /// Returns the topic of a new message. Private chats have no topics.
    fn topic(&self, message: &Message) -> Option<i64> {
        const GENERAL: i64 = 1;
        let configured = || {
            let without = self.0.without_topic.has(message.chat, Instant::now());
            self.0
                .settings
                .topic
                .filter(|_| message.chat < 0 && !without)
        };
        let topic = message.topic.or_else(configured);
        // Messages to General have no topic id; Telegram refuses it.
        topic.filter(|topic| *topic != GENERAL)
    }

    /// Passes each update from `offset` on to `events`: calls `getMe`, sets the list of `commands`
    /// (unless it is empty) and then polls for ever, in spite of errors. An update is confirmed to
    /// Telegram only after `events` accepted it. Returns when `events` has no receiver.
    pub async fn poll(
        &self,
        offset: Option<i64>,
        commands: &[(&str, &str)],
        events: &Sender<PollEvent>,
    ) {
        // A clock of its own, because no decision of the monitor depends on it.
        let begun = Instant::now();
        let seed = RandomState::new().hash_one(0);
        let poll = self.0.settings.poll;
        let mut poller = Poller::new(offset, !commands.is_empty(), poll, seed);
        loop {
            while self.lacks_clock() {
                Timer::after(CLOCK_LOOK).await;
            }
            let request = poller.next(begun.elapsed());
            let answer = self.ask(request, commands);
            let Some(outcome) = self.unless_changed(answer).await else {
                poller.on_other_route();
                continue;
            };
            let step = poller.on_answer(begun.elapsed(), outcome);
            for (level, text) in step.log {
                log::log!(level, "{}", self.line(&text));
            }
            for event in step.events {
                if events.send(event).await.is_err() {
                    return;
                }
            }
            self.0.handed_over.set(poller.offset());
            let wait = async { Timer::after(step.wait).await };
            if !step.wait.is_zero() && self.unless_changed(wait).await.is_none() {
                poller.on_other_route();
            }
        }
    }

    async fn ask(&self, request: Request, commands: &[(&str, &str)]) -> Result<Answer, CallError> {
        match request {
            Request::GetMe => self.call("getMe", "{}", TIMEOUT).await,
            Request::SetMyCommands => {
                let body = set_my_commands(commands);
                self.call("setMyCommands", &body, TIMEOUT).await
            }
            Request::DeleteWebhook => self.call("deleteWebhook", "{}", TIMEOUT).await,
            Request::GetUpdates {
                offset,
                limit,
                timeout,
            } => {
                let body = get_updates(offset, limit, timeout);
                self.call("getUpdates", &body, timeout + POLL_GRACE).await
            }
        }
    }

    /// Returns the output of `work`, or `None` if the route changes first.
    async fn unless_changed<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let changed = async {
            let _ = self.0.routes.changed.1.recv().await;
            None
        };
        async { Some(work.await) }.or(changed).await
    }

    /// Confirms the updates that [`Telegram::poll`] passed on, so that they aren't sent again. For
    /// the shutdown: Telegram aborts a poll that is still running (409). One attempt.
    pub async fn confirm_pending(&self) {
        let offset = self.0.handed_over.get();
        let body = get_updates(offset, 1, Duration::ZERO);
        if offset.is_some()
            && let Err(error) = api::read_updates(self.call("getUpdates", &body, TIMEOUT).await)
        {
            let text = format!("the last updates could not be confirmed: {error}");
            log::warn!("{}", self.line(&text));
        }
    }

    /// Returns whether the clock isn't set. Then the server's certificate can't be verified, and an
    /// unverified server must not get the token.
    fn lacks_clock(&self) -> bool {
        !self.way().0.starts_with("http:") && !self.0.clock.is_believed()
    }

    /// Returns `text` as one line for the log; it may contain text from a server.
    fn line(&self, text: &str) -> String {
        let text = self.scrub(text);
        printable::line(&text, LOG_LINE)
    }

    async fn call(&self, method: &str, body: &str, timeout: Duration) -> Result<Answer, CallError> {
        self.call_with(method, JSON, body.as_bytes(), timeout).await
    }

    async fn call_with(
        &self,
        method: &str,
        content_type: HeaderValue,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let (began, routes) = (Instant::now(), &self.0.routes);
        let route = routes.active.borrow().clone();
        let outcome = self
            .call_by(&route, method, content_type, body, timeout)
            .await;
        let failure = self.route_failure(&route, &outcome);
        let status = outcome.as_ref().map_or(0, |answer| answer.status);
        let fails = failure.is_some() || status >= 500 || matches!(status, 401 | 404);
        self.0.answers.set(Some(!fails));
        if routes.several {
            // If this machine lacked a resource, the route isn't at fault.
            let ours = failure.is_some() && machine::lacked_since(began).is_some();
            let known = failure.is_none() && routes.works.get();
            if !ours && !known && *routes.active.borrow() == route {
                routes.works.set(failure.is_none());
                let _ = routes.uses.0.try_send(RouteUse { route, failure });
            }
        }
        outcome
    }

    async fn call_by(
        &self,
        route: &route::Route,
        method: &str,
        content_type: HeaderValue,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let (base, proxy) = self.way_by(route);
        let url = format!("{base}/bot{}/{method}", self.0.settings.token.expose());
        let ipv4_only = self.0.route.ipv4_only();
        let ip = if ipv4_only {
            IpVersion::V4
        } else {
            IpVersion::Any
        };
        let options = CallOptions {
            ip,
            proxy,
            // Later failures in a row aren't explained again, unless there are several routes.
            explained: self.0.routes.several || !self.0.routes.fails.get(),
        };
        let client = &self.0.client;
        let outcome = client
            .post_by(&options, &url, content_type, body, timeout)
            .await;
        let failed = matches!(outcome, Err(CallError::Failed(_)));
        self.0.routes.fails.set(failed);
        if failed {
            self.0.route.failed(ipv4_only);
        }
        outcome
    }

    /// Returns why the result of a request by `route` isn't a response of the Bot API.
    fn route_failure(
        &self,
        route: &route::Route,
        outcome: &Result<Answer, CallError>,
    ) -> Option<String> {
        // TLS through a proxy is end-to-end, but a relay answers by itself.
        let relay = matches!(route, route::Route::Relay(_));
        let verified = !relay && self.0.settings.api.starts_with("https:");
        let failure = api::route_failure(outcome, verified)?;
        Some(printable::line(&self.scrub(&failure), printable::CAUSE))
    }

    /// Returns `text` without the token and the secrets of the routes.
    fn scrub(&self, text: &str) -> String {
        let Settings { token, routes, .. } = &self.0.settings;
        let secrets = routes.iter().flat_map(route::Route::secrets);
        secrets.fold(token.scrub(text), |text, part| secret::scrub(&text, part))
    }

    fn scrubbed(&self, mut delivery: Delivery) -> Delivery {
        if let Delivery::Later { reason, .. } | Delivery::Refused { reason } = &mut delivery {
            *reason = self.scrub(reason);
        }
        delivery
    }
}

/// The active route and the results of its requests.
struct Routes {
    several: bool,
    active: RefCell<route::Route>,
    /// The last request got no response.
    fails: Cell<bool>,
    /// A [`RouteUse`] has reported that the active route works.
    works: Cell<bool>,
    uses: (Sender<RouteUse>, Receiver<RouteUse>),
    changed: (Sender<()>, Receiver<()>),
}

impl Routes {
    fn new(routes: &[route::Route]) -> Routes {
        Routes {
            several: routes.len() > 1,
            active: RefCell::new(routes.first().cloned().unwrap_or(route::Route::Direct)),
            fails: Cell::new(false),
            works: Cell::new(false),
            uses: async_channel::bounded(REPORTS),
            changed: async_channel::bounded(1),
        }
    }
}

/// The choice of address families. On some uplinks broken IPv6 resets TLS connections to
/// api.telegram.org. Each failure switches between IPv4 only and both families; what works is kept.
#[derive(Default)]
struct Route(Cell<bool>);

impl Route {
    fn ipv4_only(&self) -> bool {
        self.0.get()
    }

    /// `ipv4_only` is the choice of the failed attempt, because polls and sends fail concurrently.
    fn failed(&self, ipv4_only: bool) {
        self.0.set(!ipv4_only);
    }
}

/// Groups that refused messages in the configured topic because it was closed or deleted, and when.
#[derive(Default)]
struct WithoutTopic(RefCell<HashMap<i64, Instant>>);

impl WithoutTopic {
    fn note(&self, chat: i64, now: Instant) {
        self.0.borrow_mut().insert(chat, now);
    }

    /// Only for [`TOPIC_WAIT`], because the topic may be reopened.
    fn has(&self, chat: i64, now: Instant) -> bool {
        let noted = self.0.borrow().get(&chat).copied();
        noted.is_some_and(|at| now.saturating_duration_since(at) < TOPIC_WAIT)
    }
}

fn get_updates(offset: Option<i64>, limit: u32, timeout: Duration) -> String {
    let allowed_updates = vec!["message".into(), "callback_query".into()];
    GetUpdates {
        offset,
        limit,
        timeout: timeout.as_secs(),
        allowed_updates,
    }
    .serialize_json()
}

fn set_my_commands(commands: &[(&str, &str)]) -> String {
    let command = |&(command, description): &(&str, &str)| BotCommand {
        command: command.into(),
        description: description.into(),
    };
    SetMyCommands {
        commands: commands.iter().map(command).collect(),
    }
    .serialize_json()
}

#[cfg(test)]
#[path = "telegram_tests.rs"]
mod tests;
