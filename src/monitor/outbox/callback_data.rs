//! Buttons: their labels, callback data, and the site or incident that the data refers to.
//!
//! Callback data has at most 64 bytes and may come back after a restart, a reload or an upgrade, or
//! be forged. So sites are identified by a hash of their name and incidents by their number, and
//! invalid data is refused.

use crate::monitor::outbox::message::{Button, ButtonStyle};
use crate::monitor::render::text::units;
use std::time::Duration;

/// Maximum number of site buttons under one message.
pub const MOST_SITES: usize = 12;
/// Maximum length of a row's labels in UTF-16 units, with 4 units of padding for each.
const ROW: usize = 32;
/// Maximum number of hexadecimal digits for incidents after the first; each digit stands for four.
const DIGITS: usize = 48;

/// Function of a button.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackData {
    /// A bot command; its answer replaces the message with the button.
    Choose(String),
    /// A bot command; its answer is a new message.
    Open(String),
    /// A bot command about a site; refreshes the message that shows the site.
    Refresh(String),
    /// An action on these incidents, which the message is about.
    Alert(AlertButton, Vec<u32>),
    /// Asks for confirmation to run the action with this [`key`], because of the incident if given.
    Run {
        action: String,
        incident: Option<u32>,
    },
    /// The answer to the confirmation question with this number.
    Confirm { yes: bool, question: i64 },
}

/// An action on an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertButton {
    Check,
    Acknowledge,
    Mute(Duration),
    Unmute,
}

pub const HOUR: Duration = Duration::from_secs(3600);
pub const DAY: Duration = Duration::from_secs(86_400);

/// Letter, label, action and colour of each button of an alert. Red buttons mute further alerts.
const ALERT_BUTTONS: [(char, &str, AlertButton, Option<ButtonStyle>); 5] = [
    ('c', "Check now", AlertButton::Check, None),
    (
        'a',
        "Acknowledge",
        AlertButton::Acknowledge,
        Some(ButtonStyle::Success),
    ),
    (
        'h',
        "Mute 1 h",
        AlertButton::Mute(HOUR),
        Some(ButtonStyle::Danger),
    ),
    (
        'd',
        "Mute 1 d",
        AlertButton::Mute(DAY),
        Some(ButtonStyle::Danger),
    ),
    ('u', "Unmute", AlertButton::Unmute, None),
];

impl CallbackData {
    /// Parses the output of [`CallbackData::data`]; `None` for anything else.
    pub fn read(data: &str) -> Option<CallbackData> {
        let mut chars = data.chars();
        let kind = chars.next()?;
        let rest = chars.as_str();
        Some(match kind {
            '?' => CallbackData::Choose(rest.to_owned()),
            '+' => CallbackData::Open(rest.to_owned()),
            '=' => CallbackData::Refresh(rest.to_owned()),
            '!' => {
                let letter = chars.next()?;
                let (_, _, deed, _) = ALERT_BUTTONS.iter().find(|(l, ..)| *l == letter)?;
                CallbackData::Alert(*deed, read_numbers(chars.as_str())?)
            }
            '>' => {
                let (action, number) = rest.split_once(' ')?;
                let incident = match number {
                    "" => None,
                    number => Some(read_number(number)?),
                };
                CallbackData::Run {
                    action: action.to_owned(),
                    incident,
                }
            }
            'y' | 'n' => CallbackData::Confirm {
                yes: kind == 'y',
                question: read_number(rest)?,
            },
            _ => return None,
        })
    }

    pub fn data(&self) -> String {
        match self {
            CallbackData::Choose(line) => format!("?{line}"),
            CallbackData::Open(line) => format!("+{line}"),
            CallbackData::Refresh(line) => format!("={line}"),
            CallbackData::Alert(deed, numbers) => {
                let letter = ALERT_BUTTONS
                    .iter()
                    .find(|(_, _, d, _)| d == deed)
                    .map_or('?', |d| d.0);
                format!("!{letter}{}", write_numbers(numbers))
            }
            CallbackData::Run { action, incident } => {
                let number = incident.map(|number| number.to_string());
                format!(">{action} {}", number.unwrap_or_default())
            }
            CallbackData::Confirm { yes, question } => {
                format!("{}{question}", if *yes { 'y' } else { 'n' })
            }
        }
    }

    pub fn button(&self, label: &str) -> Button {
        Button {
            label: label.to_owned(),
            data: self.data(),
            style: None,
        }
    }
}

impl AlertButton {
    /// Returns the button for this action on these incidents.
    pub fn button(self, numbers: &[u32]) -> Button {
        let (label, style) = ALERT_BUTTONS
            .iter()
            .find(|(_, _, d, _)| *d == self)
            .map_or(("", None), |d| (d.1, d.3));
        Button {
            style,
            ..CallbackData::Alert(self, numbers.to_vec()).button(label)
        }
    }
}

