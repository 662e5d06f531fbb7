use super::*;
use crate::monitor::incident::record::IncidentRecord;
use crate::monitor::persist::snapshot::{AlertRecord, SiteRecord};
use proptest::prelude::*;
use std::os::unix::fs::PermissionsExt;

pub(super) fn load(dir: &Path) -> Loaded {
    State::open(dir).expect("opens").load()
}

/// `count` sites that are up.
pub(super) fn calm(count: usize) -> Snapshot {
    let site = |i: usize| SiteRecord {
        name: format!("site number {i:03} \"ü\u{1F600}"),
        state: "up".into(),
        since: 1_800_000_000,
        ms: Some(42),
        ..SiteRecord::default()
    };
    Snapshot {
        written: 1_800_000_000,
        last_update: Some(9_007_199_254_740_993),
        next_incident: 1,
        sites: (0..count).map(site).collect(),
        ..Snapshot::default()
    }
}

/// A site goes down at `at`, and its alert waits.
pub(super) fn fails(before: &Snapshot, site: usize, at: i64) -> Snapshot {
    let mut next = before.clone();
    let number = next.next_incident;
    next.next_incident += 1;
    next.written = at;
    let record = &mut next.sites[site];
    record.state = "down".into();
    record.since = at;
    record.cause = Some("HTTP 503, wanted 200-299".into());
    record.ms = Some(77);
    let name = record.name.clone();
    next.incidents.push(IncidentRecord {
        number,
        site: name.clone(),
        cause: "HTTP 503, wanted 200-299".into(),
        start: at,
        reminded: at,
        ..IncidentRecord::default()
    });
    next.alerts.push(AlertRecord {
        id: u64::from(number) * 2,
        news: "down".into(),
        text: "HTTP 503, wanted 200-299".into(),
        site: name,
        incident: Some(number),
        at,
        chats: vec![-1_001_234_567_890],
        ..AlertRecord::default()
    });
    next
}

/// The site recovers, and its alert waits.
pub(super) fn works(before: &Snapshot, site: usize, at: i64) -> Snapshot {
    let mut next = before.clone();
    next.written = at;
    let record = &mut next.sites[site];
    record.state = "up".into();
    record.since = at;
    record.cause = None;
    let incident = next.incidents.last_mut().expect("an incident");
    incident.end = Some(at);
    next.alerts.push(AlertRecord {
        id: u64::from(incident.number) * 2 + 1,
        news: "up".into(),
        seconds: 120,
        site: incident.site.clone(),
        incident: Some(incident.number),
        at,
        chats: vec![-1_001_234_567_890],
        ..AlertRecord::default()
    });
    next
}

/// All waiting alerts were delivered.
pub(super) fn told(before: &Snapshot, at: i64) -> Snapshot {
    let mut next = before.clone();
    next.written = at;
    next.alerts.clear();
    let incident = next.incidents.last_mut().expect("an incident");
    incident.told = true;
    incident.messages = vec![-1_001_234_567_890, at];
    next
}

/// Changes every figure that varies from save to save.
fn waver(mut snapshot: Snapshot, by: i64) -> Snapshot {
    for site in &mut snapshot.sites {
        site.since += by;
        site.ms = site.ms.map(|ms| ms.wrapping_add_signed(by));
    }
    for incident in &mut snapshot.incidents {
        incident.start += by;
        incident.reminded += by;
        incident.end = incident.end.map(|end| end + by);
    }
    snapshot
}

#[test]
fn what_was_saved_is_read_back_by_the_next_run_and_by_status() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = load(dir.path());
    assert!(first.snapshot.is_none() && first.damage.is_none());
    assert!(matches!(read(dir.path()), Err(ReadError::Missing)));
    let down = fails(&calm(3), 1, 1_800_000_100);
    for state in [calm(3), down.clone()] {
        first.writer.save(state.clone()).expect("saves");
        assert_eq!(read(dir.path()).expect("is there"), state);
    }
    drop(first);
    let second = load(dir.path());
    assert_eq!(second.snapshot, Some(down));
    assert_eq!(second.damage, None);
}

