//! Power cuts at every step and damage at every byte.

use super::recover::find;
use super::tests::{calm, fails, load, told, works};
use super::writer::{STEPS, Step};
use super::*;
use tempfile::TempDir;

/// A small state directory with a snapshot, its copy and a journal, and the states saved to it.
struct Saved {
    dir: TempDir,
    states: Vec<Snapshot>,
}

impl Saved {
    /// At its end a down alert waits with its incident open, or an up alert waits.
    fn new(ends_up: bool) -> Saved {
        let mut states = vec![calm(2)];
        let at = 1_800_000_100;
        states.push(fails(&calm(2), 1, at));
        if ends_up {
            states.push(told(&states[1], at + 10));
            states.push(works(&states[2], 1, at + 20));
        }
        Saved::of(states)
    }

    fn of(states: Vec<Snapshot>) -> Saved {
        let dir = tempfile::tempdir().expect("tempdir");
        let Loaded { writer, .. } = load(dir.path());
        for state in &states {
            writer.save(state.clone()).expect("saves");
        }
        Saved { dir, states }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    fn bytes(&self, file: &str) -> Vec<u8> {
        fs::read(self.path(file)).expect("is there")
    }

    fn put(&self, file: &str, bytes: &[u8]) {
        fs::write(self.path(file), bytes).expect("writes");
    }

    fn last(&self) -> Option<&Snapshot> {
        self.states.last()
    }
}

#[test]
fn a_flip_of_any_bit_of_any_file_loses_nothing_and_is_said() {
    for ends_up in [false, true] {
        let saved = Saved::new(ends_up);
        for file in [SNAPSHOT, BACKUP, JOURNAL] {
            let good = saved.bytes(file);
            for at in 0..good.len() {
                for flip in [1 << (at % 8), 0xFF] {
                    let mut bad = good.clone();
                    bad[at] ^= flip;
                    saved.put(file, &bad);
                    let found = find(saved.dir.path());
                    assert_eq!(found.snapshot.as_ref(), saved.last(), "{file} {at}");
                    assert_eq!(found.damaged.is_empty(), file == BACKUP, "{file} {at}");
                    assert!(found.unsound || !found.copied, "{file} {at}");
                    // A flipped bit in the snapshot's number may make it look like a newer one.
                    assert!(!found.lost || (file == SNAPSHOT && at < 20), "{file} {at}");
                }
            }
            saved.put(file, &good);
        }
    }
}

#[test]
fn a_snapshot_cut_anywhere_or_gone_loses_nothing() {
    for ends_up in [false, true] {
        let saved = Saved::new(ends_up);
        for file in [SNAPSHOT, BACKUP] {
            let good = saved.bytes(file);
            for length in 0..good.len() {
                saved.put(file, &good[..length]);
                let found = find(saved.dir.path());
                assert_eq!(found.snapshot.as_ref(), saved.last(), "{file} {length}");
                assert_eq!(found.damaged.is_empty(), file == BACKUP);
                assert!(!found.lost);
            }
            fs::remove_file(saved.path(file)).expect("removes");
            assert_eq!(find(saved.dir.path()).snapshot.as_ref(), saved.last());
            saved.put(file, &good);
        }
    }
}

#[test]
fn a_journal_cut_anywhere_gives_a_state_that_was_saved_and_no_warning() {
    for ends_up in [false, true] {
        let saved = Saved::new(ends_up);
        let good = saved.bytes(JOURNAL);
        let mut newest = 0;
        for length in 0..=good.len() {
            saved.put(JOURNAL, &good[..length]);
            let found = find(saved.dir.path());
            let state = saved
                .states
                .iter()
                .position(|s| found.snapshot.as_ref() == Some(s));
            let state = state.expect("a state that was saved");
            assert!(state >= newest, "{length}");
            newest = state;
            assert!(found.damaged.is_empty() && !found.lost, "{length}");
            // The next save must not follow a partial record.
            let complete = length == 0 || good[length - 1] == b'\n';
            assert_eq!(found.unsound, !complete, "{length}");
        }
        assert_eq!(newest, saved.states.len() - 1);
    }
}

#[test]
fn after_a_torn_record_the_next_save_is_sound() {
    for cut in [1, 100, 500] {
        let saved = Saved::new(true);
        let good = saved.bytes(JOURNAL);
        saved.put(JOURNAL, &good[..good.len() - cut]);
        let loaded = load(saved.dir.path());
        assert_eq!(loaded.damage, None);
        let next = told(&saved.states[3], 1_800_000_500);
        loaded.writer.save(next.clone()).expect("saves");
        let found = find(saved.dir.path());
        assert_eq!(found.snapshot, Some(next));
        assert!(!found.unsound && found.copied);
    }
}

/// Carries out the first `count` steps of a rewrite with `next`, up to a power cut.
fn cut_rewrite(saved: &Saved, next: &Snapshot, count: usize) {
    let found = find(saved.dir.path());
    let bytes = format::encode_snapshot(found.seq + 1, next);
    let files = Files::new(saved.dir.path(), &found);
    files.perform(&STEPS[..count], &bytes).expect("works");
    if count < STEPS.len() && matches!(STEPS[count], Step::Write | Step::WriteBackup) {
        // A power cut within the next step.
        saved.put(NEW, &bytes[..bytes.len() / 2]);
    }
}

#[test]
fn a_power_cut_at_any_step_of_a_rewrite_leaves_the_newest_state() {
    let put = 2;
    for count in 0..=STEPS.len() {
        for damaged in [None, Some(SNAPSHOT), Some(BACKUP)] {
            let mut saved = Saved::new(true);
            let before = saved.states[3].clone();
            let next = told(&before, 1_800_000_500);
            cut_rewrite(&saved, &next, count);
            if let Some(file) = damaged {
                let mut bytes = saved.bytes(file);
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                saved.put(file, &bytes);
            }
            let loaded = load(saved.dir.path());
            // Before the copy exists, a damaged new snapshot falls back to the previous state.
            let older = count < put || damaged == Some(SNAPSHOT) && count < 5;
            let expected = if older { &before } else { &next };
            assert_eq!(
                loaded.snapshot.as_ref(),
                Some(expected),
                "{count} {damaged:?}"
            );
            let said = loaded.damage.unwrap_or_default();
            assert_eq!(said.is_empty(), damaged != Some(SNAPSHOT), "{said}");
            let lost = older && count >= put;
            assert_eq!(said.contains("is lost"), lost, "{count}: {said}");

            // Saving continues from there.
            let later = fails(expected, 0, 1_800_000_900);
            loaded.writer.save(later.clone()).expect("saves");
            drop(loaded.writer);
            saved.states.push(later);
            assert_eq!(load(saved.dir.path()).snapshot.as_ref(), saved.last());
        }
    }
}

#[test]
fn a_journal_that_comes_back_after_a_rewrite_changes_nothing() {
    let saved = Saved::new(true);
    let stale = saved.bytes(JOURNAL);
    let next = told(&saved.states[3], 1_800_000_500);
    cut_rewrite(&saved, &next, STEPS.len());
    assert!(!saved.path(JOURNAL).exists());
    saved.put(JOURNAL, &stale);
    let loaded = load(saved.dir.path());
    assert_eq!((loaded.snapshot, loaded.damage), (Some(next.clone()), None));
    let later = fails(&next, 0, 1_800_000_900);
    loaded.writer.save(later.clone()).expect("saves");
    assert_eq!(find(saved.dir.path()).snapshot, Some(later));
}

/// Damages both copies of the record `index`.
fn spoil(saved: &Saved, index: usize) {
    let good = saved.bytes(JOURNAL);
    let mut lines: Vec<Vec<u8>> = good
        .split_inclusive(|b| *b == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    for copy in [index * 2, index * 2 + 1] {
        let middle = lines[copy].len() / 2;
        lines[copy][middle] ^= 1;
    }
    saved.put(JOURNAL, &lines.concat());
}

#[test]
fn behind_a_record_that_is_lost_the_later_alerts_are_still_there() {
    let one = fails(&calm(3), 0, 1_800_000_100);
    let two = fails(&one, 1, 1_800_000_200);
    let three = fails(&two, 2, 1_800_000_300);
    let ids = |s: &Snapshot| s.alerts.iter().map(|a| a.id).collect::<Vec<_>>();
    for (index, left) in [(0, [4, 6]), (1, [2, 6]), (2, [2, 4])] {
        let saved = Saved::of(vec![calm(3), one.clone(), two.clone(), three.clone()]);
        spoil(&saved, index);
        let loaded = load(saved.dir.path());
        let state = loaded.snapshot.expect("the sound part");
        assert_eq!(ids(&state), left);
        assert_eq!(state.next_incident, if index == 2 { 3 } else { 4 });
        let said = loaded.damage.expect("says so");
        assert!(said.contains("Some of it is lost"), "{said}");
        assert!(saved.path("journal.bad").exists());
        // Until the next save the damaged journal is the only copy.
        assert!(saved.path(JOURNAL).exists());
        loaded.writer.save(state.clone()).expect("saves");
        drop(loaded.writer);
        let again = load(saved.dir.path());
        assert_eq!((again.snapshot, again.damage), (Some(state), None));
        assert!(saved.path("journal.bad").exists());
    }
}

#[test]
fn without_any_snapshot_the_journal_still_has_its_alerts() {
    let saved = Saved::new(true);
    saved.put(SNAPSHOT, b"");
    saved.put(BACKUP, b"");
    let loaded = load(saved.dir.path());
    let state = loaded.snapshot.expect("the sound part");
    assert_eq!(state.alerts, saved.states[3].alerts);
    assert_eq!(state.incidents, saved.states[3].incidents);
    let said = loaded.damage.expect("says so");
    assert!(said.contains("Some of it is lost"), "{said}");
    assert!(saved.path("snapshot.bad").exists());
    assert!(saved.path("snapshot.old.bad").exists());
}

#[test]
fn a_damaged_file_is_set_aside_and_named_once() {
    for file in [SNAPSHOT, JOURNAL] {
        let saved = Saved::new(false);
        let mut bytes = saved.bytes(file);
        let middle = bytes.len() / 4;
        bytes[middle] ^= 1;
        saved.put(file, &bytes);
        let loaded = load(saved.dir.path());
        assert_eq!(loaded.snapshot.as_ref(), saved.last());
        let said = loaded.damage.expect("says so");
        assert!(
            said.starts_with(&format!("The state was damaged ({file}: ")),
            "{said}"
        );
        assert!(said.ends_with(".bad. Nothing was lost."), "{said}");
        loaded.writer.save(saved.states[1].clone()).expect("saves");
        assert_eq!(saved.bytes(&format!("{file}.bad")), bytes);
        drop(loaded.writer);
        assert_eq!(load(saved.dir.path()).damage, None);
    }
}

#[test]
fn files_that_are_no_files_at_all_do_no_harm() {
    let dir = tempfile::tempdir().expect("tempdir");
    for file in [SNAPSHOT, BACKUP, JOURNAL] {
        fs::create_dir(dir.path().join(file)).expect("creates");
    }
    let loaded = load(dir.path());
    assert!(loaded.snapshot.is_none());
    let said = loaded.damage.expect("says so");
    assert!(said.ends_with("Starting afresh."), "{said}");
    loaded.writer.save(calm(1)).expect("saves");
    assert_eq!(find(dir.path()).snapshot, Some(calm(1)));
}
