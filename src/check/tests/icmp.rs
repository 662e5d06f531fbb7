//! Pings, on loopback and in a network of the test's own.

use super::{client, failure, site_of};
use crate::check::deadline::Deadline;
use crate::check::icmp::{Kind, Tally, ping, socket};
use crate::check::run;
use crate::check::wire::icmp::{Echo, Family, behind_ipv4_header, read_quoted, reply};
use crate::monitor::site::outcome::{Failure, FailureKind, LocalFault, Outcome};
use crate::monitor::site::{Check, IcmpCheck, IpVersion, Site};
use crate::timer::block_on;
use async_io::Async;
use futures_lite::FutureExt;
use rustix::net::{RecvFlags, SendFlags, recv, sendto};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::{Duration, Instant};

const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const SECONDS: Duration = Duration::from_secs(5);
const GROUPS: &str = "/proc/sys/net/ipv4/ping_group_range";
/// Environment variable that is set inside the test's own network.
const INSIDE: &str = "SITEMON_TEST_NAMESPACE";
/// The loopback interface alone.
const LOOPBACK: [&str; 1] = ["link set lo up"];

fn ping_site(host: &str, ip: IpVersion, timeout: Duration) -> Site {
    let check = Check::Icmp(IcmpCheck {
        host: host.to_owned(),
        ip,
        loss: None,
    });
    site_of(check, timeout)
}

fn outcome(host: &str, timeout: Duration) -> Outcome {
    let site = ping_site(host, IpVersion::Any, timeout);
    block_on(run(&client(), &site, false))
}

/// Sends three requests with sockets of this kind only.
async fn ping_within(address: IpAddr, kind: Kind, timeout: Duration) -> Result<Tally, Failure> {
    let open = |wanted| match wanted == kind {
        true => socket(address, kind),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    };
    ping((address, 0).into(), Deadline::new(timeout), &open).await
}

fn ping_over(address: IpAddr, kind: Kind) -> Result<Tally, Failure> {
    block_on(ping_within(address, kind, SECONDS))
}

/// Returns the loopback addresses, `::1` only where there is IPv6.
fn loopback() -> Vec<IpAddr> {
    let there = |address: &IpAddr| UdpSocket::bind((*address, 0)).is_ok();
    [V4, V6].into_iter().filter(there).collect()
}

