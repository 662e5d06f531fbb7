//! Runs the command of a job: what it prints is passed on as it comes, and the last of it kept; signals are passed
//! on; it is over when the command has ended, though what it has started may hold the pipes open.
//!
//! One thread waits for all of it. Nothing is read that cannot be passed on: a command that prints more than is
//! read waits, as it would without us.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionread};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

/// Passed on to the command.
const PASSED_ON: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
];
/// Bytes that are read at once: a pipe that can be written to has room for as many (pipe(7), PIPE_BUF).
const PIECE: usize = 4096;
/// Bytes of what was printed last that are kept, of which a report takes fewer.
const KEPT: usize = 8192;

/// A command that has been started.
pub struct Running {
    child: Child,
    signals: File,
    /// Its stdout and stderr, where they go through us.
    streams: Vec<Stream>,
    /// What was printed last, by both.
    printed: Vec<u8>,
}

/// What a command has come to.
pub struct Ended {
    /// Its exit code, or the number of the signal that ended it, negative.
    pub code: i32,
    /// What it printed last.
    pub printed: String,
    streams: Vec<Stream>,
}

/// One of the pipes, and where it leads.
struct Stream {
    /// `None`: at its end, or nothing can be passed on any more.
    from: Option<File>,
    to: OwnedFd,
    /// Read, and not passed on yet.
    waiting: Vec<u8>,
}

/// Starts it. `through`: what it prints goes through us.
///
/// # Errors
///
/// It cannot be run.
pub fn start(program: &OsString, args: &[OsString], through: bool) -> io::Result<Running> {
    let (signals, before) = signals()?;
    let mut command = Command::new(program);
    command.args(args);
    if through {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    // SAFETY: between fork(2) and execve(2) nothing but one system call is made, with a copy of a mask that was
    // filled before (pthread_sigmask(3)). Else the command would begin with the signals blocked that we read.
    unsafe {
        command.pre_exec(move || {
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
            Ok(())
        });
    }
    let mut child = command.spawn()?;
    let mut streams = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        streams.push(Stream::new(OwnedFd::from(pipe), io::stdout().as_fd())?);
    }
    if let Some(pipe) = child.stderr.take() {
        streams.push(Stream::new(OwnedFd::from(pipe), io::stderr().as_fd())?);
    }
    Ok(Running {
        child,
        signals,
        streams,
        printed: Vec::new(),
    })
}

impl Running {
    /// Passes on what is printed and the signals, until the command has ended.
    pub fn wait(mut self) -> Ended {
        let code = loop {
            if let Some(code) = self.step() {
                break code;
            }
        };
        // What is in the pipes now was printed before its end, or by what it has started and left.
        for stream in &mut self.streams {
            stream.drain(&mut self.printed);
        }
        Ended {
            code,
            printed: String::from_utf8_lossy(&self.printed).into_owned(),
            streams: self.streams,
        }
    }

    /// Waits for what comes next and sees to it; how the command ended, once it has.
    fn step(&mut self) -> Option<i32> {
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let open = self.streams.iter().filter_map(Stream::next);
        polled.extend(open);
        if let Err(error) = poll(&mut polled, None) {
            // Else it is for want of memory, which may pass.
            if error != Errno::INTR {
                std::thread::sleep(std::time::Duration::from_millis(100));
            }
            return self.ended();
        }
        let ready: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        let open = self.streams.iter_mut().filter(|s| s.next().is_some());
        for (stream, _) in open.zip(&ready[1..]).filter(|(_, ready)| **ready) {
            stream.go_on(&mut self.printed);
        }
        match ready[0] {
            true => self.on_signal(),
            false => None,
        }
    }

