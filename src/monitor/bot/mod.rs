//! The bot: an update becomes a command or a callback, and that a reply.

pub(crate) mod added_sites;
pub(crate) mod callback_data;
pub(crate) mod callbacks;
pub(crate) mod check_jobs;
pub(crate) mod checks;
pub mod command;
pub(crate) mod commands;
pub mod name_resolution;
pub mod nearest;
pub(crate) mod strangers;
pub(crate) mod updates;

use crate::monitor::bot::added_sites::AddedSites;
use crate::monitor::bot::checks::CheckJobs;
use crate::monitor::bot::strangers::Strangers;
use crate::monitor::outbox::message::Button;
use crate::monitor::render::picture::Picture;
use crate::monitor::site::access::Access;
use crate::monitor::time::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Who may command, and what of their commands goes on.
#[derive(Debug)]
pub struct Bot {
    pub(in crate::monitor) access: Access,
    pub(in crate::monitor) added: AddedSites,
    /// Groups that have a new id, which the configuration may not know yet.
    pub(in crate::monitor) moved: Vec<(i64, i64)>,
    /// Our own username, without `@`, once it is known.
    pub(in crate::monitor) username: Option<String>,
    pub(in crate::monitor) jobs: CheckJobs,
    pub(in crate::monitor) last_update: Option<i64>,
    /// Commands that came too late to be carried out, by chat, and when to say so.
    pub(in crate::monitor) stale: BTreeMap<i64, (Moment, Vec<String>)>,
    pub(in crate::monitor) strangers: Strangers,
}

impl Bot {
    pub fn new(access: Access, max_jobs: usize) -> Bot {
        Bot {
            access,
            added: AddedSites::default(),
            moved: Vec::new(),
            username: None,
            jobs: CheckJobs::new(max_jobs),
            last_update: None,
            stale: BTreeMap::new(),
            strangers: Strangers::default(),
        }
    }
}

/// What a command is answered with.
#[derive(Debug, Default)]
pub(crate) struct ReplyContent {
    /// Lines of HTML, of any length.
    pub html: String,
    pub buttons: Vec<Vec<Button>>,
    pub picture: Option<Arc<Picture>>,
}

impl From<String> for ReplyContent {
    fn from(html: String) -> ReplyContent {
        ReplyContent {
            html,
            ..ReplyContent::default()
        }
    }
}
