//! A file system that never answers, as one of a network server that is gone: FUSE whose server
//! does not read. Needs root and /dev/fuse.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A dead file system over a directory, unmounted when this value is dropped.
pub struct Dead {
    at: PathBuf,
    keeper: Child,
}

const KEEP: &str = "exec 9<>/dev/fuse
mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 dead \"$1\"
echo mounted
exec cat";

impl Dead {
    #[track_caller]
    pub fn over(at: &Path) -> Dead {
        let mut keeper = Command::new("sh")
            .args(["-ec", KEEP, "sh"])
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut line = String::new();
        let stdout = keeper.stdout.take().expect("it is piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        assert!(
            read.is_ok() && line == "mounted\n",
            "FUSE cannot be mounted: root and /dev/fuse are needed"
        );
        Dead {
            at: at.to_owned(),
            keeper,
        }
    }
}

impl Drop for Dead {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}
