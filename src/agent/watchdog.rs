//! Notifies systemd that the agent has started, is alive, or stops (`sd_notify(3)`,
//! `sd_watchdog_enabled(3)`). Without systemd the variables are not set, and nothing is done.
//!
//! Not by the sd-notify crate: version 0.5 waits without a limit for a socket that is full, and
//! would replace only 30 of the 74 lines here.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::{Duration, Instant};

/// Maximum time that the loop waits for systemd.
const NOTIFY_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) struct Watchdog {
    notify: Option<Notify>,
    /// Half of systemd's timeout. `None` if systemd doesn't watch this process.
    every: Option<Duration>,
    next: Instant,
}

struct Notify {
    socket: UnixDatagram,
    to: SocketAddr,
}

impl Watchdog {
    /// Reads the variables that systemd sets.
    pub(super) fn of_environment(now: Instant) -> Watchdog {
        Watchdog::new(now, |name| std::env::var_os(name))
    }

    fn new(now: Instant, variable: impl Fn(&str) -> Option<OsString>) -> Watchdog {
        let notify = variable("NOTIFY_SOCKET").and_then(|path| match Notify::new(&path) {
            Ok(notify) => Some(notify),
            Err(error) => {
                log::warn!("systemd cannot be told anything: NOTIFY_SOCKET: {error}");
                None
            }
        });
        let number = |name| -> Option<u64> { variable(name)?.to_str()?.parse().ok() };
        let ours = variable("WATCHDOG_PID").is_none()
            || number("WATCHDOG_PID") == Some(u64::from(std::process::id()));
        let every = number("WATCHDOG_USEC")
            .filter(|&micros| micros > 0 && ours && notify.is_some())
            .map(|micros| Duration::from_micros(micros / 2));
        Watchdog {
            notify,
            every,
            next: now,
        }
    }

    pub(super) fn ready(&self) {
        self.say("READY=1");
    }

    pub(super) fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Returns when [`Watchdog::look`] is to be called next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.next)
    }

    /// Notifies systemd that the agent is alive, if that is due and the agent is healthy. If it
    /// isn't healthy, the next look comes soon, so that a recovery is notified before systemd's
    /// timeout.
    pub(super) fn look(&mut self, now: Instant, healthy: impl FnOnce() -> bool) {
        let Some(every) = self.every.filter(|_| now >= self.next) else {
            return;
        };
        if healthy() {
            self.say("WATCHDOG=1");
            self.next = now + every;
        } else {
            self.next = now + (every / 8).max(Duration::from_millis(1));
        }
    }

    fn say(&self, what: &str) {
        if let Some(notify) = &self.notify
            && let Err(error) = notify.socket.send_to_addr(what.as_bytes(), &notify.to)
        {
            log::debug!("systemd did not take {what}: {error}");
        }
    }
}

impl Notify {
    /// Opens the socket. `path` is a file system path, or an abstract name (Linux) after `@`.
    fn new(path: &OsStr) -> io::Result<Notify> {
        let to = match path.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            [b'/', ..] => SocketAddr::from_pathname(path)?,
            _ => return Err(io::Error::other("neither a path nor an abstract name")),
        };
        let socket = UnixDatagram::unbound()?;
        // systemd's queue is short: without some time to wait, `READY=1` may be lost.
        socket.set_write_timeout(Some(NOTIFY_TIMEOUT))?;
        Ok(Notify { socket, to })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USEC: &str = "2000000";

    fn watchdog(now: Instant, variables: &[(&str, &OsStr)]) -> Watchdog {
        Watchdog::new(now, |name| {
            let variable = variables.iter().find(|(n, _)| *n == name);
            variable.map(|(_, value)| value.to_os_string())
        })
    }

    /// Returns all datagrams that have arrived.
    fn heard(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).expect("not blocking");
        let mut buffer = [0; 64];
        let next = || {
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn systemd_hears_of_start_life_and_end() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).expect("a socket");
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut watchdog = watchdog(
            now,
            &[
                ("NOTIFY_SOCKET", path.as_os_str()),
                ("WATCHDOG_USEC", OsStr::new(USEC)),
            ],
        );
        watchdog.ready();
        assert_eq!(heard(&systemd), ["READY=1"]);
        watchdog.look(now, || true);
        assert_eq!(heard(&systemd), ["WATCHDOG=1"]);
        assert_eq!(watchdog.due(), Some(now + second), "half of its patience");
        watchdog.look(now + second / 2, || true);
        assert_eq!(heard(&systemd), [""; 0], "it is not time yet");
        watchdog.look(now + second, || false);
        assert_eq!(heard(&systemd), [""; 0], "a sick one is silent");
        assert!(watchdog.due().is_some_and(|due| due < now + 2 * second));
        watchdog.look(now + 2 * second, || true);
        assert_eq!(heard(&systemd), ["WATCHDOG=1"]);
        watchdog.stopping();
        assert_eq!(heard(&systemd), ["STOPPING=1"]);
    }

    #[test]
    fn an_abstract_name_works_too() {
        let name = format!("sitemon-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("an address");
        let systemd = UnixDatagram::bind_addr(&address).expect("a socket");
        let variable = OsString::from(format!("@{name}"));
        watchdog(Instant::now(), &[("NOTIFY_SOCKET", &variable)]).ready();
        assert_eq!(heard(&systemd), ["READY=1"]);
    }

    #[test]
    fn a_watch_over_another_process_or_over_none_is_not_ours() {
        let socket = ("NOTIFY_SOCKET", OsStr::new("@no-such-socket"));
        let watch = ("WATCHDOG_USEC", OsStr::new(USEC));
        let own = OsString::from(std::process::id().to_string());
        let due = |variables: &[_]| watchdog(Instant::now(), variables).due().is_some();
        assert!(due(&[socket, watch]));
        assert!(due(&[socket, watch, ("WATCHDOG_PID", &own)]));
        assert!(!due(&[socket, watch, ("WATCHDOG_PID", OsStr::new("1"))]));
        assert!(!due(&[socket]));
        assert!(!due(&[watch]));
        assert!(!due(&[
            ("NOTIFY_SOCKET", OsStr::new("vsock:2:1234")),
            watch
        ]));
        assert!(!due(&[socket, ("WATCHDOG_USEC", OsStr::new("0"))]));
        watchdog(Instant::now(), &[]).ready();
    }
}
