//! Passes the reports of jobs to the monitor, and back the answers, once a report is on disk.

use super::{Agent, Input};
use crate::monitor::Event;
use crate::monitor::site::report::{Report, ReportAnswer};
use async_channel::Sender;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// Hands reports to the loop. Clones share their state.
#[derive(Clone)]
pub(super) struct Intake {
    loop_input: Sender<Input>,
    waiting: Rc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    last: Cell<u64>,
    /// Channel for the answer to each report, by the report's number.
    answers: RefCell<HashMap<u64, Sender<ReportAnswer>>>,
}

impl Intake {
    pub fn new(loop_input: Sender<Input>) -> Intake {
        Intake {
            loop_input,
            waiting: Rc::default(),
        }
    }

    /// Hands a report over and waits for the answer; returns `None` if the agent ends.
    pub async fn take(&self, report: Report) -> Option<ReportAnswer> {
        let id = self.waiting.last.get() + 1;
        self.waiting.last.set(id);
        let (answer, answered) = async_channel::bounded(1);
        self.waiting.answers.borrow_mut().insert(id, answer);
        let event = Event::Reported { id, report };
        self.loop_input.send(Input::Event(event)).await.ok()?;
        answered.recv().await.ok()
    }
}

impl Agent {
    pub(super) fn answer_report(&self, id: u64, answer: ReportAnswer) {
        let waits = self.intake.waiting.answers.borrow_mut().remove(&id);
        if let Some(waits) = waits {
            // The receiver may be gone.
            let _ = waits.try_send(answer);
        }
    }
}
