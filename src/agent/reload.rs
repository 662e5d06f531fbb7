//! Reload on SIGHUP. A configuration with mistakes changes nothing and is reported.

use super::{Agent, Input};
use crate::check;
use crate::config::{self, Config, Mistakes};
use crate::files;
use crate::monitor::Event;
use crate::offload::offload;
use crate::process;
use async_lock::Semaphore;
use std::io;
use std::sync::Arc;

/// Why a reloaded configuration is rejected.
pub(crate) const MISTAKES: &str =
    "sitemon.conf was read again and has mistakes; the old one goes on.";
pub(crate) const NO_CHATS: &str =
    "sitemon.conf was read again and has no `chats`; the old one goes on.";
pub(crate) const NO_SITES: &str = "sitemon.conf was read again and has no [[site]] any more; the old one goes on. To \
     watch nothing of it, restart sitemon.";

pub(crate) fn unreadable(why: &str) -> String {
    format!("sitemon.conf cannot be read again: {why}; the old one goes on.")
}

/// Returns the notice for changed keys that take effect at the next start.
pub(crate) fn wants_restart(keys: &str) -> String {
    format!("sitemon.conf was read again. A change of {keys} wants a restart.")
}

/// Whether the file is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    #[default]
    No,
    Yes,
    /// Another SIGHUP arrived meanwhile: the file may have changed since.
    Again,
}

impl Agent {
    /// Reads the file off the loop: its file system, or that of a file that it names, may hang.
    pub(super) fn reload(&mut self) {
        if self.reading != Reading::No {
            self.reading = Reading::Again;
            return;
        }
        self.reading = Reading::Yes;
        let path = self.config_path.clone();
        self.report_when(async move {
            let read = offload(move || Ok(config::reload(&path, &process::variable))).await;
            Input::Reread(Box::new(read))
        });
    }

    pub(super) fn reread(&mut self, read: io::Result<Result<Config, Mistakes>>) {
        let before = std::mem::take(&mut self.reading);
        self.adopt(read);
        if before == Reading::Again {
            self.reload();
        }
    }

    /// Adopts the new configuration, if it is valid.
    fn adopt(&mut self, read: io::Result<Result<Config, Mistakes>>) {
        let new = match read {
            Ok(Ok(new)) => new,
            Err(error) => {
                let why = files::reason(&error);
                return self.notice(log::Level::Error, unreadable(&why));
            }
            Ok(Err(mistakes)) => {
                let said = MISTAKES;
                if !self.transport.is_log() {
                    log::error!("{said} {mistakes}");
                }
                // The log shows the lines themselves, the notice doesn't.
                let what = format!("{said} {}", mistakes.sentences());
                let safe = format!("{said} `sitemon config` shows them.");
                return self.feed(Event::Mistaken { what, safe });
            }
        };
        let untold = new.telegram.as_ref().is_some_and(|t| t.chats.is_empty());
        let refusal = if untold && !self.transport.is_console() {
            // Also refused at the start: waiting alerts would have no destination.
            Some(NO_CHATS)
        } else if new.sites.is_empty() && !self.config.sites.is_empty() {
            // Probably an interrupted editor or a full disk. All outages would be forgotten.
            Some(NO_SITES)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            return self.notice(log::Level::Error, refusal.to_owned());
        }
        let known = &self.config.warnings;
        for warning in new.warnings.iter().filter(|w| !known.contains(w)) {
            log::warn!("{warning}");
        }
        let mut restart = Vec::new();
        let mut note = |changed: bool, key: &'static str| restart.extend(changed.then_some(key));
        let (old, agent) = (&self.config.agent, &new.agent);
        note(old.state != agent.state, "`state`");
        note(old.socket != agent.socket && self.takes_reports, "`socket`");
        note(old.spool != agent.spool && self.takes_reports, "`spool`");
        note(
            old.max_connections != agent.max_connections,
            "`max_connections`",
        );
        note(
            old.idle_connections != agent.idle_connections,
            "`idle_connections`",
        );
        note(old.idle_timeout != agent.idle_timeout, "`idle_timeout`");
        let other_chat = self.config.telegram.is_some() != new.telegram.is_some();
        let stays = self.transport.is_console() && new.telegram.is_none();
        note(other_chat && !stays, "`[telegram]`");
        if agent.commands != old.commands {
            // Commands under way keep their permits of the old semaphore.
            self.commands = Arc::new(Semaphore::new(agent.commands));
        }
        self.client
            .reconfigure(agent.user_agent.clone(), agent.ca_file.clone());
        if !self.transport.is_console()
            && let (Some(before), Some(after)) = (&self.config.telegram, &new.telegram)
            && !before.is_same_bot(after)
        {
            self.transport.replace(&self.client, after);
            self.listen();
        }
        self.clock.use_zone(agent.timezone.clone());
        let added = config::added_beside(self.monitor.added(), &new);
        self.registries
            .want(new.sites.iter().chain(&added).map(Arc::as_ref));
        *self.rdap.borrow_mut() = agent.rdap.clone();
        let mut config = new;
        // Keys that need a restart keep their values.
        config.agent.state = self.config.agent.state.clone();
        if self.takes_reports {
            config.agent.socket = self.config.agent.socket.clone();
            config.agent.spool = self.config.agent.spool.clone();
        }
        config.agent.max_connections = self.config.agent.max_connections;
        config.agent.idle_connections = self.config.agent.idle_connections;
        config.agent.idle_timeout = self.config.agent.idle_timeout;
        if config.telegram.is_none() != self.config.telegram.is_none() {
            config.telegram = self.config.telegram.clone();
        }
        check::allow_commands(config.agent.max_commands);
        self.notifier.reload(&config.channels);
        self.runner.reload(&config.actions);
        let reloaded = Event::Reloaded {
            sites: config.sites.clone(),
            added: config::added_sites(self.monitor.added(), &config),
            settings: self.transport.settings(&config, &self.client),
        };
        // First, because the event may cause a probe, which has to use the new `uplink`.
        self.config = config;
        // The server that is asked for the time may have changed.
        self.clock_watch = None;
        self.feed(reloaded);
        self.take_reports();
        #[cfg(feature = "listen")]
        self.listen_for_http();
        log::info!("{} was read again", self.config_path.display());
        if !restart.is_empty() {
            let keys = restart.join(", ");
            self.notice(log::Level::Info, wants_restart(&keys));
        }
    }
}
