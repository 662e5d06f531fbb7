//! The outages that were reported, read from the messages alone, and what had to be reported.

use crate::support::bot_api::Sent;
use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum News {
    Down,
    Up,
    /// Down and up in one line.
    Over,
}

/// One outage, by its number.
#[derive(Debug)]
struct Told {
    site: String,
    /// When the beginning and the end were reported; a merged line counts as both.
    downs: Vec<Instant>,
    ups: Vec<Instant>,
}

/// The time from one start of the agent to the next.
#[derive(Debug)]
struct Life {
    began: Instant,
    /// Telegram accepted messages without answering: sending them again is right.
    ambiguous: bool,
}

/// The outages of a chapter, and the lives of the agent in it.
#[derive(Debug, Default)]
pub struct Ledger {
    lives: Vec<Life>,
    outages: BTreeMap<u32, Told>,
    /// Numbers of earlier chapters, all of which ended in good order: none may come again.
    closed: HashSet<u32>,
    /// How many of their beginnings and ends were reported more than once.
    repeated: usize,
}

impl Ledger {
    /// Records a start of the agent.
    pub fn life(&mut self, ambiguous: bool) {
        let began = Instant::now();
        self.lives.push(Life { began, ambiguous });
    }

    /// Begins a new chapter.
    pub fn close(&mut self) {
        self.lives.clear();
        for (number, told) in std::mem::take(&mut self.outages) {
            self.closed.insert(number);
            self.repeated += told.downs.len() + told.ups.len().max(1) - 2;
        }
    }

    /// Returns how many outages were tested.
    pub fn summary(&self) -> String {
        let (outages, repeated) = (self.closed.len(), self.repeated);
        format!("{outages} outages told, {repeated} times more than once")
    }

    /// Reads all messages of the chapter again.
    pub fn read(&mut self, messages: &[Sent]) {
        self.outages.clear();
        for message in messages {
            let mut news = None;
            for line in message.text.lines() {
                news = news_of(line).or(news.filter(|_| !line.starts_with(EMOJI)));
                let Some(news) = news else { continue };
                for (site, number) in outages_in(line) {
                    self.enter(news, site, number, message);
                }
            }
        }
    }

    fn enter(&mut self, news: News, site: &str, number: u32, message: &Sent) {
        assert!(
            !self.closed.contains(&number),
            "#{number} again: {message:?}"
        );
        let told = self.outages.entry(number).or_insert_with(|| Told {
            site: site.to_owned(),
            downs: Vec::new(),
            ups: Vec::new(),
        });
        assert_eq!(told.site, site, "two outages have the number {number}");
        if news != News::Up {
            told.downs.push(message.at);
        }
        if news != News::Down {
            told.ups.push(message.at);
        }
    }

    /// Returns what still has to be reported of the site, or `None` when its state is known.
    pub fn lacks(&self, site: &str, works: bool) -> Option<String> {
        let of_site = || self.outages.iter().filter(|(_, told)| told.site == site);
        if let Some((number, _)) = of_site().find(|(_, told)| told.downs.is_empty()) {
            return Some(format!(
                "the end of #{number} was told, its beginning never"
            ));
        }
        let open: Vec<u32> = of_site()
            .filter(|(_, told)| told.ups.is_empty())
            .map(|(number, _)| *number)
            .collect();
        match (works, open.as_slice()) {
            (true, []) | (false, [_]) => None,
            (true, open) => Some(format!("{site} works, but these are open: {open:?}")),
            (false, open) => Some(format!("{site} is down once, but open are: {open:?}")),
        }
    }

    /// Returns the outages of the chapter that were reported, and whether their ends were.
    pub fn told(&self) -> impl Iterator<Item = (u32, bool)> {
        let told = self.outages.iter();
        told.map(|(number, told)| (*number, !told.ups.is_empty()))
    }

    /// Returns an alert that was sent twice in one life of the agent, although Telegram
    /// confirmed it the first time.
    pub fn repeated_without_cause(&self) -> Option<String> {
        for (number, told) in &self.outages {
            for times in [&told.downs, &told.ups] {
                let twice = times.windows(2).find_map(|pair| {
                    let at = self.life_at(pair[0]);
                    let life = self.lives.get(at)?;
                    let excused = life.ambiguous || pair[0] < life.began + LATE;
                    (at == self.life_at(pair[1]) && !excused).then_some(at)
                });
                if let Some(life) = twice {
                    return Some(format!("#{number} twice in life {life} ({told:?})"));
                }
            }
        }
        None
    }

    fn life_at(&self, at: Instant) -> usize {
        self.lives
            .iter()
            .filter(|life| life.began <= at)
            .count()
            .saturating_sub(1)
    }
}

/// A message that a killed agent has sent may be read after the next start.
pub const LATE: Duration = Duration::from_millis(500);

const EMOJI: [char; 6] = ['🔴', '🟢', '🟠', '🟡', '📡', 'ℹ'];

/// Returns what a line reports that begins an item. `None` if it continues the item, or reports no
/// outage.
fn news_of(line: &str) -> Option<News> {
    assert!(
        !line.starts_with('🟠'),
        "no site changed often enough: {line}"
    );
    match line.chars().next() {
        Some('🔴') => Some(News::Down),
        Some('🟢') if line.contains(" was down for ") => Some(News::Over),
        Some('🟢') => Some(News::Up),
        _ => None,
    }
}

/// Returns sites and numbers of the outages in a line, such as `🔴 blog is down: … (#1)` or
/// `blog (#1), shop (#2)`.
fn outages_in(line: &str) -> Vec<(&str, u32)> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("(#") {
        let Some((number, beyond)) = after.split_once(')') else {
            break;
        };
        let name = before.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
        let name = name.split(' ').next().unwrap_or_default();
        if let Ok(number) = number.parse() {
            found.push((name, number));
        }
        rest = beyond;
    }
    found
}
