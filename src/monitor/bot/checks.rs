//! Running `/check` commands: admission, progress, result.

use crate::monitor::bot::check_jobs::{Job, Listener, MAX_WAITING, Shown, Verdict};
use crate::monitor::bot::updates::Answer;
use crate::monitor::outbox::Reply;
use crate::monitor::outbox::message::{Asker, CONSOLE, Passing};
use crate::monitor::render::replies::by;
use crate::monitor::time::{Moment, Now};
use crate::monitor::{Action, Monitor};

impl Monitor {
    /// A `/check` of these sites: a new one, or one more listener of one that is under way.
    pub(crate) fn check_command(
        &mut self,
        now: Now,
        asker: &Asker,
        sites: &[usize],
    ) -> Option<Answer> {
        let names = sites.iter().map(|&at| self.sites[at].name().to_owned());
        let targets: Vec<String> = names.collect();
        if targets.is_empty() {
            return Some("There is nothing to check.".to_owned().into());
        }
        if let Some(place) = self.jobs.iter().position(|j| j.targets == targets) {
            let job = &self.jobs[place];
            let id = job.id;
            let text = format!("Joined the check that is under way. {}", self.job_text(job));
            self.listen(now, id, asker, text);
            return None;
        }
        let waiting = self.jobs.iter().filter(|j| j.started.is_none()).count();
        if waiting >= MAX_WAITING {
            let text =
                format!("{waiting} /check commands wait already. Try again when they are done.");
            return Some(text.into());
        }
        let id = self.next_job;
        self.next_job += 1;
        self.jobs.push_back(Job::new(id, targets));
        let text = self.jobs.back().map(|job| self.job_text(job));
        self.listen(now, id, asker, text.unwrap_or_default());
        self.actions.push(Action::Admit { job: id });
        None
    }

    pub(crate) fn admitted(&mut self, now: Now, id: u64) {
        let Some(job) = self.jobs.iter_mut().find(|j| j.id == id) else {
            self.actions.push(Action::Dismiss { job: id });
            return;
        };
        job.started = Some(now.moment());
        for name in job.targets.clone() {
            match self.sites.find(&name).map(|at| self.sites[at].paused()) {
                Some(false) => self.check_for_job(now, &name),
                Some(true) => self.note_in_jobs(now, &name, &Verdict::Paused),
                None => {}
            }
        }
        self.finish_jobs(now);
    }

    fn check_for_job(&mut self, now: Now, name: &str) {
        if let Some(at) = self.sites.find(name) {
            self.expiry.inspect_now(now, &mut self.sites[at]);
        }
        let running = |m: &Monitor| m.sites.find(name).is_some_and(|at| m.sites[at].running);
        if !running(self) && !self.start_check(now, name) && !self.schedule.stopping() {
            let verdict = Verdict::Bad("the clock is not set yet".into());
            self.note_in_jobs(now, name, &verdict);
        }
    }

    /// A check has ended: every `/check` that waits for it hears of it.
    pub(crate) fn note_in_jobs(&mut self, now: Now, name: &str, verdict: &Verdict) {
        for job in self.jobs.iter_mut().filter(|j| j.started.is_some()) {
            job.note(name, verdict.clone());
        }
        self.finish_jobs(now);
    }

    pub(crate) fn finish_jobs(&mut self, now: Now) {
        while let Some(place) = self.jobs.iter().position(Job::done) {
            let Some(job) = self.jobs.remove(place) else {
                return;
            };
            self.actions.push(Action::Dismiss { job: job.id });
            let text = job.result_text(now);
            for listener in &job.listeners {
                self.show(now, listener, &text, job.id);
            }
            // A message whose id is not known yet is edited when it is: keep the job until then.
            if job.listeners.iter().any(|l| l.message == Shown::Away) {
                self.finished.push_back((job, text));
                if self.finished.len() > MAX_WAITING {
                    self.finished.pop_front();
                }
            }
        }
    }

