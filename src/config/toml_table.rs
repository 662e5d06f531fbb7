//! TOML text → tables that know their keys, with positions; mistakes of shape are recorded here.

use super::error::Log;
use super::keys::{self, ROOT, Section};
use super::syntax;
use std::ops::RangeInclusive;
use toml_span::value::{Array, ValueInner};
use toml_span::{Span, Spanned, Value};

/// What a table has under a key.
#[derive(Clone, Default)]
pub enum Entry<T> {
    #[default]
    Absent,
    /// Something that is recorded as a mistake.
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

    /// Takes the value a step further; an error says what follows the key's name.
    pub fn check<U>(
        self,
        key: &str,
        log: &mut Log,
        step: impl FnOnce(T) -> Result<U, String>,
    ) -> Entry<U> {
        match self {
            Entry::Absent => Entry::Absent,
            Entry::Bad => Entry::Bad,
            Entry::Given(Spanned { value, span }) => match step(value) {
                Ok(value) => Entry::Given(Spanned::with_span(value, span)),
                Err(what) => {
                    log.add(span, format!("`{key}` {what}"));
                    Entry::Bad
                }
            },
        }
    }
}

impl<T: Clone> Entry<T> {
    /// A copy of the value.
    pub fn get(&self) -> Option<T> {
        self.clone().value()
    }

    /// This, or `other` where the file says nothing here.
    pub fn or(&self, other: &Entry<T>) -> Entry<T> {
        if self.is_absent() {
            other.clone()
        } else {
            self.clone()
        }
    }

    /// The same, if `other` counts.
    pub fn or_if(&self, counts: bool, other: &Entry<T>) -> Entry<T> {
        if counts { self.or(other) } else { self.clone() }
    }
}

/// A table whose keys are taken one by one; [`Table::finish`] reports what is left.
pub struct Table<'t> {
    section: &'static Section,
    /// Its header, or the whole of an inline table.
    pub span: Span,
    entries: toml_span::value::Table<'t>,
}

/// The whole file as a table.
pub fn root<'t>(text: &'t str, log: &mut Log) -> Option<Table<'t>> {
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
    fn new(section: &'static Section, mut value: Value<'t>, log: &mut Log) -> Option<Table<'t>> {
        let span = header(value.span, log.text());
        match value.take() {
            ValueInner::Table(entries) => Some(Table {
                section,
                span,
                entries,
            }),
            other => {
                let (title, found) = (section.title, describe(&other));
                log.add(span, format!("{title} must be a table, found {found}"));
                None
            }
        }
    }

    pub fn take(&mut self, key: &'static str) -> Option<Value<'t>> {
        debug_assert!(
            self.section.keys.contains(&key),
            "{key} is no key of this table"
        );
        self.entries.remove(key)
    }

    /// The table under `key`; `None` without one, or for something else, which is recorded.
    pub fn table(
        &mut self,
        key: &'static str,
        section: &'static Section,
        log: &mut Log,
    ) -> Option<Table<'t>> {
        let value = self.take(key)?;
        if value.as_array().is_some() {
            let span = header(value.span, log.text());
            let title = section.title;
            log.add(
                span,
                format!("there is only one {title}: write it with one bracket"),
            );
            return None;
        }
        Table::new(section, value, log)
    }

    /// The table of a `key` that may stand in one of two places.
    pub fn inner(
        &mut self,
        key: &'static str,
        section: &'static Section,
        log: &mut Log,
    ) -> Entry<Table<'t>> {
        if !self.entries.contains_key(key) {
            return Entry::Absent;
        }
        match self.table(key, section, log) {
            Some(table) => {
                let span = table.span;
                Entry::Given(Spanned::with_span(table, span))
            }
            None => Entry::Bad,
        }
    }

    /// Takes out the keys for which there is a `refusal`, and records it.
    pub fn refuse(&mut self, refusal: impl Fn(&str) -> Option<String>, log: &mut Log) {
        self.entries.retain(|key, _| match refusal(&key.name) {
            Some(what) => {
                log.add(key.span, what);
                false
            }
            None => true,
        });
    }

    /// The tables under `key`, a `[[key]]` each.
    pub fn tables(
        &mut self,
        key: &'static str,
        section: &'static Section,
        log: &mut Log,
    ) -> Vec<Table<'t>> {
        let Some(mut value) = self.take(key) else {
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
                let (title, found) = (section.title, describe(&other));
                log.add(span, format!("{title} must be a table, found {found}"));
                Vec::new()
            }
        }
    }

    /// A text in quotes; `wanted` says what it should be, e.g. `a duration in quotes such as "60s"`.
    pub fn text<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        log: &mut Log,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Entry<T> {
        self.read(key, wanted, log, |value| match value {
            ValueInner::String(text) => Some(read(&text)),
            _ => None,
        })
    }

    /// A whole number within `range`.
    pub fn integer(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u32>,
        log: &mut Log,
    ) -> Entry<u32> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        self.read(key, &wanted, log, |value| {
            let number = value.as_integer()?;
            let within = u32::try_from(number)
                .ok()
                .filter(|number| range.contains(number));
            Some(within.ok_or_else(|| format!("must be {wanted}, not {number}")))
        })
    }

    pub fn flag(&mut self, key: &'static str, log: &mut Log) -> Entry<bool> {
        self.read(key, "true or false", log, |value| value.as_bool().map(Ok))
    }

    /// A value that `read` takes, `None` being the wrong type.
    pub fn read<T>(
        &mut self,
        key: &'static str,
        wanted: &str,
        log: &mut Log,
        read: impl FnOnce(ValueInner<'t>) -> Option<Result<T, String>>,
    ) -> Entry<T> {
        let Some(mut value) = self.take(key) else {
            return Entry::Absent;
        };
        let inner = value.take();
        let found = describe(&inner);
        let wrong_type = || Err(format!("must be {wanted}, found {found}"));
        let label = format!("{}{key}", self.section.prefix);
        Entry::Given(Spanned::with_span(inner, value.span))
            .check(&label, log, |inner| read(inner).unwrap_or_else(wrong_type))
    }

    /// A list with at least one element.
    pub fn list(&mut self, key: &'static str, wanted: &str, log: &mut Log) -> Entry<Array<'t>> {
        self.read(key, wanted, log, |value| match value {
            ValueInner::Array(list) if list.is_empty() => {
                Some(Err(format!("is empty; it must be {wanted}, or left out")))
            }
            ValueInner::Array(list) => Some(Ok(list)),
            _ => None,
        })
    }

    /// Records the keys that nobody took.
    pub fn finish(self, log: &mut Log) {
        for key in self.entries.keys() {
            log.add(key.span, keys::unknown(self.section, &key.name));
        }
    }
}

/// What a value is, for `found …`.
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

/// Of a table that goes on below its header, the header alone.
fn header(span: Span, text: &str) -> Span {
    let source = text.get(span.start..span.end).unwrap_or_default();
    let line = source.lines().next().unwrap_or_default();
    let closing = if line.starts_with("[[") { "]]" } else { "]" };
    match line.find(closing) {
        Some(at) if line.starts_with('[') => Span::new(span.start, span.start + at + closing.len()),
        _ => span,
    }
}
