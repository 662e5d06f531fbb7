//! Runs programs that the configuration names, with limits, and ends them with all their descendants.
//!
//! Each gets its own process group, an empty stdin, a defined environment, and none of our descriptors: those
//! we open are closed by exec(2), and inherited ones are flagged so that they are, too. There is no shell in
//! between.

mod descendants;
mod program;
#[cfg(test)]
mod tests;

pub use descendants::end_all;
pub use program::{NotStarted, resolve};

use crate::lock::lock;
use crate::offload::{offload, spawn};
use crate::timeout::before;
use crate::timer::{self, Timer};
use async_lock::{Semaphore, SemaphoreGuardArc};
use descendants::Running;
use futures_lite::{AsyncRead, AsyncReadExt, FutureExt, future};
use rustix::process::{Pid, Signal, kill_process_group};
use smol::process::{Child, driver};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bytes kept of stdout and of stderr; the rest is read and dropped.
const KEPT: usize = 4096;
/// Maximum bytes in a pipe (pipe(7), `pipe-max-size`).
const LARGEST_PIPE: usize = 1024 * 1024;
/// Time from SIGTERM to SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// Time limit after SIGKILL. A process that is blocked in a file system is left to a thread.
const DYING: Duration = Duration::from_secs(2);
/// Used if our own environment has no `PATH` (environ(7) has no default).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The variables of our own environment that programs inherit.
const PASSED_ON: [&str; 3] = ["PATH", "TZ", "LANG"];

/// Maximum number of concurrent programs, and their permits.
static PERMITS: Mutex<Option<(usize, Arc<Semaphore>)>> = Mutex::new(None);
/// Maximum number until [`allow`] is called.
const DEFAULT_PERMITS: usize = 2;

/// A program to run.
pub struct Command {
    /// The absolute path of the program and its arguments, which every user of this machine can see.
    pub command: Vec<String>,
    /// Additional environment variables; they replace `PATH`, `TZ` and `LANG`.
    pub env: Vec<(String, String)>,
    /// Runs from the start. Then the process group gets SIGTERM, and half a second later SIGKILL.
    pub timeout: Duration,
    pub keep: Keep,
}

/// Which [`KEPT`] bytes of stdout and stderr are returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    First,
    Last,
}

/// The result of a run.
#[derive(Debug)]
pub struct Report {
    pub end: End,
    /// Kept output, unmodified: may contain unprintable bytes.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// Run time of the program itself, without the wait for a permit.
    pub took: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Exited with this code.
    Exited(i32),
    /// Killed by this signal, which was not ours.
    Signal(i32),
    TimedOut,
    NotStarted(NotStarted),
}

/// Sets the maximum number of concurrent programs. Those that run already do not count.
pub fn allow(most: usize) {
    let mut permits = lock(&PERMITS);
    if permits.as_ref().is_none_or(|(now, _)| *now != most) {
        *permits = Some((most, Arc::new(Semaphore::new(most))));
    }
}

async fn permit() -> SemaphoreGuardArc {
    let semaphore = {
        let mut permits = lock(&PERMITS);
        let new = || (DEFAULT_PERMITS, Arc::new(Semaphore::new(DEFAULT_PERMITS)));
        permits.get_or_insert_with(new).1.clone()
    };
    semaphore.acquire_arc().await
}

/// Runs the program once there is a permit. When it has ended, its descendants are killed, too; those that
/// the kernel cannot end yet keep the permit. Dropping the future kills the program.
pub async fn run(command: Command) -> Report {
    let permit = permit().await;
    // Without a driver async-process starts a thread, and panics if that fails.
    let reaper = async { match driver().await {} };
    let run = Box::pin(run_with_permit(command, permit));
    reaper.or(run).await
}

async fn run_with_permit(command: Command, permit: SemaphoreGuardArc) -> Report {
    let start = Instant::now();
    let due = start + command.timeout;
    let running = Running::begin();
    // On a thread: what hangs there, in a file system, keeps the permit.
    let started = offload(move || Ok(Started::new(&command, running, permit)));
    let started = match before(due, started).await {
        Some(Ok(started)) => started,
        Some(Err(error)) => Err(program::refusal(&error)),
        None => Err(NotStarted::Hangs),
    };
    let started = match started {
        Ok(started) => started,
        Err(why) => {
            // async-process forgets a child for which it has no descriptor.
            descendants::end().await;
            return Report {
                end: End::NotStarted(why),
                stdout: Vec::new(),
                stderr: Vec::new(),
                took: start.elapsed(),
            };
        }
    };
    started.watch(start, due).await
}

/// A running program.
struct Started {
    child: Child,
    group: Group,
    stdout: Pipe,
    stderr: Pipe,
    running: Running,
    permit: SemaphoreGuardArc,
}

