//! A network of a test's own: the test runs again inside namespaces where every address that it
//! connects to is on the loopback interface, and no packet leaves the machine.

use std::any::type_name_of_val;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Environment variable that is set inside the namespaces.
const INSIDE: &str = "SITEMON_TEST_NAMESPACE";
/// Networks beyond the uplink (TEST-NET-3 and TEST-NET-2 of RFC 5737, and those of the default
/// `uplink`). Every address in them is local.
const ELSEWHERE: [&str; 4] = [
    "203.0.113.1/24",
    "198.51.100.1/24",
    "1.1.1.1/32",
    "9.9.9.9/32",
];
/// A private network, which needs no uplink, and a source address for when the others are gone.
const HERE: [&str; 2] = ["10.7.0.1/24", "192.0.2.1/32"];

/// The network as a test cuts and mends it. The uplink works at first; no resolver answers.
pub struct Network {
    etc: TempDir,
}

/// The way in which the uplink is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Packets go out and nothing comes back: a fault at the provider.
    Silent,
    /// There is no route: the cable is unplugged.
    Unreachable,
}

impl Network {
    /// The address of site `n` beyond the uplink.
    pub fn elsewhere(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, 113, n)
    }

    /// The address of the only name server. Nothing listens there unless the test does.
    pub fn resolver() -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, 53)
    }

    /// An address for an `uplink` target, beyond the uplink too.
    pub fn uplink(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(198, 51, 100, n)
    }

    /// The address of site `n` in the local network.
    pub fn lan(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 7, 0, n)
    }

    #[track_caller]
    pub fn cut(&self, how: Cut) {
        for network in ELSEWHERE {
            if how == Cut::Silent {
                // The loopback interface drops packets to an address that is not local. The route
                // comes first: without one a connection fails at once.
                ip(&format!("route add {} dev lo", masked(network)));
            }
            ip(&format!("addr del {network} dev lo"));
        }
    }

    #[track_caller]
    pub fn mend(&self) {
        for network in ELSEWHERE {
            ip(&format!("addr add {network} dev lo"));
            // After `Cut::Unreachable` there is no such route.
            let _ = try_ip(&["route", "del", &masked(network), "dev", "lo"]);
        }
    }

    /// Makes `address` local again while the uplink is cut.
    #[track_caller]
    pub fn add(&self, address: Ipv4Addr) {
        ip(&format!("addr add {address}/32 dev lo"));
    }

    /// Makes packets to `address`, which must not be local, vanish; without this there is no route.
    #[track_caller]
    pub fn silence(&self, address: Ipv4Addr) {
        ip(&format!("route add {address}/32 dev lo"));
    }

    /// Undoes [`Network::add`].
    #[track_caller]
    pub fn remove(&self, address: Ipv4Addr) {
        ip(&format!("addr del {address}/32 dev lo"));
    }

    /// Makes the host name `name` resolve to site `n` beyond the uplink.
    #[track_caller]
    pub fn resolve(&self, name: &str, n: u8) {
        self.resolve_to(name, Network::elsewhere(n));
    }

    /// Makes the host name `name` resolve to `ip`.
    #[track_caller]
    pub fn resolve_to(&self, name: &str, ip: Ipv4Addr) {
        // Written in place, since the file is mounted.
        let file = fs::OpenOptions::new()
            .append(true)
            .open(self.etc.path().join("hosts"));
        let line = format!("{ip} {name}\n");
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.expect("the hosts file can be written");
    }

    /// Counts the TCP connections of this namespace that were refused or timed out while
    /// connecting.
    pub fn failed_connects() -> u64 {
        let text = fs::read_to_string("/proc/self/net/snmp").expect("the kernel's counters");
        let mut lines = text.lines().filter(|line| line.starts_with("Tcp:"));
        let names = lines.next().unwrap_or_default().split(' ');
        let values = lines.next().unwrap_or_default().split(' ');
        let found = names.zip(values).find(|(name, _)| *name == "AttemptFails");
        let value = found.and_then(|(_, value)| value.parse().ok());
        value.expect("AttemptFails is among the kernel's counters")
    }

    fn set_up() -> Network {
        let network = Network {
            etc: tempfile::tempdir().expect("a temporary directory"),
        };
        ip("link set lo up");
        for address in ELSEWHERE.iter().chain(&HERE) {
            ip(&format!("addr add {address} dev lo"));
        }
        // The machine's own files may name a service behind a Unix socket, which the namespace can
        // reach.
        let resolver = Network::resolver();
        network.replace("resolv.conf", &format!("nameserver {resolver}\n"));
        network.replace("nsswitch.conf", "hosts: files dns\n");
        network.replace("hosts", "127.0.0.1 localhost\n");
        network
    }

    fn replace(&self, name: &str, text: &str) {
        let (ours, theirs) = (self.etc.path().join(name), Path::new("/etc").join(name));
        fs::write(&ours, text).expect("a file can be written");
        if theirs.exists() {
            run(Command::new("mount").arg("--bind").args([&ours, &theirs]));
        }
    }
}

/// Runs `test` in namespaces of its own. It must be the whole of the test function that calls this:
/// the function is found by the name of the closure. Fails where the machine doesn't allow it.
#[track_caller]
pub fn in_own_network(test: impl FnOnce(&Network)) {
    if std::env::var_os(INSIDE).is_some() {
        return test(&Network::set_up());
    }
    let allowed = unshare()
        .args(["sh", "-c", "ip link set lo up && mount --rbind /tmp /tmp"])
        .output();
    assert!(
        allowed.is_ok_and(|output| output.status.success()),
        "this test needs user namespaces (`unshare -rnm true`), `ip` (iproute2) and `mount`"
    );
    let closure = type_name_of_val(&test);
    let path = closure.trim_end_matches("::{{closure}}");
    let name = path.split_once("::").map_or(path, |(_, name)| name);
    let binary = std::env::current_exe().expect("this program has a path");
    let output = unshare()
        .arg(binary)
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare starts");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && stdout.contains("1 passed"),
        "{name} failed in its own network:\n{stdout}\n{stderr}"
    );
    print!("{stdout}");
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("-rnm");
    command
}

/// Returns the network of `203.0.113.1/24`, without the host's part, as a route needs it.
fn masked(network: &str) -> String {
    match network.strip_suffix(".1/24") {
        Some(prefix) => format!("{prefix}.0/24"),
        None => network.to_owned(),
    }
}

/// Runs `ip` with these arguments.
#[track_caller]
pub fn ip(arguments: &str) {
    run(Command::new("ip").args(arguments.split(' ')));
}

fn try_ip(arguments: &[&str]) -> std::io::Result<std::process::Output> {
    Command::new("ip").args(arguments).output()
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command.output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
}
