//! The server of a channel: it accepts alerts, or not, and records the accepted ones.

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
    /// Behaviour instead of accepting alerts.
    fault: Option<Behaviour>,
    /// When each life of the agent began, and whether answers were lost in it.
    lives: Vec<(Instant, bool)>,
    /// When each alert was accepted, and its text, `#12 down`.
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

    /// Returns its `[[notify]]` table.
    pub fn config(&self) -> String {
        let url = self.web.url("/in");
        format!("[[notify]]\nname = \"hook\"\nurl = \"{url}\"\nbody = \"#{{number}} {{state}}\"\n")
    }

    /// Sets the fault until the next start of the agent. With [`Behaviour::Close`] it accepts
    /// alerts without answering.
    pub fn life(&self, fault: Option<Behaviour>) {
        let mut state = locked(&self.state);
        let ambiguous = matches!(fault, Some(Behaviour::Close));
        state.lives.push((Instant::now(), ambiguous));
        state.fault = fault;
    }

    /// Returns what was reported to chats but not to the channel, if anything.
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

    /// Begins a new chapter. Returns an alert that was sent twice in one life of the agent,
    /// although the channel confirmed it the first time.
    pub fn close(&self) -> Option<String> {
        let mut state = locked(&self.state);
        let (taken, lives) = (
            std::mem::take(&mut state.taken),
            std::mem::take(&mut state.lives),
        );
        let life_at = |at: Instant| lives.iter().rposition(|(began, _)| *began <= at);
        let again = taken.iter().enumerate().find(|(place, (at, text))| {
            // Notices have no number, and those of several lives may be in one message.
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
