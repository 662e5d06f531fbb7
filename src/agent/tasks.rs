//! The tasks beside the loop: check workers, senders, the listener, signals. They are started once;
//! a check on a worker spawns no task.

use super::uplink_probe::UplinkProbe;
use super::{Agent, Input, Order, StartError, ToSend};
use crate::check;
use crate::monitor::Event;
use crate::monitor::site::Site;
use crate::process;
use crate::timer::Timer;
use async_channel::Receiver;
use async_lock::Semaphore;
use async_signal::{Signal, Signals};
use futures_lite::{FutureExt, StreamExt, future};
use smol::LocalExecutor;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A transfer that waited longer than this for libcurl's thread and for ours shows that more
/// transfers are under way than the processor can serve. All other input, the long poll's answer
/// included, queues behind them. So the worker pauses until a worker without such a lag calls it…
const MOST_LAG: Duration = Duration::from_millis(5);
/// … or for a random time in this range, in milliseconds.
const REST: Range<u64> = 2_500..7_500;
/// Number of workers, the last ones, that never pause. With more than twice as many workers, none
/// of these serves sites that hang.
const NEVER_REST: usize = 8;

impl Agent {
    /// Spawns one worker for each check permit. Sites whose last check timed out are checked by the
    /// first half of the workers only, so that they cannot delay the others (a bulkhead).
    pub(super) fn spawn_workers(
        &self,
        workers: &LocalExecutor<'static>,
        healthy: &Receiver<Order>,
        hanging: &Receiver<Order>,
    ) {
        let permits = self.client.check_permits();
        let (call, called) = async_channel::bounded(1);
        for number in 0..permits {
            let takes_hanging = number < (permits / 2).max(1);
            let (healthy, hanging) = (healthy.clone(), hanging.clone());
            let (call, called) = (call.clone(), called.clone());
            let (client, report) = (self.client.clone(), self.report.clone());
            let active = self.active.clone();
            let (registries, rdap) = (self.registries.clone(), self.rdap.clone());
            let work = async move {
                loop {
                    let order = if takes_hanging {
                        future::race(healthy.recv(), hanging.recv()).await
                    } else {
                        healthy.recv().await
                    };
                    let Ok(order) = order else {
                        return;
                    };
                    active.set(active.get() + 1);
                    let event = match order {
                        Order::Check { site, fresh } => Event::Checked {
                            outcome: check::guarded(check::run(&client, &site, fresh)).await,
                            site,
                        },
                        Order::Try { id, site } => Event::Tried {
                            id,
                            outcome: check::guarded(check::run(&client, &site, true)).await,
                        },
                        Order::Inspect { site, subject } => {
                            let rdap = rdap.borrow().clone();
                            let inspection =
                                check::inspect(&client, &site, subject, rdap, &registries);
                            Event::Inspected {
                                result: inspection.await,
                                site: site.name.clone(),
                                subject,
                            }
                        }
                    };
                    active.set(active.get() - 1);
                    if report.send(Input::Event(event)).await.is_err() {
                        return;
                    }
                    let lags = client.take_lag() > MOST_LAG;
                    if lags && number + NEVER_REST < permits {
                        let rest = Timer::after(Duration::from_millis(fastrand::u64(REST)));
                        future::race(rest, async { called.recv().await.unwrap_or_default() }).await;
                    } else if !lags && !healthy.is_empty() {
                        // If the channel is full, a worker is being called already.
                        let _ = call.try_send(());
                    }
                }
            };
            workers.spawn(work.boxed_local()).detach();
        }
        let client = self.client.clone();
        self.spawn(async move { client.tidy().await }).detach();
    }

    /// Runs a check that needs no connection, and therefore no worker.
    pub(super) fn check_here(&self, site: Arc<Site>) {
        let (client, active) = (self.client.clone(), self.active.clone());
        active.set(active.get() + 1);
        self.report_when(async move {
            let outcome = check::guarded(check::run(&client, &site, true)).await;
            active.set(active.get() - 1);
            Input::Event(Event::Checked { site, outcome })
        });
    }

    /// Admits `/check` commands in the order of their arrival, which the semaphore alone doesn't
    /// guarantee.
    pub(super) fn spawn_admission(&self, waiting: Receiver<(u64, Arc<Semaphore>)>) {
        let report = self.report.clone();
        let admit = async move {
            while let Ok((job, commands)) = waiting.recv().await {
                let permit = commands.acquire_arc().await;
                if report.send(Input::Admitted { job, permit }).await.is_err() {
                    return;
                }
            }
        };
        self.spawn(admit).detach();
    }

