//! Everything that will befall the agent, drawn from a seed before it starts.

use crate::dice::{Dice, Span, joined};
use crate::plain_site::plain_site;
use sitemon::monitor::site::Site;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

pub const SECOND: i64 = 1000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
/// What the wall clock shows at the start when it is right: 2027-01-15.
pub const WALL: i64 = 1_800_000_000;
/// When the program was built.
pub const BUILT: i64 = 1_790_000_000;
pub const PRIVATE: i64 = 7;
pub const GROUP: i64 = -100;
/// What the group becomes.
pub const SUPERGROUP: i64 = -1_001_000_000_100;
pub const STRANGER: i64 = 666;
/// In the place of a text: the service message of that.
pub const MOVES: &str = "became a supergroup";
/// While the token is refused it is tried again after so long.
pub const REVOKED_WAIT: i64 = 5 * MINUTE;

/// How a site is out.
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
    /// Its address is a name that must be resolved.
    pub named: bool,
    /// Answer time in ms.
    pub pace: i64,
    /// In order, apart.
    pub outages: Vec<Outage>,
    /// Answers slower than its `slow`.
    pub slow: Vec<Span>,
    /// When the file does not name it.
    pub gone: Vec<Span>,
    /// When the file has another interval for it, and which.
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

    /// The site as the file has it at this time.
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

    /// The longest interval it ever has, in ms.
    pub fn interval(&self) -> i64 {
        let other = self.other_interval.map_or(0, |(_, i)| i);
        millis(self.site.interval).max(other)
    }

    /// From the start of an outage until it must have been judged (the words), in ms.
    pub fn judged_within(&self) -> i64 {
        let once = millis(self.site.retry) + millis(self.site.timeout);
        self.interval() + i64::from(self.site.tries) * once
    }

    /// From the end of an outage until it must have been seen, in ms.
    pub fn back_within(&self) -> i64 {
        let once = millis(self.site.retry) + millis(self.site.timeout);
        self.interval() + i64::from(self.site.recover) * once + millis(self.site.timeout)
    }
}

/// The machine or the process stands still.
#[derive(Clone, Copy, Debug)]
pub struct Frozen {
    pub span: Span,
    /// The monotonic clock stands still too.
    pub suspended: bool,
}

/// The agent ends.
#[derive(Clone, Copy, Debug)]
pub struct End {
    pub when: When,
    /// Off for so long, in ms.
    pub off: i64,
    /// SIGTERM and not the plug.
    pub orderly: bool,
    /// The clock is wrong at the next start.
    pub unset: Option<Unset>,
}

/// A wall clock that is wrong at a start and must not be believed.
#[derive(Clone, Copy, Debug)]
pub struct Unset {
    pub shows: Shows,
    /// It is set right after so long, in ms.
    pub lasts: i64,
}

#[derive(Clone, Copy, Debug)]
pub enum Shows {
    /// The beginning of 1970, as without a battery.
    Epoch,
    /// So many days too few: it was restored from an old stamp.
    Behind(i64),
    /// So many years too many.
    Ahead(i64),
}

#[derive(Clone, Copy, Debug)]
pub enum When {
    At(i64),
    /// Before this action of the whole run, counted from 0.
    Action(u64),
}

/// How a route to Telegram is blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Cut off at once.
    Reset,
    /// Answered with a captive portal's page.
    Page,
    /// Connections are taken, and nothing is answered.
    Hangs,
}

/// The group has a new id.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    pub at: i64,
    /// Since when the file has it, and whether beside the old one.
    pub configured: Option<(i64, bool)>,
}

/// Three channels, one for each of their kinds, and what befalls their server.
#[derive(Clone, Debug)]
pub struct ChannelsPlan {
    /// It does not answer.
    pub out: Vec<Span>,
    /// It takes alerts, but its answers are lost.
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

/// What of the product is under test: all of it, but for what is not built yet.
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
    /// Nothing goes wrong any more from here.
    pub calm_from: i64,
    pub end: i64,
    pub sites: Vec<SitePlan>,
    pub chats: Vec<i64>,
    pub cuts: Vec<Span>,
    pub names_lost: Vec<Span>,
    pub telegram_out: Vec<Span>,
    /// Ways to Telegram; one is the straight one.
    pub routes: usize,
    /// When which route is blocked.
    pub blocked: Vec<(Span, usize, Block)>,
    /// This machine has no descriptors left for most of what it begins.
    pub lacking: Vec<Span>,
    /// It has no address but loopback's: an interface that comes late, or is gone for a while. Its line
    /// is cut, and the local network too.
    pub unaddressed: Vec<Span>,
    /// 429; the chat or everything.
    pub throttled: Vec<(Span, Option<i64>)>,
    /// 403.
    pub refused: Vec<(Span, i64)>,
    /// 401 or 404 whatever is asked.
    pub revoked: Vec<Span>,
    /// 409 Conflict to every `getUpdates`.
    pub conflicts: Vec<Span>,
    pub moved: Option<Moved>,
    /// There are channels besides the chats.
    pub channels: Option<ChannelsPlan>,
    /// Messages arrive, but the answers are lost.
    pub ambiguous: Vec<Span>,
    pub disk_full: Vec<Span>,
    /// The wall clock is moved by so many seconds.
    pub jumps: Vec<(i64, i64)>,
    pub frozen: Vec<Frozen>,
    pub ends: Vec<End>,
    /// How long after its doubt began a clock that is not wrong is confirmed, in ms: a time server, or
    /// a verified one. At the latest when the calm begins.
    pub confirms: i64,
    pub reloads: Vec<i64>,
    pub written: Vec<Written>,
    /// Only the first of many good checks is recorded.
    pub frugal: bool,
    /// What was written is kept.
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

/// `count` spans of `short..=long` ms before `until`, apart.
pub fn spans(dice: &mut Dice, count: i64, short: i64, long: i64, until: i64) -> Vec<Span> {
    let drawn = (0..count).map(|_| {
        let length = dice.scale(short, long);
        let from = dice.between(SECOND, (until - length).max(2 * SECOND));
        Span::new(from, from + length)
    });
    joined(drawn.collect(), 2 * SECOND)
}

/// Off and on and off again within `until`.
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
    /// How the route is blocked at this time.
    pub fn blocked_at(&self, route: usize, at: i64) -> Option<Block> {
        let mut blocked = self.blocked.iter();
        blocked.find_map(|(span, of, block)| (*of == route && span.has(at)).then_some(*block))
    }

    /// Every route is.
    pub fn all_blocked(&self, at: i64) -> bool {
        (0..self.routes).all(|route| self.blocked_at(route, at).is_some())
    }

    /// These chats as the file has them at this time.
    /// The old id is taken out only when the agent `follows`, and so has told of the new one.
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

    /// Telegram knows the group by its new id alone.
    pub fn moved_by(&self, at: i64) -> bool {
        self.moved.is_some_and(|m| m.at <= at)
    }

    /// Writes are paid for from the day's budget: then alerts of a site that has many may wait.
    pub fn writes_cost(&self) -> bool {
        self.seed.is_multiple_of(4)
    }
}
