//! Turns outcomes into states: how many in a row make a site down, up or degraded (docs/alerts.md).
//!
//! A site's streak of outcomes (`site/streak.rs`; `tries` and `recover` are keys of the site):
//!
//! | state | outcomes | becomes | test |
//! | --- | --- | --- | --- |
//! | unknown | a fast answer | up | `unknown_and_a_fast_answer_is_up` |
//! | unknown, up | `tries` slow answers | degraded | `unknown_or_up_and_tries_slow_answers_is_degraded` |
//! | unknown, up, degraded | `tries` failures | down, once it is confirmed | `not_down_and_tries_failures_is_down` |
//! | degraded | `recover` fast answers | up | `degraded_and_recover_fast_answers_is_up` |
//! | down | `recover` answers | up; slow ones already count towards degraded | `down_and_recover_answers_is_up` |
//! | any | fewer, or an outcome of another kind between | the same | `fewer_in_a_row_change_nothing` |
//!
//! The last of `tries` failures makes a [pending down](pending_down), which ends in one of three
//! ways:
//!
//! | known since the failure | the pending down | test |
//! | --- | --- | --- |
//! | the site is on this network | is confirmed | `a_site_on_this_network_is_judged_as_ever` |
//! | its parent is down | is suppressed: unreachable | `one_message_names_the_parent_and_counts_what_is_behind_it` |
//! | its parent fails, or was not checked | waits for the parent | `a_child_that_fails_at_once_waits_for_its_parent`, `a_parent_is_checked_before_its_child_is_judged` |
//! | a target of the uplink answered | is confirmed | `a_site_that_is_gone_while_the_uplink_is_up_is_down` |
//! | no target answered | is suppressed: offline | `a_cut_connection_takes_no_site_down_and_is_told_once_it_is_back` |
//! | no name resolves | is suppressed: no resolver | `no_resolver_is_told_and_takes_no_site_down` |
//! | no resolver answered it, and other names resolve now | waits for its next check | `a_name_that_fails_once_is_asked_again_before_its_site_is_down` |
//! | the same again, though names resolved before that check | is confirmed | `a_name_that_alone_does_not_resolve_is_the_sites_own_fault` |
//! | other servers show foreign certificates too | is suppressed: captive portal | `a_captive_portal_takes_no_site_down` |
//! | other servers show their own | is confirmed | `a_foreign_certificate_on_one_site_is_its_own_fault` |
//! | IPv6 is gone, and it needs that | is suppressed: no IPv6 | `ipv6_that_is_gone_takes_no_site_down_that_needs_it` |
//! | a fault explained the failure, but is over | restarts the streak | `a_resolver_that_was_known_to_be_gone_when_a_check_failed_is_why_it_failed` |

pub(crate) mod flapping;
pub(crate) mod outcomes;
pub(crate) mod pending_down;
pub(crate) mod storm;

use crate::monitor::event::Actions;
use crate::monitor::schedule::Scheduler;
use crate::monitor::site::streak::Change;
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Clock, Now};
use crate::monitor::uplink::{Uplink, UplinkEvent};
use std::time::Duration;

/// The judge, with the components that it reads and changes.
pub struct Judging<'a> {
    pub now: Now,
    pub clock: &'a Clock,
    pub sites: &'a mut Sites,
    pub schedule: &'a mut Scheduler,
    pub uplink: &'a mut Uplink,
    pub actions: &'a mut Actions,
}

/// A change of a site's state.
#[derive(Debug)]
pub struct Transition {
    /// The site's place.
    pub at: usize,
    pub change: Change,
    /// Cause of the last failure or slow answer; empty for good changes.
    pub cause: String,
    /// Duration of the previous state.
    pub lasted: Duration,
}

/// A decision about a pending down or a failing site.
#[derive(Debug)]
pub enum JudgeEvent {
    Transition(Transition),
    /// The site is not judged for now. The event is that of the fault, if the fault began with it.
    Suppressed(Option<UplinkEvent>),
}
