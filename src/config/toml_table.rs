//! Reads TOML into tables that know their keys, and records mistakes of type with their positions.

use super::error::MistakeList;
use super::keys::{ROOT, Section, ValueType, Visibility};
use super::{syntax, value};
use std::time::Duration;
use toml_span::value::ValueInner;
use toml_span::{Span, Spanned, Value};

/// The value of a key.
#[derive(Clone, Default)]
pub enum Entry<T> {
    #[default]
    Absent,
    /// A value whose mistake is recorded.
    Bad,
    Given(Spanned<T>),
}

impl<T> Entry<T> {
    pub fn given(self) -> Option<Spanned<T>> {
        match self {
            Entry::Given(spanned) => Some(spanned),
            Entry::Absent | Entry::Bad => None,
        }
    }

    pub fn value(self) -> Option<T> {
        self.given().map(Spanned::take)
    }

    pub fn is_absent(&self) -> bool {
        matches!(self, Entry::Absent)
    }

    pub fn is_bad(&self) -> bool {
        matches!(self, Entry::Bad)
    }

    pub fn span(&self) -> Option<Span> {
        match self {
            Entry::Given(spanned) => Some(spanned.span),
            Entry::Absent | Entry::Bad => None,
        }
    }

    /// Converts the value; `step` returns `None` after a mistake, which it records.
    pub fn then<U>(self, step: impl FnOnce(T, Span) -> Option<U>) -> Entry<U> {
        match self {
            Entry::Absent => Entry::Absent,
            Entry::Bad => Entry::Bad,
            Entry::Given(Spanned { value, span }) => match step(value, span) {
                Some(value) => Entry::Given(Spanned::with_span(value, span)),
                None => Entry::Bad,
            },
        }
    }

    /// Converts the value; an error of `step` continues the key's name.
    pub fn check<U>(
        self,
        key: &str,
        log: &mut MistakeList,
        step: impl FnOnce(T) -> Result<U, String>,
    ) -> Entry<U> {
        self.then(|value, span| {
            step(value)
                .map_err(|what| log.add(span, format!("`{key}` {what}")))
                .ok()
        })
    }
}

impl<T: Clone> Entry<T> {
    /// Returns a copy of the value.
    pub fn get(&self) -> Option<T> {
        self.clone().value()
    }
}

/// A table whose keys are taken one by one; [`Table::finish`] reports the rest.
pub struct Table<'t> {
    section: &'static Section,
    /// Span of its header, or of a whole inline table.
    pub span: Span,
    entries: toml_span::value::Table<'t>,
}

/// Parses the whole file.
pub fn root<'t>(text: &'t str, log: &mut MistakeList) -> Option<Table<'t>> {
    match toml_span::parse(text) {
        Ok(value) => Table::new(&ROOT, value, log),
        Err(error) => {
            let (span, what) = syntax::explain(&error, log);
            log.add(span, what);
            None
        }
    }
}

impl<'t> Table<'t> {
    /// A table in place of a missing one.
    pub fn empty(section: &'static Section) -> Table<'t> {
        Table {
            section,
            span: Span::default(),
            entries: toml_span::value::Table::new(),
        }
    }

    fn new(
        section: &'static Section,
        mut value: Value<'t>,
        log: &mut MistakeList,
    ) -> Option<Table<'t>> {
        let span = header(value.span, log.text());
        match value.take() {
            ValueInner::Table(entries) => Some(Table {
                section,
                span,
                entries,
            }),
            other => {
                not_a_table(section, &other, span, log);
                None
            }
        }
    }

