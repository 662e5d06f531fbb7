//! Runs the command of a job. Its output is forwarded at once, and the end of it kept for the
//! report. Signals are forwarded to it. It is over when the process exits, even if its descendants
//! hold the pipes open.
//!
//! The signals are blocked before the process starts its first thread: threads inherit the mask, and
//! the kernel hands a signal that one thread doesn't block to that thread, which loses it.
//!
//! A single thread polls pipes and signals. Output is only read when the previous piece was
//! written, so that a slow reader blocks the command as it would without sitemon.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, Stdio};

/// Signals that are forwarded to the command.
const PASSED_ON: [i32; 6] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGHUP,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
];
/// Maximum number of bytes per read; a writable pipe accepts as many without blocking (pipe(7),
/// PIPE_BUF).
const PIECE: usize = 4096;
/// Number of bytes that are kept from the end of the output; a report contains fewer.
const KEPT: usize = 8192;

/// The forwarded signals and SIGCHLD, blocked in all threads that are started later.
pub struct Signals {
    /// A signalfd(2) to read them.
    file: File,
    /// The mask before.
    before: libc::sigset_t,
}

/// A running command.
pub struct Running {
    child: Child,
    signals: File,
    /// Its stdout and stderr, if they are forwarded.
    streams: Vec<Stream>,
    /// The end of the output of both streams.
    printed: Vec<u8>,
}

/// The result of a command.
pub struct Ended {
    /// Exit code, or the negated number of the signal that ended it.
    pub code: i32,
    /// The end of its output.
    pub printed: String,
    streams: Vec<Stream>,
}

/// A pipe of the command, and the stream that it is forwarded to.
struct Stream {
    /// `None` at the end of the input, or after an error.
    from: Option<File>,
    to: OwnedFd,
    /// Bytes that were read, but not written yet.
    waiting: Vec<u8>,
}

/// Starts the command. With `through`, its output is forwarded.
///
/// # Errors
///
/// Returns the error of starting it.
pub fn start(
    signals: Signals,
    program: &OsString,
    args: &[OsString],
    through: bool,
) -> io::Result<Running> {
    let Signals { file, before } = signals;
    let mut command = Command::new(program);
    command.args(args);
    if through {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
    }
    // SAFETY: between fork(2) and execve(2) only one system call is made, with a copy of a mask
    // that was filled before (pthread_sigmask(3)). It unblocks the signals that this process reads
    // with signalfd(2), because the command would inherit the mask.
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
        signals: file,
        streams,
        printed: Vec::new(),
    })
}

impl Signals {
    /// Blocks the signals. Must be called while the process has a single thread.
    ///
    /// # Errors
    ///
    /// Returns the error of signalfd(2).
    pub fn block() -> io::Result<Signals> {
        // SAFETY: `signal_set` filled the sets. One of them is replaced by the old mask
        // (pthread_sigmask(3)), and -1 makes a new descriptor (signalfd(2)) that is owned here
        // alone. SIGCHLD is reset because a process that ignores it can't wait for its children
        // (wait(2)).
        unsafe {
            let (set, mut before) = (signal_set(), signal_set());
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
            libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before);
            match libc::signalfd(-1, &set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(Signals {
                    file: File::from(OwnedFd::from_raw_fd(fd)),
                    before,
                }),
            }
        }
    }
}

impl Running {
    /// Forwards output and signals until the command has exited.
    pub fn wait(mut self) -> Ended {
        let code = loop {
            if let Some(code) = self.step() {
                break code;
            }
        };
        // The rest in the pipes was written before the exit, or by descendants that still run.
        for stream in &mut self.streams {
            stream.drain(&mut self.printed);
        }
        Ended {
            code,
            printed: String::from_utf8_lossy(&self.printed).into_owned(),
            streams: self.streams,
        }
    }

    /// Waits for the next event and handles it. Returns the exit code once the command has exited.
    fn step(&mut self) -> Option<i32> {
        let mut polled = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let open = self.streams.iter().filter_map(Stream::next);
        polled.extend(open);
        if let Err(error) = poll(&mut polled, None) {
            // Other errors are caused by a lack of memory, which may be temporary.
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
        // A signalfd_siginfo has 128 bytes: signal number, error and origin come first
        // (signalfd(2)).
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
        // The terminal sends its signals to the whole process group, so the command gets them
        // already.
        let of_terminal = origin == libc::SI_KERNEL;
        if let Ok(pid) = libc::pid_t::try_from(self.child.id())
            && !of_terminal
        {
            // SAFETY: takes any numbers (kill(2)). The process is a child that isn't waited for
            // yet, so its id isn't reused.
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
    /// Writes the rest of the output, however long that takes. The signals are unblocked only while
    /// the reader is slow, so that one can end this process: those that came too late for the command
    /// mustn't replace its exit code.
    pub fn flush(self) {
        for stream in self.streams {
            let mut to = File::from(stream.to);
            for piece in stream.waiting.chunks(PIECE) {
                let now = Some(&Timespec::default());
                if !matches!(poll(&mut [PollFd::new(&to, PollFlags::OUT)], now), Ok(1)) {
                    // SAFETY: `signal_set` filled the set; a null pointer means that the old mask
                    // isn't returned (pthread_sigmask(3)).
                    unsafe {
                        libc::pthread_sigmask(
                            libc::SIG_UNBLOCK,
                            &signal_set(),
                            std::ptr::null_mut(),
                        );
                    }
                }
                // The reader is gone.
                if to.write_all(piece).is_err() {
                    break;
                }
            }
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

    /// Returns the event to poll for, or `None` if the stream is finished.
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
            // The reader is gone. Closing the pipe reports that to the command, as it would without
            // sitemon.
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

    /// Reads what the pipe contains, without waiting for more.
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

fn signal_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: sigemptyset(3) initialises the set, and sigaddset(3) modifies it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in PASSED_ON.into_iter().chain([libc::SIGCHLD]) {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        set.assume_init()
    }
}