#[test]
fn a_save_is_one_block_and_one_that_says_nothing_new_is_none() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { writer, .. } = load(dir.path());
    let mut state = calm(100);
    writer.save(state.clone()).expect("saves");
    let mut blocks = Vec::new();
    for at in 1..5 {
        state = fails(&state, at, 1_800_000_000 + at as i64 * 60);
        let written = writer.save(waver(state.clone(), 1)).expect("saves");
        assert!(written.bytes < BLOCK, "{written:?}");
        blocks.push(written.blocks);
        state.written += 5;
        let nothing = writer.save(waver(state.clone(), -1)).expect("saves");
        assert_eq!(nothing, Written::default());
    }
    // The first save creates the file, which writes the directory, too.
    assert_eq!(blocks, [2, 1, 1, 1]);
}

#[test]
fn a_restart_goes_on_in_the_journal() {
    let dir = tempfile::tempdir().expect("tempdir");
    load(dir.path()).writer.save(calm(5)).expect("saves");
    let mut state = calm(5);
    for run in 0..5 {
        let loaded = load(dir.path());
        assert_eq!(loaded.snapshot.as_ref(), Some(&state));
        state = fails(&state, run, 1_800_000_000 + run as i64 * 60);
        let written = loaded.writer.save(state.clone()).expect("saves");
        assert!(written.blocks <= 2);
    }
}

#[test]
fn an_orderly_end_leaves_everything_in_the_snapshot_and_nothing_after_it() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { writer, .. } = load(dir.path());
    writer.save(calm(2)).expect("saves");
    let down = fails(&calm(2), 0, 1_800_000_100);
    writer.save(down.clone()).expect("saves");
    let end = Snapshot {
        clean: true,
        ..down
    };
    writer.close(end.clone()).expect("saves");
    assert!(!dir.path().join(JOURNAL).exists());
    let late = writer.save(calm(2)).expect("is no error");
    assert_eq!(late, Written::default());
    drop(writer);
    assert_eq!(load(dir.path()).snapshot, Some(end));
}

#[test]
fn a_state_of_the_first_version_is_read_and_replaced() {
    let dir = tempfile::tempdir().expect("tempdir");
    let json = r#"{"written":5,"next_incident":1,"sites":[{"name":"blog","state":"up"}],"alerts":[{"news":"up"},{"news":"down"}]}"#;
    let sum = format::crc32(&[json.as_bytes()]);
    let old = format!("sitemon-state 1 {sum:08x} {}\n{json}", json.len());
    fs::write(dir.path().join(SNAPSHOT), old).expect("writes");
    let loaded = load(dir.path());
    assert_eq!(loaded.damage, None);
    let old = loaded.snapshot.expect("readable");
    assert_eq!((old.sites.len(), old.alerts.len()), (1, 2));
    loaded.writer.save(calm(1)).expect("saves");
    drop(loaded.writer);
    assert_eq!(load(dir.path()).snapshot, Some(calm(1)));
}

#[test]
fn a_state_of_a_newer_version_is_set_aside_as_it_is_and_not_called_damaged() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { writer, .. } = load(dir.path());
    writer.save(calm(1)).expect("saves");
    writer
        .save(fails(&calm(1), 0, 1_800_000_100))
        .expect("saves");
    drop(writer);
    let newer = "sitemon-state 3 7 what else it has\n{}";
    for file in [SNAPSHOT, BACKUP] {
        fs::write(dir.path().join(file), newer).expect("writes");
    }
    let journal = fs::read(dir.path().join(JOURNAL)).expect("is there");
    assert!(matches!(read(dir.path()), Err(ReadError::Newer(3))));
    let loaded = load(dir.path());
    assert_eq!(loaded.snapshot, None);
    let shown = dir.path().display();
    assert_eq!(
        loaded.damage,
        Some(format!(
            "The state was written by a newer sitemon (its version is 3, this one knows 2). It is \
             kept as {shown}/snapshot.newer and snapshot.old.newer and journal.newer. Starting \
             afresh."
        ))
    );
    loaded.writer.save(calm(2)).expect("saves");
    drop(loaded);
    for (file, bytes) in [
        ("snapshot.newer", newer.as_bytes()),
        ("snapshot.old.newer", newer.as_bytes()),
        ("journal.newer", &journal),
    ] {
        assert_eq!(fs::read(dir.path().join(file)).expect("is kept"), bytes);
    }
    let again = load(dir.path());
    assert_eq!((again.snapshot, again.damage), (Some(calm(2)), None));
}

