//! Owns the [`Monitor`]: waits for the next event, due time or signal, feeds it to the monitor and
//! carries out the actions that the monitor returns.
//!
//! Everything runs on one thread. The loop, two senders and the long poll are tasks of one
//! executor, which ends with the loop. The workers, one for each check permit, run on a second
//! executor, which is polled only when the first one has nothing to do.

mod action_runs;
mod chat_transport;
mod clock_watch;
mod heartbeat;
mod history_store;
#[cfg(feature = "listen")]
mod http_listener;
mod intake;
mod notifier;
mod outgoing_request;
mod push_socket;
pub(crate) mod reload;
mod shutdown;
mod tasks;
mod uplink_probe;
mod wake_on_lan;
mod watchdog;

use crate::check::{self, Registries};
use crate::clock::Clock;
use crate::config::{self, Config, Mistakes};
use crate::http::{Client, Limits};
#[cfg(feature = "listen")]
use crate::listen;
use crate::machine;
use crate::monitor::expiry::Subject;
use crate::monitor::history::Record;
use crate::monitor::outbox::Outgoing;
use crate::monitor::outbox::message::CallbackAnswer;
use crate::monitor::render::text::count;
use crate::monitor::site::Site;
use crate::monitor::time::Moment;
use crate::monitor::{Action, Event, Level, Monitor};
use crate::offload::offload;
use crate::state::{self, HistoryFiles, OpenError, Writer, Written};
use crate::timer::{self, Timer};
use crate::vitals::{self, AnswerTimes};
use action_runs::ActionRunner;
use async_channel::{Receiver, Sender};
use async_lock::{Semaphore, SemaphoreGuardArc};
use async_signal::Signals;
use chat_transport::Transport;
pub use chat_transport::{Terminal, telegram};
use futures_lite::{FutureExt, future};
use heartbeat::HeartbeatSender;
#[cfg(feature = "listen")]
use http_listener::HttpListener;
use intake::Intake;
use notifier::Notifier;
use reload::Reading;
use shutdown::{SECOND_SIGNAL_TIMEOUT, SHUTDOWN_TIMEOUT};
use smol::{LocalExecutor, Task};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
pub use tasks::catch_signals;
use uplink_probe::{Resolvers, UplinkProbe};
use watchdog::Watchdog;

/// Time that running checks and messages under way get at shutdown. The whole shutdown stays below
/// 5 s: see `shutdown.rs`.
const END_TIMEOUT: Duration = Duration::from_millis(2500);

/// Arguments of [`run`].
pub struct Options {
    pub config: Config,
    /// Read again on SIGHUP.
    pub config_path: PathBuf,
    /// Use Telegram as the chat if it is configured; otherwise the terminal is the chat.
    pub use_telegram: bool,
    pub terminal: Terminal,
    pub clock: Clock,
    /// Those of [`catch_signals`].
    pub signals: Signals,
}

/// Why the agent could not start: a sentence for the user.
#[derive(Debug)]
pub struct StartError(pub String);

/// An input of the loop, with its time of arrival where that matters.
enum Input {
    Event(Event),
    /// A command and the time of its arrival.
    Asked(Instant, Event),
    /// A `/check` got its permit, which the loop keeps until the command is done.
    Admitted {
        job: u64,
        permit: SemaphoreGuardArc,
    },
    /// The request that carries an answer begins; the command arrived at the uptime `asked`.
    Answering {
        asked: Duration,
        at: Instant,
    },
    #[cfg(feature = "listen")]
    AskedByHttp(crate::listen::Ask),
    Saved(Result<Written, String>),
    HistorySaved(Result<(Written, Vec<Record>), String>),
    Reload,
    /// Result of [`Agent::reload`].
    Reread(Box<io::Result<Result<Config, Mistakes>>>),
    Stop,
}

/// Work for a check worker.
enum Order {
    Check { site: Arc<Site>, fresh: bool },
    Try { id: u64, site: Arc<Site> },
    Inspect { site: Arc<Site>, subject: Subject },
}

/// Work for a sender.
enum ToSend {
    Message(Outgoing),
    Press(CallbackAnswer),
}

