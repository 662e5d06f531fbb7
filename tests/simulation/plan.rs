//! Everything that happens to the agent, drawn from a seed before it starts.

use crate::dice::{Dice, Span, joined};
use crate::plain_site::plain_site;
use sitemon::monitor::site::Site;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub const SECOND: i64 = 1000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
/// Right time at the start, in Unix seconds: 2027-01-15.
pub const WALL: i64 = 1_800_000_000;
/// When the program was built, in Unix seconds.
pub const BUILT: i64 = 1_790_000_000;
pub const PRIVATE: i64 = 7;
pub const GROUP: i64 = -100;
/// The new id of the group.
pub const SUPERGROUP: i64 = -1_001_000_000_100;
pub const STRANGER: i64 = 666;
/// Stands in the place of a text for the service message of the move.
pub const MOVES: &str = "became a supergroup";
/// Time between two tries while the token is refused, in ms.
pub const REVOKED_WAIT: i64 = 5 * MINUTE;

/// The way in which a site fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Refused,
    Hangs,
    Status,
    Tls,
    NoName,
}

#[derive(Clone, Copy, Debug)]
pub struct Outage {
    pub span: Span,
    pub fault: Fault,
}

#[derive(Clone, Debug)]
pub struct SitePlan {
    pub site: Site,
    pub address: IpAddr,
    pub lan: bool,
    /// Its address is a host name that must be resolved.
    pub named: bool,
    /// Answer time in ms.
    pub pace: i64,
    /// Sorted, without overlap.
    pub outages: Vec<Outage>,
    /// When it answers slower than its `slow`.
    pub slow: Vec<Span>,
    /// When the configuration does not name it.
    pub gone: Vec<Span>,
    /// When the configuration has another interval for it, and which.
    pub other_interval: Option<(Span, i64)>,
}

impl SitePlan {
    pub fn name(&self) -> &str {
        &self.site.name
    }

    pub fn fault(&self, at: i64) -> Option<Fault> {
        let after = self.outages.partition_point(|o| o.span.to <= at);
        let next = self.outages.get(after)?;
        next.span.has(at).then_some(next.fault)
    }

    /// Returns the site as configured at this time.
    pub fn site_at(&self, at: i64) -> Option<Site> {
        if self.gone.iter().any(|s| s.has(at)) {
            return None;
        }
        let mut site = self.site.clone();
        if let Some((span, interval)) = self.other_interval
            && span.has(at)
        {
            site.interval = Duration::from_millis(interval as u64);
        }
        Some(site)
    }

    /// Returns the longest interval it ever has, in ms.
    pub fn interval(&self) -> i64 {
        let other = self.other_interval.map_or(0, |(_, i)| i);
        millis(self.site.interval).max(other)
    }

    /// Returns the time from the start of an outage until it must have been judged, in ms.
    pub fn judged_within(&self) -> i64 {
        let once = millis(self.site.retry) + millis(self.site.timeout);
        self.interval() + i64::from(self.site.tries) * once
    }

    /// Returns the time from the end of an outage until it must have been seen, in ms.
    pub fn back_within(&self) -> i64 {
        let once = millis(self.site.retry) + millis(self.site.timeout);
        self.interval() + i64::from(self.site.recover) * once + millis(self.site.timeout)
    }
}

/// A standstill of the machine or of the process.
#[derive(Clone, Copy, Debug)]
pub struct Frozen {
    pub span: Span,
    /// The machine is suspended: the monotonic clock stands still too.
    pub suspended: bool,
}

/// An end of the agent.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub when: When,
    /// Time until the next start, in ms.
    pub off: i64,
    /// Ended by SIGTERM; a power cut otherwise.
    pub orderly: bool,
    /// The wall clock at the next start, if it is wrong then.
    pub unset: Option<Unset>,
}

/// A wall clock that is wrong at a start and must not be trusted.
#[derive(Clone, Copy, Debug)]
pub struct Unset {
    pub shows: Shows,
    /// Time until it is set right, in ms.
    pub lasts: i64,
}

#[derive(Clone, Copy, Debug)]
pub enum Shows {
    /// The beginning of 1970, as on a machine without a battery.
    Epoch,
    /// This many days behind: it was restored from an old stamp.
    Behind(i64),
    /// This many years ahead.
    Ahead(i64),
}

#[derive(Clone, Copy, Debug)]
pub enum When {
    At(i64),
    /// Before this action of the whole run, counted from 0.
    Action(u64),
}

/// The way in which a route to Telegram is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// The connection is reset.
    Reset,
    /// Requests are answered with a captive portal's page.
    Page,
    /// Connections are accepted, and nothing is answered.
    Hangs,
}

/// The group gets a new id.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub at: i64,
    /// Since when the configuration has the new id, and whether beside the old one.
    pub configured: Option<(i64, bool)>,
}

/// Three channels, one of each kind, and the faults of their server.
#[derive(Clone, Debug)]
pub struct ChannelsPlan {
    /// When the server doesn't answer.
    pub out: Vec<Span>,
    /// When the server accepts alerts, but its answers are lost.
    pub ambiguous: Vec<Span>,
    /// `telegram fails`, in ms.
    pub fails: i64,
    /// `unacknowledged`, in ms.
    pub unacknowledged: i64,
}

#[derive(Clone, Debug)]
pub struct Written {
    pub at: i64,
    pub chat: i64,
    pub text: String,
}

/// The features under test.
#[derive(Clone, Copy, Debug)]
pub struct Features {
    pub uplink: bool,
    pub after: bool,
    pub clock: bool,
    pub suspend: bool,
}

pub const EVERYTHING: Features = Features {
    uplink: true,
    after: true,
    clock: true,
    suspend: true,
};