#[test]
fn an_older_copy_beside_a_newer_state_is_used() {
    let dir = tempfile::tempdir().expect("tempdir");
    load(dir.path()).writer.save(calm(1)).expect("saves");
    fs::write(dir.path().join(SNAPSHOT), "sitemon-state 3\n").expect("writes");
    let loaded = load(dir.path());
    assert_eq!(loaded.snapshot, Some(calm(1)));
    let said = loaded.damage.expect("says so");
    assert!(said.ends_with("Nothing was lost."), "{said}");
    assert!(dir.path().join("snapshot.newer").exists());
}

#[test]
fn a_second_run_is_kept_off_as_long_as_the_first_may_write() {
    let dir = tempfile::tempdir().expect("tempdir");
    let first = load(dir.path()).writer;
    let in_use = || matches!(State::open(dir.path()), Err(OpenError::InUse(_)));
    let under_way = first.clone();
    assert!(in_use());
    drop(first);
    assert!(in_use());
    drop(under_way);
    assert!(!in_use());
}

#[test]
fn the_directory_and_its_files_are_private() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("a/b");
    let Loaded { writer, .. } = load(&path);
    writer.save(calm(1)).expect("saves");
    writer.save(fails(&calm(1), 0, 5)).expect("saves");
    let mode = |path: &Path| fs::metadata(path).expect("exists").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for file in [SNAPSHOT, BACKUP, JOURNAL, "lock"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_directory_that_is_gone_is_an_error_and_all_is_written_when_it_is_back() {
    let dir = tempfile::tempdir().expect("tempdir");
    let path = dir.path().join("state");
    let Loaded { writer, .. } = load(&path);
    writer.save(calm(2)).expect("saves");
    fs::remove_dir_all(&path).expect("removes");
    let down = fails(&calm(2), 0, 1_800_000_100);
    let error = writer.save(down.clone()).expect_err("it is gone");
    let told = format!("{}: No such file or directory", path.display());
    assert_eq!(writer.failure(&error), told);
    fs::create_dir(&path).expect("creates");
    writer.save(down.clone()).expect("saves");
    assert_eq!(read(&path).expect("is there"), down);
}

#[test]
fn an_append_that_finds_the_disk_full_becomes_a_whole_snapshot() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { writer, .. } = load(dir.path());
    writer.save(calm(2)).expect("saves");
    owned_file::full::set(1);
    let down = fails(&calm(2), 0, 1_800_000_100);
    let written = writer.save(down.clone()).expect("saves");
    assert_eq!(written.blocks, 4);
    assert_eq!(read(dir.path()).expect("is there"), down);
}

#[test]
fn a_snapshot_that_finds_the_disk_full_takes_the_room_of_the_old_one() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { writer, .. } = load(dir.path());
    writer.save(calm(2)).expect("saves");
    owned_file::full::set(1);
    let end = Snapshot {
        clean: true,
        ..calm(2)
    };
    writer.save(end.clone()).expect("saves");
    assert_eq!(read(dir.path()).expect("is there"), end);
}