/// Runs the agent in the foreground until SIGTERM or SIGINT.
pub fn run(options: Options) -> Result<(), StartError> {
    let (executor, workers) = (Rc::new(LocalExecutor::new()), LocalExecutor::new());
    // Boxed, because each layer of the executor would put a copy of the future on the stack.
    let agent = Box::pin(async {
        let agent = Agent::start(options, executor.clone(), &workers)?;
        agent.run().await;
        Ok(())
    });
    timer::block_on(executor.run(agent).or(check_meanwhile(&workers)))
}

/// Runs the workers; never returns. As it is polled last, a step of a check is made only when
/// nothing else is ready: hundreds of checks that can proceed don't delay a command.
async fn check_meanwhile<T>(workers: &LocalExecutor<'_>) -> T {
    loop {
        workers.tick().await;
        future::yield_now().await;
    }
}

/// Builds the HTTP client that `[agent]` describes, with at most `max_connections` connections.
///
/// # Errors
///
/// Returns a sentence for the user.
pub fn client(agent: &config::Agent, max_connections: usize) -> Result<Client, String> {
    Client::new(&Limits {
        max_connections,
        idle_connections: agent.idle_connections,
        idle_timeout: agent.idle_timeout,
        user_agent: agent.user_agent.clone(),
        ca_file: agent.ca_file.clone(),
    })
}

/// Returns whether an `uplink` target accepts a connection. Without targets the uplink counts as
/// up.
pub async fn uplink_is_up(client: &Client, agent: &config::Agent) -> bool {
    let probe = UplinkProbe {
        client: client.clone(),
        resolvers: Resolvers::new(),
        uplink: agent.uplink.clone(),
        telegram: None,
    };
    agent.uplink.is_empty() || probe.report().await.up
}

struct Agent {
    executor: Rc<LocalExecutor<'static>>,
    monitor: Monitor,
    client: Client,
    config: Config,
    config_path: PathBuf,
    reading: Reading,
    /// `None` if the state directory cannot be used.
    writer: Option<Writer>,
    history_files: Option<Arc<Mutex<HistoryFiles>>>,
    transport: Rc<Transport>,
    heartbeat: Rc<HeartbeatSender>,
    notifier: Rc<Notifier>,
    intake: Intake,
    /// Whether there is or was a `push:` site. Once true, the socket and the spool are served.
    takes_reports: bool,
    /// Names of the `push:` sites in the configuration.
    jobs: Rc<RefCell<Vec<String>>>,
    runner: Rc<ActionRunner>,
    /// Known addresses of the domain registries.
    registries: Rc<Registries>,
    /// The `rdap` key of the configuration.
    rdap: Rc<RefCell<Option<String>>>,
    resolvers: Resolvers,
    watchdog: Watchdog,
    /// Runs while the wall clock is doubted.
    clock_watch: Option<Task<()>>,
    /// The long poll or the reader of stdin; dropping it ends it.
    listener: Option<Task<()>>,
    #[cfg(feature = "listen")]
    http_listener: HttpListener,
    /// Writes to the terminal, if the terminal is the chat.
    printer: Option<Task<()>>,
    clock: Clock,
    input: Receiver<Input>,
    report: Sender<Input>,
    healthy: Sender<Order>,
    hanging: Sender<Order>,
    alerts: Sender<ToSend>,
    answers: Sender<ToSend>,
    /// Permits for `/check` commands.
    commands: Arc<Semaphore>,
    /// Queue of `/check` commands that wait for a permit.
    admissions: Sender<(u64, Arc<Semaphore>)>,
    command_permits: HashMap<u64, SemaphoreGuardArc>,
    /// Number of checks and action runs under way.
    active: Rc<Cell<usize>>,
    answer_times: AnswerTimes,
    /// Number of flash blocks written.
    blocks_written: u64,
}

