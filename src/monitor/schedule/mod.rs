//! When each site is due: rounds spread over the interval, a missed turn skipped, never queued up.

pub(crate) mod late_rounds;
pub(crate) mod liveness;
pub(crate) mod maintenance;

use crate::monitor::event::{Action, Actions};
use crate::monitor::schedule::late_rounds::Rounds;
use crate::monitor::schedule::liveness::Progress;
use crate::monitor::schedule::maintenance::Validity;
use crate::monitor::site::state::SiteState;
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Jitter, Moment};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// The first check of a site comes within this, or within its interval if that is shorter.
const FIRST_ROUND: Duration = Duration::from_secs(60);

/// A check that counted for nothing is made again no sooner than this.
const RECHECK_DELAY: Duration = Duration::from_secs(5);

/// A turn that is later than this (a suspended machine, a stopped process) is left out instead of
/// being made up for: else all sites would be checked in one burst.
const STALL: Duration = Duration::from_secs(5);

/// Due times of all sites that are neither paused nor being checked, and what became of them.
#[derive(Debug)]
pub struct Scheduler {
    slots: HashMap<Arc<str>, Slot>,
    due: BTreeSet<(Moment, Arc<str>)>,
    jitter: Jitter,
    /// `None`: the windows of maintenance are to be looked up.
    maintenance: Option<Validity>,
    progress: Progress,
    rounds: Rounds,
    /// When turns were last brought forward.
    brought_forward: Option<Moment>,
    stopping: bool,
}

#[derive(Debug)]
struct Slot {
    name: Arc<str>,
    /// Every regular turn is a whole number of intervals after this: the site keeps its place in the round.
    phase: Moment,
    interval: Duration,
    due: Option<Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Moment,
    regular: bool,
}

impl Scheduler {
    /// `seed` makes the jitter.
    pub fn new(seed: u64, heartbeat: bool, now: Moment) -> Scheduler {
        Scheduler {
            slots: HashMap::new(),
            due: BTreeSet::new(),
            jitter: Jitter::new(seed),
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

    /// No check is started any more; what is under way may still report.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    pub fn stopping(&self) -> bool {
        self.stopping
    }

    pub fn jitter(&mut self) -> &mut Jitter {
        &mut self.jitter
    }

    /// Starts the checks that are due. `clock_set`: the wall clock is believed.
    pub fn on_timeout(
        &mut self,
        now: Moment,
        clock_set: bool,
        sites: &mut Sites,
        actions: &mut Actions,
    ) {
        while !self.stopping
            && let Some(name) = self.pop(now)
        {
            if let Some(at) = sites.find(&name) {
                self.start(now, clock_set, &mut sites[at], actions);
            }
        }
    }

    /// Starts a check, unless it cannot be made now.
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
        if !clock_set
            && watched.config().needs_clock()
            && !mutated!("check https before the clock is set")
        {
            self.next_turn(watched.name(), now);
            return false;
        }
        let fresh = watched.begin_check(now);
        self.progress.started(now);
        self.clear(watched.name());
        actions.push(Action::Check {
            site: watched.config().clone(),
            fresh,
            hanging: watched.timed_out(),
        });
        true
    }

    /// A check has ended, of a site that may be gone by now.
    pub fn check_ended(&mut self, now: Moment) {
        self.progress.ended(now);
    }

    /// A check had waited for so long before it began: what to tell, if rounds are late. Sites that
    /// run into their timeout wait for each other alone.
    pub fn round_ended(
        &mut self,
        now: Moment,
        watched: &SiteState,
        waited: Duration,
    ) -> Option<String> {
        let counts = !watched.timed_out();
        counts.then(|| self.rounds.ended(now, watched.config().interval, waited))?
    }

    /// Late rounds, and all that were due.
    pub fn round_counts(&self) -> (u64, u64) {
        self.rounds.counts()
    }

    /// The machine or the process stood still until now.
    pub fn on_stall(&mut self) {
        self.rounds.stood_still();
    }

    /// Checks that were started are ending.
    pub fn healthy(&self, now: Moment, sites: &Sites) -> bool {
        self.progress.healthy(now, sites)
    }

    /// When the next heartbeat is due.
    pub fn next_beat(&self, now: Moment) -> Option<Moment> {
        self.progress.next_beat(now)
    }

