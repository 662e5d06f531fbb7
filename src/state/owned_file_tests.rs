use super::*;
use crate::state::tests::{calm, fails, load};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

const PRECIOUS: &str = "something else of value";

/// A file outside the state directory, and that directory with a saved state.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Scene {
        let scene = Scene {
            dir: tempfile::tempdir().expect("tempdir"),
        };
        fs::write(scene.precious(), PRECIOUS).expect("writes");
        load(&scene.state()).writer.save(calm(1)).expect("saves");
        scene
    }

    fn state(&self) -> std::path::PathBuf {
        self.dir.path().join("state")
    }

    fn precious(&self) -> std::path::PathBuf {
        self.dir.path().join("precious")
    }

    /// Replaces an entry.
    fn replace(&self, entry: &str, make: impl Fn(&Path, &Path)) {
        let path = self.state().join(entry);
        let _ = fs::remove_file(&path);
        make(&self.precious(), &path);
    }

    #[track_caller]
    fn nothing_else_was_touched(&self) {
        let text = fs::read_to_string(self.precious()).expect("is there");
        assert_eq!(text, PRECIOUS);
    }
}

fn symbolic(to: &Path, at: &Path) {
    symlink(to, at).expect("links");
}

fn hard(to: &Path, at: &Path) {
    fs::hard_link(to, at).expect("links");
}

fn fifo(_: &Path, at: &Path) {
    files::tests::fifo(at);
}

const MAKERS: [fn(&Path, &Path); 3] = [symbolic, hard, fifo];
const ENTRIES: [&str; 7] = [
    "snapshot",
    "snapshot.old",
    "snapshot.new",
    "journal",
    "history",
    "history.old",
    "history.new",
];

#[test]
fn what_was_put_in_an_entrys_place_before_the_start_is_neither_waited_for_nor_written_through() {
    for entry in ENTRIES {
        for make in MAKERS {
            let scene = Scene::new();
            scene.replace(entry, make);
            let loaded = load(&scene.state());
            assert_eq!(loaded.snapshot, Some(calm(1)), "{entry}: the copy is sound");
            let mut state = calm(1);
            for at in 0..3 {
                state = fails(&state, 0, 1_800_000_100 + at * 60);
                // The first save may fail because of `snapshot.new`.
                let _ = loaded.writer.save(state.clone());
            }
            assert_eq!(crate::state::read(&scene.state()).expect("is there"), state);
            scene.nothing_else_was_touched();
        }
    }
}

#[test]
fn what_was_put_in_an_entrys_place_while_it_runs_is_not_written_through() {
    for entry in ENTRIES {
        for make in MAKERS {
            let scene = Scene::new();
            let loaded = load(&scene.state());
            let mut state = fails(&calm(1), 0, 1_800_000_100);
            loaded.writer.save(state.clone()).expect("saves");
            scene.replace(entry, make);
            for at in 1..4 {
                state = fails(&state, 0, 1_800_000_100 + at * 60);
                let _ = loaded.writer.save(state.clone());
            }
            drop(loaded);
            let again = load(&scene.state());
            assert_eq!(again.snapshot, Some(state), "{entry}");
            scene.nothing_else_was_touched();
        }
    }
}

#[test]
fn what_an_entry_is_instead_of_a_file_is_said() {
    for (make, what) in [
        (symbolic as fn(&Path, &Path), "a symbolic link"),
        (fifo, "a named pipe"),
    ] {
        let scene = Scene::new();
        scene.replace("journal", make);
        let said = load(&scene.state()).damage.expect("says so");
        let expected = format!("(journal: it is {what}, not a regular file)");
        assert!(said.contains(&expected), "{said}");
        scene.replace("lock", make);
        let refused = crate::state::open(&scene.state()).expect_err("no lock can be had");
        let crate::state::OpenError::Unusable(said) = refused else {
            panic!("{refused:?}")
        };
        let expected = format!("lock: it is {what}, not a regular file");
        assert!(said.ends_with(&expected), "{said}");
        scene.nothing_else_was_touched();
    }
}

