use super::*;
use crate::monitor::history::{History, Kind};
use std::time::Duration;

/// Midnight UTC, in hours since 1970.
const START: i64 = 20_000 * 24;

/// Two sites, one of which is down in every fifth hour.
fn lived(hours: i64) -> Vec<(String, History)> {
    let mut sites = Vec::new();
    for name in ["blog", "sh\u{F6}p \u{1F600}"] {
        let mut history = History::new(START * 3600);
        for minute in 0..hours * 60 {
            let down = name != "blog" && minute / 60 % 5 == 2 && minute % 60 < 20;
            let kind = if down { Kind::Down } else { Kind::Up };
            history.note(START * 3600 + minute * 60, kind);
            history.add(Duration::from_millis(50));
        }
        history.note((START + hours) * 3600, Kind::Up);
        sites.push((name.to_owned(), history));
    }
    sites
}

fn record(scope: Scope, hour: i64, sites: &[(String, History)]) -> Record {
    let bytes = |history: &History| match scope {
        Scope::Base => history.base(hour),
        Scope::Page => history.page(hour),
    };
    Record {
        scope,
        hour,
        length: 60,
        sites: sites.iter().map(|(n, h)| (n.clone(), bytes(h))).collect(),
    }
}

/// Writes each hour, as the agent does.
fn write(history_files: &mut HistoryFiles, hours: i64) -> u64 {
    let sites = lived(hours);
    let mut blocks = 0;
    for hour in START..START + hours {
        let extent = history_files.need(sites.iter().map(|(n, _)| n.as_str()), hour);
        let then = lived(hour - START + 1);
        let mut records = vec![record(Scope::Page, hour, &then)];
        if extent != Extent::Pages {
            records.insert(0, record(Scope::Base, hour, &then));
        }
        blocks += history_files.save(extent, &records).expect("saves").blocks;
    }
    blocks
}

fn read(dir: &Path) -> (Vec<Record>, Option<String>) {
    let mut records = Vec::new();
    let (_, said) = HistoryFiles::load(dir, |record| records.push(record.clone()));
    (records, said)
}

#[test]
fn every_hour_is_a_block_and_comes_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut history_files, said) = HistoryFiles::load(dir.path(), |_| panic!("there is nothing"));
    assert_eq!(said, None);
    assert_eq!(
        history_files.need(["blog"].into_iter(), START),
        Extent::Whole
    );
    let blocks = write(&mut history_files, 50);
    assert!(blocks <= 53, "{blocks}");
    let (records, said) = read(dir.path());
    assert_eq!(said, None);
    let pages: Vec<i64> = records
        .iter()
        .filter(|r| r.scope == Scope::Page)
        .map(|r| r.hour - START)
        .collect();
    assert_eq!(pages, (24..50).collect::<Vec<i64>>());
    let (history_files, _) = HistoryFiles::load(dir.path(), |_| {});
    let names = || ["blog", "sh\u{F6}p \u{1F600}"].into_iter();
    assert_eq!(history_files.need(names(), START + 50), Extent::Pages);
    assert_eq!(history_files.need(names(), START + 72), Extent::Base);
    assert_eq!(
        history_files.need(["blog"].into_iter(), START + 50),
        Extent::Whole
    );
}

#[test]
fn of_a_site_that_is_gone_nothing_is_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut history_files, _) = HistoryFiles::load(dir.path(), |_| {});
    write(&mut history_files, 30);
    let left = &lived(31)[..1];
    let page = record(Scope::Page, START + 30, left);
    history_files.save(Extent::Whole, &[page]).expect("saves");
    let mut files = fs::read_dir(dir.path()).expect("a directory");
    let one = files.next().expect("a file").expect("a file");
    assert!(files.next().is_none());
    let bytes = fs::read(one.path()).expect("reads");
    assert!(!bytes.windows(2).any(|w| w == b"sh"));
    assert!(bytes.windows(4).any(|w| w == b"blog"));
}