impl Agent {
    fn start(
        options: Options,
        executor: Rc<LocalExecutor<'static>>,
        workers: &LocalExecutor<'static>,
    ) -> Result<Agent, StartError> {
        let Options {
            config,
            config_path,
            use_telegram,
            terminal,
            clock,
            signals,
        } = options;
        #[cfg(feature = "listen")]
        let clients = config
            .listen
            .as_ref()
            .map_or(0, |_| 1 + listen::CONNECTIONS);
        #[cfg(not(feature = "listen"))]
        let clients = 0;
        let (connections, too_few) = machine::make_room(config.agent.max_connections, clients);
        if let Some(text) = &too_few {
            log::warn!("{text}; until then {connections} connections at once");
        }
        let client = client(&config.agent, connections).map_err(StartError)?;
        let (loaded, trouble) = match state::open(&config.agent.state) {
            Ok(loaded) => (Some(loaded), None),
            Err(OpenError::InUse(text)) => return Err(StartError(text)),
            Err(OpenError::Unusable(text)) => (None, Some(text)),
        };
        check::allow_commands(config.agent.max_commands);
        clock.use_zone(config.agent.timezone.clone());
        let now = clock.now();
        let transport = Transport::new(&client, &clock, &config, use_telegram, terminal);
        let transport = Rc::new(transport);
        let heartbeat = Rc::new(HeartbeatSender::new(client.clone(), clock.clone()));
        let notifier = Notifier::new(client.clone(), clock.clone(), &config.channels);
        let runner = ActionRunner::new(client.clone(), clock.clone(), &config.actions);
        let mut monitor = Monitor::new(
            config.sites.clone(),
            transport.settings(&config, &client),
            now,
            seed(),
        );
        let mut notices: Vec<String> = Vec::new();
        let mut registries = Vec::new();
        let mut added_here = Vec::new();
        let writer = loaded.map(|loaded| {
            if let Some(snapshot) = &loaded.snapshot {
                let added = snapshot.added.as_deref().unwrap_or_default();
                added_here = config::added_beside(added, &config);
                monitor.adopt(config::added_sites(added, &config), now);
                monitor.restore(snapshot, now);
                registries.clone_from(&snapshot.registries);
            }
            notices.extend(loaded.damage);
            loaded.writer
        });
        let history_files = writer.as_ref().map(|_| {
            let (history_files, damage) = history_store::load(&config.agent.state, &mut monitor);
            notices.extend(damage);
            history_files
        });
        let registries = Registries::new(registries);
        registries.want(config.sites.iter().chain(&added_here).map(Arc::as_ref));
        let rdap = Rc::new(RefCell::new(config.agent.rdap.clone()));
        let (report, input) = async_channel::bounded(64);
        let (admissions, waiting) = async_channel::unbounded();
        let (healthy, healthy_orders) = async_channel::unbounded();
        let (hanging, hanging_orders) = async_channel::unbounded();
        let (alerts, alert_orders) = async_channel::unbounded();
        let (answers, answer_orders) = async_channel::unbounded();
        let mut agent = Agent {
            monitor,
            commands: Arc::new(Semaphore::new(config.agent.commands)),
            admissions,
            client,
            config,
            config_path,
            reading: Reading::No,
            writer,
            history_files,
            transport,
            heartbeat,
            notifier: Rc::new(notifier),
            intake: Intake::new(report.clone()),
            takes_reports: false,
            jobs: Rc::default(),
            runner: Rc::new(runner),
            registries: Rc::new(registries),
            rdap,
            resolvers: Resolvers::new(),
            watchdog: Watchdog::of_environment(Instant::now()),
            clock_watch: None,
            listener: None,
            #[cfg(feature = "listen")]
            http_listener: HttpListener::default(),
            printer: None,
            clock,
            input,
            report,
            healthy,
            hanging,
            alerts,
            answers,
            command_permits: HashMap::new(),
            active: Rc::new(Cell::new(0)),
            answer_times: AnswerTimes::default(),
            blocks_written: 0,
            executor,
        };
        agent.spawn_workers(workers, &healthy_orders, &hanging_orders);
        agent.spawn_printer();
        agent.spawn_senders(&alert_orders, &answer_orders);
        agent.spawn_admission(waiting);
        agent.spawn_signals(signals);
        agent.follow_clock();
        agent.listen();
        agent.take_reports();
        #[cfg(feature = "listen")]
        agent.listen_for_http();
        if let Some(text) = trouble {
            agent.feed(Event::SaveFailed { reason: text });
        }
        for text in notices {
            agent.notice(log::Level::Warn, text);
        }
        log::info!(
            "sitemon {} watches {}; alerts go to {}",
            env!("CARGO_PKG_VERSION"),
            count(agent.config.sites.len(), "site"),
            agent.transport.name()
        );
        agent.watchdog.ready();
        Ok(agent)
    }

