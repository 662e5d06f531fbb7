//! Pressed buttons: each is answered once, and the message that has it shows what was done.

use crate::monitor::bot::callback_data::{AlertButton, CallbackData};
use crate::monitor::bot::command;
use crate::monitor::bot::updates::is_stale;
use crate::monitor::incident::Acknowledged;
use crate::monitor::outbox::Reply;
use crate::monitor::outbox::message::{Asker, CallbackAnswer, Press};
use crate::monitor::outbox::send_context::SendContext;
use crate::monitor::render::replies::by;
use crate::monitor::render::text::{MESSAGE_UNITS, lasting, units};
use crate::monitor::time::Now;
use crate::monitor::{Action, Monitor};

/// What begins a line that says what was done.
const NOTES: [&[&str]; 2] = [&["👍"], &["🔕", "🔔"]];

const GONE: &str = "That is too old: I no longer watch that site.";

impl Monitor {
    /// Strangers get nothing, not even the answer that would let their button rest.
    pub(crate) fn pressed(&mut self, now: Now, press: &Press) {
        if !self.bot.access.allows(press.chat, press.user) {
            let bot = &mut self.bot;
            bot.on_stranger(now.moment(), press.chat, press.user, &mut self.actions);
            return;
        }
        let text = self.fulfil(now, press);
        self.actions.push(Action::AnswerPress(CallbackAnswer {
            id: press.id.clone(),
            text,
            asked: now.uptime,
        }));
    }

    /// Does what the button says; what its presser sees for a moment.
    fn fulfil(&mut self, now: Now, press: &Press) -> String {
        // A press has no date of its own: it is no older than its message.
        if is_stale(now, press.waited, press.date) {
            return "That is too old: pressed while I was away. Press it again.".to_owned();
        }
        match CallbackData::read(&press.data) {
            Some(CallbackData::Choose(line)) => self.do_line(now, press, &line, self.place(press)),
            Some(CallbackData::Open(line)) => self.do_line(now, press, &line, None),
            Some(CallbackData::Turn(line)) => self.turn(now, press, &line),
            Some(CallbackData::Alert(deed, numbers)) => self.do_deed(now, press, deed, &numbers),
            None => {
                self.take_buttons(now, press);
                "That is too old: I no longer know this button.".to_owned()
            }
        }
    }

    /// Carries out a line; its answer takes the place of the message `instead`.
    fn do_line(&mut self, now: Now, press: &Press, line: &str, instead: Option<i64>) -> String {
        let named = line.split(' ').nth(1);
        if named.is_some_and(|key| self.visible_to(press.chat).of_key(key).is_none()) {
            self.take_buttons(now, press);
            return GONE.to_owned();
        }
        let asker = Asker {
            instead,
            ..asker(now, press)
        };
        if let Some(command) = command::parse(line, None, false, &|_| false)
            && let Some(answer) = self.carry_out(now, &asker, &command)
        {
            self.answer(now, &asker, answer);
        }
        String::new()
    }

    /// Carries out a line about a site, and shows that site anew in the place of the message.
    fn turn(&mut self, now: Now, press: &Press, line: &str) -> String {
        let Some(at) = self.site_of(press.chat, line) else {
            self.take_buttons(now, press);
            return GONE.to_owned();
        };
        let asker = Asker {
            instead: self.place(press),
            ..asker(now, press)
        };
        let Some(command) = command::parse(line, None, false, &|_| false) else {
            return String::new();
        };
        self.carry_out(now, &asker, &command);
        let (mark, done) = match command {
            command::Command::Mute { .. } => ("🔕", "Muted for 1 h"),
            command::Command::Unmute { .. } => ("🔔", "No longer muted"),
            command::Command::Pause { .. } => ("⏸", "Paused"),
            command::Command::Resume { .. } => ("▶️", "Checked again"),
            _ => return String::new(),
        };
        if asker.instead.is_some() {
            let mut answer = self.about_site(now, press.chat, at);
            answer
                .html
                .push_str(&format!("\n{mark} {done}{}", by(&press.name)));
            self.answer(now, &asker, answer);
        }
        format!("{mark} {done}")
    }

