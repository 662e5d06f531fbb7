//! The chat: Telegram or the terminal. The monitor does not know the difference.

use crate::chart;
use crate::chat::console::{self, Screen};
use crate::chat::html::plain;
use crate::chat::telegram::{PollEvent, RouteUse, Settings, Telegram};
use crate::chat::terminal_output::Output;
use crate::clock::{BUILT, Clock};
use crate::config::Config;
use crate::http::Client;
use crate::monitor::bot::command::COMMANDS;
use crate::monitor::outbox::Outgoing;
use crate::monitor::outbox::message::{
    CallbackAnswer, Content, Delivery, Message, Passing, Update,
};
use crate::monitor::render::text::escape;
use crate::monitor::site::Proxy;
use crate::monitor::site::access::Access;
use crate::monitor::uplink::route::Route;
use crate::monitor::{self, Event};
#[cfg(feature = "charts")]
use crate::offload::offload;
use async_channel::{Receiver, Sender};
use futures_lite::{FutureExt, future};
use std::cell::RefCell;
use std::rc::Rc;

pub(super) struct Transport {
    /// `None` if the terminal is the chat. Replaced when a reload changes token or server.
    telegram: RefCell<Option<Telegram>>,
    terminal: Terminal,
    screen: RefCell<Screen>,
    clock: Clock,
}

/// The kind of chat that replaces Telegram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// Messages on stdout, commands from stdin.
    Chat,
    /// No user at the terminal: messages go to the log.
    Log,
}

impl Transport {
    pub(super) fn new(
        client: &Client,
        clock: &Clock,
        config: &Config,
        use_telegram: bool,
        terminal: Terminal,
    ) -> Transport {
        let settings = config.telegram.as_ref().filter(|_| use_telegram);
        Transport {
            telegram: RefCell::new(settings.map(|t| telegram(client, clock, t))),
            terminal,
            screen: RefCell::default(),
            clock: clock.clone(),
        }
    }

    pub(super) fn is_console(&self) -> bool {
        self.telegram.borrow().is_none()
    }

    /// Returns whether messages go to the log.
    pub(super) fn is_log(&self) -> bool {
        self.is_console() && self.terminal == Terminal::Log
    }

    pub(super) fn replace(&self, client: &Client, settings: &crate::config::Telegram) {
        *self.telegram.borrow_mut() = Some(telegram(client, &self.clock, settings));
    }

    /// Makes all further requests to Telegram by this route.
    pub(super) fn use_route(&self, route: &Route) {
        if let Some(telegram) = &*self.telegram.borrow() {
            telegram.use_route(route);
        }
    }

    /// Tries to reach Telegram by this route.
    pub(super) async fn try_route(&self, route: Route) -> Event {
        let telegram = self.telegram.borrow().clone();
        let failure = match telegram {
            Some(telegram) => telegram.try_route(&route).await,
            None => None,
        };
        Event::RouteTried { route, failure }
    }

    /// Returns the URL of the Bot API server, and the proxy.
    pub(super) fn way(&self) -> Option<(String, Proxy)> {
        self.telegram.borrow().as_ref().map(Telegram::way)
    }

    /// Returns whether Telegram answered the last request; `None` before the first one, and if
    /// Telegram isn't the chat.
    #[cfg(feature = "listen")]
    pub(super) fn telegram_answers(&self) -> Option<bool> {
        self.telegram.borrow().as_ref()?.answers()
    }