    async fn run(mut self) {
        // When the first stop signal arrived.
        let mut stopped: Option<Instant> = None;
        self.feed(Event::Due);
        loop {
            let now = self.clock.now();
            self.watchdog
                .look(Instant::now(), || self.monitor.healthy(now));
            let due = self.monitor.next_wakeup(now).map(|m| self.instant(m));
            let stop_at = stopped.map(|at| at + END_TIMEOUT);
            let wake = [due, stop_at, self.watchdog.due()]
                .into_iter()
                .flatten()
                .min();
            let timer = wake.map_or(Timer::never(), Timer::at);
            let input = async { self.input.recv().await.ok() }
                .or(async {
                    timer.await;
                    None
                })
                .await;
            match input {
                Some(Input::Stop) if stopped.is_some() => {
                    return self.end(Instant::now() + SECOND_SIGNAL_TIMEOUT).await;
                }
                Some(Input::Stop) => {
                    log::info!("stopping");
                    self.watchdog.stopping();
                    self.monitor.stop();
                    self.healthy.close();
                    self.hanging.close();
                    stopped = Some(Instant::now());
                }
                Some(input) => self.take(input),
                None => self.feed(Event::Due),
            }
            // Waits for messages under way: the next run would send a message again that is cut
            // off.
            let idle = self.active.get() == 0 && self.monitor.messages_under_way() == 0;
            if let Some(at) = stopped
                && (idle || Instant::now() >= at + END_TIMEOUT)
            {
                return self.end(at + SHUTDOWN_TIMEOUT).await;
            }
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Event(event) => self.feed(event),
            Input::Asked(at, event) => self.feed_at(at, event),
            Input::Admitted { job, permit } => {
                self.command_permits.insert(job, permit);
                self.feed(Event::Admitted { job });
            }
            Input::Answering { asked, at } => {
                let begun = self.clock.at(at).uptime;
                self.answer_times.add(begun.saturating_sub(asked));
            }
            #[cfg(feature = "listen")]
            Input::AskedByHttp(ask) => self.answer_http(ask),
            Input::Saved(Ok(written)) => {
                self.blocks_written += written.blocks;
                let blocks = written.blocks;
                self.feed(Event::Saved { blocks });
            }
            Input::HistorySaved(result) => self.history_saved(result),
            Input::Saved(Err(reason)) => self.feed(Event::SaveFailed { reason }),
            Input::Reload => self.reload(),
            Input::Reread(read) => self.reread(*read),
            Input::Stop => {}
        }
    }

    /// Notifies the chats. Logs the text too, unless messages go to the log anyway.
    fn notice(&mut self, level: log::Level, text: String) {
        if !self.transport.is_log() {
            log::log!(level, "{text}");
        }
        self.feed(Event::Notice(text));
    }

    fn feed(&mut self, event: Event) {
        self.feed_at(Instant::now(), event);
    }