    fn on_signal(&mut self) -> Option<i32> {
        // As signalfd(2) has it: of each signal 128 bytes, first its number, then an error, then its origin.
        let mut signal = [0; 128];
        if !matches!(self.signals.read(&mut signal), Ok(128)) {
            return None;
        }
        let number = |at: usize| {
            let bytes = signal[at..at + 4].try_into().unwrap_or([0; 4]);
            i32::from_ne_bytes(bytes)
        };
        let (signal, origin) = (number(0), number(8));
        if signal == libc::SIGCHLD {
            return self.ended();
        }
        // What a terminal sends goes to the command as well.
        let of_terminal = origin == libc::SI_KERNEL;
        if let Ok(pid) = libc::pid_t::try_from(self.child.id())
            && !of_terminal
        {
            // SAFETY: takes any numbers (kill(2)). The process is our child and not waited for yet, so that its
            // number is no other's.
            unsafe { libc::kill(pid, signal) };
        }
        None
    }

    fn ended(&mut self) -> Option<i32> {
        let status = self.child.try_wait().ok()??;
        let signal = status.signal().map(|signal| -signal);
        status.code().or(signal)
    }
}

impl Ended {
    /// Passes on the rest of what was printed, for as long as that takes: a signal ends it.
    pub fn flush(self) {
        // SAFETY: the set was filled by `signal_set`; the old mask is not asked for (pthread_sigmask(3)).
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &signal_set(), std::ptr::null_mut()) };
        for stream in self.streams {
            // A reader that has gone does not matter any more.
            let _ = File::from(stream.to).write_all(&stream.waiting);
        }
    }
}

impl Stream {
    fn new(from: OwnedFd, to: BorrowedFd) -> io::Result<Stream> {
        Ok(Stream {
            from: Some(File::from(from)),
            to: to.try_clone_to_owned()?,
            waiting: Vec::new(),
        })
    }

    /// What it waits for; `None`: for nothing any more.
    fn next(&self) -> Option<PollFd<'_>> {
        match &self.from {
            _ if !self.waiting.is_empty() => Some(PollFd::new(&self.to, PollFlags::OUT)),
            Some(from) => Some(PollFd::new(from, PollFlags::IN)),
            None => None,
        }
    }

    fn go_on(&mut self, printed: &mut Vec<u8>) {
        if self.waiting.is_empty() {
            return self.read(PIECE, printed);
        }
        match rustix::io::write(&self.to, &self.waiting) {
            Ok(written) => drop(self.waiting.drain(..written)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // Nothing reads it: the command is to hear of that as it would without us.
            Err(_) => (self.from, self.waiting) = (None, Vec::new()),
        }
    }

    fn read(&mut self, most: usize, printed: &mut Vec<u8>) {
        let mut piece = vec![0; most];
        let read = self
            .from
            .as_mut()
            .map_or(Ok(0), |from| from.read(&mut piece));
        match read {
            Ok(0) => self.from = None,
            Ok(length) => {
                self.waiting.extend(&piece[..length]);
                printed.extend(&piece[..length]);
                let over = printed.len().saturating_sub(KEPT);
                printed.drain(..over);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.from = None,
        }
    }

    /// Reads what is there, without waiting for more.
    fn drain(&mut self, printed: &mut Vec<u8>) {
        let there = self
            .from
            .as_ref()
            .map(|from| ioctl_fionread(from).unwrap_or(0));
        let mut left = usize::try_from(there.unwrap_or(0)).unwrap_or(0);
        while left > 0 && self.from.is_some() {
            let before = self.waiting.len();
            self.read(left.min(PIECE), printed);
            left -= (self.waiting.len() - before).min(left);
        }
    }
}

/// Has the signals that are passed on, and that of a child's end, wait to be read. The mask of before, too.
fn signals() -> io::Result<(File, libc::sigset_t)> {
    // SAFETY: the sets were filled by `signal_set`, and the other arguments are what these take: one set is replaced
    // by the old mask (pthread_sigmask(3)), -1 makes a new descriptor (signalfd(2)), which nothing else has. What may have been
    // inherited as ignored would leave nothing to wait for (signal(2)).
    unsafe {
        let (set, mut before) = (signal_set(), signal_set());
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before);
        match libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok((File::from(OwnedFd::from_raw_fd(fd)), before)),
        }
    }
}

fn signal_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) fills the set, and the others change what it holds.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in PASSED_ON.into_iter().chain([libc::SIGCHLD]) {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}
