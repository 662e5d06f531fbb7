//! The queue of `/check` commands: admission, progress and result.

use crate::monitor::bot::check_jobs::{Job, JobMessage, JobResult, MAX_WAITING, WaitingChat};
use crate::monitor::bot::{Bot, ReplyContent};
use crate::monitor::outbox::message::{CONSOLE, Passing, Requester};
use crate::monitor::outbox::{Outbox, Reply};
use crate::monitor::render::replies::by;
use crate::monitor::site::table::Sites;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Action, Actions};
use std::collections::VecDeque;

/// All `/check` commands that wait or run.
#[derive(Debug)]
pub(crate) struct CheckJobs {
    jobs: VecDeque<Job>,
    next_id: u64,
    /// Finished jobs and their results. The message to be edited has no known id yet.
    finished: VecDeque<(Job, String)>,
    /// Maximum number of jobs that run at once; at least 1.
    most: usize,
}

impl CheckJobs {
    /// `most`: maximum number of `/check` commands that run at once.
    pub fn new(most: usize) -> CheckJobs {
        CheckJobs {
            jobs: VecDeque::new(),
            next_id: 1,
            finished: VecDeque::new(),
            most: most.max(1),
        }
    }

    pub fn reload(&mut self, most: usize) {
        self.most = most.max(1);
    }

    /// Requests a `/check` of these sites: a new job, or one more listener of a known one.
    pub fn request(
        &mut self,
        now: Now,
        requester: &Requester,
        targets: Vec<String>,
        outbox: &mut Outbox,
        actions: &mut Actions,
    ) -> Option<ReplyContent> {
        if targets.is_empty() {
            return Some("There is nothing to check.".to_owned().into());
        }
        if let Some(place) = self.jobs.iter().position(|j| j.targets == targets) {
            let text = self.text_of(&self.jobs[place]);
            let text = format!("Joined the check that is under way. {text}");
            self.jobs[place].listen(now.moment(), requester, text, outbox);
            return None;
        }
        let waiting = self.jobs.iter().filter(|j| j.started.is_none()).count();
        if waiting >= MAX_WAITING {
            let text =
                format!("{waiting} /check commands wait already. Try again when they are done.");
            return Some(text.into());
        }
        let id = self.next_id;
        self.next_id += 1;
        let mut job = Job::new(id, targets);
        let text = self.text_at(&job, self.jobs.len());
        job.listen(now.moment(), requester, text, outbox);
        self.jobs.push_back(job);
        actions.push(Action::Admit { job: id });
        None
    }

    /// Shows progress as often as the chat's rate limits allow.
    pub fn on_timeout(&mut self, now: Moment, outbox: &mut Outbox) {
        for place in 0..self.jobs.len() {
            let text = self.text_of(&self.jobs[place]);
            let job = &mut self.jobs[place];
            for listener in &mut job.listeners {
                let edit = match listener.message {
                    JobMessage::Message(message_id) => Some(message_id),
                    // The terminal overwrites its last line.
                    JobMessage::Nowhere if listener.chat == CONSOLE => None,
                    JobMessage::Nowhere | JobMessage::Away => continue,
                };
                let calm = outbox.calm_at(listener.chat);
                if listener.text == text || calm.is_none_or(|at| at > now) {
                    continue;
                }
                listener.text.clone_from(&text);
                outbox.push_reply(Reply {
                    topic: listener.topic,
                    edit,
                    passing: Passing::GoesOn,
                    job: Some(job.id),
                    ..Reply::new(listener.chat, listener.worded(&text), now)
                });
            }
        }
    }

    /// Returns when [`CheckJobs::on_timeout`] has progress to show.
    pub fn next_timeout(&self, now: Moment, outbox: &Outbox) -> Option<Moment> {
        if self.jobs.is_empty() {
            return None;
        }
        let outdated = self.jobs.iter().flat_map(|job| {
            let text = self.text_of(job);
            let listeners = job.listeners.iter();
            listeners.filter(move |l| !l.message_awaited() && l.text != text)
        });
        outdated
            .filter_map(|l| outbox.calm_at(l.chat))
            .filter(|at| *at > now)
            .min()
    }

    /// Follows a group to its new id. The message ids of the old chat are not valid in the new one.
    pub fn rename_chat(&mut self, from: i64, to: i64) {
        let finished = self.finished.iter_mut().map(|(job, _)| job);
        let jobs = self.jobs.iter_mut().chain(finished);
        let listeners = jobs.flat_map(|job| &mut job.listeners);
        for listener in listeners.filter(|l| l.chat == from) {
            listener.chat = to;
            if !listener.message_awaited() {
                listener.message = JobMessage::Nowhere;
            }
        }
    }

    fn text_of(&self, job: &Job) -> String {
        let before = self.jobs.iter().take_while(|j| j.id != job.id).count();
        self.text_at(job, before)
    }

    /// `before`: number of jobs ahead of it in the queue.
    fn text_at(&self, job: &Job, before: usize) -> String {
        // The first `most` jobs have a permit or are about to get one, so they are not queued.
        match (before + 1).checked_sub(self.most) {
            Some(place) if place > 0 && job.started.is_none() => job.waiting_text(place),
            _ => job.progress_text(),
        }
    }
}