/// Runs `test` in an empty network of its own, set up by these commands of ip(8), with ping sockets
/// for this user. `test` must be the whole of the test function that calls this: the function runs
/// again there, and is found by the name of the closure.
#[track_caller]
fn in_own_network<T: FnOnce()>(setup: &[&str], test: T) {
    if std::env::var_os(INSIDE).is_some() {
        for line in setup {
            ip(line);
        }
        std::fs::write(GROUPS, "0 0").expect("the sysctl");
        return test();
    }
    let path = std::any::type_name::<T>().trim_end_matches("::{{closure}}");
    let (_, name) = path.split_once("::").expect("a path within this crate");
    let inside = Command::new("unshare")
        .arg("-rn")
        .arg(std::env::current_exe().expect("this program has a path"))
        .args([name, "--exact", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .output()
        .expect("this test needs `unshare` (util-linux)");
    let stdout = String::from_utf8_lossy(&inside.stdout);
    let stderr = String::from_utf8_lossy(&inside.stderr);
    assert!(
        !stderr.starts_with("unshare: "),
        "this test needs user namespaces (`unshare -rn true`): {stderr}"
    );
    assert!(
        inside.status.success() && stdout.contains("1 passed"),
        "{name} failed in its own network:\n{stdout}\n{stderr}"
    );
}

#[track_caller]
fn ip(line: &str) {
    let done = Command::new("ip").args(line.split(' ')).status();
    let done = done.expect("this test needs `ip` (iproute2)");
    assert!(done.success(), "ip {line}");
}

/// Checks for `3 of 3 answered, a/b/c ms` with a ≤ b ≤ c.
#[track_caller]
fn assert_all_answered(outcome: &Outcome, address: IpAddr) {
    assert_eq!(outcome.verdict, Ok(()));
    assert_eq!(outcome.address, Some(address));
    let detail = outcome.detail.as_deref().expect("a detail");
    let times = detail
        .strip_prefix("3 of 3 answered, ")
        .and_then(|rest| rest.strip_suffix(" ms"))
        .expect(detail);
    let times: Vec<f64> = times
        .split('/')
        .map(|time| time.parse().expect("a number"))
        .collect();
    assert!(times.len() == 3 && times.is_sorted(), "{detail}");
    let phases = outcome.phases.expect("phases");
    assert_eq!(outcome.took, Some(phases.first_byte));
    assert!(phases.total >= Duration::from_millis(400));
    assert!(phases.total < Duration::from_secs(5), "ended early");
}

#[test]
fn the_loopback_answers_three_of_three_over_a_raw_socket() {
    in_own_network(&LOOPBACK, || {
        for address in loopback() {
            let tally = ping_over(address, Kind::Raw).expect("answers");
            assert_eq!(tally.answered, 3);
        }
    });
}

#[test]
fn the_loopback_answers_three_of_three_over_a_datagram_socket() {
    in_own_network(&LOOPBACK, || {
        for address in loopback() {
            let tally = ping_over(address, Kind::Datagram).expect("answers");
            assert_eq!(tally.answered, 3);
        }
    });
}

#[test]
fn a_check_tells_the_times_and_the_address() {
    in_own_network(&LOOPBACK, || {
        for address in loopback() {
            let host = address.to_string();
            assert_all_answered(&outcome(&host, Duration::from_secs(10)), address);
        }
    });
}

#[test]
fn two_raw_pings_of_one_address_do_not_take_each_other_s_answers() {
    in_own_network(&LOOPBACK, || {
        let other = std::thread::spawn(|| ping_over(V4, Kind::Raw));
        assert_eq!(ping_over(V4, Kind::Raw).expect("answers").answered, 3);
        let other = other.join().expect("the other");
        assert_eq!(other.expect("answers").answered, 3);
    });
}

/// Answers each echo request on loopback with the packets that `script` returns for the request
/// (with its IP header), its identifier and its number. Never ends.
fn answering<T>(script: impl Fn(&[u8], u16, u16) -> Vec<Vec<u8>>) -> impl Future<Output = T> {
    // Opened now, before the first request is sent.
    let raw = Async::new(socket(V4, Kind::Raw).expect("a raw socket")).expect("a socket");
    let mut buffer = [0; 512];
    async move {
        loop {
            raw.readable().await.expect("readable");
            while let Ok((size, _)) = recv(&raw, &mut buffer, RecvFlags::empty()) {
                let packet = &buffer[..size];
                let message = behind_ipv4_header(packet).expect("a header");
                let Some((id, number)) = read_quoted(Family::V4, message) else {
                    continue;
                };
                for answer in script(packet, id, number) {
                    let to = SocketAddr::new(V4, 0);
                    sendto(&raw, &answer, SendFlags::empty(), &to).expect("sent");
                }
            }
        }
    }
}

/// Turns the kernel's own answers on loopback off.
fn mute_the_loopback() {
    let mute = "/proc/sys/net/ipv4/icmp_echo_ignore_all";
    std::fs::write(mute, "1").expect("the sysctl");
}

#[test]
fn answers_that_are_not_ours_do_not_count_and_one_that_is_will_do() {
    in_own_network(&LOOPBACK, || {
        mute_the_loopback();
        for kind in [Kind::Datagram, Kind::Raw] {
            let script = |packet: &[u8], id, number| {
                let payload = &packet[28..];
                let answer = |id, number, payload: &[u8]| {
                    let echo = Echo {
                        id,
                        number,
                        payload,
                    };
                    reply(Family::V4, echo)
                };
                let right = answer(id, number, payload);
                let mut damaged = right.clone();
                damaged[3] ^= 1;
                let longer = [payload, &[0; 300]].concat();
                let mut answers = vec![
                    answer(id, number, b"another sender's"),
                    answer(id, number, b""),
                    answer(id, number, &longer),
                    answer(id, 7, payload),
                    damaged,
                    right[..6].to_vec(),
                ];
                if kind == Kind::Raw {
                    answers.push(answer(id ^ 1, number, payload));
                }
                if number == 0 {
                    // To a request that is sent later.
                    answers.push(answer(id, 2, payload));
                }
                if number == 1 {
                    // The right answer twice.
                    answers.extend([right.clone(), right]);
                }
                match number {
                    2 => Vec::new(),
                    _ => answers,
                }
            };
            let start = Instant::now();
            let pinged = ping_within(V4, kind, SECONDS);
            let tally = block_on(pinged.or(answering(script)));
            let tally = tally.expect("one answer");
            assert_eq!(tally.answered, 1, "{kind:?}");
            let text = tally.to_string();
            assert!(text.starts_with("1 of 3 answered, "), "{text}");
            assert!(start.elapsed() >= Duration::from_millis(1400));
            assert!(start.elapsed() < SECONDS, "stragglers have a second");
        }
    });
}

#[test]
fn a_refusal_is_told_before_the_time_is_up() {
    /// The Internet checksum (RFC 1071).
    fn sum(bytes: &[u8]) -> [u8; 2] {
        let words = bytes
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum: u32 = words.sum();
        (!((sum & 0xffff) + (sum >> 16)) as u16).to_be_bytes()
    }
    in_own_network(&LOOPBACK, || {
        mute_the_loopback();
        for kind in [Kind::Datagram, Kind::Raw] {
            for (code, wanted) in [
                (1, "no route to host 127.0.0.1"),
                (3, "ping refused by 127.0.0.1"),
                (13, "no route to host 127.0.0.1"),
            ] {
                let script = |packet: &[u8], _, _| {
                    let mut error = vec![3, code, 0, 0, 0, 0, 0, 0];
                    // The least that a router quotes of a packet (RFC 792).
                    error.extend(&packet[..28]);
                    let sum = sum(&error);
                    error[2..4].copy_from_slice(&sum);
                    vec![error]
                };
                let start = Instant::now();
                let pinged = ping_within(V4, kind, SECONDS);
                let refused = block_on(pinged.or(answering(script)));
                let failure = refused.expect_err("refused");
                assert_eq!(failure.kind, FailureKind::Connect);
                assert_eq!(failure.detail, wanted, "{kind:?}");
                assert!(start.elapsed() < SECONDS);
            }
        }
    });
}

#[test]
fn silence_is_a_timeout() {
    let setup = [
        "link set lo up",
        "link add wire type veth peer name end",
        "addr add 203.0.113.1/24 dev wire",
        "link set wire up",
        "link set end up",
        "neigh add 203.0.113.9 lladdr 02:00:00:00:00:09 dev wire nud permanent",
    ];
    in_own_network(&setup, || {
        for kind in [Kind::Datagram, Kind::Raw] {
            let address = "203.0.113.9".parse().expect("an address");
            let timeout = Duration::from_millis(600);
            let start = Instant::now();
            let silent = block_on(ping_within(address, kind, timeout));
            let failure = silent.expect_err("no host is there");
            assert_eq!(failure.kind, FailureKind::Timeout);
            assert_eq!(failure.detail, "no echo within 600ms");
            assert!(start.elapsed() >= timeout);
        }
        let outcome = outcome("203.0.113.9", Duration::from_millis(500));
        let told = (FailureKind::Timeout, "no echo within 500ms");
        assert_eq!(failure(&outcome), told);
        assert_eq!(outcome.address, "203.0.113.9".parse().ok());
        assert_eq!(outcome.took, None);
    });
}

#[test]
fn a_machine_that_is_off_is_told_before_the_time_is_up() {
    // No host answers ARP requests and neighbour solicitations on this link.
    let setup = [
        "link set lo up",
        "link add wire type veth peer name end",
        "addr add 198.51.100.1/24 dev wire",
        "addr add 2001:db8::1/64 dev wire nodad",
        "link set wire up",
        "link set end up",
        "ntable change name arp_cache dev wire retrans 100",
        "ntable change name ndisc_cache dev wire retrans 100",
    ];
    in_own_network(&setup, || {
        for (host, kind) in [
            ("198.51.100.9", Kind::Datagram),
            ("198.51.100.8", Kind::Raw),
            ("2001:db8::9", Kind::Datagram),
            ("2001:db8::8", Kind::Raw),
        ] {
            let address = host.parse().expect("an address");
            let start = Instant::now();
            let failure = ping_over(address, kind).expect_err("no host is there");
            assert_eq!(failure.kind, FailureKind::Connect, "{host}");
            assert_eq!(failure.detail, format!("no route to host {host}"));
            assert!(start.elapsed() < Duration::from_secs(4), "{host}");
        }
    });
}

#[test]
fn what_this_machine_cannot_send_is_told_at_once() {
    let setup = ["link set lo up", "route add unreachable 203.0.113.0/24"];
    in_own_network(&setup, || {
        let long = Duration::from_secs(60);
        let start = Instant::now();
        let told = |host| {
            let outcome = outcome(host, long);
            let (kind, cause) = failure(&outcome);
            assert_eq!(outcome.address, host.parse().ok());
            (kind, cause.to_owned())
        };
        // Only loopback is up, so there is no source address.
        let local = Failure::local(LocalFault::Address);
        let local = (local.kind, local.detail);
        assert_eq!(told("192.0.2.1"), local);
        assert_eq!(told("2001:db8::1"), local);
        ip("addr add 10.7.0.1/32 dev lo");
        let unreachable = (FailureKind::NoRoute, "network unreachable".to_owned());
        assert_eq!(told("192.0.2.1"), unreachable);
        assert_eq!(told("2001:db8::1"), unreachable);
        let no_route = "no route to host 203.0.113.1".to_owned();
        assert_eq!(told("203.0.113.1"), (FailureKind::Connect, no_route));
        assert!(start.elapsed() < long);
    });
}

#[test]
fn without_permission_the_cause_names_the_sysctl() {
    for refusal in [libc::EACCES, libc::EPERM] {
        let open = |kind| {
            Err(io::Error::from_raw_os_error(match kind {
                Kind::Datagram => libc::EACCES,
                Kind::Raw => refusal,
            }))
        };
        let refused = block_on(ping((V4, 0).into(), Deadline::new(SECONDS), &open));
        let failure = refused.expect_err("refused");
        assert_eq!(failure.kind, FailureKind::Connect);
        assert_eq!(
            failure.detail,
            "not allowed to ping: set net.ipv4.ping_group_range to include this user's group, \
             or give the binary cap_net_raw"
        );
    }
}

#[test]
fn no_socket_at_all_is_our_own_failure_and_no_ipv6_is_no_route() {
    for (code, kind, detail) in [
        (
            libc::EMFILE,
            FailureKind::Local(LocalFault::Descriptors),
            "this machine has no file descriptors left",
        ),
        (
            libc::EAFNOSUPPORT,
            FailureKind::NoRoute,
            "network unreachable",
        ),
    ] {
        let open = |_| Err(io::Error::from_raw_os_error(code));
        let failed = block_on(ping((V6, 0).into(), Deadline::new(SECONDS), &open));
        let failure = failed.expect_err("no socket");
        assert_eq!((failure.kind, failure.detail.as_str()), (kind, detail));
    }
}

#[test]
fn a_name_that_does_not_resolve_or_not_in_that_family_is_told() {
    let nobody = outcome("", SECONDS);
    let told = (FailureKind::NoName, "cannot resolve : no such name");
    assert_eq!(failure(&nobody), told);
    assert_eq!(nobody.address, None);
    let site = ping_site("127.0.0.1", IpVersion::V6, SECONDS);
    let wrong = block_on(run(&client(), &site, false));
    let told = (
        FailureKind::NoName,
        "cannot resolve 127.0.0.1: no IPv6 address",
    );
    assert_eq!(failure(&wrong), told);
}

#[test]
fn more_loss_than_is_allowed_is_said() {
    let tally = |answered| Tally {
        answered,
        best: SECONDS,
        mean: SECONDS,
        worst: SECONDS,
    };
    for (answered, limit, lost) in [
        (3, 0, None),
        (2, 0, Some("1 of 3 echo requests lost, limit 0 %")),
        (2, 20, Some("1 of 3 echo requests lost, limit 20 %")),
        (2, 34, None),
        (1, 66, Some("2 of 3 echo requests lost, limit 66 %")),
        (1, 67, None),
    ] {
        assert_eq!(tally(answered).beyond(limit).as_deref(), lost);
    }
}

#[test]
fn times_are_written_in_three_figures() {
    let tally = Tally {
        answered: 1,
        best: Duration::from_micros(54),
        mean: Duration::from_micros(12_345),
        worst: Duration::from_micros(1_234_567),
    };
    assert_eq!(tally.to_string(), "1 of 3 answered, 0.05/12.3/1235 ms");
}
