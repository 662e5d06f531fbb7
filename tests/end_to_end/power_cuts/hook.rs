//! The server of a channel: it takes alerts, or not, and knows what it took.

use super::ledger::{LATE, Ledger};
use crate::support::listener::locked;
use crate::support::web::{Behaviour, Web};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub struct Hook {
    web: Web,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// What it does in place of taking alerts.
    fault: Option<Behaviour>,
    /// When each life of the agent began, and whether answers got lost in it.
    lives: Vec<(Instant, bool)>,
    /// `#12 down`, and when that was taken.
    taken: Vec<(Instant, String)>,
}

impl Hook {
    pub fn new() -> Hook {
        let state = Arc::<Mutex<State>>::default();
        let of_server = state.clone();
        let web = Web::start(move |request| {
            let mut state = locked(&of_server);
            let fault = state.fault.clone();
            if matches!(fault, None | Some(Behaviour::Close)) {
                let text = String::from_utf8_lossy(&request.body).into_owned();
                state.taken.push((Instant::now(), text));
            }
            fault.unwrap_or_else(Behaviour::ok)
        });
        Hook { web, state }
    }

    /// Its `[[notify]]` table.
    pub fn config(&self) -> String {
        let url = self.web.url("/in");
        format!("[[notify]]\nname = \"hook\"\nurl = \"{url}\"\nbody = \"#{{number}} {{state}}\"\n")
    }

    /// The agent is about to be started, and until it ends the server does this. With
    /// [`Behaviour::Close`] it takes alerts and never says so.
    pub fn life(&self, fault: Option<Behaviour>) {
        let mut state = locked(&self.state);
        let ambiguous = matches!(fault, Some(Behaviour::Close));
        state.lives.push((Instant::now(), ambiguous));
        state.fault = fault;
    }

    /// What chats were told and the channel does not have; `None` when it has all.
    pub fn lacks(&self, ledger: &Ledger) -> Option<String> {
        let state = locked(&self.state);
        let has = |news: &str| state.taken.iter().any(|(_, text)| text == news);
        let mut wanted = ledger.told().flat_map(|(number, up)| {
            let down = [format!("#{number} down")];
            down.into_iter().chain(up.then(|| format!("#{number} up")))
        });
        let lacking = wanted.find(|news| !has(news))?;
        Some(format!("the channel lacks {lacking}: {:?}", state.taken))
    }

    /// What it got again although the agent lived on and knew that it has it. A new chapter begins.
    pub fn close(&self) -> Option<String> {
        let mut state = locked(&self.state);
        let (taken, lives) = (
            std::mem::take(&mut state.taken),
            std::mem::take(&mut state.lives),
        );
        let life_at = |at: Instant| lives.iter().rposition(|(began, _)| *began <= at);
        let again = taken.iter().enumerate().find(|(place, (at, text))| {
            // Notices have no number, and those of several lives may come in one.
            if text == "# notice" {
                return false;
            }
            let mut earlier = taken[..*place].iter().filter(|(_, other)| other == text);
            earlier.any(|(first, _)| {
                let life = life_at(*first);
                let excused = life.is_none_or(|life| {
                    let (began, ambiguous) = lives[life];
                    ambiguous || *first < began + LATE
                });
                life == life_at(*at) && !excused
            })
        });
        again.map(|(_, (_, text))| format!("{text} twice: {taken:?}"))
    }
}
