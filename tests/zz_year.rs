use sitemon::monitor::command::Access;
use sitemon::monitor::message::Delivery;
use sitemon::monitor::outcome::*;
use sitemon::monitor::site::*;
use sitemon::monitor::time::*;
use sitemon::monitor::*;
use std::collections::*;
use std::time::{Duration, Instant};
#[test]
fn year() {
    let sites: Vec<Site> = (0..100)
        .map(|i| Site {
            name: format!("site{i}"),
            url: "https://x/".into(),
            interval: Duration::from_secs(60),
            timeout: Duration::from_secs(10),
            tries: 3,
            retry: Duration::from_secs(10),
            recover: 1,
            remind: None,
            slow: None,
            after: None,
            group: None,
            paused: false,
            chats: None,
            check: Check::Http(HttpCheck {
                url: format!("https://h{i}/"),
                method: "GET".into(),
                headers: vec![],
                send: None,
                auth: None,
                status: StatusSet {
                    ranges: vec![(200, 299)],
                },
                body: None,
                body_not: None,
                redirects: 10,
                version: HttpVersion::Any,
                ip: IpVersion::Any,
                verify: true,
                ca_file: None,
            }),
        })
        .collect();
    let s = Settings {
        access: Access {
            chats: vec![7],
            users: None,
        },
        max_jobs: 2,
        uplink: true,
        heartbeat: false,
        built: 0,
    };
    let now = |ms: i64| Now {
        uptime: Duration::from_millis(ms as u64),
        wall: 1_800_000_000 + ms / 1000,
        zone: 0,
    };
    let mut m = Monitor::new(sites, s, now(0), 1);
    let days: i64 = std::env::var("DAYS")
        .ok()
        .and_then(|d| d.parse().ok())
        .unwrap_or(30);
    let end = days * 86_400_000;
    let mut heap: BinaryHeap<std::cmp::Reverse<(i64, String)>> = BinaryHeap::new();
    let mut t = 0;
    let start = Instant::now();
    let mut checks = 0u64;
    let mut wakes = 0u64;
    let mut queue: VecDeque<Action> = m.handle(now(0), Event::Due).into();
    loop {
        while let Some(a) = queue.pop_front() {
            let e = match a {
                Action::Check { site, .. } => {
                    heap.push(std::cmp::Reverse((t + 40, site.name.clone())));
                    continue;
                }
                Action::Send(o) => Event::Delivered {
                    id: o.id,
                    delivery: Delivery::Sent { message_id: 1 },
                },
                Action::Save => Event::Saved,
                Action::Probe { .. } => Event::Probed(line::Report {
                    up: true,
                    ipv6: None,
                    names: None,
                    trusted: None,
                }),
                _ => continue,
            };
            queue.extend(m.handle(now(t), e));
        }
        let due = m.next_wakeup(now(t)).map(|m| m.0).unwrap_or(i64::MAX);
        let chk = heap.peek().map(|r| r.0.0).unwrap_or(i64::MAX);
        t = due.min(chk).max(t);
        if t > end {
            break;
        }
        wakes += 1;
        if chk <= due {
            let std::cmp::Reverse((_, site)) = heap.pop().unwrap();
            checks += 1;
            let hour = t / 3_600_000;
            let bad = site == format!("site{}", hour % 100) && t % 3_600_000 < 600_000;
            let outcome = if bad {
                Outcome {
                    address: Some("203.0.113.1".parse().unwrap()),
                    ..Outcome::failed(FailureKind::Connect, "refused")
                }
            } else {
                Outcome {
                    verdict: Ok(()),
                    took: Some(Duration::from_millis(40)),
                    phases: None,
                    address: Some("203.0.113.1".parse().unwrap()),
                }
            };
            queue.extend(m.handle(now(t), Event::Checked { site, outcome }));
        } else {
            queue.extend(m.handle(now(t), Event::Due));
        }
    }
    println!(
        "{days} days, {checks} checks, {wakes} wakes in {:?}: {:.2} us a check; year {:.0} s",
        start.elapsed(),
        start.elapsed().as_secs_f64() * 1e6 / checks as f64,
        start.elapsed().as_secs_f64() * 365.0 / days as f64
    );
}