    /// Whether to give a sign of life now.
    pub fn beat(&mut self, now: Moment, sites: &Sites) -> bool {
        self.progress.beat(now, sites)
    }

    /// Spreads first checks over the first round: site `index` of `count` gets its own share.
    pub fn first(
        &mut self,
        name: &str,
        interval: Duration,
        now: Moment,
        (index, count): (usize, usize),
    ) {
        let window = interval.min(FIRST_ROUND).as_millis() as f64;
        // The first site goes at once, so that a newcomer sees something happen.
        let place = if index == 0 {
            0.0
        } else {
            index as f64 + 0.5 * self.jitter.fraction()
        };
        let offset = Duration::from_millis((window * place / count.max(1) as f64) as u64);
        // Over a longer interval the phases are spread as widely as that allows.
        let phase = if interval > FIRST_ROUND {
            now + interval.mul_f64(place / count.max(1) as f64)
        } else {
            now + offset
        };
        self.remove(name);
        self.slots.insert(
            name.into(),
            Slot {
                name: name.into(),
                phase,
                interval,
                due: None,
            },
        );
        self.set(name, now + offset, true);
    }

    /// The next regular turn after `now`.
    pub fn next_turn(&mut self, name: &str, now: Moment) {
        if let Some(slot) = self.slots.get(name) {
            let at = slot.turn_after(now);
            self.set(name, at, true);
        }
    }

    /// An extra turn after a check that counted for nothing: its reason is not long in going, as a rule,
    /// and the next turn may be in an hour.
    pub fn check_soon(&mut self, now: Moment, watched: &SiteState) {
        let again = watched
            .config()
            .retry
            .max(RECHECK_DELAY)
            .min(watched.config().interval);
        self.retry_at(watched.name(), now + again);
    }

    /// An extra turn: a retry.
    pub fn retry_at(&mut self, name: &str, at: Moment) {
        self.set(name, at, false);
    }

    /// Brings the turns of these sites forward, spread over `window`; one that is due before stays.
    pub fn bring_forward(&mut self, names: &[String], now: Moment, window: Duration) {
        self.brought_forward = Some(now);
        for (index, name) in names.iter().enumerate() {
            let at = now + window.mul_f64((index + 1) as f64 / names.len() as f64);
            if self.due_at(name).is_some_and(|due| due > at) {
                self.set(name, at, false);
            }
        }
    }

    /// When turns were last brought forward.
    pub fn brought_forward(&self) -> Option<Moment> {
        self.brought_forward
    }

    /// An extra turn for site `index` of `count`, spread over the first round or its interval.
    fn check_in_share(&mut self, name: &str, now: Moment, (index, count): (usize, usize)) {
        if let Some(slot) = self.slots.get(name) {
            let window = slot.interval.min(FIRST_ROUND);
            let place = index as f64 / count.max(1) as f64;
            self.set(name, now + window.mul_f64(place), false);
        }
    }

    /// The clock is set: sites that could not be checked without it get extra turns, one after the
    /// other.
    pub fn check_https_soon(&mut self, now: Moment, sites: &Sites) {
        let waiting =
            |w: &&SiteState| w.config().needs_clock() && !w.check_under_way() && !w.is_paused();
        let waiting: Vec<&str> = sites.iter().filter(waiting).map(SiteState::name).collect();
        for (place, name) in waiting.iter().enumerate() {
            self.check_in_share(name, now, (place, waiting.len()));
        }
    }

