//! The route to Telegram: the first of a list, until it fails.
//!
//! | state | event | what follows | test |
//! | --- | --- | --- | --- |
//! | any | the list has one route | nothing ever changes | `one_route_is_never_left` |
//! | works | a request fails | failed once | `two_failures_in_a_row_change_the_route` |
//! | failed once | a request is answered | works | `an_answer_in_between_keeps_the_route` |
//! | failed once | another fails | the next route, after the last the first: used from now on, logged | `two_failures_in_a_row_change_the_route`, `after_the_last_route_comes_the_first` |
//! | failed | the uplink is down, or not known to be up | no change; once it is up the count begins anew | `nothing_changes_while_the_uplink_is_down` |
//! | failed | the whole list was gone through within this minute | the change waits for the end of the minute | `the_list_is_gone_through_once_a_minute` |
//! | any | a request by another route ends | nothing: it began before the change | `what_another_route_answers_counts_for_nothing` |
//! | not the first | ten minutes | the first is tried, if that fails the second, … | `earlier_routes_are_tried_every_ten_minutes` |
//! | an earlier one is tried | it is answered | used from now on | `earlier_routes_are_tried_every_ten_minutes` |
//! | changed | a request is answered | notified, unless it is the route that was notified last | `a_change_is_notified_once_when_it_is_answered` |
//! | any | another list | the route stays if it is in it, else the first | `another_list_keeps_the_route_that_it_has` |

use super::route::Route;
use crate::monitor::event::{Action, Actions, Level};
use crate::monitor::time::{Moment, Now, text};
use std::collections::VecDeque;
use std::time::Duration;

/// Number of consecutive failed requests after which a route is left.
const FAILURES: u32 = 2;
/// Minimum time for a pass through the whole list.
const TURN: Duration = Duration::from_secs(60);
/// Interval at which the routes before the active one are tried.
const RETURN: Duration = Duration::from_secs(10 * 60);
/// Time after which a trial without a result is given up.
const LOST: Duration = Duration::from_secs(60);

/// State of our own connection while a route fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    /// Unknown; a probe was requested.
    Asked,
    Down,
    /// True if a target answered since the failure, or false if there are no targets or sites
    /// contradict them.
    Up(bool),
}

/// The routes and which one is active. The module's table lists the transitions.
#[derive(Debug)]
pub struct Routes {
    /// Never empty.
    list: Vec<Route>,
    active: usize,
    /// Whether the shell knows which route is active.
    handed: bool,
    /// Number of consecutive failed requests; below, when the first of them failed and why the last
    /// did.
    failures: u32,
    failed: Option<(Moment, String)>,
    /// Times of the last changes, at most as many as there are routes.
    changes: VecDeque<Moment>,
    /// When the active route was taken, in Unix seconds, if that was not notified yet.
    changed: Option<i64>,
    /// The route that was notified last.
    notified: usize,
    next_trial: Option<Moment>,
    trial: Option<(usize, Moment)>,
}

impl Default for Routes {
    fn default() -> Routes {
        Routes::new(vec![Route::Direct])
    }
}

impl Routes {
    /// `list` is in the order in which routes are tried. An empty one means direct.
    pub fn new(mut list: Vec<Route>) -> Routes {
        if list.is_empty() {
            list.push(Route::Direct);
        }
        Routes {
            list,
            active: 0,
            handed: true,
            failures: 0,
            failed: None,
            changes: VecDeque::new(),
            changed: None,
            notified: 0,
            next_trial: None,
            trial: None,
        }
    }

    /// Sets another list. The shell may have forgotten which route is active, and is sent it again.
    pub(super) fn set(&mut self, list: Vec<Route>, now: Moment) {
        let (active, notified) = (&self.list[self.active], &self.list[self.notified]);
        let find = |route: &Route| list.iter().position(|other| other == route);
        let (found, notified) = (find(active), find(notified));
        let next = Routes {
            // The limit of [`TURN`] also holds across a reload.
            changes: std::mem::take(&mut self.changes),
            ..Routes::new(list)
        };
        *self = match found {
            Some(at) => Routes {
                active: at,
                changed: self.changed,
                notified: notified.unwrap_or(at),
                next_trial: (at > 0).then(|| now + RETURN),
                ..next
            },
            None => next,
        };
        self.handed = false;
    }

    /// Restores the route of an earlier run, by its name. The chats know of it.
    pub(super) fn restore(&mut self, name: &str, now: Moment) {
        if let Some(at) = self.list.iter().position(|route| route.to_string() == name) {
            (self.active, self.notified) = (at, at);
            self.handed = at == 0;
            self.next_trial = (at > 0).then(|| now + RETURN);
        }
    }

    /// Returns the name of the active route for the next run, if it isn't the first and has worked.
    pub(super) fn remembered(&self) -> Option<String> {
        let known = self.active > 0 && self.changed.is_none();
        known.then(|| self.list[self.active].to_string())
    }

    /// Notes the end of a request by `route`; `cause`: why it failed. Returns the notice for the
    /// chats, if any.
    pub(super) fn on_request(
        &mut self,
        now: Now,
        route: &Route,
        cause: Option<String>,
    ) -> Option<String> {
        if self.list.len() < 2 || *route != self.list[self.active] {
            return None;
        }
        match cause {
            Some(cause) => {
                self.failures = self.failures.saturating_add(1);
                let first = self.failed.take().map_or(now.moment(), |(at, _)| at);
                self.failed = Some((first, cause));
                None
            }
            None => {
                self.works();
                self.news(now)
            }
        }
    }

