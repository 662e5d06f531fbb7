//! Outcomes in, state out: how many in a row make a site down, up or degraded (docs/alerts.md).
//!
//! A site's streak of outcomes ([`Streak`]; `tries` and `recover` are the site's [`Rules`]):
//!
//! | state | outcomes | becomes | test |
//! | --- | --- | --- | --- |
//! | unknown | a fast answer | up | `unknown_and_a_fast_answer_is_up` |
//! | unknown, up | `tries` slow answers | degraded | `unknown_or_up_and_tries_slow_answers_is_degraded` |
//! | unknown, up, degraded | `tries` failures | down, once it is confirmed | `not_down_and_tries_failures_is_down` |
//! | degraded | `recover` fast answers | up | `degraded_and_recover_fast_answers_is_up` |
//! | down | `recover` answers | up; slow ones already count towards degraded | `down_and_recover_answers_is_up` |
//! | any | fewer, or an outcome of another kind between | the same | `fewer_in_a_row_change_nothing` |
//!
//! The last of `tries` failures makes a [pending down](pending_down), which ends in one of three ways:
//!
//! | known since the failure | the pending down | test |
//! | --- | --- | --- |
//! | the site is on this network | is confirmed | `a_site_on_this_network_is_judged_as_ever` |
//! | its parent is down | is suppressed: unreachable | `one_message_names_the_parent_and_counts_what_is_behind_it` |
//! | its parent fails, or was not checked | waits for the parent | `a_child_that_fails_at_once_waits_for_its_parent`, `a_parent_is_checked_before_its_child_is_judged` |
//! | a target of the uplink answered | is confirmed | `a_site_that_is_gone_while_the_uplink_is_up_is_down` |
//! | no target answered | is suppressed: offline | `a_cut_connection_takes_no_site_down_and_is_told_once_it_is_back` |
//! | no name resolves | is suppressed: no resolver | `no_resolver_is_told_and_takes_no_site_down` |
//! | other names resolve | is confirmed | `a_name_that_alone_does_not_resolve_is_the_sites_own_fault` |
//! | other servers show foreign certificates too | is suppressed: captive portal | `a_captive_portal_takes_no_site_down` |
//! | other servers show their own | is confirmed | `a_foreign_certificate_on_one_site_is_its_own_fault` |
//! | IPv6 is gone, and it needs that | is suppressed: no IPv6 | `ipv6_that_is_gone_takes_no_site_down_that_needs_it` |
//! | a fault explained the failure, but is over | restarts the streak | `a_resolver_that_was_known_to_be_gone_when_a_check_failed_is_why_it_failed` |

pub(crate) mod flapping;
pub(crate) mod outcomes;
pub(crate) mod pending_down;
pub(crate) mod storm;

use crate::monitor::event::Actions;
use crate::monitor::schedule::Scheduler;
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Clock, Now};
use crate::monitor::uplink::{Uplink, UplinkEvent};
use std::fmt;
use std::time::Duration;

/// The judge at work, with the components that it asks and sets to work.
pub struct Judging<'a> {
    pub now: Now,
    pub clock: &'a Clock,
    pub sites: &'a mut Sites,
    pub schedule: &'a mut Scheduler,
    pub uplink: &'a mut Uplink,
    pub actions: &'a mut Actions,
}

/// A site is in another state than before.
#[derive(Debug)]
pub struct Transition {
    /// Its place.
    pub at: usize,
    pub change: Change,
    /// What the last failure or slow answer said; empty for good changes.
    pub cause: String,
    /// How long it was in the state before.
    pub lasted: Duration,
}

/// What has become of a pending down or a failing site.
#[derive(Debug)]
pub enum JudgeEvent {
    Transition(Transition),
    /// It is not judged for now, by a fault that may have begun with it.
    Suppressed(Option<UplinkEvent>),
}

/// What a site is judged to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not yet checked, or first failures not yet judged.
    Unknown,
    Up,
    /// Answers, but slower than `slow`.
    Degraded,
    Down,
    /// What it depends on (`after`) is down.
    Unreachable,
    /// Our own line is down: not judged.
    Offline,
    Paused,
}

impl State {
    /// All there are.
    pub const ALL: [State; 7] = [
        State::Unknown,
        State::Up,
        State::Degraded,
        State::Down,
        State::Unreachable,
        State::Offline,
        State::Paused,
    ];

    /// The word of the JSON output, the chat and the state file.
    pub fn word(self) -> &'static str {
        match self {
            State::Unknown => "unknown",
            State::Up => "up",
            State::Degraded => "degraded",
            State::Down => "down",
            State::Unreachable => "unreachable",
            State::Offline => "offline",
            State::Paused => "paused",
        }
    }

    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|s| s.word() == word)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One outcome as far as judging goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Fast,
    Slow,
    Failed,
}

