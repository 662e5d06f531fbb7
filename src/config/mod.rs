//! `sitemon.conf`: text in, a [`Config`] or every mistake in it out.

use crate::monitor::site::Site;
use crate::secret::Secret;
use std::path::PathBuf;
use std::time::Duration;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub telegram: Option<Telegram>,
    pub agent: Agent,
    /// In the order of the file. Names are unique.
    pub sites: Vec<Site>,
    /// What the user should know but what stops nothing, one sentence each.
    pub warnings: Vec<String>,
}

/// `[telegram]`.
#[derive(Clone, Debug)]
pub struct Telegram {
    pub token: Secret,
    /// Chats that get the alerts and may give commands. May be empty (for `pair`).
    pub chats: Vec<i64>,
    /// In these chats only these people may give commands; `None` = anybody in them.
    pub users: Option<Vec<i64>>,
    /// Base URL of the Bot API, no slash at its end.
    pub api: String,
    /// Long-poll time of `getUpdates`, 0 to 50 s.
    pub poll: Duration,
}

/// `[agent]`.
#[derive(Clone, Debug)]
pub struct Agent {
    /// State directory; a relative one is already relative to the configuration file.
    pub state: PathBuf,
    /// HTTP connections at once, at least 4.
    pub max_connections: usize,
    pub idle_connections: usize,
    /// Whole seconds.
    pub idle_timeout: Duration,
    /// `/check` commands running at once, at least 1.
    pub commands: usize,
    pub ca_file: Option<PathBuf>,
    pub user_agent: String,
}
