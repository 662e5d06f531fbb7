//! Asks whether an action is to run, and takes the answer of the user who requested it.
//!
//! | a question | event | becomes |
//! | --- | --- | --- |
//! | none | `/run NAME`, or the button of an alert | open, in the place of an earlier one of that user there |
//! | open | Yes by that user in that chat | answered: the action runs |
//! | open | No by that user in that chat | answered |
//! | open | another user, another chat | open |
//! | answered | a second press | answered: nothing follows, and what the message says by now stays |
//! | open, answered | 60 s are over, the agent starts anew | gone |
//!
//! Names of actions come from the file only: what a user typed is compared with them.

use crate::monitor::bot::ReplyContent;
use crate::monitor::bot::callbacks::GONE;
use crate::monitor::bot::commands::{Execution, Order};
use crate::monitor::bot::name_resolution::{VisibleSites, folded};
use crate::monitor::incident::Incident;
use crate::monitor::incident::remediation::{Asked, Remediation, When};
use crate::monitor::outbox::callback_data::{self, CallbackData, MOST_SITES};
use crate::monitor::outbox::message::{ButtonStyle, Press, Requester};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::text::{bold, count, escape};
use crate::monitor::site::printable::{NAME, line};
use crate::monitor::time::Moment;
use crate::monitor::time::text::lasting;
use std::time::Duration;

/// Time in which a question can be answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The answer to a press that answers no open question.
const LATE: &str = "That is too old: ask again with /run.";

/// The open and answered questions. A user has at most one open question in a chat.
#[derive(Debug, Default)]
pub struct RunQuestions(Vec<Question>);

#[derive(Clone, Debug)]
struct Question {
    /// The number of the update that caused it: unique, across restarts too.
    number: i64,
    chat: i64,
    user: Option<i64>,
    action: String,
    incident: Option<u32>,
    until: Moment,
    answered: bool,
}

/// The reason why a press answers no question.
enum NoAnswer {
    /// There is no such question any more.
    Late,
    /// An earlier press answered it.
    Answered,
    /// It was asked to another user.
    Foreign,
}

impl RunQuestions {
    fn ask(&mut self, question: Question, now: Moment) {
        let same = |q: &Question| q.chat == question.chat && q.user == question.user;
        self.0.retain(|q| q.until > now && (q.answered || !same(q)));
        self.0.push(question);
    }

    /// Takes the question that this press answers.
    fn take(&mut self, number: i64, press: &Press, now: Moment) -> Result<Question, NoAnswer> {
        self.0.retain(|q| q.until > now);
        let mut questions = self.0.iter_mut();
        let of_press = |q: &&mut Question| q.number == number && q.chat == press.chat;
        match questions.find(of_press) {
            None => Err(NoAnswer::Late),
            Some(question) if question.user != press.user => Err(NoAnswer::Foreign),
            Some(question) if question.answered => Err(NoAnswer::Answered),
            Some(question) => {
                question.answered = true;
                Ok(question.clone())
            }
        }
    }
}

