//! `sitemon push`: reports on a job, or runs it and reports its result. The job runs and its exit
//! code is returned even if the configuration is wrong or the agent doesn't run.

mod command;

use super::Failure;
use super::args::Push;
use crate::config::{self, PushPaths};
use crate::files;
use crate::monitor::bot::nearest::nearest;
use crate::monitor::site::report::{Report, ReportAnswer, ReportKind, Way, last_lines};
use crate::push::{Reply, client, spool};
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Paths of the packages, for users who may report but not read the configuration.
const PACKAGED: [&str; 2] = ["/run/sitemon/push.sock", "/var/lib/sitemon-spool"];
/// Exit codes by which shells report that a command doesn't exist or can't be executed.
const NOT_FOUND: i32 = 127;
const NOT_EXECUTABLE: i32 = 126;
/// Time limit for the agent's answer, after which the report goes to the spool. An agent that hangs has not taken the
/// report; one whose flash is slow recognises it when it reads the spool.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn push(config: &Path, options: &Push) -> Result<(), Failure> {
    if let [program, args @ ..] = options.command.as_slice() {
        return match run(config, options, program, args) {
            0 => Ok(()),
            code => Err(Failure::Exit(code)),
        };
    }
    let reporter = Reporter::new(config, options);
    let message = options.message.as_deref().unwrap_or_default();
    let kind = match (options.start, options.fail) {
        (true, _) => ReportKind::Start,
        (_, true) => ReportKind::Bad,
        _ => ReportKind::Good,
    };
    let report = reporter.report(kind, now(), message);
    let kept = reporter.tell(&report, Instant::now() + PATIENCE)?;
    kept.into_iter().for_each(|why| log::warn!("{why}"));
    Ok(())
}

/// Runs the command, reports its start and end, and returns its exit code.
fn run(config: &Path, options: &Push, program: &OsString, args: &[OsString]) -> i32 {
    // Before the thread that reads the configuration.
    let signals = command::Signals::block();
    let reporter = &Reporter::new(config, options);
    let message = options.message.as_deref().unwrap_or_default();
    let (began, at) = (Instant::now(), now());
    // The end must be later than the start even if the clock was set back.
    let ended_at = || now().max(at + 1);
    let report = |code: i32, printed: &str| Report {
        code: Some(code),
        took: Some(began.elapsed()),
        ..reporter.report(
            match code {
                0 => ReportKind::Good,
                _ => ReportKind::Bad,
            },
            ended_at(),
            &format!("{message}\n{printed}"),
        )
    };
    let tell_end = |report: Report, until: Instant| match reporter.tell(&report, until) {
        Ok(Some(why)) | Err(Failure::Usage(why) | Failure::NotRunning(why)) => log::warn!("{why}"),
        Ok(None) | Err(_) => {}
    };
    let through = !options.no_output;
    let started = signals.and_then(|signals| command::start(signals, program, args, through));
    let running = match started {
        Ok(running) => running,
        Err(e) => {
            let code = match e.kind() {
                io::ErrorKind::NotFound => NOT_FOUND,
                _ => NOT_EXECUTABLE,
            };
            let shown = program.to_string_lossy();
            let why = format!("{shown} cannot be run: {}", files::reason(&e));
            super::logging::say(&why);
            tell_end(report(code, &why), Instant::now() + PATIENCE);
            return code;
        }
    };
    let (ended, end, until) = thread::scope(|scope| {
        let start = reporter.report(ReportKind::Start, at, message);
        // In parallel, because an agent that doesn't respond must not delay the command. Errors are
        // ignored because the report of the end shows them. If there can be no thread, the report is
        // left out.
        let tell_start = move || drop(reporter.tell(&start, began + PATIENCE));
        let _ = thread::Builder::new().spawn_scoped(scope, tell_start);
        let ended = running.wait();
        let end = report(ended.code, &ended.printed);
        (ended, end, Instant::now() + PATIENCE)
    });
    tell_end(end, until);
    let code = ended.code;
    ended.flush();
    match code {
        signal if signal < 0 => 128 - signal,
        code => code,
    }
}

