//! Local faults: what this machine lacks to make a check (docs/operation.md). Such a check counts
//! for nothing. The beginning and the end of a fault are logged, and each fault is notified once.

use crate::monitor::event::{Actions, Level};
use crate::monitor::site::outcome::LocalFault;
use crate::monitor::time::text::lasting;
use crate::monitor::time::{Moment, Now};
use crate::monitor::uplink::Uplink;
use std::time::Duration;

/// A fault that is seen again within this time has gone on.
const SAME_WITHIN: Duration = Duration::from_secs(15 * 60);
/// Minimum time without an address before that is notified: the machine may be starting, or an
/// interface coming back.
const NO_ADDRESS_DELAY: Duration = Duration::from_secs(2 * 60);

/// A local fault that goes on.
#[derive(Debug)]
struct OngoingFault {
    local_fault: LocalFault,
    since: Moment,
    last: Moment,
    /// The first site that met the fault and has made no check since, and when it met it.
    row: Option<(String, Moment)>,
    notified: bool,
}

/// All local faults that go on, and the number of checks that they excused.
#[derive(Debug, Default)]
pub(super) struct LocalFaults {
    excused: u64,
    ongoing: Vec<OngoingFault>,
}

impl Uplink {
    /// Returns the number of checks that failed by a local fault, since the start.
    pub fn excused_checks(&self) -> u64 {
        self.local.excused
    }

    /// Notes that a check failed by a local fault. Returns the notice for the chats, once per
    /// fault; none while `quiet`.
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

    /// Notes that a check of a site was made. Ends the faults that were not seen for long enough.
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
