//! The part of a run that survives a restart, as plain data.

#![allow(clippy::question_mark)] // in what nanoserde derives

use crate::monitor::incident::remediation::{Asked, Phase, Run, RunRequest};
use crate::monitor::time::Now;
use nanoserde::{DeJson, SerJson};

/// A run as stored.
#[derive(Clone, Debug, Default, PartialEq, SerJson, DeJson)]
#[nserde(default)]
pub struct RunRecord {
    pub action: String,
    pub site: String,
    pub incident: Option<u32>,
    /// The chat and the user that asked for it; `None` for an automatic run.
    pub chat: Option<i64>,
    pub user: Option<i64>,
    pub name: Option<String>,
    /// Unix seconds.
    pub at: i64,
    pub covers: u32,
    pub covers_offline: bool,
    /// It has not ended yet.
    pub under_way: bool,
}

impl RunRecord {
    pub(super) fn of(run: &Run, now: Now) -> RunRecord {
        let request = &run.request;
        let asked = request.asked.as_ref();
        RunRecord {
            action: request.action.clone(),
            site: request.site.clone(),
            incident: request.incident,
            chat: asked.map(|asked| asked.chat),
            user: asked.and_then(|asked| asked.user),
            name: asked.map(|asked| asked.name.clone()),
            at: now.wall_at(run.at),
            covers: run.covers,
            covers_offline: run.covers_offline,
            under_way: run.phase != Phase::Ended,
        }
    }

    /// `offline`: our own connection has been down since then.
    pub(super) fn restore(&self, offline: bool, now: Now) -> Run {
        let asked = self.chat.map(|chat| Asked {
            chat,
            user: self.user,
            name: self.name.clone().unwrap_or_default(),
            ..Asked::default()
        });
        Run {
            id: 0,
            request: RunRequest {
                action: self.action.clone(),
                site: self.site.clone(),
                incident: self.incident,
                asked,
                ..RunRequest::default()
            },
            at: now.past_moment(self.at),
            covers: self.covers,
            covers_offline: self.covers_offline && offline,
            phase: Phase::Ended,
        }
    }
}