#[test]
fn a_cut_anywhere_loses_only_what_comes_after_it_and_a_flip_only_its_record() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut history_files, _) = HistoryFiles::load(dir.path(), |_| {});
    write(&mut history_files, 4);
    let path = dir.path().join(FILE);
    let good = fs::read(&path).expect("reads");
    let (all, _) = read(dir.path());
    for at in 0..good.len() {
        fs::write(&path, &good[..at]).expect("writes");
        let (cut, said) = read(dir.path());
        assert!(cut.len() < all.len() && cut == all[..cut.len()], "{at}");
        assert_eq!(said, None, "{at}");

        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(&path, &bad).expect("writes");
        let (flipped, said) = read(dir.path());
        // The first record has the names, without which the others cannot be assigned.
        let lost = if at < all_names(&good) { all.len() } else { 1 };
        assert!(flipped.len() + lost >= all.len(), "{at}: {}", flipped.len());
        assert!(flipped.iter().all(|r| all.contains(r)), "{at}");
        assert!(said.is_some() || flipped.len() + 1 >= all.len(), "{at}");
        let _ = fs::remove_file(dir.path().join("history.bad"));
    }
}

/// The end of the first record.
fn all_names(bytes: &[u8]) -> usize {
    HEADER + framed(bytes).map_or(0, <[u8]>::len)
}

#[test]
fn after_a_torn_record_or_damage_everything_is_written_anew() {
    for cut in [1, 20] {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut history_files, _) = HistoryFiles::load(dir.path(), |_| {});
        write(&mut history_files, 3);
        let path = dir.path().join(FILE);
        let good = fs::read(&path).expect("reads");
        fs::write(&path, &good[..good.len() - cut]).expect("writes");
        let (history_files, _) = HistoryFiles::load(dir.path(), |_| {});
        assert_eq!(
            history_files.need(std::iter::empty(), START + 3),
            Extent::Whole
        );
    }
}

#[test]
fn a_power_cut_between_the_renames_of_a_new_day_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut history_files, _) = HistoryFiles::load(dir.path(), |_| {});
    write(&mut history_files, 25);
    let (all, _) = read(dir.path());
    fs::rename(dir.path().join(FILE), dir.path().join(NEW)).expect("renames");
    assert_eq!(read(dir.path()).0, all);
}

#[test]
fn a_disk_that_is_full_is_an_error_and_the_next_save_writes_everything() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut history_files, _) = HistoryFiles::load(dir.path(), |_| {});
    write(&mut history_files, 2);
    fs::remove_file(dir.path().join(FILE)).expect("removes");
    let page = record(Scope::Page, START + 2, &lived(3));
    assert!(history_files.save(Extent::Pages, &[page]).is_err());
    assert_eq!(
        history_files.need(std::iter::empty(), START + 3),
        Extent::Whole
    );
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(0u8..=255, 0..200), body in proptest::collection::vec(0u8..=255, 0..60)) {
        let _ = decode(&bytes, |_| {});
        let _ = super::record(&body, &mut Vec::new());
    }
}

#[test]
fn a_history_of_a_newer_version_is_set_aside_as_it_is_and_not_called_damaged() {
    let dir = tempfile::tempdir().expect("a directory");
    let newer = b"sHr2 and what it has";
    fs::write(dir.path().join(FILE), newer).expect("writes");
    let (history_files, said) =
        HistoryFiles::load(dir.path(), |_| panic!("nothing is known of it"));
    let kept = dir.path().join("history.newer");
    assert_eq!(
        said,
        Some(format!(
            "The history was written by a newer sitemon. It is kept as {}.",
            kept.display()
        ))
    );
    assert_eq!(fs::read(kept).expect("is kept"), newer);
    assert_eq!(
        history_files.need(["blog"].into_iter(), START),
        Extent::Whole
    );
}