    /// Returns whether the last request failed.
    pub(super) fn fails(&self) -> bool {
        self.failures > 0
    }

    fn works(&mut self) {
        self.failures = 0;
        self.failed = None;
    }

    fn news(&mut self, now: Now) -> Option<String> {
        let since = self.changed.take()?;
        if std::mem::replace(&mut self.notified, self.active) == self.active {
            return None;
        }
        let since = text::clock_times(since, now.wall, now).0;
        Some(match &self.list[self.active] {
            Route::Direct => format!("Telegram is reached directly since {since}."),
            route => format!("Telegram is reached through {route} since {since}."),
        })
    }

    /// Notes the end of the trial of an earlier route. Returns whether that route is used now.
    pub(super) fn on_trial(
        &mut self,
        now: Now,
        route: &Route,
        cause: Option<String>,
        actions: &mut Actions,
    ) -> bool {
        let Some((at, _)) = self.trial.filter(|(at, _)| self.list[*at] == *route) else {
            return false;
        };
        match cause {
            Some(cause) => {
                actions.log(Level::Debug, format!("{route}: still {cause}"));
                self.try_from(at + 1, now.moment(), actions);
                false
            }
            None => {
                self.trial = None;
                let from = &self.list[self.active];
                let text = format!("{route} works again: used instead of {from}");
                actions.log(Level::Info, text);
                self.change(at, now, actions);
                true
            }
        }
    }

    /// Tries the route at `at`, if it comes before the active one.
    fn try_from(&mut self, at: usize, now: Moment, actions: &mut Actions) {
        self.trial = (at < self.active).then_some((at, now));
        match self.trial {
            Some(_) => actions.push(Action::TryRoute(self.list[at].clone())),
            None => self.next_trial = Some(now + RETURN),
        }
    }

    /// Returns since when the route has failed, if it has failed often enough to be left now.
    pub(super) fn failing_since(&self, now: Moment) -> Option<Moment> {
        let (since, _) = self.failed.as_ref()?;
        let fails = self.failures >= FAILURES && !mutated!("stay with a route that fails");
        (fails && self.turned(now).is_none()).then_some(*since)
    }

    /// Returns when [`Routes::on_timeout`] is due, unless a probe makes it due before. `down`: our
    /// own connection is down.
    pub(super) fn next_timeout(&self, now: Moment, down: bool) -> Option<Moment> {
        if !self.handed {
            return Some(now);
        }
        let turned = self.turned(now).filter(|_| self.failures >= FAILURES);
        let trial = match self.trial {
            Some((_, began)) => Some(began + LOST),
            None => self.next_trial,
        };
        turned.into_iter().chain(trial.filter(|_| !down)).min()
    }

    /// Changes the route or tries others, if due. `connection`: what is known of our own connection
    /// since [`Routes::failing_since`]. Returns whether another route is used now.
    pub(super) fn on_timeout(
        &mut self,
        now: Now,
        connection: Connection,
        actions: &mut Actions,
    ) -> bool {
        let (moment, before) = (now.moment(), self.active);
        if !std::mem::replace(&mut self.handed, true) {
            actions.push(Action::UseRoute(self.list[self.active].clone()));
        }
        if self.failing_since(moment).is_some() {
            match connection {
                Connection::Asked => {}
                Connection::Down if !mutated!("leave a route while the line is down") => {
                    self.works()
                }
                Connection::Down => self.leave(now, false, actions),
                Connection::Up(sure) => self.leave(now, sure, actions),
            }
        }
        if connection == Connection::Down {
            // A trial would say nothing.
            return false;
        }
        match self.trial {
            Some((at, began)) if moment >= began + LOST => {
                self.try_from(at + 1, moment, actions);
            }
            None if self.next_trial.is_some_and(|at| at <= moment) => {
                self.try_from(0, moment, actions);
            }
            _ => {}
        }
        self.active != before
    }

    /// Returns until when no change is allowed, because the whole list was gone through.
    fn turned(&self, now: Moment) -> Option<Moment> {
        let first = self
            .changes
            .front()
            .filter(|_| self.changes.len() >= self.list.len());
        first
            .map(|first| *first + TURN)
            .filter(|until| now < *until)
    }

    /// Leaves the active route. `sure`: our own connection was seen to be up.
    fn leave(&mut self, now: Now, sure: bool, actions: &mut Actions) {
        let next = (self.active + 1) % self.list.len();
        let (from, to) = (&self.list[self.active], &self.list[next]);
        let (_, cause) = self.failed.take().unwrap_or((now.moment(), String::new()));
        let blocked = match from {
            Route::Direct if sure => ": Telegram looks blocked here; your sites are fine",
            _ => "",
        };
        let text = format!("{from}: {cause}{blocked}. Telegram is asked through {to} from now on");
        actions.log(Level::Warn, text);
        self.trial = None;
        self.change(next, now, actions);
    }

    fn change(&mut self, to: usize, now: Now, actions: &mut Actions) {
        let moment = now.moment();
        self.changes.push_back(moment);
        let old = self.changes.len().saturating_sub(self.list.len());
        self.changes.drain(..old);
        self.active = to;
        self.works();
        self.changed = Some(now.wall);
        self.next_trial = (to > 0).then(|| moment + RETURN);
        actions.push(Action::UseRoute(self.list[to].clone()));
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
