//! The rate limits of the FAQ (<https://core.telegram.org/bots/faq>, "My bot is hitting
//! limits"): about one message per second and chat with short bursts, 20 per minute and group,
//! 30 per second in all. Edits count.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Burst that a chat may receive, in messages.
const BURST: f64 = 3.0;
const GROUP_MOST: usize = 20;
const MINUTE: Duration = Duration::from_secs(60);
const ALL_MOST: usize = 30;
const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub struct Limiter {
    pub on: bool,
    /// Requests refused so far.
    pub refused: usize,
    /// Time by which the clock of the limiter is ahead.
    ahead: Duration,
    chats: HashMap<i64, Chat>,
    all: VecDeque<Instant>,
}

struct Chat {
    /// Messages in the leaky bucket, which loses one per second.
    level: f64,
    at: Instant,
    last_minute: VecDeque<Instant>,
}

impl Limiter {
    /// Advances the limiter's clock, as if users paused before they typed.
    pub fn let_pass(&mut self, time: Duration) {
        self.ahead += time;
    }

    /// Counts one more message to the chat.
    ///
    /// # Errors
    ///
    /// The seconds to wait, when it is too many.
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
