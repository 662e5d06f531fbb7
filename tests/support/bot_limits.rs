//! How often a bot may write, as the FAQ has it (<https://core.telegram.org/bots/faq>, "My bot is
//! hitting limits"): about one message a second a chat with short bursts, 20 a minute a group, 30 a
//! second in all. Edits count.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Messages at once that a chat tolerates.
const BURST: f64 = 3.0;
const GROUP_MOST: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
const ALL_MOST: usize = 30;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Limiter {
    pub on: bool,
    /// How often it has said no.
    pub refused: usize,
    /// Time that has passed for the limiter alone.
    ahead: Duration,
    chats: HashMap<i64, Chat>,
    all: VecDeque<Instant>,
}

struct Chat {
    /// What is left of earlier messages, one flowing off a second.
    level: f64,
    at: Instant,
    last_minute: VecDeque<Instant>,
}

impl Limiter {
    /// Lets time pass without taking any: people think before they type.
    pub fn let_pass(&mut self, time: Duration) {
        self.ahead += time;
    }

    /// One more message to the chat: the seconds to wait, if it is too many.
    pub fn take(&mut self, chat: i64) -> Result<(), u32> {
        if !self.on {
            return Ok(());
        }
        let result = self.count(chat, Instant::now() + self.ahead);
        self.refused += usize::from(result.is_err());
        result
    }

    fn count(&mut self, chat: i64, now: Instant) -> Result<(), u32> {
        let seconds = |left: f64| left.ceil().max(1.0) as u32;
        let old = |times: &mut VecDeque<Instant>, span: Duration| {
            while times
                .front()
                .is_some_and(|at| now.duration_since(*at) >= span)
            {
                times.pop_front();
            }
        };
        let state = self.chats.entry(chat).or_insert_with(|| Chat {
            level: 0.0,
            at: now,
            last_minute: VecDeque::new(),
        });
        let flown = now.duration_since(state.at).as_secs_f64();
        state.level = (state.level - flown).max(0.0);
        state.at = now;
        old(&mut state.last_minute, MINUTE);
        old(&mut self.all, SECOND);
        if state.level + 1.0 > BURST {
            return Err(seconds(state.level + 1.0 - BURST));
        }
        if chat < 0 && state.last_minute.len() >= GROUP_MOST {
            let waited = now.duration_since(state.last_minute[0]);
            return Err(seconds((MINUTE - waited).as_secs_f64()));
        }
        if self.all.len() >= ALL_MOST {
            return Err(1);
        }
        state.level += 1.0;
        state.last_minute.push_back(now);
        self.all.push_back(now);
        Ok(())
    }
}
