//! When each site is due: turns are spread over the interval; a missed turn is skipped, never
//! queued.
//!
//! Turns that are due close together begin together, so that one wake-up of the process and of the
//! kernel serves several checks. Which turns wait:
//!
//! | turn | when it is due | test |
//! | --- | --- | --- |
//! | regular | it waits for others, for at most 2 % of its interval, never over 1.2 s | `regular_turns_close_together_begin_with_the_last_of_them` |
//! | regular, and as many wait as may begin together | all of them begin | `no_more_begin_together_than_may` |
//! | regular, and it and one that waits make a TLS handshake | those that wait begin without it | `handshakes_do_not_begin_together` |
//! | the first of a site | begins, and so do those that wait | `a_first_turn_is_not_held_back` |
//! | extra (a retry, one that was brought forward) | begins, and so do those that wait | `a_retry_is_not_held_back_and_takes_along_what_waits` |
//! | any, later than it may be (a standstill) | a regular one is skipped, an extra one spread anew | `a_stall_of_ten_minutes_makes_no_burst` |
//!
//! Handshakes that begin together compete for the processor, and that adds more to the measured
//! response times than a saved wake-up is worth. Other checks need little processor time.
//!
//! The next turn is computed from the site's place in the round, not from the time when a check
//! began, so that turns stay spread.

pub(crate) mod jobs;
pub(crate) mod late_rounds;
pub(crate) mod liveness;
pub(crate) mod maintenance;

use crate::monitor::event::{Action, Actions, Level};
use crate::monitor::schedule::jobs::Jobs;
use crate::monitor::schedule::late_rounds::Rounds;
use crate::monitor::schedule::liveness::Progress;
use crate::monitor::schedule::maintenance::Validity;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::{BySite, Origins, Sites};
use crate::monitor::time::{Jitter, Moment};
use std::collections::BTreeSet;
use std::time::Duration;

/// The first check of a site comes within this, or within its interval if that is shorter.
const FIRST_ROUND: Duration = Duration::from_secs(60);

/// A regular turn waits for others for at most its interval divided by this. An interval of more
/// than a minute counts as a minute.
const WINDOWS: i64 = 50;

/// Maximum number of checks that begin together: more would gain little, and delay each other.
const TOGETHER: usize = 10;

/// Minimum delay before a check that counted for nothing is repeated.
const RECHECK_DELAY: Duration = Duration::from_secs(5);

/// Maximum delay of a turn; half the interval, if that is shorter. A later one (a suspended
/// machine, a stopped process) is moved, because making up for all would check all sites in one
/// burst.
const STALL: Duration = Duration::from_secs(5);

/// Due times of all sites that are neither paused nor being checked, and the progress of the
/// checks.
#[derive(Debug)]
pub struct Scheduler {
    slots: BySite<Slot>,
    /// When the sites at which places are due.
    due: BTreeSet<(Moment, usize)>,
    jobs: Jobs,
    jitter: Jitter,
    /// Number of checks that may begin together after waiting.
    together: usize,
    /// `None` if the maintenance windows are to be looked up.
    maintenance: Option<Validity>,
    progress: Progress,
    rounds: Rounds,
    /// When turns were last brought forward.
    brought_forward: Option<Moment>,
    stopping: bool,
}

#[derive(Debug, Default)]
struct Slot {
    /// The site's place in the round: every regular turn is a whole number of intervals after this.
    phase: Moment,
    /// Zero before the site's first turn.
    interval: Duration,
    /// Whether its checks make a TLS handshake.
    handshake: bool,
    /// Whether the site reports and is never checked: then its turns are in [`Jobs`].
    reports: bool,
    due: Option<Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Moment,
    turn: Turn,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    First,
    Regular,
    Extra,
}

impl Scheduler {
    /// `seed` is that of the jitter; `permits` is the maximum number of checks under way.
    pub fn new(seed: u64, heartbeat: bool, permits: usize, now: Moment) -> Scheduler {
        Scheduler {
            slots: BySite::default(),
            due: BTreeSet::new(),
            jobs: Jobs::default(),
            jitter: Jitter::new(seed),
            // The other half is for checks that cannot wait.
            together: (permits / 2).clamp(1, TOGETHER),
            maintenance: None,
            progress: Progress::new(heartbeat, now),
            rounds: Rounds::default(),
            brought_forward: None,
            stopping: false,
        }
    }