    /// Takes the value of `key`, or its default.
    fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        let declared = self.section.key(key);
        debug_assert!(declared.is_some(), "{key} is no key of this");
        self.entries.remove(key).or_else(|| {
            let declared = declared.filter(|_| self.section.has_defaults)?;
            declared.default_value().map(Value::new)
        })
    }

    fn takes(&self, key: &str) -> &'static ValueType {
        self.section
            .key(key)
            .map_or(&ValueType::Flag, |key| &key.takes)
    }

    /// Returns which part of the value of `key` may be shown.
    pub fn shown(&self, key: &str) -> Visibility {
        self.section
            .key(key)
            .map_or(Visibility::Nothing, |key| key.shown)
    }

    /// The name of `key` in messages, e.g. `login.url`.
    pub fn label(&self, key: &str) -> String {
        format!("{}{key}", self.section.prefix)
    }

    /// Reads the table `key`.
    pub fn table(&mut self, key: &'static str, log: &mut MistakeList) -> Entry<Table<'t>> {
        let (ValueType::Table(section), Some(value)) = (self.takes(key), self.take(key)) else {
            return Entry::Absent;
        };
        if value.as_array().is_some() {
            let what = format!(
                "there is only one {}: write it with one bracket",
                section.title
            );
            log.add(header(value.span, log.text()), what);
            return Entry::Bad;
        }
        match Table::new(section, value, log) {
            Some(table) => {
                let span = table.span;
                Entry::Given(Spanned::with_span(table, span))
            }
            None => Entry::Bad,
        }
    }

    /// Removes the keys for which `refusal` returns a message, and records it.
    pub fn refuse(&mut self, refusal: impl Fn(&str) -> Option<String>, log: &mut MistakeList) {
        self.entries.retain(|key, _| match refusal(&key.name) {
            Some(what) => {
                log.add(key.span, what);
                false
            }
            None => true,
        });
    }

    /// Reads the array of tables `[[key]]`.
    pub fn tables(&mut self, key: &'static str, log: &mut MistakeList) -> Vec<Table<'t>> {
        let (ValueType::Table(section), Some(mut value)) = (self.takes(key), self.take(key)) else {
            return Vec::new();
        };
        let span = header(value.span, log.text());
        match value.take() {
            ValueInner::Array(list) => list
                .into_iter()
                .filter_map(|value| Table::new(section, value, log))
                .collect(),
            ValueInner::Table(_) => {
                log.add(span, format!("write {}, with two brackets", section.title));
                Vec::new()
            }
            other => {
                not_a_table(section, &other, span, log);
                Vec::new()
            }
        }
    }

    /// Reads a string.
    pub fn text<T>(
        &mut self,
        key: &'static str,
        log: &mut MistakeList,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Entry<T> {
        self.read(key, log, |value| match value {
            ValueInner::String(text) => Some(read(&text)),
            _ => None,
        })
    }

    /// Reads a duration within the bounds in the table of keys.
    pub fn time(&mut self, key: &'static str, log: &mut MistakeList) -> Entry<Duration> {
        let takes = self.takes(key);
        self.text(key, log, |text| match *takes {
            ValueType::Seconds(&(least, most), _) => value::whole_seconds(text, least, most),
            ValueType::Time(&(least, most)) => value::duration_within(text, least, most),
            _ => value::duration(text),
        })
    }

    /// Reads a whole number within the bounds in the table of keys.
    pub fn integer(&mut self, key: &'static str, log: &mut MistakeList) -> Entry<u32> {
        let takes = self.takes(key);
        self.read(key, log, |value| {
            let number = value.as_integer()?;
            let within = u32::try_from(number).ok().filter(|number| match takes {
                ValueType::Integer(least, most) => (least..=most).contains(&number),
                _ => true,
            });
            Some(within.ok_or_else(|| format!("must be {}, not {number}", takes.words())))
        })
    }

    pub fn flag(&mut self, key: &'static str, log: &mut MistakeList) -> Entry<bool> {
        self.read(key, log, |value| value.as_bool().map(Ok))
    }

    /// Reads a list. `read` gets an element and those before it; it returns `None` for a wrong type, and an
    /// error with the position of the mistake if that is not the whole element.
    pub fn list<T>(
        &mut self,
        key: &'static str,
        log: &mut MistakeList,
        read: impl Fn(&Value, &[T]) -> Option<Result<T, (Option<Span>, String)>>,
    ) -> Entry<Vec<T>> {
        let takes = self.takes(key);
        let list = self.read(key, log, |value| {
            let ValueInner::Array(list) = value else {
                return None;
            };
            Some(match *takes {
                ValueType::List(words) if list.is_empty() => {
                    Err(format!("is empty; it must be {words}, or left out"))
                }
                ValueType::Few(&(_, most, why)) if list.len() > most => Err(format!(
                    "has {} addresses; at most {most}, for {why}",
                    list.len()
                )),
                _ => Ok(list),
            })
        });
        let label = self.label(key);
        list.then(|list, _| {
            let length = list.len();
            let mut sound = Vec::new();
            for element in list {
                let wrong_type = || {
                    let (words, found) = (takes.words(), describe(element.as_ref()));
                    Err((None, format!("must be {words}, found {found} in it")))
                };
                match read(&element, &sound).unwrap_or_else(wrong_type) {
                    Ok(value) => sound.push(value),
                    Err((place, what)) => {
                        log.add(place.unwrap_or(element.span), format!("`{label}` {what}"));
                    }
                }
            }
            (sound.len() == length).then_some(sound)
        })
    }

    /// Reads a value with `read`, which returns `None` for a wrong type.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        log: &mut MistakeList,
        read: impl FnOnce(ValueInner<'t>) -> Option<Result<T, String>>,
    ) -> Entry<T> {
        let Some(mut value) = self.take(key) else {
            return Entry::Absent;
        };
        let takes = self.takes(key);
        let inner = value.take();
        let found = describe(&inner);
        let wrong_type = || Err(format!("must be {}, found {found}", takes.words()));
        Entry::Given(Spanned::with_span(inner, value.span)).check(&self.label(key), log, |inner| {
            read(inner).unwrap_or_else(wrong_type)
        })
    }

    /// Records the remaining keys as unknown.
    pub fn finish(self, log: &mut MistakeList) {
        for key in self.entries.keys() {
            log.add(key.span, self.section.unknown(&key.name));
        }
    }
}

fn not_a_table(section: &Section, found: &ValueInner, span: Span, log: &mut MistakeList) {
    let (title, found) = (section.title, describe(found));
    log.add(span, format!("{title} must be a table, found {found}"));
}

/// Names the type of a value, for `found …`.
pub fn describe(value: &ValueInner) -> &'static str {
    match value {
        ValueInner::String(_) => "a text in quotes",
        ValueInner::Integer(_) => "an integer",
        ValueInner::Float(_) => "a number with a point",
        ValueInner::Boolean(_) => "true or false without quotes",
        ValueInner::Array(_) => "a list",
        ValueInner::Table(_) => "a table",
    }
}

/// Returns the header of a table that continues below it.
fn header(span: Span, text: &str) -> Span {
    let source = text.get(span.start..span.end).unwrap_or_default();
    let line = source.lines().next().unwrap_or_default();
    let closing = if line.starts_with("[[") { "]]" } else { "]" };
    match line.find(closing) {
        Some(at) if line.starts_with('[') => Span::new(span.start, span.start + at + closing.len()),
        _ => span,
    }
}
