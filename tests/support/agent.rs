//! The real binary, run as a user runs it.

use super::listener::{LIMIT, locked};
use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::fd::FromRawFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::ptr::null_mut;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A directory with a `sitemon.conf`, and the binary that is run on it.
pub struct Sitemon {
    dir: TempDir,
    environment: Vec<(OsString, OsString)>,
}

/// Exit code and output of a command that has ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Sitemon {
    /// Writes `config` to a new directory. Unless the file sets them, the state directory is put
    /// beside the file and `uplink` to none, so that no test writes to this machine's own state or
    /// connects to another machine. A missing `[agent]` table is appended, so that no line moves.
    pub fn new(config: &str) -> Sitemon {
        let sitemon = Sitemon {
            dir: tempfile::tempdir().expect("a temporary directory"),
            environment: Vec::new(),
        };
        sitemon.rewrite(config);
        sitemon
    }

    /// Replaces the configuration file, with the same additions as [`Sitemon::new`].
    pub fn rewrite(&self, config: &str) {
        let mut config = config.to_owned();
        if !config.contains("[agent]") {
            config.push_str("\n[agent]\n");
        }
        for (key, value) in [("state = ", "\"state\""), ("uplink = ", "[]")] {
            if !config.contains(key) {
                // At the end of the table, so that the lines of its keys don't move.
                let table = config.find("[agent]").unwrap_or_default();
                let end = config[table..]
                    .find("\n[")
                    .map_or(config.len(), |at| table + at + 1);
                config.insert_str(end, &format!("\n{key}{value}\n"));
            }
        }
        let path = self.config_path();
        fs::write(&path, config).expect("the configuration can be written");
        // It may hold a token.
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("its mode can be set");
    }

    /// Sets an environment variable for the processes that are started from now on.
    pub fn env(mut self, name: &str, value: &str) -> Sitemon {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn config_path(&self) -> PathBuf {
        self.dir().join("sitemon.conf")
    }

    /// The directory of `state = "state"`.
    pub fn state_dir(&self) -> PathBuf {
        self.dir().join("state")
    }

    /// `sitemon -c FILE -v run`
    pub fn run(&self) -> Running {
        self.spawn(&["-v", "run"])
    }

    /// Runs the same from a shell: `script` prepares the environment and ends in `exec "$@"`. With
    /// `unshare`, it has its own mount namespace.
    pub fn run_by_shell(&self, unshare: bool, script: &str) -> Running {
        let mut command = Command::new(if unshare { "unshare" } else { "sh" });
        self.keeps_to_itself();
        if unshare {
            command.args(["-rm", "sh"]);
        }
        command.args(["-ec", script, "sh", env!("CARGO_BIN_EXE_sitemon"), "-c"]);
        command.arg(self.config_path()).args(["-v", "run"]);
        self.prepare(&mut command);
        Running::spawn(command)
    }

    /// [`Sitemon::run_by_shell`] in its own mount namespace, with these streams instead of pipes
    /// that are read.
    pub fn run_by_shell_into(
        &self,
        script: &str,
        stdout: impl Into<Stdio>,
        stderr: impl Into<Stdio>,
    ) -> Running {
        self.keeps_to_itself();
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-ec", script, "sh"]);
        command.args([env!("CARGO_BIN_EXE_sitemon"), "-c"]);
        command.arg(self.config_path()).args(["-v", "run"]);
        self.prepare(&mut command);
        Running::spawn_all(command, stdout.into(), stderr.into())
    }

    /// [`Sitemon::run_console`] with `stderr` instead of a pipe that is read.
    pub fn run_console_without_log(&self, stderr: impl Into<Stdio>) -> Running {
        self.keeps_to_itself();
        let mut command = self.prepared();
        command.arg("-c").arg(self.config_path());
        command.args(["-v", "run", "--console"]);
        Running::spawn_all(command, Stdio::piped(), stderr.into())
    }

    /// `sitemon -c FILE -v run --console`
    pub fn run_console(&self) -> Running {
        self.spawn(&["-v", "run", "--console"])
    }

    /// Starts `sitemon -c FILE ARGUMENTS`.
    #[track_caller]
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        let has = |word: &str| arguments.contains(&word);
        if has("run") || has("push") && !(has("--socket") && has("--spool")) {
            self.keeps_to_itself();
        }
        let mut command = self.prepared();
        command.arg("-c").arg(self.config_path()).args(arguments);
        Running::spawn(command)
    }

    /// Runs `sitemon -c FILE run` at a new terminal. What is written to the file is typed there.
    pub fn run_at_terminal(&self) -> (Running, File) {
        self.keeps_to_itself();
        let mut command = self.prepared();
        command.arg("-c").arg(self.config_path()).arg("run");
        Running::at_terminal(command, null_mut())
    }

    /// Runs `WRAPPER sitemon ARGUMENTS`, without `-c FILE`, at a new controlling terminal of 24
    /// lines: Ctrl-C and the like arrive as signals.
    pub fn at_terminal(&self, wrapper: &[&str], arguments: &[&str]) -> (Running, File) {
        let mut command = Command::new("setsid");
        command.arg("--ctty").args(wrapper);
        command.arg(env!("CARGO_BIN_EXE_sitemon")).args(arguments);
        self.prepare(&mut command);
        let mut size = libc::winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        Running::at_terminal(command, &mut size)
    }

    /// Runs another program, with the paths of the binary and of the configuration as its last
    /// arguments.
    pub fn run_program(&self, program: &str, arguments: &[&str]) -> Running {
        let mut command = Command::new(program);
        command.args(arguments).arg(env!("CARGO_BIN_EXE_sitemon"));
        command.arg(self.config_path());
        self.prepare(&mut command);
        Running::spawn(command)
    }

    /// Runs `sitemon -c FILE -v run --console` with `stdout` instead of a pipe that is read.
    pub fn run_console_into(&self, stdout: impl Into<Stdio>) -> Running {
        self.keeps_to_itself();
        let mut command = self.prepared();
        command.arg("-c").arg(self.config_path());
        command.args(["-v", "run", "--console"]);
        Running::spawn_into(command, stdout.into())
    }

    /// Runs `sitemon -c FILE ARGUMENTS` to its end, with nothing on stdin.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.spawn(arguments).output()
    }

    /// Runs `sitemon ARGUMENTS` to its end, without `-c FILE`.
    #[track_caller]
    pub fn bare_command(&self, arguments: &[&str]) -> Output {
        let mut command = self.prepared();
        command.args(arguments);
        Running::spawn(command).output()
    }

    /// Runs `sitemon ARGUMENTS` to its end with no reader of stdout and stderr. Returns its exit
    /// code, or `None` when a signal ended it.
    pub fn unread(&self, arguments: &[&str]) -> Option<i32> {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let mut command = self.prepared();
        command.args(arguments).stdin(Stdio::null());
        command.stdout(writer.try_clone().expect("a descriptor"));
        command.stderr(writer);
        command.status().expect("the binary runs").code()
    }

    /// Checks that the configuration names a state directory: the default one, /var/lib/sitemon,
    /// may belong to an installed agent. Without a file `sitemon push` needs both of its paths.
    #[track_caller]
    fn keeps_to_itself(&self) {
        let path = self.config_path();
        let special = path.exists() && !path.is_file();
        let named = || fs::read_to_string(&path).is_ok_and(|text| text.contains("state = "));
        assert!(
            special || named(),
            "no state directory in {}",
            path.display()
        );
    }

    fn prepared(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sitemon"));
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        command.current_dir(self.dir());
        for variable in FROM_OUTSIDE {
            command.env_remove(variable);
        }
        command.envs(self.environment.iter().map(|(n, v)| (n, v)));
    }
}

