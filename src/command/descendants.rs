//! Ends descendants of programs: those whose parents have ended become children of this process
//! (PR_SET_CHILD_SUBREAPER in prctl(2)), and are killed and reaped.
//!
//! It is unknown which program such a child came from. It is killed once it is older than every running
//! program; the run time of programs is limited. `waitpid(-1)` is not used, as it would take the programs'
//! own exit statuses from async-process.

use crate::lock::lock;
use crate::timer::Timer;
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, set_child_subreaper,
    waitid, waitpid,
};
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Start times of the running programs.
static RUNNING: Mutex<Vec<Ticks>> = Mutex::new(Vec::new());
/// Start time of the first program: older children are not from programs, and are spared.
static FIRST: OnceLock<Ticks> = OnceLock::new();
/// Time of the last scan of all processes. While programs run there is at most one per second.
static LOOKED: Mutex<Option<Instant>> = Mutex::new(None);
const PAUSE: Duration = Duration::from_secs(1);
/// Maximum number of scans after the end of a program; the next program's scans find what is left.
const LOOKS: u32 = 20;

/// Time since the boot as in `/proc/PID/stat`.
type Ticks = u64;

fn now() -> Ticks {
    let time = clock_gettime(ClockId::Boottime);
    // USER_HZ is 100 on all supported machines.
    time.tv_sec as u64 * 100 + time.tv_nsec as u64 / 10_000_000
}

/// A program from before its start until it is reaped.
pub struct Running(Ticks);

impl Running {
    pub fn begin() -> Running {
        let began = now();
        FIRST.get_or_init(|| {
            // Kernels before 3.4 refuse: there, processes that leave the process group are not killed.
            let _ = set_child_subreaper(Some(getpid()));
            close_on_exec();
            began
        });
        lock(&RUNNING).push(began);
        Running(began)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = lock(&RUNNING);
        if let Some(at) = running.iter().position(|began| *began == self.0) {
            running.swap_remove(at);
        }
    }
}

/// Sets the flag on inherited descriptors, too.
fn close_on_exec() {
    let Ok(entries) = fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = entries.flatten();
    for number in numbers.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if number > 2 {
            // SAFETY: sets a flag that our own descriptors have anyway (fcntl(2)).
            unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
}

/// Kills what ended programs left behind.
pub async fn end() {
    for look in 1..=LOOKS {
        if !look_once() {
            return;
        }
        Timer::after(Duration::from_millis(10) * look).await;
    }
}

/// Kills running programs and what was left behind, when the agent ends.
pub fn end_all() {
    let Some(&first) = FIRST.get() else {
        return;
    };
    for look in 1..=LOOKS {
        let mut ours = children_of_ours();
        ours.retain(|(_, began)| *began >= first);
        // A thread may be about to start a program whose result is no longer waited for.
        if ours.is_empty() && lock(&RUNNING).is_empty() {
            return;
        }
        for (pid, _) in ours {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
        // Their children become ours when they have ended.
        thread::sleep(Duration::from_millis(2) * look);
    }
}

/// Scans once. Returns whether another scan is needed.
fn look_once() -> bool {
    let children = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    if waitid(WaitId::All, children).err() == Some(Errno::CHILD) {
        return false;
    }
    let started = now();
    let oldest = lock(&RUNNING).iter().copied().min();
    let mut looked = lock(&LOOKED);
    if oldest.is_some() && looked.is_some_and(|at| at.elapsed() < PAUSE) {
        return false;
    }
    let first = FIRST.get().copied().unwrap_or(Ticks::MAX);
    let mut found = false;
    for (pid, began) in children_of_ours() {
        if began < first || oldest.is_some_and(|oldest| began >= oldest) {
            continue;
        }
        found = true;
        // A child as young as this scan may be a program that has just started.
        if began < started {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
    if !found {
        *looked = Some(Instant::now());
    }
    found
}

/// Returns all children with their start times.
fn children_of_ours() -> Vec<(Pid, Ticks)> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let own = getpid().as_raw_pid();
    let child = |name: &str| {
        let pid = Pid::from_raw(name.parse().ok()?)?;
        let (parent, began) = parent(&fs::read(format!("/proc/{name}/stat")).ok()?)?;
        (parent == own).then_some((pid, began))
    };
    let entries = entries.flatten();
    entries
        .filter_map(|entry| child(entry.file_name().to_str()?))
        .collect()
}

/// Parses the parent and the start time in `/proc/PID/stat`. The name may contain any byte.
fn parent(stat: &[u8]) -> Option<(i32, Ticks)> {
    let close = stat.iter().rposition(|&b| b == b')')?;
    let mut words = std::str::from_utf8(stat.get(close + 2..)?).ok()?.split(' ');
    let parent = words.nth(1)?.parse().ok()?;
    Some((parent, words.nth(17)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_and_the_beginning_stand_behind_the_name() {
        let stat = b"7 (a) S 1 (b) R) Z 42 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 12345 0 0";
        assert_eq!(parent(stat), Some((42, 12345)));
        assert_eq!(parent(b"7 (a)"), None);
        let (before, own) = (now(), fs::read("/proc/self/stat").expect("is there"));
        let (parent, began) = parent(&own).expect("a process");
        assert_eq!(parent as u32, std::os::unix::process::parent_id());
        assert!(began <= before, "{began} {before}");
        assert!(before - began < 100 * 3600, "{began} {before}");
    }
}
