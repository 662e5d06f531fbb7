//! Writes to flash in a day: the whole core in virtual time, with a real state directory.

#[path = "wear/day.rs"]
mod day;
#[path = "wear/hostile.rs"]
mod hostile;
#[path = "wear/old_states.rs"]
mod old_states;
#[path = "support/plain_site.rs"]
mod plain_site;

use day::*;

const SITES: usize = 100;
/// One outage an hour, each of another site.
const OUTAGE: i64 = 10 * MINUTE;

#[test]
fn a_day_with_a_hundred_sites_and_an_outage_an_hour_writes_less_than_500_kb() {
    let sites = (0..SITES).map(site).collect();
    let mut day = Day::new(Scene::of(sites, |asked| {
        let hour = usize::try_from(asked.clock / HOUR).unwrap_or(0);
        if asked.clock % HOUR < OUTAGE && asked.site == hour * 7 % SITES {
            return bad("HTTP 503, wanted 200-299");
        }
        good(40 + asked.clock % 17)
    }));
    // The first day includes a start; the second is like all later ones.
    for n in 1..=2 {
        let cost = day.run(n * DAY);
        println!(
            "{SITES} sites, 24 outages a day: {} writes, {:.1} KB of data, {} KB in 4 KB blocks, {} blocks of them for the history",
            cost.saves,
            cost.bytes as f64 / 1024.0,
            cost.kilobytes(),
            cost.history,
        );
        assert!(cost.kilobytes() <= 500, "{cost:?}");
    }
    // No alert waited: each was sent when its change was known.
    assert_eq!(day.told.len(), 2 * 24 * 2, "{:?}", day.told);
    assert!(day.told.iter().all(|(_, text)| !text.contains(" ago")));
}