    /// The site is being checked or paused: no turn.
    pub fn clear(&mut self, name: &str) {
        if let Some(slot) = self.slots.get_mut(name)
            && let Some(due) = slot.due.take()
        {
            self.due.remove(&(due.at, slot.name.clone()));
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.clear(name);
        self.slots.remove(name);
    }

    pub fn interval(&self, name: &str) -> Option<Duration> {
        self.slots.get(name).map(|s| s.interval)
    }

    /// When the next site is due.
    pub fn next_timeout(&self) -> Option<Moment> {
        let (at, _) = self.due.first().filter(|_| !self.stopping)?;
        Some(*at)
    }

    pub fn due_at(&self, name: &str) -> Option<Moment> {
        self.slots.get(name)?.due.map(|d| d.at)
    }

    /// Takes the next site whose turn has come. Turns lost to a stall are moved to the site's next
    /// regular one; a retry lost to it is spread over its delay.
    fn pop(&mut self, now: Moment) -> Option<Arc<str>> {
        loop {
            let (at, name) = self.due.first().filter(|(at, _)| *at <= now)?;
            let (at, name) = (*at, name.clone());
            let slot = self.slots.get(&name)?;
            let regular = slot.due.is_some_and(|d| d.regular);
            let late = now.since(at);
            if late <= STALL.min(slot.interval / 2).max(Duration::from_millis(500)) {
                self.clear(&name);
                return Some(name);
            }
            let again = if regular {
                slot.turn_after(now)
            } else {
                now + slot
                    .interval
                    .min(FIRST_ROUND)
                    .mul_f64(self.jitter.fraction())
            };
            // Strictly later than now, or this loop would not end.
            self.set(&name, again.max(Moment(now.0 + 1)), regular);
        }
    }

    fn set(&mut self, name: &str, at: Moment, regular: bool) {
        if let Some(slot) = self.slots.get_mut(name) {
            if let Some(before) = slot.due.replace(Due { at, regular }) {
                self.due.remove(&(before.at, slot.name.clone()));
            }
            self.due.insert((at, slot.name.clone()));
        }
    }
}

impl Slot {
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

    fn filled(count: usize, interval: Duration) -> Scheduler {
        let mut schedule = Scheduler::new(3, false, Moment(0));
        for i in 0..count {
            schedule.first(&format!("s{i}"), interval, Moment(0), (i, count));
        }
        schedule
    }

    /// Runs the schedule with instant checks; the times of all turns.
    fn run(schedule: &mut Scheduler, until: i64) -> Vec<(i64, String)> {
        let mut turns = Vec::new();
        while let Some(at) = schedule.next_timeout().filter(|m| m.0 <= until) {
            while let Some(name) = schedule.pop(at) {
                turns.push((at.0, name.to_string()));
                schedule.next_turn(&name, at);
            }
        }
        turns
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
        let first: std::collections::HashSet<_> = turns
            .iter()
            .filter(|t| t.0 < 60_000)
            .map(|t| t.1.clone())
            .collect();
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
        while let Some(name) = schedule.pop(woken) {
            at_once += 1;
            schedule.next_turn(&name, woken);
        }
        assert!(at_once <= 10, "{at_once} checks at once");
        let turns = run(&mut schedule, 780_000);
        assert!(turns.len() >= 90);
    }

    #[test]
    fn a_retry_comes_when_asked_and_the_site_then_keeps_its_place() {
        let mut schedule = filled(1, Duration::from_secs(60));
        assert_eq!(schedule.pop(Moment(0)).as_deref(), Some("s0"));
        schedule.retry_at("s0", Moment(10_250));
        assert_eq!(schedule.next_timeout(), Some(Moment(10_250)));
        assert!(schedule.pop(Moment(10_250)).is_some());
        schedule.next_turn("s0", Moment(10_300));
        assert_eq!(schedule.next_timeout(), Some(Moment(60_000)));
    }

    #[test]
    fn a_check_that_takes_longer_than_the_interval_skips_the_missed_turns() {
        let mut schedule = filled(1, Duration::from_secs(1));
        assert!(schedule.pop(Moment(0)).is_some());
        assert_eq!(schedule.next_timeout(), None);
        schedule.next_turn("s0", Moment(10_400));
        assert_eq!(schedule.next_timeout(), Some(Moment(11_000)));
    }

    proptest! {
        #[test]
        fn every_site_has_its_turn_once_an_interval(count in 1usize..40, interval in 1u64..300) {
            let mut schedule = filled(count, Duration::from_secs(interval));
            let turns = run(&mut schedule, 1_800_000);
            for i in 0..count {
                let name = format!("s{i}");
                let times: Vec<i64> = turns.iter().filter(|t| t.1 == name).map(|t| t.0).collect();
                prop_assert!(times[0] <= 60_000.min(interval as i64 * 1000));
                for pair in times.windows(2).skip(1) {
                    prop_assert_eq!(pair[1] - pair[0], interval as i64 * 1000);
                }
            }
        }
    }
}