#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub uplink: bool,
    /// No fault happens from here on.
    pub calm_from: i64,
    pub end: i64,
    pub sites: Vec<SitePlan>,
    pub chats: Vec<i64>,
    pub cuts: Vec<Span>,
    pub names_lost: Vec<Span>,
    pub telegram_out: Vec<Span>,
    /// Number of routes to Telegram, the direct one included.
    pub routes: usize,
    /// When each route is blocked, and how.
    pub blocked: Vec<(Span, usize, Block)>,
    /// When this machine has no descriptors left for most operations.
    pub lacking: Vec<Span>,
    /// When this machine has no address but loopback's: an interface comes up late, or is gone for
    /// a while. The uplink is cut then, and the local network too.
    pub unaddressed: Vec<Span>,
    /// When a chat, or all of them, get 429.
    pub throttled: Vec<(Span, Option<i64>)>,
    /// When a chat gets 403.
    pub refused: Vec<(Span, i64)>,
    /// When every request gets 401 or 404.
    pub revoked: Vec<Span>,
    /// When every `getUpdates` gets 409 Conflict.
    pub conflicts: Vec<Span>,
    pub moved: Option<Moved>,
    /// Channels besides the chats, if there are any.
    pub channels: Option<ChannelsPlan>,
    /// When messages arrive, but the answers are lost.
    pub ambiguous: Vec<Span>,
    pub disk_full: Vec<Span>,
    /// When the wall clock jumps, and by how many seconds.
    pub jumps: Vec<(i64, i64)>,
    pub frozen: Vec<Frozen>,
    pub ends: Vec<End>,
    /// Time after which a doubted clock that isn't wrong is confirmed, by a time server or a
    /// verified one, in ms. At the latest it is confirmed when the calm begins.
    pub confirms: i64,
    pub reloads: Vec<i64>,
    pub written: Vec<Written>,
    /// Records only the first of many good checks.
    pub frugal: bool,
    /// Records the text of every snapshot.
    pub keeps_images: bool,
    /// Percent of the sends and probes that are slow.
    pub sluggish: i64,
}

pub fn millis(d: Duration) -> i64 {
    d.as_millis() as i64
}

pub fn numbered_site(number: usize, https: bool, host: &str, interval: i64) -> Site {
    let scheme = if https { "https" } else { "http" };
    Site {
        interval: Duration::from_millis(interval as u64),
        ..plain_site(&format!("n{number:02}"), &format!("{scheme}://{host}/"))
    }
}

/// Draws `count` spans of `short..=long` ms before `until`, without overlap.
pub fn spans(dice: &mut Dice, count: i64, short: i64, long: i64, until: i64) -> Vec<Span> {
    let drawn = (0..count).map(|_| {
        let length = dice.scale(short, long);
        let from = dice.between(SECOND, (until - length).max(2 * SECOND));
        Span::new(from, from + length)
    });
    joined(drawn.collect(), 2 * SECOND)
}

/// Draws `times` spans of a length in `off`, with a pause in `on` after each, before `until`.
pub fn burst(
    dice: &mut Dice,
    off: (i64, i64),
    on: (i64, i64),
    times: i64,
    until: i64,
) -> Vec<Span> {
    let longest = times * (off.1 + on.1);
    let mut at = dice.between(MINUTE, (until - longest).max(2 * MINUTE));
    let mut out = Vec::new();
    for _ in 0..times {
        let to = at + dice.between(off.0, off.1);
        out.push(Span::new(at, to));
        at = to + dice.between(on.0, on.1);
    }
    out
}

pub fn address(number: usize, lan: bool) -> IpAddr {
    let last = number as u8 + 1;
    IpAddr::V4(if lan {
        Ipv4Addr::new(192, 168, 1, last)
    } else {
        Ipv4Addr::new(203, 0, 113, last)
    })
}

impl Plan {
    /// Returns the index of the site of this name ([`numbered_site`]).
    pub fn place_of(&self, name: &str) -> Option<usize> {
        let place: usize = name.strip_prefix('n')?.parse().ok()?;
        self.sites.get(place).filter(|s| s.name() == name)?;
        Some(place)
    }

    /// Returns how the route is blocked at this time.
    pub fn blocked_at(&self, route: usize, at: i64) -> Option<Block> {
        let mut blocked = self.blocked.iter();
        blocked.find_map(|(span, of, block)| (*of == route && span.has(at)).then_some(*block))
    }

    /// Returns whether every route is blocked.
    pub fn all_blocked(&self, at: i64) -> bool {
        (0..self.routes).all(|route| self.blocked_at(route, at).is_some())
    }

    /// Returns these chats as configured at this time. The old id is removed only when the agent
    /// `follows`, and so has reported the new one.
    pub fn chats_at(&self, at: i64, follows: bool, chats: &[i64]) -> Vec<i64> {
        let configured = self.moved.and_then(|m| m.configured);
        let configured = configured.filter(|(since, both)| *since <= at && (*both || follows));
        let ids = |&chat: &i64| match configured {
            Some((_, true)) if chat == GROUP => vec![GROUP, SUPERGROUP],
            Some(_) if chat == GROUP => vec![SUPERGROUP],
            _ => vec![chat],
        };
        chats.iter().flat_map(ids).collect()
    }

    /// Returns whether the group has moved, so that Telegram knows it by its new id only.
    pub fn moved_by(&self, at: i64) -> bool {
        self.moved.is_some_and(|m| m.at <= at)
    }

    /// Returns whether writes are taken from the day's budget. Then alerts of a site with many
    /// alerts may wait.
    pub fn writes_cost(&self) -> bool {
        self.seed.is_multiple_of(4)
    }
}