    pub(super) fn name(&self) -> &'static str {
        match (self.is_console(), self.terminal) {
            (false, _) => "Telegram",
            (true, Terminal::Chat) => "this terminal",
            (true, Terminal::Log) => "this log",
        }
    }

    /// Returns the monitor's part of the configuration, without the sites.
    pub(super) fn settings(&self, config: &Config, client: &Client) -> monitor::Settings {
        monitor::Settings {
            access: self.access(config),
            max_jobs: config.agent.commands,
            permits: client.check_permits(),
            uplink: !config.agent.uplink.is_empty(),
            routes: match (&config.telegram, self.is_console()) {
                (Some(telegram), false) => telegram.route.clone(),
                _ => Vec::new(),
            },
            heartbeat: config.agent.heartbeat.is_some(),
            quiet: config.telegram.as_ref().and_then(|t| t.quiet),
            digest: config.agent.digest,
            channels: config.channels.iter().map(|n| n.channel.clone()).collect(),
            remediations: config
                .actions
                .iter()
                .map(|a| a.remediation.clone())
                .collect(),
            built: BUILT,
        }
    }

    /// Returns which chats are alerted and which users may give commands.
    fn access(&self, config: &Config) -> Access {
        match &config.telegram {
            Some(t) if !self.is_console() => Access {
                chats: t.chats.clone(),
                users: t.users.clone(),
            },
            _ => Access::console(),
        }
    }

    pub(super) async fn send(&self, outgoing: &Outgoing) -> Delivery {
        let message = &outgoing.message;
        let telegram = self.telegram.borrow().clone();
        match telegram {
            Some(telegram) => {
                let (png, lines) = draw(message).await;
                let message = lines.as_ref().unwrap_or(message);
                telegram.send(message, png.as_deref()).await
            }
            None => {
                match self.terminal {
                    Terminal::Chat => {
                        let lines = message.picture.as_deref().map(chart::sparkline);
                        let lines = lines.as_deref();
                        if !outgoing.alert {
                            self.screen.borrow_mut().show(message, lines);
                        } else {
                            let told = self.screen.borrow_mut().tell(message, lines);
                            if !told.await {
                                return Delivery::Later {
                                    after: None,
                                    everywhere: false,
                                    reason: "nobody reads the terminal".to_owned(),
                                };
                            }
                        }
                    }
                    Terminal::Log if message.passing != Passing::Stays => {}
                    Terminal::Log => log::warn!("{}", plain(&message.html)),
                }
                Delivery::Sent { message_id: 0 }
            }
        }
    }

    /// Returns the output of the terminal, if the terminal is the chat.
    pub(super) fn output(&self) -> Option<Rc<Output>> {
        let chat = self.is_console() && self.terminal == Terminal::Chat;
        chat.then(|| self.screen.borrow().output())
    }

    /// Answers the press of a button with its result.
    pub(super) async fn answer_press(&self, answer: &CallbackAnswer) {
        let telegram = self.telegram.borrow().clone();
        match telegram {
            Some(telegram) => telegram.answer_press(answer).await,
            None if self.terminal == Terminal::Chat && !answer.text.is_empty() => {
                self.screen.borrow_mut().say(&answer.text);
            }
            None => {}
        }
    }

    /// Passes on updates, until the user of the terminal quits.
    pub(super) async fn listen(&self, offset: Option<i64>, events: Sender<Event>) {
        let telegram = self.telegram.borrow().clone();
        match telegram {
            Some(telegram) => {
                let (updates, incoming) = async_channel::bounded(4);
                let poll = async { telegram.poll(offset, &COMMANDS, &updates).await };
                let forward = async {
                    while let Ok(event) = incoming.recv().await {
                        for event in translate(event) {
                            if events.send(event).await.is_err() {
                                return;
                            }
                        }
                    }
                };
                let uses = telegram.route_uses();
                let report = async {
                    while let Ok(RouteUse { route, failure }) = uses.recv().await {
                        let used = Event::RouteUsed { route, failure };
                        if events.send(used).await.is_err() {
                            return;
                        }
                    }
                };
                poll.or(forward).or(report).await;
            }
            None => {
                if self.terminal == Terminal::Log {
                    return future::pending().await;
                }
                let (lines, incoming) = async_channel::bounded(4);
                let read = async {
                    console::read_lines(&lines, || self.clock.wall()).await;
                    lines.close();
                    future::pending().await
                };
                self.screen.borrow_mut().ask();
                if !read.or(self.forward_lines(&incoming, &events)).await {
                    self.end_input();
                    let text = "End of input: sitemon goes on, and Ctrl-C or SIGTERM ends it.";
                    self.screen.borrow_mut().say(text);
                    future::pending::<()>().await;
                }
            }
        }
    }

    /// Passes on lines; returns true when a line quits, false at the end of input.
    async fn forward_lines(&self, lines: &Receiver<Update>, events: &Sender<Event>) -> bool {
        while let Ok(mut update) = lines.recv().await {
            if let Some(Content::Message(line)) = &update.content {
                if console::is_quit(&line.text) {
                    return true;
                }
                if let Some(press) = self.screen.borrow().press(line) {
                    update.content = Some(Content::Press(press));
                }
            }
            self.screen.borrow_mut().ask();
            if update.content.is_some() && events.send(Event::Update(update)).await.is_err() {
                return true;
            }
        }
        false
    }

    /// Ends the input: no prompt is shown any more.
    pub(super) fn end_input(&self) {
        self.screen.borrow_mut().end_input();
    }
}

/// Draws the picture of a message as a PNG on a thread of its own: on a router that takes longer
/// than an answer may. If it cannot be drawn (or this binary has no charts), returns the message
/// with block characters in its text.
async fn draw(message: &Message) -> (Option<Vec<u8>>, Option<Message>) {
    let Some(picture) = message.picture.clone() else {
        return (None, None);
    };
    #[cfg(feature = "charts")]
    {
        let picture = picture.clone();
        match offload(move || Ok(chart::png(&picture))).await {
            Ok(png) if !png.is_empty() => return (Some(png), None),
            Ok(_) => {}
            Err(error) => log::warn!("a picture cannot be drawn: {error}"),
        }
    }
    let lines = escape(&chart::sparkline(&picture));
    let message = Message {
        html: format!("{}\n<code>{lines}</code>", message.html),
        picture: None,
        ..message.clone()
    };
    (None, Some(message))
}

/// Creates the bot that `[telegram]` describes.
pub fn telegram(client: &Client, clock: &Clock, settings: &crate::config::Telegram) -> Telegram {
    Telegram::new(
        client.clone(),
        Settings {
            token: settings.token.clone(),
            api: settings.api.clone(),
            routes: settings.route.clone(),
            poll: settings.poll,
            topic: settings.topic,
        },
        clock.clone(),
    )
}

fn translate(event: PollEvent) -> Vec<Event> {
    match event {
        PollEvent::Updates(updates) => updates.into_iter().map(Event::Update).collect(),
        PollEvent::Bot { username } => vec![Event::Bot { username }],
        PollEvent::Notice(text) => vec![Event::Notice(text)],
    }
}