/// Sends the reports of one site.
struct Reporter {
    site: String,
    paths: PushPaths,
}

impl Reporter {
    fn new(config: &Path, options: &Push) -> Reporter {
        let given = options.socket.is_some() && options.spool.is_some();
        let mut paths = config::push_paths(config).unwrap_or_else(|(why, mut paths)| {
            let packaged = PACKAGED.map(PathBuf::from);
            let [socket, spool] = packaged;
            if socket.exists() || spool.exists() {
                (paths.socket, paths.spool) = (socket, spool);
            }
            if !given {
                let (socket, spool) = (paths.socket.display(), paths.spool.display());
                log::warn!("{why}; the agent is looked for at {socket}, the spool at {spool}");
            }
            paths
        });
        // The options may lead to an agent with another configuration, so the known sites don't
        // apply.
        if options.socket.is_some() || options.spool.is_some() {
            paths.sites = None;
        }
        paths.socket = options.socket.clone().unwrap_or(paths.socket);
        paths.spool = options.spool.clone().unwrap_or(paths.spool);
        Reporter {
            site: options.name.clone(),
            paths,
        }
    }

    fn report(&self, kind: ReportKind, at: i64, text: &str) -> Report {
        Report {
            site: self.site.clone(),
            kind,
            at,
            code: None,
            took: None,
            lines: last_lines(text),
            way: Way::Socket,
        }
    }

    /// Sends the report to the agent until `until`, or else keeps it in the spool and returns why.
    fn tell(&self, report: &Report, until: Instant) -> Result<Option<String>, Failure> {
        let (socket, dir) = (&self.paths.socket, &self.paths.spool);
        let sent = client::send(socket, report, until);
        let absent = |e: &io::Error| {
            matches!(
                e.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            )
        };
        let no_agent = sent.as_ref().is_err_and(absent);
        let why = match sent {
            Ok(Reply::Answer(ReportAnswer::Saved)) => {
                spool::forget(dir, report);
                return Ok(None);
            }
            Ok(Reply::Answer(ReportAnswer::Unknown)) => return Err(self.unknown()),
            Ok(Reply::Answer(ReportAnswer::Unsaved)) => "the agent cannot save it".to_owned(),
            Ok(Reply::Refused) => "the agent takes no reports of this user".to_owned(),
            Err(e) if e.kind() == io::ErrorKind::TimedOut => {
                format!("the agent at {} does not answer", socket.display())
            }
            Err(e) => format!("no agent at {}: {}", socket.display(), reason(&e)),
        };
        if no_agent
            && self
                .paths
                .sites
                .as_ref()
                .is_some_and(|all| !all.contains(&self.site))
        {
            return Err(self.unknown());
        }
        let shown = dir.display();
        if let Err(e) = spool::keep(dir, report) {
            let reason = reason(&e);
            return Err(Failure::NotRunning(format!(
                "{why}; the report cannot be kept in {shown} either: {reason}"
            )));
        }
        let taken = match no_agent {
            true => "for its next start",
            false => "until it reads it there",
        };
        Ok(Some(format!(
            "{why}; the report is kept in {shown} {taken}"
        )))
    }

    fn unknown(&self) -> Failure {
        let known = self.paths.sites.iter().flatten().map(String::as_str);
        let near = nearest(&self.site, known);
        let near = near.map(|near| format!("; did you mean `{near}`?"));
        let near = near.unwrap_or_default();
        Failure::Usage(format!("there is no push: site `{}`{near}", self.site))
    }
}

/// Formats the error, and what to do about it.
fn reason(e: &io::Error) -> String {
    let remedy = match e.kind() {
        io::ErrorKind::PermissionDenied => " (only root and the agent's group may report)",
        _ => "",
    };
    files::reason(e) + remedy
}

/// Returns milliseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(0)
}