impl Bot {
    /// Marks a `/check` as started, as it has its permit. Returns the sites to check for it.
    pub(crate) fn admitted(&mut self, now: Moment, id: u64, actions: &mut Actions) -> Vec<String> {
        let Some(job) = self.jobs.jobs.iter_mut().find(|j| j.id == id) else {
            actions.push(Action::Dismiss { job: id });
            return Vec::new();
        };
        job.started = Some(now);
        job.targets.clone()
    }

    /// Passes the result of a check to every `/check` that waits for it.
    pub(crate) fn on_result(
        &mut self,
        now: Now,
        name: &str,
        result: &JobResult,
        outbox: &mut Outbox,
        actions: &mut Actions,
    ) {
        for job in self.jobs.jobs.iter_mut().filter(|j| j.started.is_some()) {
            job.note(name, result.clone());
        }
        self.finish_jobs(now, outbox, actions);
    }

    /// Removes sites that are no longer configured from the pending part of each `/check`.
    pub(crate) fn keep_sites(&mut self, sites: &Sites) {
        for job in &mut self.jobs.jobs {
            job.remaining.retain(|name| sites.contains(name));
        }
    }

    /// Shows the results of each finished `/check`.
    pub(crate) fn finish_jobs(&mut self, now: Now, outbox: &mut Outbox, actions: &mut Actions) {
        while let Some(place) = self.jobs.jobs.iter().position(Job::done) {
            let Some(job) = self.jobs.jobs.remove(place) else {
                return;
            };
            actions.push(Action::Dismiss { job: job.id });
            let text = job.result_text(now);
            for listener in &job.listeners {
                listener.show(now.moment(), &text, job.id, outbox);
            }
            // A message without a known id is edited once the id arrives: keep the job until then.
            if job.listeners.iter().any(WaitingChat::message_awaited) {
                self.jobs.finished.push_back((job, text));
                if self.jobs.finished.len() > MAX_WAITING {
                    self.jobs.finished.pop_front();
                }
            }
        }
    }

    /// Takes the id of the message that shows a job; `None`: it was not sent. `edited`: the id of
    /// the message that was to be edited. If that was deleted, `message_id` is that of its
    /// replacement.
    pub(crate) fn on_job_message(
        &mut self,
        now: Moment,
        id: u64,
        chat: i64,
        edited: Option<i64>,
        message_id: Option<i64>,
        outbox: &mut Outbox,
    ) {
        let message = match message_id {
            Some(message_id) if chat != CONSOLE && message_id != 0 => {
                JobMessage::Message(message_id)
            }
            _ => JobMessage::Nowhere,
        };
        let job = self.jobs.jobs.iter_mut().find(|j| j.id == id);
        if let Some(edited) = edited {
            // The message was replaced. Without a new id the old one is kept.
            let listeners = job.into_iter().flat_map(|job| &mut job.listeners);
            let before = JobMessage::Message(edited);
            let of_it = listeners.filter(|l| l.chat == chat && l.message == before);
            of_it
                .filter(|_| message_id.is_some())
                .for_each(|l| l.message = message);
            return;
        }
        let awaited = |l: &&mut WaitingChat| l.chat == chat && l.message_awaited();
        if let Some(job) = job {
            if let Some(listener) = job.listeners.iter_mut().find(awaited) {
                listener.message = message;
            }
            return;
        }
        let Some(place) = self.jobs.finished.iter().position(|(job, _)| job.id == id) else {
            return;
        };
        let (job, text) = &mut self.jobs.finished[place];
        let Some(listener) = job.listeners.iter_mut().find(awaited) else {
            return;
        };
        listener.message = message;
        listener.show(now, text, id, outbox);
        if !job.listeners.iter().any(WaitingChat::message_awaited) {
            self.jobs.finished.remove(place);
        }
    }
}

impl Job {
    /// Adds a chat that waits for the result, and sends `text` to it now.
    fn listen(&mut self, now: Moment, requester: &Requester, text: String, outbox: &mut Outbox) {
        let listener = WaitingChat {
            chat: requester.chat,
            topic: requester.topic,
            message: requester
                .instead
                .map_or(JobMessage::Away, JobMessage::Message),
            asked_by: if requester.pressed && !requester.name.is_empty() {
                format!("\nasked{}", by(&requester.name))
            } else {
                String::new()
            },
            text,
        };
        outbox.push_reply(Reply {
            passing: Passing::Begins,
            topic: requester.topic,
            edit: requester.instead,
            asked: Some(requester.at),
            job: Some(self.id),
            ..Reply::new(requester.chat, listener.worded(&listener.text), now)
        });
        self.listeners.push(listener);
    }
}

impl WaitingChat {
    fn message_awaited(&self) -> bool {
        self.message == JobMessage::Away
    }

    /// Shows a result in the job's message.
    fn show(&self, now: Moment, html: &str, job: u64, outbox: &mut Outbox) {
        let edit = match self.message {
            JobMessage::Away => return,
            JobMessage::Message(message_id) => Some(message_id),
            JobMessage::Nowhere => None,
        };
        outbox.push_reply(Reply {
            topic: self.topic,
            edit,
            // A finished job ignores the delivery of its new messages.
            job: edit.map(|_| job),
            ..Reply::new(self.chat, self.worded(html), now)
        });
    }
}
