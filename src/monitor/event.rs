//! The events that the monitor takes and the actions that it returns.

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

/// An input of the monitor.
#[derive(Debug)]
pub enum Event {
    /// A requested check of the site has ended, with success or failure.
    Checked {
        site: Arc<Site>,
        outcome: Outcome,
    },
    /// The result of [`Action::Inspect`].
    Inspected {
        site: String,
        subject: Subject,
        result: Result<Inspection, Failure>,
    },
    /// A job has reported; [`Action::AnswerReport`] follows. The agent assigns `id` and never
    /// reuses it.
    Reported {
        id: u64,
        report: Report,
    },
    /// A message, a press of a button or another update of a chat.
    Update(Update),
    /// Our own username, without `@`.
    Bot {
        username: String,
    },
    /// A notice for every chat, as plain text. The sender logs it itself where that is wanted.
    Notice(String),
    /// The configuration that was read again has mistakes. `what` may name sites. `safe` names none
    /// and goes to chats that may not see all sites.
    Mistaken {
        what: String,
        safe: String,
    },
    /// An [`Action::Send`] has ended.
    Delivered {
        id: u64,
        delivery: Delivery,
    },
    /// An [`Action::SendByChannel`] has ended.
    DeliveredByChannel {
        id: u64,
        delivery: Delivery,
    },
    /// An [`Action::Run`] has ended. `result` describes its outcome, on one line or several.
    Ran {
        id: u64,
        result: String,
    },
    /// A `/check` command got its permit.
    Admitted {
        job: u64,
    },
    /// The figures that [`Action::Measure`] requested.
    Measured {
        requester: Requester,
        vitals: Box<Vitals>,
    },
    /// The snapshot is on disk. `blocks`: the number of flash blocks (4 KB each) that were written.
    Saved {
        blocks: u64,
    },
    SaveFailed {
        reason: String,
    },
    /// The result of [`Action::Probe`].
    Probed(ProbeResult),
    /// A request to Telegram has ended. Repeated successes of a route need not be reported.
    RouteUsed {
        route: Route,
        /// Why no Bot API answered, after the route's name and a colon. `None`: one answered.
        failure: Option<String>,
    },
    /// The result of [`Action::TryRoute`].
    RouteTried {
        route: Route,
        failure: Option<String>,
    },
    /// The configuration has been read again.
    Reloaded {
        sites: Vec<Arc<Site>>,
        /// The sites added in chats, by the rules of the new file.
        added: Vec<(AddedRecord, Result<Site, String>)>,
        settings: Settings,
    },
    /// The result of [`Action::Examine`]. The error is a sentence without a full stop.
    Examined {
        id: u64,
        result: Result<Box<Site>, String>,
    },
    /// The check that [`Action::Try`] requested has ended.
    Tried {
        id: u64,
        outcome: Outcome,
    },
    /// The wall clock is right: the kernel reports it as synchronised, or a verified server agrees.
    ClockConfirmed,
    /// Only time has passed.
    Due,
}

/// A task for the agent.
#[derive(Debug)]
pub enum Action {
    /// Check the site and report [`Event::Checked`].
    Check {
        site: Arc<Site>,
        /// Use a new connection instead of one that is already open.
        fresh: bool,
        /// The last check ended with a timeout. All such checks together may hold half of the
        /// permits.
        hanging: bool,
    },
    /// Make a site from what a user wants to add, by the rules of the file, and report
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
    /// Read when the certificate or registration ends and report [`Event::Inspected`].
    Inspect {
        site: Arc<Site>,
        subject: Subject,
    },
    /// Send a message and report [`Event::Delivered`].
    Send(Outgoing),
    /// Send a message by a channel and report [`Event::DeliveredByChannel`].
    SendByChannel(ChannelSend),
    /// Run the `[[action]]` of this name and report [`Event::Ran`].
    Run {
        id: u64,
        request: RunRequest,
    },
    /// Answer the press of a button. No event follows.
    AnswerPress(CallbackAnswer),
    /// Answer a report. `Saved` is answered only after the report is on disk.
    AnswerReport {
        id: u64,
        answer: ReportAnswer,
    },
    /// Write `Monitor::snapshot` and report [`Event::Saved`] or [`Event::SaveFailed`].
    Save,
    /// Write `Monitor::history_records`, then call `Monitor::history_saved`. Once an hour.
    SaveHistory,
    /// Get a permit for a `/check` command and report [`Event::Admitted`].
    Admit {
        job: u64,
    },
    /// Return the permit of a `/check` command, or give up the request for one.
    Dismiss {
        job: u64,
    },
    /// Probe the uplink and report [`Event::Probed`]. At most one probe runs at a time.
    Probe {
        /// Probe the way to Telegram too: its name must resolve and its certificate must be
        /// genuine.
        deep: bool,
    },
    /// Use this route to Telegram from now on, and poll at once.
    UseRoute(Route),
    /// Call `getMe` by this route and report [`Event::RouteTried`].
    TryRoute(Route),
    /// Request the `heartbeat` address: all is well.
    Heartbeat,
    /// Report [`Event::Measured`].
    Measure {
        requester: Requester,
    },
    Log(Level, String),
}

/// The actions, in the order in which they were requested.
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

/// The configuration besides the sites.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub access: Access,
    /// Maximum number of `/check` commands that run at once.
    pub max_jobs: usize,
    /// Maximum number of checks under way at once.
    pub permits: usize,
    /// Whether the configuration has `uplink` probes.
    pub uplink: bool,
    /// Routes to Telegram, in the order in which they are tried; empty: direct only.
    pub routes: Vec<Route>,
    /// Local hours in which alerts are sent without a sound.
    pub quiet: Option<Hours>,
    /// When the daily summary is due, in minutes since local midnight.
    pub digest: Option<u16>,
    /// Whether a `heartbeat` address is configured.
    pub heartbeat: bool,
    /// The `[[notify]]` tables.
    pub channels: Vec<Channel>,
    /// The `[[action]]` tables.
    pub remediations: Vec<Remediation>,
    /// When this program was built, in Unix seconds: see [`super::time::wall_clock`].
    pub built: i64,
}