/// Variables that would change the behaviour of the binary.
const FROM_OUTSIDE: [&str; 11] = [
    "SITEMON_TELEGRAM_TOKEN",
    "JOURNAL_STREAM",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "TZ",
    "http_proxy",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];

/// Longest time that an orderly end may take. By its own clock the agent takes at most 4 s
/// (`src/agent/shutdown.rs`); a busy machine takes longer.
pub const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// A process that is killed when this value is dropped.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Stream,
    stderr: Stream,
}

impl Running {
    /// Runs the command at a new terminal, of that size if it is not null. What is written to the
    /// file is typed there.
    fn at_terminal(mut command: Command, size: *mut libc::winsize) -> (Running, File) {
        let (mut here, mut there) = (-1, -1);
        // SAFETY: openpty(3) writes both descriptors; the name, settings and size may be null.
        let opened = unsafe { libc::openpty(&mut here, &mut there, null_mut(), null_mut(), size) };
        assert_eq!(opened, 0, "a terminal");
        // SAFETY: both descriptors are open, and nothing else owns them.
        let (here, there) = unsafe { (File::from_raw_fd(here), File::from_raw_fd(there)) };
        let end = || Stdio::from(there.try_clone().expect("a descriptor"));
        command.stdin(end());
        let mut running = Running::spawn_with(command, end(), end());
        running.read_stdout(here.try_clone().expect("a descriptor"));
        (running, here)
    }

