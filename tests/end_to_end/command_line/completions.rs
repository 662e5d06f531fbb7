//! The completion of bash, in bash, with the names of the sites by the real binary.

use crate::support::agent::Sitemon;
use crate::support::scene::site;
use std::path::Path;
use std::process::Command;

#[test]
fn bash_completes_commands_options_and_sites() {
    let urls = ["http://127.0.0.1:1/", "http://127.0.0.1:2/"];
    let sitemon = Sitemon::new(&(site("blog", urls[0]) + &site("my shop", urls[1])));
    let script = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/packaging/completions/sitemon.bash"
    );
    let binaries = Path::new(env!("CARGO_BIN_EXE_sitemon")).parent();
    let path = format!(
        "{}:{}",
        binaries.expect("a directory").display(),
        std::env::var("PATH").unwrap_or_default()
    );
    let complete = |words: &[&str]| -> Vec<String> {
        let run = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                   _sitemon; printf '%s\\n' \"${COMPREPLY[@]}\"";
        let mut command = Command::new("bash");
        command
            .args(["-ec", run, "bash", script, "sitemon"])
            .args(words);
        let output = command
            .env("PATH", &path)
            .current_dir(sitemon.dir())
            .output();
        let output = output.expect("bash runs");
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        text.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(complete(&["che"]), ["check"]);
    assert_eq!(complete(&["help", "st"]), ["status"]);
    assert_eq!(complete(&["-v", "pair", "--w"]), ["--write"]);
    assert_eq!(complete(&["status", "--co"]), ["--config"]);
    assert_eq!(complete(&["-c", "sitemon.conf", "check", "b"]), ["blog"]);
    assert_eq!(
        complete(&["check", "-c", "sitemon.conf", "blog", "my"]),
        ["my\\", "shop"]
    );
    // Here bash completes file names by itself.
    assert_eq!(complete(&["-c", "si"]), [""; 0]);
    assert_eq!(complete(&["check", "-c", "nowhere.conf", "b"]), [""; 0]);
}
