//! Collects what a browser would submit of a page's form without user input (HTML 4.10.21.4): CSRF
//! tokens, preselected choices, and the button that Enter presses.

use super::html::{Tag, Token, Tokens, decoded};
use std::borrow::Cow;
use url::Url;

/// Maximum number of fields of a form.
pub(super) const FIELDS: usize = 200;
/// Maximum number of fields of all forms of a page.
const ALL_FIELDS: usize = 2000;
const FORMS: usize = 200;

/// A field to submit.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field<'p> {
    pub(super) name: Cow<'p, str>,
    pub(super) value: Cow<'p, str>,
}

/// Returns the fields of the form that fits best: the one submitted to `to`, else one that has a field
/// of `ours`, else one that is posted, else the first. `base` is the page's own address.
///
/// # Errors
///
/// If there is no form, or it has too many fields.
pub(super) fn fields<'p>(
    page: &'p str,
    base: &Url,
    to: &Url,
    ours: &[&str],
) -> Result<Vec<Field<'p>>, FormError> {
    let mut scan = Scan {
        base: base.clone(),
        to,
        ours,
        forms: Vec::new(),
        open: None,
        controls: Vec::new(),
        incomplete: None,
        select: None,
        fieldsets: Vec::new(),
        disabled: 0,
    };
    for token in Tokens(page) {
        match token {
            Token::Tag(tag) => scan.tag(&tag),
            Token::Text(text) => scan.text(text),
        }
    }
    scan.end_select();
    scan.meant()
}

/// Why a form cannot be submitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum FormError {
    NoForm,
    /// Over [`FIELDS`], or over [`ALL_FIELDS`] with the forms before it.
    TooManyFields,
}

struct Form<'p> {
    id: Option<Cow<'p, str>>,
    /// How well it fits: submitted to the right URL 4, has a field of ours 2, is posted 1.
    rank: u8,
}

/// The form that a control belongs to.
#[derive(Clone, PartialEq)]
enum Owner<'p> {
    /// The enclosing form, by index.
    Around(usize),
    /// The form with this id, anywhere in the page.
    Named(Cow<'p, str>),
}

struct Control<'p> {
    owner: Owner<'p>,
    name: Cow<'p, str>,
    sends: Sends<'p>,
}

enum Sends<'p> {
    /// Not selected, or disabled.
    Nothing,
    Value(Cow<'p, str>),
    /// Sent if it is the first button of its form.
    Button(Cow<'p, str>),
    /// As a button; sends the coordinates of the click.
    Image,
}

/// A `<select>` that is being read.
struct Select<'p> {
    control: Control<'p>,
    multiple: bool,
    /// A drop-down menu: one option is always selected.
    menu: bool,
    /// Selected options; `None` for one that is disabled.
    chosen: Vec<Option<Cow<'p, str>>>,
    /// The option that is selected by default.
    first: Option<Cow<'p, str>>,
    group_disabled: bool,
    option: Option<Choice<'p>>,
}

struct Choice<'p> {
    value: Option<Cow<'p, str>>,
    text: String,
    selected: bool,
    disabled: bool,
}

struct Scan<'p, 'a> {
    base: Url,
    to: &'a Url,
    ours: &'a [&'a str],
    forms: Vec<Form<'p>>,
    open: Option<usize>,
    /// Controls of all forms in document order.
    controls: Vec<Control<'p>>,
    /// This form and those after it may have more controls than were read.
    incomplete: Option<usize>,
    select: Option<Select<'p>>,
    /// For each enclosing fieldset, whether it is disabled.
    fieldsets: Vec<bool>,
    /// Number of disabled fieldsets in `fieldsets`.
    disabled: usize,
}

