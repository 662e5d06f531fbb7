//! `[listen]`: what its clients ask of the agent.

use super::{Agent, Input};
use crate::listen::{self, Ask};
use crate::monitor::render::metrics::ProcessFigures;
use crate::vitals;
use smol::Task;

/// The task that listens, if there is one, and what it goes by.
#[derive(Default)]
pub(super) struct HttpListener {
    settings: Option<listen::Settings>,
    task: Option<Task<()>>,
    /// When the process was started, in Unix seconds, as the clock showed it when it was first believed.
    started: Option<i64>,
}

impl Agent {
    /// Listens as the configuration wants it from now on.
    pub(super) fn listen_for_http(&mut self) {
        let wanted = self.config.listen.as_ref();
        let settings = wanted.map(|listen| listen::Settings {
            address: listen.address,
            token: listen.token.clone(),
        });
        if self.http_listener.settings == settings {
            return;
        }
        self.http_listener.settings = settings.clone();
        let before = self.http_listener.task.take();
        let (asks, asked) = async_channel::bounded(listen::CONNECTIONS);
        let (executor, report) = (self.executor.clone(), self.report.clone());
        let work = async move {
            if let Some(before) = before {
                // The port may be the same.
                before.cancel().await;
            }
            let Some(settings) = settings else {
                return;
            };
            let forward = async {
                while let Ok(ask) = asked.recv().await {
                    if report.send(Input::AskedByHttp(ask)).await.is_err() {
                        return;
                    }
                }
            };
            futures_lite::future::or(listen::run(settings, executor, asks), forward).await;
        };
        self.http_listener.task = Some(self.spawn(work));
    }

    pub(super) fn answer_http(&mut self, ask: Ask) {
        match ask {
            Ask::Metrics(sender) => {
                let process = self.process_figures();
                let metrics = self.monitor.metrics(process);
                let _ = sender.try_send(metrics);
            }
            Ask::Healthy(sender) => {
                let _ = sender.try_send(self.monitor.healthy(self.clock.now()));
            }
            Ask::Unavailable(text) => self.notice(log::Level::Warn, text),
        }
    }

    fn process_figures(&mut self) -> ProcessFigures {
        let now = self.clock.now();
        if !self.monitor.doubts_clock() {
            let uptime = i64::try_from(now.uptime.as_secs()).unwrap_or(0);
            self.http_listener.started.get_or_insert(now.wall - uptime);
        }
        ProcessFigures {
            started: self.http_listener.started,
            telegram_up: self.transport.telegram_answers(),
            answers: self.answer_times.histogram().clone(),
            ..vitals::process()
        }
    }
}
