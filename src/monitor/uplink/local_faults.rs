//! What this machine itself lacks for a check (docs/operation.md): the check counts for nothing. It is logged
//! when it begins and when it is over, notified once, and again only after it was fine.

use crate::monitor::event::{Actions, Level};
use crate::monitor::site::outcome::Lack;
use crate::monitor::time::text::lasting;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::Uplink;
use std::time::Duration;

/// A lack that is seen again within this of the last time has gone on.
const GOES_ON: Duration = Duration::from_secs(15 * 60);
/// A machine without an address is not notified before this: it starts, or an interface comes back.
const PATIENCE: Duration = Duration::from_secs(2 * 60);

/// A lack that goes on.
#[derive(Debug)]
struct Lacking {
    lack: Lack,
    since: Moment,
    last: Moment,
    /// The site that met it first, and when, since that one's last check that was made.
    row: Option<(String, Moment)>,
    notified: bool,
}

/// All that goes on, and the checks that came to nothing by it.
#[derive(Debug, Default)]
pub(super) struct LocalFaults {
    excused: u64,
    lacks: Vec<Lacking>,
}

impl Uplink {
    /// Checks that failed for want of something on this machine, since the start.
    pub fn excused_checks(&self) -> u64 {
        self.local.excused
    }

    /// A check of a site failed for want of something: the notice for the chats, once; none while they want `quiet`.
    pub fn on_lack(
        &mut self,
        now: Now,
        site: &str,
        lack: Lack,
        quiet: bool,
        actions: &mut Actions,
    ) -> Option<String> {
        let moment = now.moment();
        self.local.excused += 1;
        let lacks = &mut self.local.lacks;
        let known = lacks.iter().position(|l| l.lack == lack);
        let at = known.unwrap_or_else(|| {
            let text = format!("{}: checks count for nothing", lack.reason());
            actions.log(Level::Warn, text);
            lacks.push(Lacking {
                lack,
                since: moment,
                last: moment,
                row: None,
                notified: false,
            });
            lacks.len() - 1
        });
        let lacking = &mut lacks[at];
        lacking.last = moment;
        let row = lacking.row.get_or_insert((site.to_owned(), moment));
        let patient = lack == Lack::Address && moment.since(row.1) < PATIENCE;
        if patient || lacking.notified || quiet {
            return None;
        }
        lacking.notified = !mutated!("tell of a lack with every check");
        Some(format!(
            "{}, so some checks could not be made: they count for nothing. {}",
            capital(lack.reason()),
            lack.remedy()
        ))
    }

    /// A check of a site was made: what has not been lacking for long enough is over.
    pub fn on_check(&mut self, now: Moment, site: &str, actions: &mut Actions) {
        for lacking in &mut self.local.lacks {
            lacking.row.take_if(|(first, _)| first == site);
        }
        self.local.lacks.retain(|l| {
            let goes_on = now.since(l.last) < GOES_ON;
            if !goes_on {
                let lasted = lasting(l.last.since(l.since));
                let text = format!("{}: over, after {lasted}", l.lack.reason());
                actions.log(Level::Info, text);
            }
            goes_on
        });
    }
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or(("", text));
    first.to_uppercase() + rest
}