impl<'p> Scan<'p, '_> {
    fn tag(&mut self, tag: &Tag<'p>) {
        if tag.is("form") {
            // A form within a form is ignored (HTML 13.2.6.4.7).
            if self.open.is_none() {
                self.open = Some(self.forms.len());
                if self.forms.len() < FORMS {
                    let form = self.form(tag);
                    self.forms.push(form);
                }
            }
        } else if tag.is("/form") {
            self.end_select();
            self.open = None;
        } else if tag.is("base") {
            let href = tag.attribute("href");
            if let Some(base) = href.and_then(|href| self.base.join(href.trim()).ok()) {
                self.base = base;
            }
        } else if tag.is("fieldset") {
            self.fieldsets.push(tag.has("disabled"));
            self.disabled += usize::from(tag.has("disabled"));
        } else if tag.is("/fieldset") {
            self.disabled -= usize::from(self.fieldsets.pop() == Some(true));
        } else if tag.is("input") {
            self.end_select();
            self.control(tag, input);
        } else if tag.is("button") {
            self.control(tag, |tag| {
                let kind = tag.attribute("type").unwrap_or_default();
                match kind.to_ascii_lowercase().as_str() {
                    "button" | "reset" => Sends::Nothing,
                    _ => Sends::Button(tag.attribute("value").unwrap_or_default()),
                }
            });
        } else if tag.is("textarea") {
            self.end_select();
            self.control(tag, |tag| {
                let text = tag.inside;
                let text = text
                    .strip_prefix("\r\n")
                    .or_else(|| text.strip_prefix('\n'));
                Sends::Value(decoded(text.unwrap_or(tag.inside), false))
            });
        } else if tag.is("select") {
            self.end_select();
            let enabled = |_: &Tag<'p>| Sends::Value(Cow::Borrowed(""));
            self.select = self.made(tag, enabled).map(|control| Select {
                control,
                multiple: tag.has("multiple"),
                menu: !tag.has("multiple")
                    && tag
                        .attribute("size")
                        .is_none_or(|size| matches!(&*size, "" | "0" | "1")),
                chosen: Vec::new(),
                first: None,
                group_disabled: false,
                option: None,
            });
        } else if tag.is("/select") {
            self.end_select();
        } else if let Some(select) = &mut self.select {
            select.tag(tag);
        }
    }

    fn text(&mut self, text: &str) {
        let select = self.select.as_mut();
        if let Some(option) = select.and_then(|select| select.option.as_mut()) {
            option.text.push_str(&decoded(text, false));
        }
    }

    fn form(&self, tag: &Tag<'p>) -> Form<'p> {
        let action = tag.attribute("action").unwrap_or_default();
        let place = |url: &Url| {
            (
                url.origin(),
                url.path().to_owned(),
                url.query().map(str::to_owned),
            )
        };
        let action = self.base.join(action.trim());
        let is_sent_to = action.is_ok_and(|action| place(&action) == place(self.to));
        let method = tag.attribute("method").unwrap_or_default();
        Form {
            id: tag.attribute("id").filter(|id| !id.is_empty()),
            rank: u8::from(is_sent_to) * 4 + u8::from(method.eq_ignore_ascii_case("post")),
        }
    }

    fn control(&mut self, tag: &Tag<'p>, sends: impl FnOnce(&Tag<'p>) -> Sends<'p>) {
        if let Some(control) = self.made(tag, sends) {
            self.controls.push(control);
        }
    }

    /// `None` if the control belongs to no form, or there are too many.
    fn made(
        &mut self,
        tag: &Tag<'p>,
        sends: impl FnOnce(&Tag<'p>) -> Sends<'p>,
    ) -> Option<Control<'p>> {
        let owner = match tag.attribute("form") {
            Some(id) => Owner::Named(id),
            None => Owner::Around(self.open?),
        };
        if self.controls.len() >= ALL_FIELDS {
            self.incomplete = self.incomplete.or(self.open);
            return None;
        }
        let is_disabled = tag.has("disabled") || self.disabled > 0;
        Some(Control {
            owner,
            name: tag.attribute("name").unwrap_or_default(),
            sends: match is_disabled {
                true => Sends::Nothing,
                false => sends(tag),
            },
        })
    }

    fn end_select(&mut self) {
        let Some(mut select) = self.select.take() else {
            return;
        };
        select.end_option();
        let mut chosen = select.chosen;
        if !select.multiple {
            // The last selected option counts.
            chosen = chosen.pop().into_iter().collect();
        }
        if chosen.is_empty() && select.menu {
            chosen.push(select.first);
        }
        let Control { owner, name, sends } = &select.control;
        if matches!(sends, Sends::Nothing) {
            chosen.clear();
        }
        let mut add = |sends| {
            self.controls.push(Control {
                owner: owner.clone(),
                name: name.clone(),
                sends,
            });
        };
        // A `<select>` counts as a field even if nothing is selected.
        add(Sends::Nothing);
        chosen
            .into_iter()
            .flatten()
            .for_each(|value| add(Sends::Value(value)));
    }

    /// Returns the fields of the form that fits best.
    fn meant(mut self) -> Result<Vec<Field<'p>>, FormError> {
        let forms = &self.forms;
        let index = |owner: &Owner<'p>| match owner {
            Owner::Around(at) => Some(*at),
            Owner::Named(id) => forms.iter().position(|form| form.id.as_ref() == Some(id)),
        };
        let owners: Vec<Option<usize>> = self.controls.iter().map(|c| index(&c.owner)).collect();
        for (control, owner) in self.controls.iter().zip(&owners) {
            if self.ours.contains(&&*control.name)
                && let Some(form) = owner.and_then(|at| self.forms.get_mut(at))
            {
                form.rank |= 2;
            }
        }
        let ranks = self.forms.iter().map(|form| form.rank).enumerate();
        // The first of the highest rank.
        let best = ranks.rev().max_by_key(|(_, rank)| *rank);
        let (meant, _) = best.ok_or(FormError::NoForm)?;
        if self.incomplete.is_some_and(|first| first <= meant) {
            return Err(FormError::TooManyFields);
        }
        let controls = self.controls.into_iter().zip(owners);
        let controls = controls.filter(|(_, owner)| *owner == Some(meant));
        let controls: Vec<Control<'p>> = controls.map(|(control, _)| control).collect();
        let is_button = |sends: &Sends<'p>| matches!(sends, Sends::Button(_) | Sends::Image);
        // A button among our own fields is the one that is pressed.
        let mut has_button = controls
            .iter()
            .any(|control| is_button(&control.sends) && self.ours.contains(&&*control.name));
        let mut fields = Vec::new();
        for Control { name, sends, .. } in controls {
            if is_button(&sends) && std::mem::replace(&mut has_button, true) {
                continue;
            }
            match sends {
                Sends::Image => {
                    let dot = if name.is_empty() { "" } else { "." };
                    for part in ["x", "y"] {
                        let name = Cow::Owned(format!("{name}{dot}{part}"));
                        let value = Cow::Borrowed("0");
                        fields.push(Field { name, value });
                    }
                }
                Sends::Value(value) | Sends::Button(value) if !name.is_empty() => {
                    let value = with_crlf(value);
                    fields.push(Field { name, value });
                }
                _ => {}
            }
        }
        match fields.len() <= FIELDS {
            true => Ok(fields),
            false => Err(FormError::TooManyFields),
        }
    }
}

