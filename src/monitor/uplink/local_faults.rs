//! What this machine itself lacks for a check (SPEC 4): the check counts for nothing. It is logged
//! when it begins and when it is over, told once, and again only after it was fine.

use crate::monitor::render::text::lasting;
use crate::monitor::site::outcome::Lack;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Level, Monitor};
use std::time::Duration;

/// A lack that is seen again within this of the last time has gone on.
const GOES_ON: Duration = Duration::from_secs(15 * 60);
/// A machine without an address is not told of before this: it starts, or an interface comes back.
const UNTOLD: Duration = Duration::from_secs(2 * 60);

/// A lack that goes on.
#[derive(Debug)]
pub struct Lacking {
    lack: Lack,
    since: Moment,
    last: Moment,
    told: bool,
}

impl Monitor {
    /// A check failed for want of something.
    pub(crate) fn lacked(&mut self, now: Now, lack: Lack) {
        let moment = now.moment();
        self.excused += 1;
        let known = self.lacks.iter().position(|l| l.lack == lack);
        let at = known.unwrap_or_else(|| {
            let text = format!("{}: checks count for nothing", lack.reason());
            self.log(Level::Warn, text);
            self.lacks.push(Lacking {
                lack,
                since: moment,
                last: moment,
                told: false,
            });
            self.lacks.len() - 1
        });
        let lacking = &mut self.lacks[at];
        lacking.last = moment;
        let lasts = moment.since(lacking.since);
        let patient = lack == Lack::Address && lasts < UNTOLD;
        if patient || lacking.told || self.silenced(moment) {
            return;
        }
        self.lacks[at].told = !mutated!("tell of a lack with every check");
        let text = format!(
            "{}, so some checks could not be made: they count for nothing. {}",
            capital(lack.reason()),
            lack.remedy()
        );
        self.announce(now, text);
    }

    /// A check was made: what was lacking for long enough not is over.
    pub(crate) fn not_lacked(&mut self, now: Now) {
        let moment = now.moment();
        let over = |l: &Lacking| moment.since(l.last) >= GOES_ON;
        if !self.lacks.iter().any(over) {
            return;
        }
        let (ended, going_on) = std::mem::take(&mut self.lacks).into_iter().partition(over);
        self.lacks = going_on;
        let ended: Vec<Lacking> = ended;
        for Lacking {
            lack, since, last, ..
        } in ended
        {
            let lasted = lasting(last.since(since));
            let text = format!("{}: over, after {lasted}", lack.reason());
            self.log(Level::Info, text);
        }
    }
}

fn capital(text: &str) -> String {
    let (first, rest) = text.split_at_checked(1).unwrap_or(("", text));
    first.to_uppercase() + rest
}