    pub fn reload(&mut self, heartbeat: bool) {
        self.progress.reload(heartbeat);
    }

    /// Starts no more checks; those that are under way may still end.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub fn stopping(&self) -> bool {
        self.stopping
    }

    pub fn jitter(&mut self) -> &mut Jitter {
        &mut self.jitter
    }

    /// Starts the checks that are due. `clock_set`: whether the wall clock is believed.
    pub fn on_timeout(
        &mut self,
        now: Moment,
        clock_set: bool,
        sites: &mut Sites,
        actions: &mut Actions,
    ) {
        // Usually no turn is due, and the search for those that begin together is not needed.
        while self.due.first().is_some_and(|(due, _)| *due <= now)
            && let Some(end) = self.next_timeout().filter(|end| *end <= now)
        {
            for _ in 0..self.together {
                let Some(at) = self.pop(end, now) else {
                    break;
                };
                self.start(now, clock_set, sites.for_check(at), actions);
            }
        }
    }

    /// Starts a check, unless it cannot be made now. Returns whether it was started.
    pub fn start(
        &mut self,
        now: Moment,
        clock_set: bool,
        watched: &mut SiteState,
        actions: &mut Actions,
    ) -> bool {
        if watched.check_under_way() || watched.is_paused() || self.stopping {
            return false;
        }
        if watched.job().is_some() {
            return false;
        }
        if !clock_set
            && watched.config().needs_clock()
            && !mutated!("check https before the clock is set")
        {
            self.next_turn(watched.place(), now);
            return false;
        }
        let fresh = watched.begin_check(now);
        self.progress.started(now);
        self.clear(watched.place());
        actions.push(Action::Check {
            site: watched.config().clone(),
            fresh,
            hanging: watched.timed_out(),
        });
        true
    }

    /// Notes the end of a check, even if its site has been removed.
    pub fn check_ended(&mut self, now: Moment) {
        self.progress.ended(now);
    }

    /// Notes the end of a site's round. Returns the notice about late rounds, if any.
    pub fn round_ended(&mut self, now: Moment, watched: &SiteState) -> Option<(Level, String)> {
        let took = now.since(watched.check_began());
        self.rounds.ended(now, watched.config().interval, took)
    }

    /// Returns the number of late rounds, and of all that were due.
    pub fn round_counts(&self) -> (u64, u64) {
        self.rounds.counts()
    }

    /// Returns how many checks are wanted and done, while rounds are late.
    pub fn late_figures(&self) -> Option<String> {
        self.rounds.figures()
    }

    /// Notes that the machine or the process stood still until now.
    pub fn on_stall(&mut self) {
        self.rounds.stood_still();
    }

    /// Returns whether checks that were started are ending.
    pub fn healthy(&self, now: Moment, sites: &Sites) -> bool {
        self.progress.healthy(now, sites)
    }

    /// Returns when the next heartbeat is due.
    pub fn next_beat(&self, now: Moment) -> Option<Moment> {
        self.progress.next_beat(now)
    }

    /// Returns whether to send a heartbeat now.
    pub fn beat(&mut self, now: Moment, sites: &Sites) -> bool {
        self.progress.beat(now, sites)
    }

    /// Follows a new configuration: sites that remain keep their turns, others have none.
    pub fn follow(&mut self, origins: &Origins) {
        self.slots.follow(origins);
        let slots = self.slots.iter().enumerate();
        let due = slots.filter(|(_, slot)| !slot.reports);
        let due = due.filter_map(|(at, slot)| Some((slot.due?.at, at)));
        self.due = due.collect();
        // All are looked at anew.
        self.jobs.clear();
    }

    /// Schedules the first turn of a site in its share of the first round, one of `count`.
    pub fn first(&mut self, at: usize, interval: Duration, now: Moment, count: usize) {
        let window = interval.min(FIRST_ROUND).as_millis() as f64;
        // The first site is checked at once, so that a new user sees something happen.
        let place = if at == 0 {
            0.0
        } else {
            at as f64 + 0.5 * self.jitter.fraction()
        };
        let offset = Duration::from_millis((window * place / count.max(1) as f64) as u64);
        // The phases of longer intervals are spread over the whole interval.
        let phase = if interval > FIRST_ROUND {
            now + interval.mul_f64(place / count.max(1) as f64)
        } else {
            now + offset
        };
        self.slots[at].phase = phase;
        self.slots[at].interval = interval;
        self.set(at, now + offset, Turn::First);
    }

    /// Sets whether checks of the site make a TLS handshake.
    pub fn set_handshake(&mut self, at: usize, handshake: bool) {
        self.slots[at].handshake = handshake;
    }

    /// Sets whether the site reports by itself, and is never checked.
    pub fn set_reports(&mut self, at: usize, reports: bool) {
        if self.slots[at].reports != reports {
            self.clear(at);
            self.slots[at].reports = reports;
        }
    }

    /// Schedules the next regular turn after `now`.
    pub fn next_turn(&mut self, at: usize, now: Moment) {
        let turn = self.slots[at].turn_after(now);
        self.set(at, turn, Turn::Regular);
    }

    /// Schedules an extra turn after a check that counted for nothing: the reason is usually short,
    /// and the next regular turn may be an hour away.
    pub fn check_soon(&mut self, now: Moment, watched: &SiteState) {
        let again = watched
            .config()
            .retry
            .max(RECHECK_DELAY)
            .min(watched.config().interval);
        self.at(watched.place(), now + again);
    }

    /// Schedules an extra turn, such as a retry.
    pub fn at(&mut self, at: usize, turn: Moment) {
        self.set(at, turn, Turn::Extra);
    }

    /// Brings the turns of these sites forward, spread over `window`; earlier turns stay.
    pub fn bring_forward(&mut self, places: &[usize], now: Moment, window: Duration) {
        self.brought_forward = Some(now);
        for (index, &at) in places.iter().enumerate() {
            let turn = now + window.mul_f64((index + 1) as f64 / places.len() as f64);
            if self.due_at(at).is_some_and(|due| due > turn) {
                self.set(at, turn, Turn::Extra);
            }
        }
    }

    /// Returns when turns were last brought forward.
    pub fn brought_forward(&self) -> Option<Moment> {
        self.brought_forward
    }

    /// Schedules an extra turn of site `index` of `count`, spread over the first round or its
    /// interval.
    fn check_in_share(&mut self, at: usize, now: Moment, (index, count): (usize, usize)) {
        let window = self.slots[at].interval.min(FIRST_ROUND);
        let share = index as f64 / count.max(1) as f64;
        self.set(at, now + window.mul_f64(share), Turn::Extra);
    }

    /// Schedules extra turns, one after the other, for the sites that could not be checked before
    /// the clock was set.
    pub fn check_https_soon(&mut self, now: Moment, sites: &Sites) {
        let waiting =
            |w: &&SiteState| w.config().needs_clock() && !w.check_under_way() && !w.is_paused();
        let waiting = sites.iter().filter(waiting).map(SiteState::place);
        let waiting: Vec<usize> = waiting.collect();
        for (index, &at) in waiting.iter().enumerate() {
            self.check_in_share(at, now, (index, waiting.len()));
        }
    }

    /// Removes the turn of a site that is being checked or paused.
    pub fn clear(&mut self, at: usize) {
        if let Some(due) = self.slots[at].due.take() {
            self.due.remove(&(due.at, at));
        }
    }

    /// Returns the interval of a site; zero before its first turn.
    pub fn interval(&self, at: usize) -> Duration {
        self.slots[at].interval
    }

    /// Returns when the next check begins, or the next group of checks: with the last turn that is
    /// due before one of them may wait no longer.
    pub fn next_timeout(&self) -> Option<Moment> {
        if self.stopping {
            return None;
        }
        let (mut end, mut latest, mut handshakes) = (None, Moment(i64::MAX), 0);
        for &(due, at) in self.due.iter().take(self.together) {
            let slot = &self.slots[at];
            handshakes += u32::from(slot.handshake);
            if due > latest || handshakes > 1 {
                break;
            }
            end = Some(due);
            latest = latest.min(Moment(due.0.saturating_add(slot.window())));
        }
        end
    }

    pub fn due_at(&self, at: usize) -> Option<Moment> {
        self.slots[at].due.map(|due| due.at)
    }

    /// Takes the next site that was due at `end` or before. A turn that a stall delayed too long is
    /// moved: an extra one to a random time within the first round or its interval, another one to
    /// the site's next regular turn.
    fn pop(&mut self, end: Moment, now: Moment) -> Option<usize> {
        loop {
            let (due, at) = *self.due.first().filter(|(due, _)| *due <= end)?;
            let slot = &self.slots[at];
            let turn = slot.turn();
            let late = now.since(due);
            if late <= STALL.min(slot.interval / 2).max(Duration::from_millis(500)) {
                self.clear(at);
                return Some(at);
            }
            let again = if turn != Turn::Extra {
                slot.turn_after(now)
            } else {
                now + slot
                    .interval
                    .min(FIRST_ROUND)
                    .mul_f64(self.jitter.fraction())
            };
            // Later than `now`, or this loop would not end.
            self.set(at, again.max(Moment(now.0 + 1)), turn);
        }
    }

    fn set(&mut self, at: usize, due: Moment, turn: Turn) {
        if self.slots[at].reports {
            return self.jobs.look(at, due);
        }
        let before = self.slots[at].due.replace(Due { at: due, turn });
        if let Some(before) = before {
            self.due.remove(&(before.at, at));
        }
        self.due.insert((due, at));
    }
}

