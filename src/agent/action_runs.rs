//! Runs the `[[action]]`s: a request, a program, or a Wake-on-LAN packet.

use super::outgoing_request::OutgoingRequest;
use super::{Agent, Input, wake_on_lan};
use crate::clock::Clock;
#[cfg(feature = "exec")]
use crate::command::{self, Command, End, Keep};
use crate::config::{Action, Request, Task};
use crate::http::Client;
use crate::monitor::Event;
use crate::monitor::incident::remediation::RunRequest;
#[cfg(feature = "exec")]
use crate::monitor::{site::printable, time::text::lasting};
use crate::secret::Secret;
use isahc::http::header::HeaderName;
use isahc::http::{HeaderMap, HeaderValue, Method};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use url::Url;

/// Timeout of a whole request, once it has its permit.
const REQUEST_WITHIN: Duration = Duration::from_secs(30);
/// Timeout of a program, from its start.
#[cfg(feature = "exec")]
const COMMAND_WITHIN: Duration = Duration::from_secs(120);
/// Number of lines of a program's output that are kept, and the maximum characters of each.
#[cfg(feature = "exec")]
const LAST_LINES: usize = 3;
#[cfg(feature = "exec")]
const LONGEST_LINE: usize = 120;

pub(super) struct ActionRunner {
    client: Client,
    clock: Clock,
    actions: RefCell<Vec<Rc<Action>>>,
}

impl Agent {
    /// Runs an action. At shutdown the agent waits for it as for a check.
    pub(super) fn run_action(&self, id: u64, request: RunRequest) {
        let (runner, active) = (self.runner.clone(), self.active.clone());
        active.set(active.get() + 1);
        self.report_when(async move {
            let result = runner.run(&request).await;
            active.set(active.get() - 1);
            Input::Event(Event::Ran { id, result })
        });
    }
}

impl ActionRunner {
    pub(super) fn new(client: Client, clock: Clock, actions: &[Action]) -> ActionRunner {
        let runner = ActionRunner {
            client,
            clock,
            actions: RefCell::default(),
        };
        runner.reload(actions);
        runner
    }

    pub(super) fn reload(&self, actions: &[Action]) {
        *self.actions.borrow_mut() = actions.iter().cloned().map(Rc::new).collect();
    }

    /// Runs the action; returns its result as text.
    async fn run(&self, run: &RunRequest) -> String {
        let actions = self.actions.borrow().clone();
        let mut actions = actions.into_iter();
        let action = actions.find(|action| action.remediation.name == run.action);
        match action.as_deref().map(|action| &action.task) {
            // The action was removed from the configuration meanwhile.
            None => "not run: it is configured no longer".to_owned(),
            Some(Task::Request(request)) => self.ask(request).await,
            Some(Task::Command(command)) => execute(command, run).await,
            Some(Task::Wake(mac)) => wake_on_lan::send(*mac),
        }
    }

    async fn ask(&self, request: &Request) -> String {
        let outgoing = match outgoing(request) {
            Some(outgoing) => outgoing,
            None => return "not sent: its `url` or `method` is none".to_owned(),
        };
        if outgoing.url.scheme() == "https" && !self.clock.is_believed() {
            return "not sent: clock not set".to_owned();
        }
        match outgoing.send(&self.client, REQUEST_WITHIN).await {
            Ok((status, _)) => format!("HTTP {}", status.as_u16()),
            Err((reason, _)) => reason,
        }
    }
}

/// Runs the program, which finds the facts of the outage in its environment.
#[cfg(feature = "exec")]
async fn execute(words: &[String], run: &RunRequest) -> String {
    let incident = run.incident.map(|number| number.to_string());
    let env = [
        ("SITEMON_ACTION", run.action.clone()),
        ("SITEMON_SITE", run.site.clone()),
        ("SITEMON_STATE", run.state.clone()),
        ("SITEMON_CAUSE", run.cause.clone()),
        ("SITEMON_INCIDENT", incident.unwrap_or_default()),
    ];
    let env = env
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let report = command::run(Command {
        command: words.to_vec(),
        env: env.collect(),
        timeout: COMMAND_WITHIN,
        keep: Keep::Last,
    });
    let report = report.await;
    let mut text = match report.end {
        End::Exited(code) => format!("exit code {code}"),
        End::Signal(signal) => format!("ended by signal {signal}"),
        End::TimedOut => {
            let within = lasting(COMMAND_WITHIN);
            format!("not done within {within}, and ended")
        }
        End::NotStarted(why) => {
            let program = words.first().map_or("", String::as_str);
            return format!("{program} {}", why.text());
        }
    };
    let printed = [report.stdout, report.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    let lines: Vec<&str> = printed
        .lines()
        .map(str::trim_end)
        .filter(|l| !l.is_empty())
        .collect();
    for line in &lines[lines.len().saturating_sub(LAST_LINES)..] {
        text.push('\n');
        text.push_str(&printable::line(line, LONGEST_LINE));
    }
    text
}

/// Never called: without `exec` no action has a command.
#[cfg(not(feature = "exec"))]
async fn execute(_: &[String], _: &RunRequest) -> String {
    "not run: this sitemon is built without programs".to_owned()
}

fn outgoing(request: &Request) -> Option<OutgoingRequest> {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.insert(
            HeaderName::from_bytes(name.as_bytes()).ok()?,
            HeaderValue::from_str(value.expose()).ok()?,
        );
    }
    Some(OutgoingRequest {
        method: Method::from_bytes(request.method.as_bytes()).ok()?,
        url: Url::parse(request.url.expose()).ok()?,
        headers,
        body: request.body.as_ref().map(Secret::expose).map(str::to_owned),
    })
}