    /// Feeds one event to the monitor and carries out the resulting actions.
    fn feed_at(&mut self, at: Instant, event: Event) {
        // The time of a command is that of its arrival, not the time when the loop takes it.
        let now = self.clock.at(at);
        let actions = self.monitor.handle(now, event);
        self.follow_clock();
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Check {
                site,
                fresh,
                hanging,
            } => {
                if !site.needs_connection() {
                    return self.check_here(site);
                }
                let queue = if hanging {
                    &self.hanging
                } else {
                    &self.healthy
                };
                // The queue is closed at shutdown: then no check is started.
                let _ = queue.try_send(Order::Check { site, fresh });
            }
            Action::Examine { id, url, name } => {
                let result = config::added_site(&url, name.as_deref(), &self.config);
                let result = result.map(Box::new);
                self.feed(Event::Examined { id, result });
            }
            Action::Try { id, site } => {
                self.registries.want(std::slice::from_ref(&*site));
                let _ = self.healthy.try_send(Order::Try { id, site });
            }
            Action::Inspect { site, subject } => {
                let _ = self.healthy.try_send(Order::Inspect { site, subject });
            }
            Action::Send(outgoing) => {
                let queue = if outgoing.alert {
                    &self.alerts
                } else {
                    &self.answers
                };
                let _ = queue.try_send(ToSend::Message(outgoing));
            }
            Action::Run { id, request } => self.run_action(id, request),
            Action::SendByChannel(send) => self.send_by_channel(send),
            Action::AnswerReport { id, answer } => self.answer_report(id, answer),
            Action::AnswerPress(answer) => {
                let _ = self.answers.try_send(ToSend::Press(answer));
            }
            Action::Save => self.save(),
            Action::SaveHistory => self.save_history(),
            Action::Admit { job } => self.admit(job),
            Action::Dismiss { job } => {
                self.command_permits.remove(&job);
            }
            Action::Probe { deep } => self.probe_uplink(deep),
            Action::UseRoute(route) => self.transport.use_route(&route),
            Action::TryRoute(route) => {
                let transport = self.transport.clone();
                self.report_when(async move { Input::Event(transport.try_route(route).await) });
            }
            Action::Heartbeat => self.beat(),
            Action::Measure { requester } => {
                let mut vitals = vitals::read();
                vitals.uptime = self.clock.now().uptime;
                vitals.max_connections = self.config.agent.max_connections;
                vitals.answers = self.answer_times.percentiles();
                vitals.bytes_written = self.blocks_written * state::BLOCK;
                let state = self.config.agent.state.clone();
                self.report_when(async move {
                    vitals.machine = vitals::machine(state).await;
                    Input::Event(Event::Measured {
                        requester,
                        vitals: Box::new(vitals),
                    })
                });
            }
            Action::Log(Level::Warn, text) => log::warn!("{text}"),
            Action::Log(Level::Info, text) => log::info!("{text}"),
            Action::Log(Level::Debug, text) => log::debug!("{text}"),
        }
    }

    /// Saves off the loop, because fsync may take seconds on flash. The monitor requests one write
    /// at a time.
    fn save(&mut self) {
        let Some(writer) = self.writer.clone() else {
            let reason = "there is no state directory".to_owned();
            return self.report_when(async { Input::Saved(Err(reason)) });
        };
        let mut snapshot = self.monitor.snapshot(self.clock.now());
        snapshot.registries = self.registries.learnt();
        self.report_when(async move {
            let files = writer.clone();
            let result = offload(move || files.save(snapshot)).await;
            Input::Saved(result.map_err(|e| writer.failure(&e)))
        });
    }

    /// Sends the result of `work` to the loop, once it is done.
    fn report_when(&self, work: impl Future<Output = Input> + 'static) {
        let (report, work) = (self.report.clone(), work.boxed_local());
        let work = async move {
            let _ = report.send(work.await).await;
        };
        self.spawn(work).detach();
    }

    /// Spawns a task that ends with the loop. Boxed, so that the executor's code is compiled once
    /// and not for each type of task.
    fn spawn(&self, work: impl Future<Output = ()> + 'static) -> Task<()> {
        self.executor.spawn(work.boxed_local())
    }

    /// Queues a `/check` command for a permit, without blocking the loop.
    fn admit(&self, job: u64) {
        let _ = self.admissions.try_send((job, self.commands.clone()));
    }

    fn instant(&self, moment: Moment) -> Instant {
        let uptime = Duration::from_millis(u64::try_from(moment.0).unwrap_or(0));
        self.clock.instant(uptime)
    }
}

/// Returns the seed of the jitter, which needn't be secret but differs from agent to agent.
fn seed() -> u64 {
    let nanos = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos() as u64);
    nanos ^ (u64::from(std::process::id()) << 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_comes_before_checks() {
        let (executor, workers) = (LocalExecutor::new(), LocalExecutor::new());
        let steps = Rc::new(Cell::new(0));
        for _ in 0..100 {
            let steps = steps.clone();
            let check = async move {
                loop {
                    steps.set(steps.get() + 1);
                    future::yield_now().await;
                }
            };
            workers.spawn(check).detach();
        }
        // Two hops from task to task, like an update on its way to a sender.
        let (command, commands) = async_channel::bounded(1);
        let (answer, answers) = async_channel::bounded(1);
        let answering = async move {
            while let Ok(()) = commands.recv().await {
                answer.send(()).await.expect("a sender");
            }
        };
        executor.spawn(answering).detach();
        let asking = async {
            while steps.get() < 1000 {
                future::yield_now().await;
            }
            let before = steps.get();
            command.send(()).await.expect("an answerer");
            answers.recv().await.expect("an answer");
            steps.get() - before
        };
        let steps = timer::block_on(executor.run(asking).or(check_meanwhile(&workers)));
        assert!(steps <= 1, "{steps} steps of checks before the answer");
    }
}