    /// The id of the message that shows a job has become known, or never will. `edited`: it was to
    /// take the place of this one; if that was deleted, it is a new one.
    pub(crate) fn job_message(
        &mut self,
        now: Now,
        id: u64,
        chat: i64,
        edited: Option<i64>,
        message_id: Option<i64>,
    ) {
        let shown = match message_id {
            Some(message_id) if chat != CONSOLE && message_id != 0 => Shown::Message(message_id),
            _ => Shown::Nowhere,
        };
        if let Some(edited) = edited {
            if message_id.is_some() {
                self.job_moves(id, chat, edited, shown);
            }
            return;
        }
        let away = |l: &&mut Listener| l.chat == chat && l.message == Shown::Away;
        if let Some(job) = self.jobs.iter_mut().find(|j| j.id == id) {
            if let Some(listener) = job.listeners.iter_mut().find(away) {
                listener.message = shown;
            }
            return;
        }
        let Some(place) = self.finished.iter().position(|(job, _)| job.id == id) else {
            return;
        };
        let (job, text) = &mut self.finished[place];
        let text = text.clone();
        let Some(listener) = job.listeners.iter_mut().find(away) else {
            return;
        };
        listener.message = shown;
        let listener = listener.clone();
        if job.listeners.iter().all(|l| l.message != Shown::Away) {
            self.finished.remove(place);
        }
        self.show(now, &listener, &text, id);
    }

    /// The message that shows a job stands elsewhere by now, or nowhere that is known.
    fn job_moves(&mut self, id: u64, chat: i64, from: i64, to: Shown) {
        let job = self.jobs.iter_mut().find(|j| j.id == id);
        for listener in job.into_iter().flat_map(|job| &mut job.listeners) {
            if listener.chat == chat && listener.message == Shown::Message(from) {
                listener.message = to;
            }
        }
    }

    /// Progress, as often as the chat's limits allow.
    pub(crate) fn edit_jobs(&mut self, now: Now) {
        let moment = now.moment();
        for place in 0..self.jobs.len() {
            let text = self.job_text(&self.jobs[place]);
            let id = self.jobs[place].id;
            for listener in &mut self.jobs[place].listeners {
                let edit = match listener.message {
                    Shown::Message(message_id) => Some(message_id),
                    // The terminal writes over its last line.
                    Shown::Nowhere if listener.chat == CONSOLE => None,
                    Shown::Nowhere | Shown::Away => continue,
                };
                let calm = self.outbox.calm_at(listener.chat);
                if listener.text == text || calm.is_none_or(|at| at > moment) {
                    continue;
                }
                listener.text.clone_from(&text);
                self.outbox.push_reply(Reply {
                    topic: listener.topic,
                    edit,
                    passing: Passing::GoesOn,
                    job: Some(id),
                    ..Reply::new(listener.chat, listener.worded(&text), moment)
                });
            }
        }
    }

    pub(crate) fn next_edit(&self, now: Now) -> Option<Moment> {
        let moment = now.moment();
        let stale = self.jobs.iter().flat_map(|job| {
            let text = self.job_text(job);
            job.listeners
                .iter()
                .filter(move |l| l.message != Shown::Away && l.text != text)
        });
        stale
            .filter_map(|l| self.outbox.calm_at(l.chat))
            .filter(|at| *at > moment)
            .min()
    }

    fn job_text(&self, job: &Job) -> String {
        if job.started.is_some() {
            return job.progress_text();
        }
        // Those with a permit, or about to get one, are not in the queue.
        let before = self.jobs.iter().take_while(|j| j.id != job.id).count();
        match (before + 1).checked_sub(self.max_jobs) {
            Some(place) if place > 0 => job.waiting_text(place),
            _ => job.progress_text(),
        }
    }

    fn listen(&mut self, now: Now, id: u64, asker: &Asker, text: String) {
        let moment = now.moment();
        let mut worded = text.clone();
        if let Some(job) = self.jobs.iter_mut().find(|j| j.id == id) {
            let listener = Listener {
                chat: asker.chat,
                topic: asker.topic,
                message: asker.instead.map_or(Shown::Away, Shown::Message),
                text: text.clone(),
                asked_by: if asker.pressed && !asker.name.is_empty() {
                    format!("\nasked{}", by(&asker.name))
                } else {
                    String::new()
                },
            };
            worded = listener.worded(&text);
            job.listeners.push(listener);
        }
        self.outbox.push_reply(Reply {
            passing: Passing::Begins,
            topic: asker.topic,
            edit: asker.instead,
            asked: Some(asker.at),
            job: Some(id),
            ..Reply::new(asker.chat, worded, moment)
        });
    }

    /// Shows a result where the job's message stands.
    fn show(&mut self, now: Now, listener: &Listener, html: &str, id: u64) {
        let edit = match listener.message {
            Shown::Away => return,
            Shown::Message(message_id) => Some(message_id),
            Shown::Nowhere => None,
        };
        self.outbox.push_reply(Reply {
            topic: listener.topic,
            edit,
            // Its delivery means nothing to a job that is over.
            job: edit.map(|_| id),
            ..Reply::new(listener.chat, listener.worded(html), now.moment())
        });
    }
}