    /// Spawns two senders. One takes answers only, so that a stalled alert never delays `/status`.
    pub(super) fn spawn_senders(&self, alerts: &Receiver<ToSend>, answers: &Receiver<ToSend>) {
        for answers_only in [true, false] {
            let (alerts, answers) = (alerts.clone(), answers.clone());
            let (transport, report) = (self.transport.clone(), self.report.clone());
            let send = async move {
                loop {
                    let next = if answers_only {
                        answers.recv().await
                    } else {
                        future::race(alerts.recv(), answers.recv()).await
                    };
                    let Ok(next) = next else {
                        return;
                    };
                    let asked = match &next {
                        ToSend::Message(outgoing) => outgoing.message.asked,
                        ToSend::Press(answer) => Some(answer.asked),
                    };
                    if let Some(asked) = asked {
                        let at = Instant::now();
                        let _ = report.send(Input::Answering { asked, at }).await;
                    }
                    let outgoing = match next {
                        ToSend::Message(outgoing) => outgoing,
                        ToSend::Press(answer) => {
                            transport.answer_press(&answer).await;
                            continue;
                        }
                    };
                    let delivery = transport.send(&outgoing).await;
                    let event = Event::Delivered {
                        id: outgoing.id,
                        delivery,
                    };
                    if report.send(Input::Event(event)).await.is_err() {
                        return;
                    }
                }
            };
            self.spawn(send).detach();
        }
    }

    /// Spawns the task that writes to the terminal.
    pub(super) fn spawn_printer(&mut self) {
        if let Some(output) = self.transport.output() {
            let write = async move { output.write().await };
            self.printer = Some(self.spawn(write));
        }
    }

    /// Starts to listen for commands, in place of the previous listener.
    pub(super) fn listen(&mut self) {
        let (transport, report) = (self.transport.clone(), self.report.clone());
        let offset = self.monitor.last_update().map(|last| last + 1);
        let listen = async move {
            let (events, incoming) = async_channel::bounded(16);
            let forward = async {
                while let Ok(event) = incoming.recv().await {
                    let asked = Input::Asked(Instant::now(), event);
                    if report.send(asked).await.is_err() {
                        return;
                    }
                }
            };
            future::zip(transport.listen(offset, events), forward).await;
            let _ = report.send(Input::Stop).await;
        };
        self.listener = Some(self.spawn(listen));
    }

    /// Starts a probe of the uplink.
    pub(super) fn probe_uplink(&self, deep: bool) {
        let probe = UplinkProbe {
            client: self.client.clone(),
            resolvers: self.resolvers.clone(),
            uplink: self.config.agent.uplink.clone(),
            telegram: self.transport.way().filter(|_| deep),
        };
        self.report_when(async move { Input::Event(Event::Probed(probe.report().await)) });
    }

    /// Sends a heartbeat, if one is configured.
    pub(super) fn beat(&self) {
        if let Some(url) = self.config.agent.heartbeat.clone() {
            let heartbeat = self.heartbeat.clone();
            let beat = async move { heartbeat.beat(&url).await };
            self.spawn(beat).detach();
        }
    }

    pub(super) fn spawn_signals(&self, mut signals: Signals) {
        STARTING.store(false, Relaxed);
        let report = self.report.clone();
        let watch = async move {
            while let Some(signal) = signals.next().await {
                let input = match signal {
                    Ok(Signal::Hup) => Input::Reload,
                    Ok(_) => Input::Stop,
                    Err(_) => continue,
                };
                if report.send(input).await.is_err() {
                    return;
                }
            }
        };
        self.spawn(watch).detach();
    }
}

/// Whether SIGTERM and SIGINT end the process at once.
static STARTING: AtomicBool = AtomicBool::new(true);

/// Catches the agent's signals. To be called before the configuration is read. Until
/// [`run`](super::run) reads the signals, there is nothing to save: SIGTERM and SIGINT end the process
/// at once with 0, even if a file system hangs. A SIGHUP has the configuration read again later.
///
/// # Errors
///
/// Returns a sentence for the user.
pub fn catch_signals() -> Result<Signals, StartError> {
    extern "C" fn end(_: libc::c_int) {
        if STARTING.load(Relaxed) {
            process::end(0);
        }
    }
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: the handler reads an atomic and calls _exit(2), both of which are allowed there
        // (signal-safety(7)). The handler that `Signals` sets calls it, too.
        unsafe { libc::signal(signal, end as *const () as libc::sighandler_t) };
    }
    Signals::new([Signal::Term, Signal::Int, Signal::Hup])
        .map_err(|e| StartError(format!("cannot listen for signals: {e}")))
}