    fn spawn(command: Command) -> Running {
        Running::spawn_into(command, Stdio::piped())
    }

    fn spawn_into(command: Command, stdout: Stdio) -> Running {
        Running::spawn_all(command, stdout, Stdio::piped())
    }

    /// Starts the command with these streams. One that isn't piped is collected as empty.
    fn spawn_all(mut command: Command, stdout: Stdio, stderr: Stdio) -> Running {
        command.stdin(Stdio::piped());
        Running::spawn_with(command, stdout, stderr)
    }

    fn spawn_with(mut command: Command, stdout: Stdio, stderr: Stdio) -> Running {
        command.stdout(stdout);
        let spawned = command.stderr(stderr).spawn();
        // The command holds a copy of the write end, which would keep the pipe open.
        drop(command);
        let mut child = spawned.expect("the binary starts");
        Running {
            stdin: child.stdin.take(),
            stdout: match child.stdout.take() {
                Some(stdout) => Stream::collect(stdout),
                None => Stream::collect(std::io::empty()),
            },
            stderr: match child.stderr.take() {
                Some(stderr) => Stream::collect(stderr),
                None => Stream::collect(std::io::empty()),
            },
            child,
        }
    }

    /// Collects stdout from this pipe from now on: see [`Sitemon::run_console_into`].
    pub fn read_stdout(&mut self, pipe: impl Read + Send + 'static) {
        self.stdout = Stream::collect(pipe);
    }

    /// Collects stderr from this pipe from now on: see [`Sitemon::run_console_without_log`].
    pub fn read_stderr(&mut self, pipe: impl Read + Send + 'static) {
        self.stderr = Stream::collect(pipe);
    }

    /// Waits for the end of stdout, and returns all of it.
    pub fn rest_of_stdout(&mut self) -> String {
        self.stdout.finish()
    }

    /// Waits until stdout holds `text`, and returns all of it so far.
    #[track_caller]
    pub fn wait_stdout(&self, text: &str) -> String {
        self.wait(&self.stdout, &format!("{text:?} on stdout"), |so_far| {
            so_far.contains(text)
        })
    }

    /// Waits until stdout from byte `start` on satisfies `wanted`, and returns that part. For an
    /// answer with the text of an earlier one.
    #[track_caller]
    pub fn wait_stdout_from(&self, start: usize, wanted: impl Fn(&str) -> bool) -> String {
        let all = self.wait(&self.stdout, "what was wanted on stdout", |so_far| {
            so_far.get(start..).is_some_and(&wanted)
        });
        all[start..].to_owned()
    }

    /// Waits until stderr holds `text`, and returns all of it so far.
    #[track_caller]
    pub fn wait_stderr(&self, text: &str) -> String {
        self.wait(&self.stderr, &format!("{text:?} on stderr"), |so_far| {
            so_far.contains(text)
        })
    }

    /// Returns everything on stdout so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// Returns everything on stderr so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    #[track_caller]
    pub fn type_line(&mut self, line: &str) {
        let typed = match &mut self.stdin {
            Some(stdin) => writeln!(stdin, "{line}"),
            None => panic!("stdin is closed already"),
        };
        if let Err(e) = typed {
            panic!("cannot type {line:?}: {e}\n{}", self.report());
        }
    }

