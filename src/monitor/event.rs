//! What goes into the monitor and what comes out.

use super::bot::added_record::AddedRecord;
use super::expiry::Subject;
use super::incident::remediation::{Remediation, RunRequest};
use super::outbox::Outgoing;
use super::outbox::channels::{Channel, ChannelSend};
use super::outbox::message::{CallbackAnswer, Delivery, Requester, Update};
use super::render::stats::Vitals;
use super::site::Site;
use super::site::access::Access;
use super::site::outcome::{Failure, Inspection, Outcome};
use super::site::report::{Report, ReportAnswer};
use super::time::hours::Hours;
use super::uplink::ProbeResult;
use super::uplink::route::Route;
use std::sync::Arc;

/// What happened.
#[derive(Debug)]
pub enum Event {
    /// A check that was asked for has ended, one way or another.
    Checked {
        site: String,
        outcome: Outcome,
    },
    /// What [`Action::Inspect`] found.
    Inspected {
        site: String,
        subject: Subject,
        result: Result<Inspection, Failure>,
    },
    /// A job has reported; [`Action::AnswerReport`] follows. `id` is given by the agent and never used again.
    Reported {
        id: u64,
        report: Report,
    },
    /// Something came from a chat.
    Update(Update),
    /// Our own username, without `@`.
    Bot {
        username: String,
    },
    /// An alert for every chat, as plain text. The sender has put it into the log, where it belongs
    /// there.
    Notice(String),
    /// The configuration that was read again has mistakes. `what` may name sites, `safe` does not:
    /// chats that may not see all sites are told that.
    Mistaken {
        what: String,
        safe: String,
    },
    /// A sending has ended.
    Delivered {
        id: u64,
        delivery: Delivery,
    },
    /// An [`Action::SendByChannel`] has ended.
    DeliveredByChannel {
        id: u64,
        delivery: Delivery,
    },
    /// An [`Action::Run`] has ended: what came of it, in words, on one line or several.
    Ran {
        id: u64,
        result: String,
    },
    /// A `/check` command got its permit.
    Admitted {
        job: u64,
    },
    /// The figures that [`Action::Measure`] asked for.
    Measured {
        requester: Requester,
        vitals: Box<Vitals>,
    },
    /// The snapshot is on disk; that took so many blocks of flash (4 KB).
    Saved {
        blocks: u64,
    },
    SaveFailed {
        reason: String,
    },
    /// What [`Action::Probe`] found.
    Probed(ProbeResult),
    /// A request to Telegram has ended, and how: that the route works need not be said again and again.
    RouteUsed {
        route: Route,
        /// Why it got no answer of a Bot API, after the route's name and a colon.
        failure: Option<String>,
    },
    /// What came of [`Action::TryRoute`].
    RouteTried {
        route: Route,
        failure: Option<String>,
    },
    /// The configuration was read again.
    Reloaded {
        sites: Vec<Arc<Site>>,
        /// Those that were added in the chat, by the rules of the new file.
        added: Vec<(AddedRecord, Result<Site, String>)>,
        settings: Settings,
    },
    /// What [`Action::Examine`] found; what is wrong is a sentence without a full stop.
    Examined {
        id: u64,
        result: Result<Box<Site>, String>,
    },
    /// The check that [`Action::Try`] asked for has ended.
    Tried {
        id: u64,
        outcome: Outcome,
    },
    /// The wall clock is right: the kernel calls it synchronised, or a verified server agrees.
    ClockConfirmed,
    /// Nothing but time has passed.
    Due,
}

/// What the agent is to do.
#[derive(Debug)]
pub enum Action {
    /// Check the site and report [`Event::Checked`].
    Check {
        site: Arc<Site>,
        /// Not on a connection that is open already.
        fresh: bool,
        /// The last check ran into its timeout: it shares half of the permits with its like.
        hanging: bool,
    },
    /// Make a site of what a user asked to add, by the rules of the file, and report
    /// [`Event::Examined`].
    Examine {
        id: u64,
        url: String,
        name: Option<String>,
    },
    /// Check a site that is not watched yet and report [`Event::Tried`].
    Try {
        id: u64,
        site: Arc<Site>,
    },
    /// Look at what runs out and report [`Event::Inspected`].
    Inspect {
        site: Arc<Site>,
        subject: Subject,
    },
    /// Send it and report [`Event::Delivered`].
    Send(Outgoing),
    /// Send it by a channel and report [`Event::DeliveredByChannel`].
    SendByChannel(ChannelSend),
    /// Carry out what the `[[action]]` of this name says, and report [`Event::Ran`].
    Run {
        id: u64,
        request: RunRequest,
    },
    /// Answer the press of a button. It is not reported on.
    AnswerPress(CallbackAnswer),
    /// Answer a report. That it is saved is said only when it is on disk.
    AnswerReport {
        id: u64,
        answer: ReportAnswer,
    },
    /// Write `Monitor::snapshot` and report [`Event::Saved`] or [`Event::SaveFailed`].
    Save,
    /// Write `Monitor::history_records` and say so to `Monitor::history_saved`. Once an hour.
    SaveHistory,
    /// Get a permit for a `/check` command and report [`Event::Admitted`].
    Admit {
        job: u64,
    },
    /// The permit of a `/check` command is not needed any more.
    Dismiss {
        job: u64,
    },
    /// Look at our own line and report [`Event::Probed`]. One at a time.
    Probe {
        /// The way to Telegram too: does its name resolve, is its certificate its own?
        deep: bool,
    },
    /// Ask Telegram by this route from now on, and at once.
    UseRoute(Route),
    /// Call `getMe` by this route and report [`Event::RouteTried`].
    TryRoute(Route),
    /// Tell the `heartbeat` address that all is well.
    Heartbeat,
    /// Report [`Event::Measured`].
    Measure {
        requester: Requester,
    },
    Log(Level, String),
}

/// What is to be done, in the order it came up.
#[derive(Debug, Default)]
pub struct Actions(Vec<Action>);

impl Actions {
    pub fn push(&mut self, action: Action) {
        self.0.push(action);
    }

    pub fn log(&mut self, level: Level, text: String) {
        self.push(Action::Log(level, text));
    }

    pub fn take(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    Warn,
    Info,
    Debug,
}

/// What the configuration says besides the sites.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub access: Access,
    /// `/check` commands that may run at once.
    pub max_jobs: usize,
    /// Checks that can be under way at once.
    pub permits: usize,
    /// There are `uplink` probes to ask.
    pub uplink: bool,
    /// Ways to Telegram, in the order in which they are tried; none: direct.
    pub routes: Vec<Route>,
    /// Alerts of these local hours have no sound.
    pub quiet: Option<Hours>,
    /// When the daily summary is due, in minutes since local midnight.
    pub digest: Option<u16>,
    /// There is a `heartbeat` address.
    pub heartbeat: bool,
    /// The `[[notify]]` tables.
    pub channels: Vec<Channel>,
    /// The `[[action]]` tables.
    pub remediations: Vec<Remediation>,
    /// When this program was built, in Unix seconds: see [`super::time::wall_clock`].
    pub built: i64,
}