impl Slot {
    fn turn(&self) -> Turn {
        self.due.map_or(Turn::Extra, |due| due.turn)
    }

    /// Returns how long the turn may wait for others, in ms.
    fn window(&self) -> i64 {
        match self.turn() {
            Turn::Regular => self.interval.min(FIRST_ROUND).as_millis() as i64 / WINDOWS,
            Turn::First | Turn::Extra => 0,
        }
    }

    fn turn_after(&self, now: Moment) -> Moment {
        let interval = i64::try_from(self.interval.as_millis())
            .unwrap_or(i64::MAX)
            .max(1);
        let rounds = (now.0 - self.phase.0).div_euclid(interval) + 1;
        Moment(self.phase.0.saturating_add(rounds.saturating_mul(interval)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    /// Creates a schedule in which each turn begins alone.
    fn filled(count: usize, interval: Duration) -> Scheduler {
        filled_for(count, interval, 1)
    }

    fn filled_for(count: usize, interval: Duration, permits: usize) -> Scheduler {
        let mut schedule = Scheduler::new(3, false, permits, Moment(0));
        schedule.follow(&Origins(vec![None; count]));
        for at in 0..count {
            schedule.first(at, interval, Moment(0), count);
        }
        schedule
    }

    /// Runs the schedule with checks that end at once; returns the times and places of all turns.
    fn run(schedule: &mut Scheduler, until: i64) -> Vec<(i64, usize)> {
        let mut turns = Vec::new();
        while let Some(at) = schedule.next_timeout().filter(|m| m.0 <= until) {
            for _ in 0..schedule.together {
                let Some(site) = schedule.pop(at, at) else {
                    break;
                };
                turns.push((at.0, site));
                schedule.next_turn(site, at);
            }
        }
        turns
    }

    /// Creates a schedule of sites with an interval of a minute and regular turns at these times,
    /// in ms.
    fn with_turns(turns: &[i64], permits: usize) -> Scheduler {
        let mut schedule = filled_for(turns.len(), MINUTE, permits);
        for (at, turn) in turns.iter().enumerate() {
            schedule.set(at, Moment(*turn), Turn::Regular);
        }
        schedule
    }

    /// Returns what begins until `until`, without the turns of the next round.
    fn begun(schedule: &mut Scheduler, until: i64) -> Vec<(i64, usize)> {
        run(schedule, until)
            .into_iter()
            .filter(|(at, _)| *at < 60_000)
            .collect()
    }

    #[test]
    fn a_lone_site_is_checked_at_once_and_then_every_interval() {
        let mut schedule = filled(1, Duration::from_secs(60));
        let turns = run(&mut schedule, 180_000);
        let times: Vec<i64> = turns.iter().map(|t| t.0).collect();
        assert_eq!(times, [0, 60_000, 120_000, 180_000]);
    }

    #[test]
    fn first_checks_come_within_the_first_minute_and_no_two_seconds_see_a_burst() {
        let mut schedule = filled(120, Duration::from_secs(60));
        let turns = run(&mut schedule, 600_000);
        let first: std::collections::HashSet<_> =
            turns.iter().filter(|t| t.0 < 60_000).map(|t| t.1).collect();
        assert_eq!(first.len(), 120);
        for second in 0..600 {
            let n = turns.iter().filter(|t| t.0 / 1000 == second).count();
            assert!(n <= 4, "{n} checks in second {second}");
        }
    }

    #[test]
    fn a_long_interval_is_used_to_spread_over_after_the_first_minute() {
        let mut schedule = filled(60, Duration::from_secs(3600));
        let turns = run(&mut schedule, 3 * 3_600_000);
        let in_first_minute = turns.iter().filter(|t| t.0 < 60_000).count();
        assert!(in_first_minute >= 60);
        let second_hour: Vec<_> = turns
            .iter()
            .filter(|t| (3_600_000..7_200_000).contains(&t.0))
            .collect();
        for minute in 60..120 {
            let n = second_hour
                .iter()
                .filter(|t| t.0 / 60_000 == minute)
                .count();
            assert!(n <= 2, "{n} checks in minute {minute}");
        }
    }

    #[test]
    fn a_stall_of_ten_minutes_makes_no_burst() {
        let mut schedule = filled(100, Duration::from_secs(60));
        run(&mut schedule, 120_000);
        let woken = Moment(720_000);
        let mut at_once = 0;
        while let Some(site) = schedule.pop(woken, woken) {
            at_once += 1;
            schedule.next_turn(site, woken);
        }
        assert!(at_once <= 10, "{at_once} checks at once");
        let turns = run(&mut schedule, 780_000);
        assert!(turns.len() >= 90);
    }

    #[test]
    fn a_retry_comes_when_asked_and_the_site_then_keeps_its_place() {
        let mut schedule = filled(1, Duration::from_secs(60));
        assert_eq!(schedule.pop(Moment(0), Moment(0)), Some(0));
        schedule.at(0, Moment(10_250));
        assert_eq!(schedule.next_timeout(), Some(Moment(10_250)));
        assert!(schedule.pop(Moment(10_250), Moment(10_250)).is_some());
        schedule.next_turn(0, Moment(10_300));
        assert_eq!(schedule.next_timeout(), Some(Moment(60_000)));
    }

    #[test]
    fn a_check_that_takes_longer_than_the_interval_skips_the_missed_turns() {
        let mut schedule = filled(1, Duration::from_secs(1));
        assert!(schedule.pop(Moment(0), Moment(0)).is_some());
        assert_eq!(schedule.next_timeout(), None);
        schedule.next_turn(0, Moment(10_400));
        assert_eq!(schedule.next_timeout(), Some(Moment(11_000)));
    }

    #[test]
    fn regular_turns_close_together_begin_with_the_last_of_them() {
        let mut schedule = with_turns(&[1_000, 1_900, 2_200, 2_201, 9_000], 20);
        assert_eq!(schedule.next_timeout(), Some(Moment(2_200)));
        assert_eq!(
            begun(&mut schedule, 10_000),
            [(2_200, 0), (2_200, 1), (2_200, 2), (2_201, 3), (9_000, 4)]
        );
        assert_eq!(
            schedule.due_at(0),
            Some(schedule.slots[0].turn_after(Moment(2_200)))
        );
    }

    #[test]
    fn the_shortest_window_of_those_that_wait_counts() {
        let mut schedule = with_turns(&[1_000, 1_100, 1_110, 2_000], 20);
        schedule.slots[1].interval = Duration::from_secs(1);
        assert_eq!(schedule.next_timeout(), Some(Moment(1_110)));
        schedule.slots[1].interval = Duration::from_secs(86_400);
        assert_eq!(schedule.next_timeout(), Some(Moment(2_000)));
    }

    #[test]
    fn no_more_begin_together_than_may() {
        let mut schedule = with_turns(&[1_000, 1_001, 1_002, 1_003, 1_003], 5);
        assert_eq!(
            begun(&mut schedule, 10_000),
            [(1_001, 0), (1_001, 1), (1_003, 2), (1_003, 3), (1_003, 4)]
        );
        let one = with_turns(&[1_000, 1_001], 1);
        assert_eq!(one.next_timeout(), Some(Moment(1_000)));
    }

    #[test]
    fn a_retry_is_not_held_back_and_takes_along_what_waits() {
        let mut schedule = with_turns(&[1_000, 9_000, 2_000], 20);
        schedule.at(1, Moment(1_500));
        assert_eq!(
            begun(&mut schedule, 10_000),
            [(1_500, 0), (1_500, 1), (2_000, 2)]
        );
    }

    #[test]
    fn handshakes_do_not_begin_together() {
        let mut schedule = with_turns(&[1_000, 1_100, 1_200, 1_300, 1_400], 20);
        for at in [1, 3, 4] {
            schedule.set_handshake(at, true);
        }
        assert_eq!(
            begun(&mut schedule, 10_000),
            [(1_200, 0), (1_200, 1), (1_200, 2), (1_300, 3), (1_400, 4)]
        );
    }

    #[test]
    fn a_first_turn_is_not_held_back() {
        let schedule = filled_for(100, MINUTE, 20);
        assert_eq!(schedule.next_timeout(), Some(Moment(0)));
    }

    proptest! {
        #[test]
        fn no_turn_waits_for_long_and_no_more_begin_together_than_may(
            turns in proptest::collection::vec(
                (0..20_000_i64, 1..300_u64, any::<bool>(), any::<bool>()),
                1..60,
            ),
            permits in 1_usize..30,
        ) {
            let mut schedule = filled_for(turns.len(), MINUTE, permits);
            for (at, &(due, interval, extra, handshake)) in turns.iter().enumerate() {
                schedule.set_handshake(at, handshake);
                schedule.slots[at].interval = Duration::from_secs(interval);
                let turn = if extra { Turn::Extra } else { Turn::Regular };
                schedule.set(at, Moment(due), turn);
            }
            let mut begun = vec![0; turns.len()];
            while let Some(end) = schedule.next_timeout() {
                let (mut waited, mut handshakes) = (0, 0);
                for _ in 0..schedule.together {
                    let Some(at) = schedule.pop(end, end) else { break };
                    let (due, interval, extra, handshake) = turns[at];
                    let most = if extra { 0 } else { (interval as i64 * 20).min(1_200) };
                    prop_assert!((0..=most).contains(&(end.0 - due)), "{due} began at {end:?}");
                    waited += usize::from(end.0 > due);
                    handshakes += usize::from(end.0 > due && handshake);
                    begun[at] += 1;
                }
                prop_assert!(waited < (permits / 2).clamp(1, TOGETHER) && handshakes <= 1);
            }
            prop_assert_eq!(begun, vec![1; turns.len()]);
        }

        #[test]
        fn every_site_has_its_turn_once_an_interval(count in 1usize..40, interval in 1u64..300) {
            let mut schedule = filled(count, Duration::from_secs(interval));
            let turns = run(&mut schedule, 1_800_000);
            for i in 0..count {
                let times: Vec<i64> = turns.iter().filter(|t| t.1 == i).map(|t| t.0).collect();
                prop_assert!(times[0] <= 60_000.min(interval as i64 * 1000));
                for pair in times.windows(2).skip(1) {
                    prop_assert_eq!(pair[1] - pair[0], interval as i64 * 1000);
                }
            }
        }
    }
}