impl<'p> Select<'p> {
    /// Handles a tag within the `<select>`.
    fn tag(&mut self, tag: &Tag<'p>) {
        if tag.is("option") {
            self.end_option();
            self.option = Some(Choice {
                value: tag.attribute("value"),
                text: String::new(),
                selected: tag.has("selected"),
                disabled: tag.has("disabled") || self.group_disabled,
            });
        } else if tag.is("optgroup") {
            self.end_option();
            self.group_disabled = tag.has("disabled");
        } else if tag.is("/optgroup") {
            self.end_option();
            self.group_disabled = false;
        } else if tag.is("/option") {
            self.end_option();
        }
    }

    fn end_option(&mut self) {
        let Some(option) = self.option.take() else {
            return;
        };
        let is_wanted = option.selected && self.chosen.len() <= FIELDS;
        let may_be_first = self.first.is_none() && !option.disabled;
        if !is_wanted && !may_be_first {
            return;
        }
        let value = option.value.unwrap_or_else(|| {
            let words: Vec<&str> = option.text.split_ascii_whitespace().collect();
            Cow::Owned(words.join(" "))
        });
        if option.selected {
            if !self.multiple {
                self.chosen.clear();
            }
            self.chosen.push((!option.disabled).then(|| value.clone()));
        }
        if may_be_first {
            self.first = Some(value);
        }
    }
}

fn input<'p>(tag: &Tag<'p>) -> Sends<'p> {
    let value = tag.attribute("value");
    let kind = tag.attribute("type").unwrap_or_default();
    match kind.to_ascii_lowercase().as_str() {
        "button" | "reset" => Sends::Nothing,
        "submit" => Sends::Button(value.unwrap_or_default()),
        "image" => Sends::Image,
        "checkbox" | "radio" if tag.has("checked") => {
            Sends::Value(value.unwrap_or(Cow::Borrowed("on")))
        }
        "checkbox" | "radio" => Sends::Nothing,
        "file" => Sends::Value(Cow::Borrowed("")),
        // `_charset_` is sent with the name of the encoding.
        "hidden"
            if tag
                .attribute("name")
                .is_some_and(|name| name == "_charset_") =>
        {
            Sends::Value(Cow::Borrowed("UTF-8"))
        }
        _ => Sends::Value(value.unwrap_or_default()),
    }
}

/// Normalises line ends as forms are submitted.
fn with_crlf(text: Cow<'_, str>) -> Cow<'_, str> {
    match text.contains(['\r', '\n']) {
        true => Cow::Owned(
            text.replace("\r\n", "\n")
                .replace('\r', "\n")
                .replace('\n', "\r\n"),
        ),
        false => text,
    }
}

#[cfg(test)]
#[path = "form_tests.rs"]
mod tests;