    /// Does something about the incidents of an alert that go on.
    fn do_deed(&mut self, now: Now, press: &Press, deed: AlertButton, numbers: &[u32]) -> String {
        let hidden = |n: &u32| {
            let incident = self.incidents.get(*n);
            incident.is_some_and(|i| !i.visible_to(press.chat, &self.sites))
        };
        let numbers: Vec<u32> = numbers.iter().copied().filter(|n| !hidden(n)).collect();
        if numbers.is_empty() {
            // The message told of it before the file took it from this chat.
            self.take_buttons(now, press);
            return GONE.to_owned();
        }
        let mut open = numbers.clone();
        open.retain(|&n| self.incidents.get(n).is_some_and(|i| i.end.is_none()));
        let Some(&first) = open.first() else {
            self.take_buttons(now, press);
            let number = numbers.first().copied().unwrap_or_default();
            return format!("That is too old: #{number} is over.");
        };
        let sites = open.iter().filter_map(|&n| self.incidents.get(n));
        let mut sites: Vec<usize> = sites.filter_map(|i| self.sites.find(&i.site)).collect();
        sites.sort_unstable();
        let (mark, done) = match deed {
            AlertButton::Check => {
                let asker = asker(now, press);
                if let Some(answer) = self.check_command(now, &asker, &sites) {
                    self.answer(now, &asker, answer);
                }
                return String::new();
            }
            AlertButton::Acknowledge => {
                if let Some(earlier) = self.acknowledge_all(now, &open, press) {
                    self.outbox.keyboards.outdate(press.chat, press.message_id);
                    return format!("#{first} was acknowledged before{}.", plainly_by(&earlier));
                }
                ("👍", "acknowledged".to_owned())
            }
            AlertButton::Mute(span) => {
                for &at in &sites {
                    self.sites[at].muted_until = Some(now.moment() + span);
                }
                ("🔕", format!("muted for {}", lasting(span)))
            }
            AlertButton::Unmute => {
                for &at in &sites {
                    self.sites[at].muted_until = None;
                }
                ("🔔", "no longer muted".to_owned())
            }
        };
        self.saving.now();
        self.show_deed(
            now,
            press,
            &numbers,
            &format!("{mark} {done}{}", by(&press.name)),
        );
        // Where else it was told, at least its buttons follow.
        for number in open {
            let told = self.incidents.get(number).map(|i| i.messages.clone());
            for (chat, message_id) in told.unwrap_or_default() {
                if (chat, message_id) != (press.chat, press.message_id) {
                    self.outbox.keyboards.outdate(chat, message_id);
                }
            }
        }
        format!("{mark} {done}")
    }

    /// Acknowledges what nobody has; who did before, when there is nothing left to do.
    fn acknowledge_all(&mut self, now: Now, numbers: &[u32], press: &Press) -> Option<String> {
        let mut earlier = None;
        let mut done = false;
        for &number in numbers {
            let Some(incident) = self.incidents.get_mut(number) else {
                continue;
            };
            match &incident.acknowledged {
                Some(ack) => earlier = Some(ack.name.clone()),
                None => {
                    done = true;
                    incident.acknowledged = Some(Acknowledged {
                        by: press.user,
                        name: press.name.clone(),
                        at: now.moment(),
                    });
                }
            }
        }
        earlier.filter(|_| !done)
    }

    /// The message of an alert says what was done, in the place of what was said of that before.
    fn show_deed(&mut self, now: Now, press: &Press, numbers: &[u32], note: &str) {
        let Some(message_id) = self.place(press) else {
            return;
        };
        // A press that came before our last change of the text knows only the one before.
        let shown = self.outbox.keyboards.get(press.chat, message_id);
        let Some(html) = shown.or(press.html.as_deref()) else {
            return;
        };
        let longer = noted(html, note);
        let html = if units(&longer) <= MESSAGE_UNITS {
            longer
        } else {
            html.to_owned()
        };
        self.outbox
            .keyboards
            .remember(press.chat, message_id, html.clone());
        let buttons = SendContext::new(&self.incidents, &self.sites, now.moment()).buttons(numbers);
        self.outbox.push_reply(Reply {
            edit: Some(message_id),
            touch_up: true,
            buttons,
            ..Reply::new(press.chat, html, now.moment())
        });
    }

    /// The buttons of the alerts of these sites are to be looked at again.
    pub(crate) fn renew_alerts_of(&mut self, sites: &[usize]) {
        let open = sites
            .iter()
            .filter_map(|&at| self.incidents.open_of(self.sites[at].name()));
        let told: Vec<(i64, i64)> = open.flat_map(|i| i.messages.clone()).collect();
        for (chat, message_id) in told {
            self.outbox.keyboards.outdate(chat, message_id);
        }
    }

    /// The site that a button's line is about.
    fn site_of(&self, chat: i64, line: &str) -> Option<usize> {
        self.visible_to(chat).of_key(line.split(' ').nth(1)?)
    }

    /// The buttons of a message that make no sense any more go, its text stays.
    fn take_buttons(&mut self, now: Now, press: &Press) {
        if let Some(message_id) = self.place(press)
            && let Some(html) = press.html.clone()
        {
            self.outbox.push_reply(Reply {
                edit: Some(message_id),
                touch_up: true,
                ..Reply::new(press.chat, html, now.moment())
            });
        }
    }

    /// The message that has the button; the terminal has none that could be changed.
    fn place(&self, press: &Press) -> Option<i64> {
        (press.message_id != 0).then_some(press.message_id)
    }
}

fn asker(now: Now, press: &Press) -> Asker {
    Asker {
        chat: press.chat,
        topic: press.topic,
        user: press.user,
        name: press.name.clone(),
        pressed: true,
        instead: None,
        at: now.uptime,
    }
}

/// `html` with one more line that says what was done, in the place of an earlier one of its kind.
fn noted(html: &str, note: &str) -> String {
    let starts = |line: &str, marks: &[&str]| marks.iter().any(|mark| line.starts_with(mark));
    let kind = NOTES.iter().find(|marks| starts(note, marks));
    let kept = html
        .lines()
        .filter(|line| !kind.is_some_and(|marks| starts(line, marks)));
    let lines: Vec<&str> = kept.chain([note]).collect();
    lines.join("\n")
}

/// ` by Ann` for plain text.
fn plainly_by(name: &str) -> String {
    if name.is_empty() {
        return String::new();
    }
    let short: String = name.chars().take(32).collect();
    format!(" by {short}")
}