/// Hashes a name for callback data, where the name itself may not fit: 64-bit FNV-1a
/// (draft-eastlake-fnv), the same on every machine and in every version.
pub fn key(name: &str) -> String {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("~{hash:016x}")
}

/// Arranges buttons in rows that are readable on a phone.
pub fn rows(buttons: impl IntoIterator<Item = Button>) -> Vec<Vec<Button>> {
    let mut rows: Vec<Vec<Button>> = Vec::new();
    let mut used = 0;
    for button in buttons {
        let size = units(&button.label) + 4;
        match rows.last_mut() {
            Some(row) if used + size <= ROW => row.push(button),
            _ => {
                rows.push(vec![button]);
                used = 0;
            }
        }
        used += size;
    }
    rows
}

/// Writes the lowest number, then a bit for each following one, lowest first. Numbers too far from
/// the first are left out.
fn write_numbers(numbers: &[u32]) -> String {
    let Some(first) = numbers.iter().min() else {
        return String::new();
    };
    let mut digits = [0_u8; DIGITS];
    let mut used = 0;
    for number in numbers {
        let bit = (number - first) as usize;
        if let Some(place) = bit.checked_sub(1)
            && let Some(digit) = digits.get_mut(place / 4)
        {
            *digit |= 1 << (place % 4);
            used = used.max(place / 4 + 1);
        }
    }
    let digits: String = digits[..used].iter().map(|d| format!("{d:x}")).collect();
    if digits.is_empty() {
        first.to_string()
    } else {
        format!("{first}:{digits}")
    }
}

/// Parses an unsigned number that consists of digits only.
fn read_number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

fn read_numbers(text: &str) -> Option<Vec<u32>> {
    let (first, digits) = text.split_once(':').unwrap_or((text, ""));
    if digits.len() > DIGITS {
        return None;
    }
    let first: u32 = read_number(first)?;
    let mut numbers = vec![first];
    for (at, c) in (0..).zip(digits.chars()) {
        let digit = c.to_digit(16)?;
        for bit in 0..4 {
            if digit & (1 << bit) != 0 {
                numbers.push(first.checked_add(1 + at * 4 + bit)?);
            }
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_button_brings_back_what_it_was_made_of() {
        let hundred: Vec<u32> = (4_294_960_000..4_294_960_100).collect();
        for numbers in [vec![12], vec![12, 13, 15], hundred, vec![1, 193]] {
            let press = CallbackData::Alert(AlertButton::Mute(DAY), numbers);
            let data = press.data();
            assert!(data.len() <= 64, "{data}");
            assert_eq!(CallbackData::read(&data), Some(press));
        }
        let far = CallbackData::Alert(AlertButton::Check, vec![1, 5000]).data();
        assert_eq!(
            CallbackData::read(&far),
            Some(CallbackData::Alert(AlertButton::Check, vec![1])),
            "never more than the message is about"
        );
    }

    #[test]
    fn data_that_was_never_written_is_refused() {
        for data in [
            "",
            "x",
            "!",
            "!x1",
            "!a",
            "!a-1",
            "!a+1",
            "!a1:g",
            "!a4294967296",
            "!aé",
            "!a4294967295:f",
        ] {
            assert_eq!(CallbackData::read(data), None, "{data}");
        }
        let long = format!("!a1:{}", "f".repeat(60));
        assert_eq!(CallbackData::read(&long), None);
    }

    #[test]
    fn keys_are_those_of_the_published_test_vectors() {
        assert_eq!(key(""), "~cbf29ce484222325");
        assert_eq!(key("a"), "~af63dc4c8601ec8c");
        assert_eq!(key("foobar"), "~85944171f73967e8");
    }

    #[test]
    fn short_labels_share_a_row_and_long_ones_have_their_own() {
        let labels = ["blog", "shop", "mail", "a name that is rather long", "x"];
        let made = rows(labels.map(|l| CallbackData::Open("/x".into()).button(l)));
        let lengths: Vec<usize> = made.iter().map(Vec::len).collect();
        assert_eq!(lengths, [3, 1, 1]);
    }

    proptest! {
        #[test]
        fn no_data_makes_it_panic(data in ".{0,70}") {
            let _ = CallbackData::read(&data);
        }

        #[test]
        fn incidents_close_together_all_come_back(first in 1..u32::MAX - 200, more in prop::collection::btree_set(1..190_u32, 0..100)) {
            let numbers: Vec<u32> = [0].into_iter().chain(more).map(|n| first + n).collect();
            let press = CallbackData::Alert(AlertButton::Acknowledge, numbers);
            prop_assert!(press.data().len() <= 64);
            prop_assert_eq!(CallbackData::read(&press.data()), Some(press));
        }
    }
}
