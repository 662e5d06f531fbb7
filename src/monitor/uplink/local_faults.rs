//! What this machine itself lacks for a check (docs/operation.md): the check counts for nothing. It is logged
//! when it begins and when it is over, notified once, and again only after it was fine.

use crate::monitor::event::{Actions, Level};
use crate::monitor::site::outcome::LocalFault;
use crate::monitor::time::text::lasting;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::Uplink;
use std::time::Duration;

/// A lack that is seen again within this of the last time has gone on.
const SAME_WITHIN: Duration = Duration::from_secs(15 * 60);
/// A machine without an address is not notified before this: it starts, or an interface comes back.
const NO_ADDRESS_DELAY: Duration = Duration::from_secs(2 * 60);

/// A lack that goes on.
#[derive(Debug)]
struct OngoingFault {
    local_fault: LocalFault,
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
    ongoing: Vec<OngoingFault>,
}

impl Uplink {
    /// Checks that failed for want of something on this machine, since the start.
    pub fn excused_checks(&self) -> u64 {
        self.local.excused
    }

    /// A check of a site failed for want of something: the notice for the chats, once; none while they want `quiet`.
    pub fn on_local_fault(
        &mut self,
        now: Now,
        site: &str,
        local_fault: LocalFault,
        quiet: bool,
        actions: &mut Actions,
    ) -> Option<String> {
        let moment = now.moment();
        self.local.excused += 1;
        let ongoing = &mut self.local.ongoing;
        let known = ongoing.iter().position(|l| l.local_fault == local_fault);
        let at = known.unwrap_or_else(|| {
            let text = format!("{}: checks count for nothing", local_fault.reason());
            actions.log(Level::Warn, text);
            ongoing.push(OngoingFault {
                local_fault,
                since: moment,
                last: moment,
                row: None,
                notified: false,
            });
            ongoing.len() - 1
        });
        let ongoing = &mut ongoing[at];
        ongoing.last = moment;
        let row = ongoing.row.get_or_insert((site.to_owned(), moment));
        let patient = local_fault == LocalFault::Address && moment.since(row.1) < NO_ADDRESS_DELAY;
        if patient || ongoing.notified || quiet {
            return None;
        }
        ongoing.notified = !mutated!("tell of a lack with every check");
        Some(format!(
            "{}, so some checks could not be made: they count for nothing. {}",
            capital(local_fault.reason()),
            local_fault.remedy()
        ))
    }

    /// A check of a site was made: what has not been lacking for long enough is over.
    pub fn on_check(&mut self, now: Moment, site: &str, actions: &mut Actions) {
        for ongoing in &mut self.local.ongoing {
            ongoing.row.take_if(|(first, _)| first == site);
        }
        self.local.ongoing.retain(|l| {
            let goes_on = now.since(l.last) < SAME_WITHIN;
            if !goes_on {
                let lasted = lasting(l.last.since(l.since));
                let text = format!("{}: over, after {lasted}", l.local_fault.reason());
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
