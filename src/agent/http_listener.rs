//! `[listen]`: runs the HTTP listener and answers its questions.

use super::{Agent, Input};
use crate::listen::push::Push;
use crate::listen::{self, Ask};
use crate::monitor::render::metrics::ProcessFigures;
use crate::monitor::site::Check;
use crate::monitor::site::report::{Report, Way, last_lines};
use crate::secret;
use crate::vitals;
use smol::Task;

/// The listener's task, if there is one, and its settings.
#[derive(Default)]
pub(super) struct HttpListener {
    settings: Option<listen::Settings>,
    task: Option<Task<()>>,
    /// Start of the process in Unix seconds, by the clock at the time when it was first believed.
    started: Option<i64>,
}

impl Agent {
    /// Starts, replaces or stops the listener, as the configuration says.
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
                // The previous listener may have the same port.
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
            Ask::MayPush(push, sender) => {
                let _ = sender.try_send(self.may_push(&push));
            }
            Ask::Push(push, kind, sender) => {
                let report = Report {
                    site: push.site,
                    kind,
                    at: self.clock.wall().saturating_mul(1000),
                    code: None,
                    took: None,
                    lines: last_lines(&push.message),
                    way: Way::Http,
                };
                let intake = self.intake.clone();
                let work = async move {
                    if let Some(answer) = intake.take(report).await {
                        let _ = sender.send(answer).await;
                    }
                };
                self.spawn(work).detach();
            }
            Ask::Unavailable(text) => self.notice(log::Level::Warn, text),
        }
    }

    /// Returns whether the token is that of the site. An unknown site, one that isn't a `push:`
    /// site and one without a token are refused like a wrong token.
    fn may_push(&self, push: &Push) -> bool {
        let sites = &self.config.sites;
        let site = sites.iter().find(|site| site.name == push.site);
        let token = match site.map(|site| &site.check) {
            Some(Check::Push(check)) => check.token.as_ref(),
            _ => None,
        };
        secret::equal(token.map_or("", |token| token.expose()), &push.token)
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