impl<'a> Execution<'a> {
    /// Returns the actions that the chat may see: those for a site that it may see, and those for
    /// our own connection.
    fn actions_of(&self, chat: i64) -> Vec<&'a Remediation> {
        let visible = self.view.visible_to(chat);
        let all = self.view.details.incidents.remediations().iter();
        let seen = |action: &&Remediation| {
            action.when == When::Offline || visible.iter().any(|(_, site)| action.is_for(site))
        };
        all.filter(seen).collect()
    }

    /// Carries out `/run`: asks for confirmation, or lists the actions.
    pub(super) fn run(&mut self, requester: &Requester, name: Option<&str>) -> ReplyContent {
        let actions = self.actions_of(requester.chat);
        let Some(name) = name else {
            let visible = self.view.visible_to(requester.chat);
            let lines = actions.iter().map(|action| about(action, visible));
            let lines: Vec<String> = lines.collect();
            let none = "There is no [[action]] in sitemon.conf.".to_owned();
            return choice(
                if lines.is_empty() {
                    none
                } else {
                    lines.join("\n")
                },
                &actions,
            );
        };
        let typed = folded(name);
        let same = |test: &dyn Fn(&Remediation) -> bool| actions.iter().find(|action| test(action));
        let exact = same(&|action| action.name == name)
            .or_else(|| same(&|action| folded(&action.name) == typed));
        let part = actions
            .iter()
            .filter(|action| folded(&action.name).contains(&typed));
        let part: Vec<&Remediation> = part.copied().collect();
        let shown = bold(&line(name, NAME));
        match (exact, part.as_slice()) {
            (Some(action), _) | (None, [action]) => self.question(requester, action, None),
            (None, []) => format!("There is no action {shown}. /run lists all.").into(),
            (None, several) => {
                let html = format!(
                    "{shown} fits {}. Which one?",
                    count(several.len(), "action")
                );
                choice(html, several)
            }
        }
    }

    /// Asks for confirmation.
    fn question(
        &mut self,
        requester: &Requester,
        action: &Remediation,
        incident: Option<u32>,
    ) -> ReplyContent {
        let name = escape(&action.name);
        if self
            .view
            .details
            .incidents
            .remediations()
            .is_under_way(&action.name)
        {
            return format!("⚙️ {name} is running already.").into();
        }
        let now = self.view.now.moment();
        let number = self.update;
        let question = Question {
            number,
            chat: requester.chat,
            user: requester.user,
            action: action.name.clone(),
            incident,
            until: now + ANSWER_WITHIN,
            answered: false,
        };
        self.bot.questions.ask(question, now);
        let button = |label, yes| {
            CallbackData::Confirm {
                yes,
                question: number,
            }
            .button(label)
        };
        let mut yes = button("Yes", true);
        yes.style = Some(ButtonStyle::Danger);
        let asker = match requester.chat < 0 && !requester.name.is_empty() {
            true => format!(" {} can answer.", escape(&line(&requester.name, 32))),
            false => String::new(),
        };
        ReplyContent {
            html: format!("⚙️ Run {name}?{asker}"),
            buttons: vec![vec![yes, button("No", false)]],
            picture: None,
        }
    }

    /// Handles a button that requests an action: under an alert, or of a choice.
    pub(super) fn run_button(
        &mut self,
        press: &Press,
        key: &str,
        mut incident: Option<u32>,
    ) -> String {
        let actions = self.actions_of(press.chat);
        let action = actions
            .into_iter()
            .find(|a| callback_data::key(&a.name) == key);
        let gone = "That is too old: there is no such action any more.";
        let Some(action) = action else {
            return self.take_buttons(press, gone.to_owned());
        };
        let (incidents, sites) = (self.view.details.incidents, self.view.sites);
        if let Some(number) = incident {
            let known = incidents.get(number);
            if known.is_some_and(|i| !i.visible_to(press.chat, sites)) {
                return self.take_buttons(press, GONE.to_owned());
            }
            // The alert may be about several incidents, and the one of the button may be over.
            let context = SendContext::new(incidents, sites, self.view.now.moment());
            let others = press
                .message()
                .map(|id| context.incidents_of(press.chat, id));
            let of_message = [number].into_iter().chain(others.unwrap_or_default());
            let mut open = of_message.filter_map(|n| incidents.get(n)).filter(|i| {
                let site = sites.named(i.site());
                let is_for = site.is_some_and(|site| action.is_for(site.config()));
                is_for && i.is_open() && i.visible_to(press.chat, sites)
            });
            incident = open.next().map(Incident::number);
            if incident.is_none() {
                let text = match known.is_some_and(Incident::is_open) {
                    true => gone.to_owned(),
                    false => format!("That is too old: #{number} is over."),
                };
                return self.take_buttons(press, text);
            }
        }
        let instead = press.message().filter(|_| incident.is_none());
        let requester = press.requester(self.view.now.uptime, instead);
        let content = self.question(&requester, action, incident);
        self.answer(&requester, Some(content));
        String::new()
    }

    /// Handles the answer, Yes or No.
    pub(super) fn confirm(&mut self, press: &Press, yes: bool, number: i64) -> String {
        let now = self.view.now.moment();
        let question = match self.bot.questions.take(number, press, now) {
            Ok(question) => question,
            Err(NoAnswer::Late) => return self.take_buttons(press, LATE.to_owned()),
            Err(NoAnswer::Answered) => return LATE.to_owned(),
            Err(NoAnswer::Foreign) => {
                return "Only the user who asked for it can answer.".to_owned();
            }
        };
        let actions = self.actions_of(press.chat);
        let known = actions.iter().any(|action| action.name == question.action);
        let remediations = self.view.details.incidents.remediations();
        let what = match yes {
            false => "not run",
            true if !known => return self.take_buttons(press, LATE.to_owned()),
            true if remediations.is_under_way(&question.action) => "is running already",
            true => {
                self.orders.push(Order::Run {
                    action: question.action.clone(),
                    incident: question.incident,
                    asked: Asked {
                        chat: press.chat,
                        topic: press.topic,
                        message: press.message(),
                        user: press.user,
                        name: press.name.clone(),
                    },
                });
                "running …"
            }
        };
        let requester = press.requester(self.view.now.uptime, press.message());
        let html = format!("⚙️ {}: {what}", escape(&question.action));
        self.answer(&requester, Some(html.into()));
        String::new()
    }
}

/// Returns the reply that offers these actions.
fn choice(html: String, actions: &[&Remediation]) -> ReplyContent {
    let buttons = actions.iter().take(MOST_SITES).map(|action| {
        let action_key = callback_data::key(&action.name);
        let data = CallbackData::Run {
            action: action_key,
            incident: None,
        };
        data.button(&action.name)
    });
    ReplyContent {
        html,
        buttons: callback_data::rows(buttons),
        picture: None,
    }
}

/// Returns the line of an action in the list.
fn about(action: &Remediation, visible: VisibleSites) -> String {
    let sites = action.sites.iter().map(String::as_str);
    let sites: Vec<&str> = sites.filter(|name| visible.is_name(name)).collect();
    let state = match action.when {
        When::Down => format!("when {} is down", sites.join(" or ")),
        When::Offline => "when our own connection is gone".to_owned(),
    };
    let auto = action.auto.map(|auto| {
        let limit = action.limit;
        let (times, within) = (count(limit.runs as usize, "time"), lasting(limit.within));
        format!(
            ", by itself after {}, at most {times} in {within}",
            lasting(auto)
        )
    });
    let auto = auto.unwrap_or_default();
    format!("⚙️ {}: {}{auto}", bold(&action.name), escape(&state))
}