/// Root only, who can give files away.
#[test]
fn another_users_directory_or_file_is_refused_with_the_remedy() {
    assert!(geteuid().is_root(), "has to run as root");
    let refused = |dir: &Path| match crate::state::open(dir) {
        Err(crate::state::OpenError::Unusable(text)) => text,
        opened => panic!("{opened:?}"),
    };
    let scene = Scene::new();
    let dir = scene.state();
    chown(&dir, Some(54_321), None).expect("root may");
    let shown = dir.display();
    assert_eq!(
        refused(&dir),
        format!(
            "{shown} belongs to 54321, but sitemon runs as root: chown -R root {shown}, or run it \
             as that user"
        )
    );
    assert!(crate::state::read(&dir).is_ok(), "it is only read");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).expect("root may");
    assert_eq!(
        refused(&dir),
        format!("{shown} belongs to 54321 and is everybody's: {OWN}")
    );
    chown(&dir, Some(0), None).expect("root may");
    chown(dir.join("snapshot"), Some(54_321), None).expect("root may");
    let said = refused(&dir);
    assert!(
        said.starts_with(&format!("{shown}/snapshot belongs to 54321")),
        "{said}"
    );
    assert!(said.contains(&format!("chown -R root {shown},")), "{said}");
    // A hard link to another user's file must not be given away.
    chown(scene.precious(), Some(54_321), None).expect("root may");
    scene.replace("snapshot", hard);
    let said = refused(&dir);
    assert!(said.ends_with("is a second name of a file that belongs to 54321: remove it"));
    scene.nothing_else_was_touched();
}

#[test]
fn a_link_to_a_directory_is_followed_and_other_writers_are_no_obstacle() {
    let scene = Scene::new();
    let link = scene.dir.path().join("link");
    symlink(scene.state(), &link).expect("links");
    for (mode, said) in [
        (0o700, None),
        (0o755, None),
        (0o775, Some(format!("chmod go-w {}", link.display()))),
        (0o777, Some(format!("chmod go-w {}", link.display()))),
        (0o1777, Some(OWN.to_owned())),
    ] {
        fs::set_permissions(&link, fs::Permissions::from_mode(mode)).expect("ours");
        let found = fs::metadata(&link).expect("is there");
        let told = open_to_others(&link, &found);
        assert_eq!(told.is_some(), said.is_some(), "{mode:o}");
        assert!(
            told.unwrap_or_default()
                .ends_with(&said.unwrap_or_default())
        );
        assert_eq!(load(&link).snapshot, Some(calm(1)));
    }
}

#[test]
fn users_have_names() {
    assert_eq!(user(0), "root");
    assert_eq!(user(54_321), "54321");
}

#[test]
fn a_directory_that_is_not_sitemons_alone_is_not_to_be_given_away() {
    assert!(geteuid().is_root(), "has to run as root");
    let dir = tempfile::tempdir().expect("a directory");
    let refused = |dir: &Path| match crate::state::open(dir) {
        Err(crate::state::OpenError::Unusable(text)) => text,
        opened => panic!("{opened:?}"),
    };
    let shown = dir.path().display();
    chown(dir.path(), Some(54_321), None).expect("root may");
    for (name, remedy) in [
        (
            "snapshot.old",
            format!("chown -R root {shown}, or run it as that user"),
        ),
        ("etc", OWN.to_owned()),
    ] {
        fs::create_dir(dir.path().join(name)).expect("a directory");
        assert_eq!(
            refused(dir.path()),
            format!("{shown} belongs to 54321, but sitemon runs as root: {remedy}")
        );
    }
}

#[test]
fn what_is_no_directory_is_named_with_the_remedy() {
    let dir = tempfile::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "x").expect("a file");
    let fifo = std::process::Command::new("mkfifo")
        .arg(at("fifo"))
        .status();
    assert!(fifo.expect("mkfifo").success());
    symlink(at("nowhere"), at("dangling")).expect("a link");
    symlink(at("file"), at("link")).expect("a link");
    for (name, what) in [
        ("file", "a regular file"),
        ("link", "a regular file"),
        ("fifo", "a named pipe"),
        ("dangling", "a symbolic link that leads to no directory"),
    ] {
        let path = at(name);
        match crate::state::open(&path) {
            Err(crate::state::OpenError::Unusable(text)) => {
                assert_eq!(text, format!("{} is {what}: {OWN}", path.display()));
            }
            opened => panic!("{opened:?}"),
        }
    }
    assert_eq!(fs::read(at("file")).expect("still there"), b"x");
}