#[test]
fn a_journal_that_another_process_changed_is_not_trusted() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { writer, .. } = load(dir.path());
    writer.save(calm(3)).expect("saves");
    let one = fails(&calm(3), 0, 1_800_000_100);
    writer.save(one.clone()).expect("saves");
    fs::write(dir.path().join(JOURNAL), "cut").expect("writes");
    let two = fails(&one, 1, 1_800_000_200);
    writer.save(two.clone()).expect("saves");
    drop(writer);
    let loaded = load(dir.path());
    assert_eq!((loaded.snapshot, loaded.damage), (Some(two), None));
}

#[test]
fn a_reader_always_sees_a_state_that_was_saved_and_never_goes_back() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { writer, .. } = load(dir.path());
    writer.save(calm(1)).expect("saves");
    let path = dir.path().to_owned();
    let saving = thread::spawn(move || {
        for i in 1..150 {
            let state = Snapshot {
                last_update: Some(i),
                // Sometimes the complete state is rewritten.
                clean: i % 7 == 0,
                muted_until: Some(i * 1000),
                ..calm(1)
            };
            writer.save(state).expect("saves");
        }
    });
    let mut last = 0;
    while !saving.is_finished() {
        let seen = read(&path).expect("is there");
        let number = seen.last_update.unwrap_or(0);
        if seen == calm(1) {
            continue;
        }
        assert_eq!(seen.muted_until, Some(number * 1000));
        assert!(number >= last, "{number} after {last}");
        last = number;
    }
    saving.join().expect("no panic");
}

/// docs/flash.md: under 500 KB a day for 100 sites with an outage an hour, in blocks of 4 KB.
#[test]
fn every_day_with_an_outage_an_hour_stays_within_500_kb() {
    for saves in [2, 3, 4] {
        let dir = tempfile::tempdir().expect("tempdir");
        let Loaded { writer, .. } = load(dir.path());
        let mut state = calm(100);
        let save = |state: &Snapshot| {
            let by = state.written % 3 - 1;
            let written = writer.save(waver(state.clone(), by)).expect("saves");
            written.blocks
        };
        for day in 0..3 {
            let mut blocks = if day == 0 { save(&state) } else { 0 };
            for hour in 0..24 {
                let (site, at) = (hour as usize * 4, 1_800_000_000 + (day * 24 + hour) * 3600);
                let down = fails(&state, site, at);
                let down_told = told(&down, at + 1);
                let up = works(&down_told, site, at + 121);
                let up_told = told(&up, at + 122);
                for (state, from) in [(&down, 2), (&down_told, 3), (&up, 2), (&up_told, 4)] {
                    if saves >= from {
                        blocks += save(state);
                    }
                }
                state = up_told;
                // As many incidents as are remembered.
                let old = state.incidents.len().saturating_sub(50);
                state.incidents.drain(..old);
            }
            let bytes = blocks * BLOCK;
            println!("{saves} saves an outage: {blocks} blocks, {bytes} bytes a day");
            assert!(bytes <= 500_000, "{bytes}");
        }
    }
}

#[test]
fn a_storm_is_written_whole() {
    let dir = tempfile::tempdir().expect("tempdir");
    let Loaded { writer, .. } = load(dir.path());
    let mut state = calm(100);
    writer.save(state.clone()).expect("saves");
    for site in 0..100 {
        state = fails(&state, site, 1_800_000_100);
    }
    let written = writer.save(state.clone()).expect("saves");
    assert!(!dir.path().join(JOURNAL).exists());
    let size = fs::metadata(dir.path().join(SNAPSHOT))
        .expect("exists")
        .len();
    assert_eq!(written.blocks, 2 * (size.div_ceil(BLOCK) + 1));
    assert_eq!(read(dir.path()).expect("is there"), state);
}

