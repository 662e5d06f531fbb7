//! Notices about root certificates that expire: which chats get one, and the text.

use crate::monitor::expiry::left_text;
use crate::monitor::render::text::count;
use crate::monitor::site::access::may_see;
use crate::monitor::site::outcome;
use crate::monitor::site::table::Sites;
use crate::monitor::time::Now;
use crate::monitor::time::text::day_of;

/// Maximum number of sites that a notice names.
const NAMED: usize = 5;

/// Returns which of the sites each chat may see; chats that may see none are omitted.
pub fn by_chat(sites: &Sites, names: &[String], chats: &[i64]) -> Vec<(Vec<String>, Vec<i64>)> {
    let mut told: Vec<(Vec<String>, Vec<i64>)> = Vec::new();
    for &chat in chats {
        let seen = |name: &&String| sites.named(name).is_some_and(|w| may_see(chat, w.config()));
        let seen: Vec<String> = names.iter().filter(seen).cloned().collect();
        match told.iter_mut().find(|(sites, _)| *sites == seen) {
            Some((_, chats)) => chats.push(chat),
            None if seen.is_empty() => {}
            None => told.push((seen, vec![chat])),
        }
    }
    told
}

pub fn root_text(root: &outcome::Expiry, sites: &[String], now: Now) -> String {
    let (named, more) = sites.split_at(sites.len().min(NAMED));
    let more = match more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let rely = if sites.len() == 1 { "relies" } else { "rely" };
    format!(
        "The root certificate {} in this machine's bundle {}, on {}. {} {rely} on it: {}{more}. \
         Update ca-certificates (OpenWrt: ca-bundle), or the ca_file of [agent].",
        root.subject,
        left_text(root.ends - now.wall),
        day_of(root.ends, now),
        count(sites.len(), "site"),
        named.join(", "),
    )
}