    /// Closes stdin, as Ctrl-D does.
    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// Sends SIGTERM, and waits for the end.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.wait_exit()
    }

    /// Sends SIGTERM, and checks that the agent ends with 0 within [`ENDS_WITHIN`]: it must not
    /// wait for an operation that hangs for longer.
    #[track_caller]
    pub fn ends_in_time(&mut self) {
        let before = Instant::now();
        assert_eq!(self.terminate().code(), Some(0), "{}", self.stderr());
        let took = before.elapsed();
        assert!(took < ENDS_WITHIN, "{took:?}");
    }

    /// Sends SIGKILL, in the place of a power cut.
    pub fn kill9(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends SIGHUP: the agent reads its configuration again.
    #[track_caller]
    pub fn hup(&self) {
        self.signal("HUP");
    }

    /// Sends a signal by its name without `SIG`.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        // The shell's own kill needs no package.
        let line = format!("kill -{name} {}", self.pid());
        let sent = Command::new("sh").args(["-c", &line]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "cannot signal the process\n{}",
            self.report()
        );
    }

    /// Waits for the process to end by itself.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        let give_up = Instant::now() + LIMIT;
        loop {
            match self.child.try_wait().expect("the child can be waited for") {
                Some(status) => return status,
                None if Instant::now() > give_up => {
                    panic!("waited in vain for its end\n{}", self.report())
                }
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Counts the open file descriptors.
    pub fn descriptors(&self) -> usize {
        self.entries("fd")
    }

    /// Counts the open file descriptors that are not connected to `port`.
    #[track_caller]
    pub fn descriptors_but_to(&self, port: u16) -> usize {
        let process = format!("/proc/{}", self.pid());
        let open = fs::read_dir(format!("{process}/fd")).expect("it runs");
        let open = open
            .flatten()
            .filter_map(|fd| fs::read_link(fd.path()).ok());
        let open: Vec<PathBuf> = open.collect();
        let sockets = fs::read_to_string(format!("{process}/net/tcp")).expect("it runs");
        let to = format!(":{port:04X}");
        // Fields 2 and 9 are the peer's address and the inode (proc(5)).
        let there = sockets.lines().filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let inode = fields.get(9).filter(|_| fields[2].ends_with(&to))?;
            Some(PathBuf::from(format!("socket:[{inode}]")))
        });
        let there: Vec<PathBuf> = there.collect();
        open.iter().filter(|fd| !there.contains(fd)).count()
    }

    pub fn threads(&self) -> usize {
        self.entries("task")
    }

    /// Returns the resident memory in KiB.
    #[track_caller]
    pub fn rss_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// Returns the peak of the resident memory in KiB.
    #[track_caller]
    pub fn peak_kib(&self) -> u64 {
        self.memory_kib("VmHWM:")
    }

    #[track_caller]
    fn memory_kib(&self, figure: &str) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(figure));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("the process has no {figure}\n{}", self.report()))
    }

    /// Closes stdin, waits for the end, and returns the output.
    #[track_caller]
    pub fn output(mut self) -> Output {
        self.close_stdin();
        let code = self.wait_exit().code();
        Output {
            code,
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }

    #[track_caller]
    fn entries(&self, of: &str) -> usize {
        match fs::read_dir(format!("/proc/{}/{of}", self.pid())) {
            Ok(entries) => entries.count(),
            Err(e) => panic!("the process is gone: {e}\n{}", self.report()),
        }
    }

    #[track_caller]
    fn wait(&self, stream: &Stream, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        match stream.wait(wanted) {
            Some(text) => text,
            None => panic!("waited in vain for {what}\n{}", self.report()),
        }
    }

    fn report(&self) -> String {
        let (stdout, stderr) = (self.stdout(), self.stderr());
        format!("--- stdout ---\n{stdout}\n--- stderr ---\n{stderr}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!(
                "the agent that ran when the test failed:\n{}",
                self.report()
            );
        }
        self.kill9();
    }
}

/// One of the process's streams, read by a thread.
struct Stream {
    shared: Arc<(Mutex<Collected>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Collected {
    bytes: Vec<u8>,
    ended: bool,
}

impl Collected {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Stream {
    fn collect(mut from: impl Read + Send + 'static) -> Stream {
        let shared: Arc<(Mutex<Collected>, Condvar)> = Arc::default();
        let for_thread = Arc::clone(&shared);
        let reader = thread::spawn(move || {
            let (collected, changed) = &*for_thread;
            let mut buffer = [0; 4096];
            loop {
                let read = from.read(&mut buffer).unwrap_or(0);
                let mut collected = locked(collected);
                collected.bytes.extend_from_slice(&buffer[..read]);
                collected.ended = read == 0;
                changed.notify_all();
                if read == 0 {
                    return;
                }
            }
        });
        Stream {
            shared,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        locked(&self.shared.0).text()
    }

    /// Waits for the end of the stream, and returns all of it.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        self.text()
    }

    /// Waits until the text satisfies `wanted`. Returns `None` if the stream ends or [`LIMIT`]
    /// passes before.
    fn wait(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let (collected, changed) = &*self.shared;
        let waiting = changed.wait_timeout_while(locked(collected), LIMIT, |collected| {
            !collected.ended && !wanted(&collected.text())
        });
        let (collected, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        let text = collected.text();
        wanted(&text).then_some(text)
    }
}