impl Started {
    /// Blocks as long as the file system hangs.
    fn new(
        command: &Command,
        running: Running,
        permit: SemaphoreGuardArc,
    ) -> Result<Started, NotStarted> {
        let (written, arguments) = command.command.split_first().ok_or(NotStarted::Missing)?;
        // Runs the file that was checked; the program sees the name in the configuration.
        let mut run = std::process::Command::new(resolve(Path::new(written), None)?);
        run.arg0(written).args(arguments);
        run.process_group(0).current_dir("/").env_clear();
        run.env("PATH", DEFAULT_PATH);
        let own = |name: &'static str| Some((name, std::env::var_os(name)?));
        run.envs(PASSED_ON.into_iter().filter_map(own));
        run.envs(command.env.iter().map(|(name, value)| (name, value)));
        let mut run = smol::process::Command::from(run);
        run.stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        run.kill_on_drop(true);
        let mut child = run.spawn().map_err(|error| program::refusal(&error))?;
        let group = Group(i32::try_from(child.id()).ok().and_then(Pid::from_raw));
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        Ok(Started {
            group,
            stdout: Pipe::new(stdout.map(|pipe| Box::new(pipe) as Source), command.keep),
            stderr: Pipe::new(stderr.map(|pipe| Box::new(pipe) as Source), command.keep),
            child,
            running,
            permit,
        })
    }

    async fn watch(mut self, start: Instant, due: Instant) -> Report {
        let mut status = self.status(due).await;
        let timed_out = status.is_none();
        if timed_out {
            self.group.signal(Signal::TERM);
            status = self.status(Instant::now() + GRACE).await;
        }
        let took = start.elapsed();
        // Kills the rest of the group.
        self.group.signal(Signal::KILL);
        if status.is_none() {
            // It may have joined another group.
            let _ = self.child.kill();
            status = self.status(Instant::now() + DYING).await;
        }
        self.group.0 = None;
        let rest = future::zip(self.stdout.read_rest(), self.stderr.read_rest());
        future::poll_once(rest).await;
        let ended = status.is_some();
        let end = match status {
            _ if timed_out => End::TimedOut,
            Some(Ok(status)) => End::of(status),
            Some(Err(error)) => End::NotStarted(program::refusal(&error)),
            None => End::TimedOut,
        };
        if ended {
            drop(self.running);
            descendants::end().await;
        } else {
            let (child, held) = (self.child, (self.running, self.permit));
            leave(child, held);
        }
        Report {
            end,
            stdout: self.stdout.kept,
            stderr: self.stderr.kept,
            took,
        }
    }

    /// Waits for the end until `by`, reading the output meanwhile; `None` after that.
    async fn status(&mut self, by: Instant) -> Option<io::Result<ExitStatus>> {
        let status = self.child.status();
        let reads = async {
            future::zip(self.stdout.read(), self.stderr.read()).await;
            future::pending().await
        };
        before(by, status.or(reads)).await
    }
}

/// Waits on a thread for a process that SIGKILL has not ended yet, and holds `held` until then.
fn leave(mut child: Child, held: impl Send + 'static) {
    let wait = move || {
        let _ = timer::block_on(child.status());
    };
    // Without a thread, async-process reaps the child.
    let _ = spawn("command", Box::new(wait), held);
}

impl End {
    fn of(status: ExitStatus) -> End {
        match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code),
            (None, signal) => End::Signal(signal.unwrap_or_default()),
        }
    }
}

/// A process group, as long as it is certain that the number is still ours.
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            let _ = kill_process_group(group, signal);
        }
    }
}

/// The program was not reaped.
impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

type Source = Box<dyn AsyncRead + Send + Unpin>;

/// A pipe for output.
struct Pipe {
    from: Option<Source>,
    kept: Vec<u8>,
    keep: Keep,
}

impl Pipe {
    fn new(from: Option<Source>, keep: Keep) -> Pipe {
        let kept = Vec::new();
        Pipe { from, kept, keep }
    }

    /// Reads to the end.
    async fn read(&mut self) {
        while self.from.is_some() {
            if self.kept.len() == KEPT {
                // A program that floods the pipe waits for us.
                Timer::after(Duration::from_millis(1)).await;
            }
            self.read_once().await;
        }
    }

    /// Reads the rest in the pipe, which descendants may keep open and write to.
    async fn read_rest(&mut self) {
        for _ in 0..LARGEST_PIPE / KEPT {
            self.read_once().await;
        }
    }

    async fn read_once(&mut self) {
        let Some(from) = &mut self.from else {
            return;
        };
        let mut buffer = vec![0; KEPT];
        match (from.read(&mut buffer).await, self.keep) {
            (Ok(read @ 1..), Keep::First) => {
                let room = KEPT - self.kept.len();
                self.kept.extend(&buffer[..read.min(room)]);
            }
            (Ok(read @ 1..), Keep::Last) => {
                self.kept.extend(&buffer[..read]);
                self.kept.drain(..self.kept.len().saturating_sub(KEPT));
            }
            _ => self.from = None,
        }
    }
}