/// How many of a kind in a row it takes.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Failures for down, slow answers for degraded; at least 1.
    pub tries: u32,
    /// Successes for up again; at least 1.
    pub recover: u32,
}

/// How a site's judged state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The first judgement of a site was a good one.
    FirstUp,
    WentDown,
    /// Down to up.
    Recovered,
    /// Up to degraded.
    Slowed,
    /// Degraded to up.
    SpedUp,
}

/// The judged state of one site and the streak of outcomes that may change it.
#[derive(Clone, Debug)]
pub struct Streak {
    state: State,
    failed: u32,
    answered: u32,
    slow: u32,
    fast: u32,
}

impl Streak {
    pub fn new(state: State) -> Streak {
        Streak {
            state,
            failed: 0,
            answered: 0,
            slow: 0,
            fast: 0,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn observe(&mut self, seen: Seen, rules: Rules) -> Option<Change> {
        match seen {
            Seen::Failed => {
                self.failed = self.failed.saturating_add(1);
                (self.answered, self.slow, self.fast) = (0, 0, 0);
                let failed = self.failed + u32::from(mutated!("down one try too early"));
                (self.state != State::Down && failed >= rules.tries)
                    .then(|| self.become_(State::Down, Change::WentDown))
            }
            Seen::Slow | Seen::Fast => {
                self.failed = 0;
                self.answered = self.answered.saturating_add(1);
                if seen == Seen::Slow {
                    self.slow = self.slow.saturating_add(1);
                    self.fast = 0;
                } else {
                    self.fast = self.fast.saturating_add(1);
                    self.slow = 0;
                }
                self.judge_answer(rules)
            }
        }
    }

    fn judge_answer(&mut self, rules: Rules) -> Option<Change> {
        match self.state {
            State::Down if self.answered >= rules.recover => {
                Some(self.become_(State::Up, Change::Recovered))
            }
            State::Unknown | State::Up if self.slow >= rules.tries => {
                Some(self.become_(State::Degraded, Change::Slowed))
            }
            State::Unknown if self.fast > 0 => Some(self.become_(State::Up, Change::FirstUp)),
            State::Degraded if self.fast >= rules.recover => {
                Some(self.become_(State::Up, Change::SpedUp))
            }
            _ => None,
        }
    }

    fn become_(&mut self, state: State, change: Change) -> Change {
        // A slow answer that ended an outage still counts towards degraded.
        let slow = if state == State::Up { self.slow } else { 0 };
        *self = Streak {
            slow,
            ..Streak::new(state)
        };
        change
    }

    /// One more failure makes it down.
    pub fn next_failure_is_down(&self, rules: Rules) -> bool {
        self.state != State::Down && self.failed.saturating_add(1) >= rules.tries
    }

    /// What was counted for or against it counts no more.
    pub fn restart_streak(&mut self) {
        *self = Streak::new(self.state);
    }

    /// Failing, but not yet judged down.
    pub fn suspect(&self) -> bool {
        self.failed > 0 && self.state != State::Down
    }

    /// The last outcomes speak against the state: look again after `retry`, not a whole interval.
    pub fn wavering(&self) -> bool {
        match self.state {
            State::Down => self.answered > 0,
            State::Degraded => self.failed > 0 || self.fast > 0,
            State::Unknown | State::Up => self.failed > 0 || self.slow > 0,
            State::Unreachable | State::Offline | State::Paused => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RULES: Rules = Rules {
        tries: 3,
        recover: 2,
    };

    #[track_caller]
    fn story(seen: &str) -> String {
        let mut streak = Streak::new(State::Unknown);
        let mut told = String::new();
        for c in seen.chars() {
            let seen = match c {
                'f' => Seen::Failed,
                's' => Seen::Slow,
                '.' => Seen::Fast,
                other => panic!("unknown outcome {other}"),
            };
            told.push(match streak.observe(seen, RULES) {
                None if streak.wavering() => '?',
                None => '-',
                Some(Change::FirstUp) => 'u',
                Some(Change::WentDown) => 'D',
                Some(Change::Recovered) => 'U',
                Some(Change::Slowed) => 'S',
                Some(Change::SpedUp) => 'F',
            });
        }
        told
    }

    #[test]
    fn three_failures_in_a_row_make_it_down_and_two_successes_up() {
        assert_eq!(story(".fff..."), "u??D?U-");
    }

    #[test]
    fn a_success_in_between_starts_the_count_anew() {
        assert_eq!(story(".ff.ff.fff"), "u??-??-??D");
    }

    #[test]
    fn a_failure_while_recovering_starts_the_count_anew() {
        assert_eq!(story("fff.f.."), "??D?-?U");
    }

    #[test]
    fn a_site_that_fails_from_the_start_goes_down_without_having_been_up() {
        assert_eq!(story("fff"), "??D");
    }

    #[test]
    fn slow_answers_need_tries_in_a_row_to_degrade() {
        assert_eq!(story(".ss.sss"), "u??-??S");
    }

    #[test]
    fn degraded_goes_back_after_recover_fast_answers() {
        assert_eq!(story(".sss.s.."), "u??S?-?F");
    }

    #[test]
    fn degraded_can_go_down_and_comes_back_up() {
        assert_eq!(story(".sssfff.."), "u??S??D?U");
    }

    #[test]
    fn slow_answers_recover_a_down_site_and_then_degrade_it() {
        assert_eq!(story("fffsss"), "??D?US");
    }

    #[test]
    fn further_failures_of_a_down_site_change_nothing() {
        assert_eq!(story("fffffff"), "??D----");
    }

    /// The state after these outcomes, and what the last of them changed.
    fn after(before: State, seen: &[Seen]) -> (State, Option<Change>) {
        let mut streak = Streak::new(before);
        let changes: Vec<_> = seen.iter().map(|s| streak.observe(*s, RULES)).collect();
        let (last, earlier) = changes.split_last().expect("outcomes");
        assert!(earlier.iter().all(Option::is_none), "it changed before");
        (streak.state(), *last)
    }

    #[test]
    fn unknown_and_a_fast_answer_is_up() {
        let up = (State::Up, Some(Change::FirstUp));
        assert_eq!(after(State::Unknown, &[Seen::Fast]), up);
    }

    #[test]
    fn unknown_or_up_and_tries_slow_answers_is_degraded() {
        for before in [State::Unknown, State::Up] {
            let degraded = (State::Degraded, Some(Change::Slowed));
            assert_eq!(after(before, &[Seen::Slow; 3]), degraded);
        }
    }

    #[test]
    fn not_down_and_tries_failures_is_down() {
        for before in [State::Unknown, State::Up, State::Degraded] {
            let down = (State::Down, Some(Change::WentDown));
            assert_eq!(after(before, &[Seen::Failed; 3]), down);
        }
    }

    #[test]
    fn degraded_and_recover_fast_answers_is_up() {
        let up = (State::Up, Some(Change::SpedUp));
        assert_eq!(after(State::Degraded, &[Seen::Fast; 2]), up);
    }

    #[test]
    fn down_and_recover_answers_is_up() {
        let up = (State::Up, Some(Change::Recovered));
        assert_eq!(after(State::Down, &[Seen::Fast; 2]), up);
        assert_eq!(after(State::Down, &[Seen::Fast, Seen::Slow]), up);
        assert_eq!(story("fffsss"), "??D?US", "slow ones count on");
    }

    #[test]
    fn fewer_in_a_row_change_nothing() {
        use Seen::{Failed, Fast, Slow};
        for before in [State::Unknown, State::Up, State::Degraded] {
            assert_eq!(after(before, &[Failed; 2]), (before, None));
        }
        for before in [State::Unknown, State::Up] {
            assert_eq!(after(before, &[Slow, Slow, Failed, Slow]), (before, None));
        }
        assert_eq!(
            after(State::Up, &[Failed, Failed, Fast, Failed, Failed]),
            (State::Up, None)
        );
        assert_eq!(
            after(State::Degraded, &[Fast, Slow, Fast]),
            (State::Degraded, None)
        );
        assert_eq!(
            after(State::Down, &[Fast, Failed, Slow]),
            (State::Down, None)
        );
    }

    #[test]
    fn state_words_read_back() {
        for state in State::ALL {
            assert_eq!(State::from_word(state.word()), Some(state));
        }
        assert_eq!(State::from_word("sideways"), None);
    }

    proptest! {
        /// Written the other way round: look back over the whole story instead of counting along.
        #[test]
        fn agrees_with_a_model_that_looks_back(seen in proptest::collection::vec(0..3u8, 0..60), tries in 1..5u32, recover in 1..4u32) {
            let rules = Rules { tries, recover };
            let mut streak = Streak::new(State::Unknown);
            let mut changed_at = 0;
            for (i, &s) in seen.iter().enumerate() {
                let seen_now = [Seen::Fast, Seen::Slow, Seen::Failed][s as usize];
                let before = streak.state();
                let change = streak.observe(seen_now, rules);
                let last_failed = seen[changed_at..=i].iter().rev().take_while(|&&x| x == 2).count() as u32;
                let last_good = seen[changed_at..=i].iter().rev().take_while(|&&x| x != 2).count() as u32;
                match change {
                    Some(Change::WentDown) => { prop_assert!(before != State::Down); prop_assert_eq!(last_failed, tries); }
                    Some(Change::Recovered) => { prop_assert_eq!(before, State::Down); prop_assert_eq!(last_good, recover); }
                    Some(_) => prop_assert!(before != State::Down),
                    None => {
                        if before == State::Down { prop_assert!(last_good < recover); }
                        else { prop_assert!(last_failed < tries); }
                    }
                }
                if change.is_some() { changed_at = i + 1; }
            }
        }
    }
}
