//! The judged state of a site and the streak of outcomes that may change it: see the first table in
//! [`crate::monitor::judge`].

use crate::monitor::site::Site;
use crate::monitor::site::state::State;

/// The part of an outcome that matters for judging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    Fast,
    Slow,
    Failed,
}

/// Number of consecutive outcomes of one kind that change the state.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// Failures until down, slow answers until degraded; at least 1.
    pub tries: u32,
    /// Successes until up again; at least 1.
    pub recover: u32,
}

impl Rules {
    pub fn of(site: &Site) -> Rules {
        Rules {
            tries: site.tries,
            recover: site.recover,
        }
    }
}

/// How a site's judged state changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Unknown to up.
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
                    .then(|| self.change_to(State::Down, Change::WentDown))
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
                Some(self.change_to(State::Up, Change::Recovered))
            }
            State::Unknown | State::Up if self.slow >= rules.tries => {
                Some(self.change_to(State::Degraded, Change::Slowed))
            }
            State::Unknown if self.fast > 0 => Some(self.change_to(State::Up, Change::FirstUp)),
            State::Degraded if self.fast >= rules.recover => {
                Some(self.change_to(State::Up, Change::SpedUp))
            }
            _ => None,
        }
    }

    fn change_to(&mut self, state: State, change: Change) -> Change {
        // A slow answer that ended an outage also counts towards degraded.
        let slow = if state == State::Up { self.slow } else { 0 };
        *self = Streak {
            slow,
            ..Streak::new(state)
        };
        change
    }

    /// Returns whether one more failure makes the site down.
    pub fn next_failure_is_down(&self, rules: Rules) -> bool {
        self.state != State::Down && self.failed.saturating_add(1) >= rules.tries
    }

    /// Discards the counted outcomes.
    pub fn restart_streak(&mut self) {
        *self = Streak::new(self.state);
    }

    /// Returns whether the site fails but is not judged down yet.
    pub fn is_suspect(&self) -> bool {
        self.failed > 0 && self.state != State::Down
    }

    /// Returns whether the last outcomes contradict the state: the next check follows after
    /// `retry`.
    pub fn needs_retry(&self) -> bool {
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
        let mut changes = String::new();
        for c in seen.chars() {
            let seen = match c {
                'f' => Seen::Failed,
                's' => Seen::Slow,
                '.' => Seen::Fast,
                other => panic!("unknown outcome {other}"),
            };
            changes.push(match streak.observe(seen, RULES) {
                None if streak.needs_retry() => '?',
                None => '-',
                Some(Change::FirstUp) => 'u',
                Some(Change::WentDown) => 'D',
                Some(Change::Recovered) => 'U',
                Some(Change::Slowed) => 'S',
                Some(Change::SpedUp) => 'F',
            });
        }
        changes
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

    /// Returns the state after these outcomes, and the change that the last of them caused.
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
        /// Compares with a model that looks back over all outcomes instead of counting.
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