#[test]
fn what_an_older_version_kept_is_cleaned_and_written_anew() {
    let dir = tempfile::tempdir().expect("tempdir");
    let kept = Snapshot {
        written: 1_800_000_000,
        sites: vec![SiteRecord {
            name: "blog".into(),
            cause: Some(format!(
                "a\n2026-01-01 forged\u{202e}{}",
                "x".repeat(900_000)
            )),
            ..SiteRecord::default()
        }],
        ..Snapshot::default()
    };
    let writer = load(dir.path()).writer;
    writer.save(kept.clone()).expect("saves");
    drop(writer);
    let loaded = load(dir.path());
    let clean = loaded.snapshot.expect("is there");
    assert_eq!(clean, kept.printable());
    assert!(loaded.damage.is_none());
    loaded.writer.save(clean).expect("saves");
    let size = |file| fs::metadata(dir.path().join(file)).map_or(0, |meta| meta.len());
    assert!(size(SNAPSHOT) < 2_000 && size(JOURNAL) < 2_000);
}

/// Moments ten seconds apart: none counts as unchanged.
fn moment() -> impl Strategy<Value = i64> {
    (0..50_i64).prop_map(|m| 1_800_000_000 + m * 10)
}

prop_compose! {
    fn any_site()(
        name in 0..8_u8, state in ".{0,8}", since in moment(), cause in proptest::option::of(".{0,30}"),
        paused in any::<Option<bool>>(), muted_until in proptest::option::of(moment()),
        changes in proptest::collection::vec(moment(), 0..3), flapping in any::<bool>(),
    ) -> SiteRecord {
        SiteRecord {
            name: format!("site {name}"), state, since, cause, paused, muted_until, changes, flapping,
            ..SiteRecord::default()
        }
    }
}

prop_compose! {
    fn any_incident()(
        number in 0..8_u32, cause in ".{0,30}", start in moment(), end in proptest::option::of(moment()),
        acknowledged_at in proptest::option::of(moment()), acknowledged_by in any::<Option<i64>>(),
        messages in proptest::collection::vec(any::<i64>(), 0..3), told in any::<bool>(),
    ) -> IncidentRecord {
        IncidentRecord {
            number, cause, start, end, acknowledged_at, acknowledged_by, messages, told,
            ..IncidentRecord::default()
        }
    }
}

prop_compose! {
    fn any_alert()(
        id in 0..8_u64, text in any::<String>(), at in moment(),
        chats in proptest::collection::vec(any::<i64>(), 0..3),
    ) -> AlertRecord {
        AlertRecord { id: u64::MAX - id, text, at, chats, ..AlertRecord::default() }
    }
}

prop_compose! {
    fn any_state()(
        written in moment(), last_update in any::<Option<i64>>(), clean in proptest::bool::weighted(0.2),
        mut sites in proptest::collection::vec(any_site(), 0..6),
        mut incidents in proptest::collection::vec(any_incident(), 0..6),
        mut alerts in proptest::collection::vec(any_alert(), 0..6),
        troubles in proptest::collection::vec("[a-z]{3}", 0..2),
    ) -> Snapshot {
        sites.sort_by(|a, b| a.name.cmp(&b.name));
        sites.dedup_by(|a, b| a.name == b.name);
        incidents.sort_by_key(|i| i.number);
        incidents.dedup_by_key(|i| i.number);
        alerts.sort_by_key(|a| a.id);
        alerts.dedup_by_key(|a| a.id);
        Snapshot {
            written, last_update, clean, sites, incidents, alerts, troubles, ..Snapshot::default()
        }
        .printable()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_was_saved_last_is_loaded(
        runs in proptest::collection::vec(proptest::collection::vec(any_state(), 1..5), 1..4),
    ) {
        let dir = tempfile::tempdir().expect("tempdir");
        for states in runs {
            let Loaded { writer, .. } = load(dir.path());
            for state in &states {
                writer.save(state.clone()).expect("saves");
                let mut seen = read(dir.path()).expect("is there");
                // Sites are identified by name, not by order.
                seen.sites.sort_by(|a, b| a.name.cmp(&b.name));
                seen.written = state.written;
                prop_assert_eq!(&seen, state);
            }
        }
    }
}
