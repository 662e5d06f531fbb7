//! Finds the fields that a page wants sent back with its form: tokens against forged requests.
//!
//! A tolerant scan of tags, not a parser of HTML: it goes over the page once, whatever is in it.

use std::borrow::Cow;
use url::Url;

/// Fields taken of one form; no real one has so many.
const FIELDS: usize = 200;

/// A field as it is to be sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field<'p> {
    pub(super) name: Cow<'p, str>,
    pub(super) value: Cow<'p, str>,
}

/// The hidden fields of the form that is meant: the one that is sent to `to`, else one that has
/// a field of `ours`, else one that is posted, else the first. `base` is the page's own address.
/// `None`: there is no form.
pub(super) fn hidden<'p>(
    page: &'p str,
    base: &Url,
    to: &Url,
    ours: &[&str],
) -> Option<Vec<Field<'p>>> {
    let mut best: Option<Form<'p>> = None;
    let mut open: Option<Form<'p>> = None;
    let mut close = |form: Option<Form<'p>>| {
        if let Some(form) = form
            && best.as_ref().is_none_or(|best| form.rank > best.rank)
        {
            best = Some(form);
        }
    };
    for tag in (Tags { page, at: 0 }) {
        match &mut open {
            // One form within another doesn't count (HTML 13.2.6.4.7).
            None if tag.is("form") => open = Some(Form::new(&tag, base, to)),
            Some(_) if tag.is("/form") => close(open.take()),
            Some(form) => form.add(&tag, ours),
            None => {}
        }
    }
    close(open);
    best.map(|form| form.hidden)
}

struct Form<'p> {
    /// How well it fits: sent to the right place 4, has a field of ours 2, is posted 1.
    rank: u8,
    hidden: Vec<Field<'p>>,
}

impl<'p> Form<'p> {
    fn new(tag: &Tag<'p>, base: &Url, to: &Url) -> Form<'p> {
        let action = tag.attribute("action").unwrap_or_default();
        let place = |url: &Url| {
            (
                url.origin(),
                url.path().to_owned(),
                url.query().map(str::to_owned),
            )
        };
        let action = base.join(action.trim());
        let is_sent_to = action.is_ok_and(|action| place(&action) == place(to));
        let method = tag.attribute("method").unwrap_or_default();
        Form {
            rank: u8::from(is_sent_to) * 4 + u8::from(method.eq_ignore_ascii_case("post")),
            hidden: Vec::new(),
        }
    }

    fn add(&mut self, tag: &Tag<'p>, ours: &[&str]) {
        let is_input = tag.is("input");
        if !is_input && !["select", "textarea", "button"].iter().any(|n| tag.is(n)) {
            return;
        }
        let Some(name) = tag.attribute("name").filter(|name| !name.is_empty()) else {
            return;
        };
        if ours.contains(&&*name) {
            self.rank |= 2;
        }
        let kind = tag.attribute("type").unwrap_or_default();
        let is_hidden = is_input && kind.eq_ignore_ascii_case("hidden");
        if is_hidden && tag.attribute("disabled").is_none() && self.hidden.len() < FIELDS {
            let value = tag.attribute("value").unwrap_or_default();
            self.hidden.push(Field { name, value });
        }
    }
}

/// A start or end tag.
struct Tag<'p> {
    /// With the slash of an end tag.
    name: &'p str,
    /// What is between the name and the closing `>`.
    attributes: &'p str,
}

impl<'p> Tag<'p> {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value of the first attribute of this name, decoded; empty when it has none.
    fn attribute(&self, wanted: &str) -> Option<Cow<'p, str>> {
        let mut rest = self.attributes;
        while let Some((name, value, after)) = attribute(rest) {
            if name.eq_ignore_ascii_case(wanted) {
                return Some(decoded(value));
            }
            rest = after;
        }
        None
    }
}

/// The next attribute of `text`: its name, its value as it is written, and what follows. None is
/// left when only the end of the tag is.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
    if text.is_empty() || text.starts_with('>') {
        return None;
    }
    // A name may begin with `=`, and is never empty.
    let end = text
        .char_indices()
        .skip(1)
        .find(|&(_, c)| c.is_ascii_whitespace() || matches!(c, '/' | '>' | '='));
    let (name, after) = text.split_at(end.map_or(text.len(), |(at, _)| at));
    let Some(value) = after.trim_ascii_start().strip_prefix('=') else {
        return Some((name, "", after));
    };
    let value = value.trim_ascii_start();
    let (value, after) = match value.strip_prefix(['"', '\'']) {
        Some(inside) => {
            let quote = value.chars().next().unwrap_or('"');
            inside.split_once(quote).unwrap_or((inside, ""))
        }
        None => {
            let end = value.find(|c: char| c.is_ascii_whitespace() || c == '>');
            value.split_at(end.unwrap_or(value.len()))
        }
    };
    Some((name, value, after))
}

/// The tags of a page, without those in comments and scripts.
struct Tags<'p> {
    page: &'p str,
    at: usize,
}

impl<'p> Iterator for Tags<'p> {
    type Item = Tag<'p>;

    fn next(&mut self) -> Option<Tag<'p>> {
        loop {
            let rest = self.page.get(self.at..)?;
            let start = self.at + rest.find('<')? + 1;
            let rest = self.page.get(start..)?;
            if let Some(comment) = rest.strip_prefix("!--") {
                self.at = start + 3 + comment.find("-->")? + 3;
                continue;
            }
            self.at = start;
            let name_at = usize::from(rest.starts_with('/'));
            let named = rest.get(name_at..)?;
            if !named.starts_with(|c: char| c.is_ascii_alphabetic()) {
                continue;
            }
            let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>');
            let length = name_at + named.find(ends).unwrap_or(named.len());
            let (name, attributes) = rest.split_at(length);
            let mut after = attributes;
            while let Some((_, _, next)) = attribute(after) {
                after = next;
            }
            let attributes = attributes.get(..attributes.len() - after.len())?;
            self.at = self.page.len() - after.len();
            let raw = ["script", "style", "textarea", "title", "template"];
            if raw.iter().any(|raw| name.eq_ignore_ascii_case(raw)) {
                self.at += end_of_raw(after, name);
            }
            return Some(Tag { name, attributes });
        }
    }
}

/// Where the text within `<name>` ends, in which nothing else is a tag.
fn end_of_raw(text: &str, name: &str) -> usize {
    let ends = |&(at, _): &(usize, &str)| {
        let after = text.get(at + 2..).unwrap_or_default().as_bytes();
        let named = after.get(..name.len());
        named.is_some_and(|found| found.eq_ignore_ascii_case(name.as_bytes()))
    };
    let end = text.match_indices("</").find(ends);
    end.map_or(text.len(), |(at, _)| at)
}

/// Without the character references that occur in values: by number, and the five of XML.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        rest = after;
        // None that is known is longer than `#x0010ffff`.
        let end = after.bytes().take(11).position(|byte| byte == b';');
        let reference = end.and_then(|end| Some((character(after.get(..end)?)?, end)));
        match reference {
            Some((c, end)) => {
                plain.push(c);
                rest = after.get(end + 1..).unwrap_or_default();
            }
            None => plain.push('&'),
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

fn character(reference: &str) -> Option<char> {
    let Some(number) = reference.strip_prefix('#') else {
        return Some(match reference {
            "amp" => '&',
            "quot" => '"',
            "apos" => '\'',
            "lt" => '<',
            "gt" => '>',
            _ => return None,
        });
    };
    let (digits, radix) = match number.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (number, 10),
    };
    let is_number = digits.chars().all(|c| c.is_digit(radix));
    let code = u32::from_str_radix(digits, radix).ok()?;
    char::from_u32(code).filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const BASE: &str = "https://a.example/app/login?next=1";

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    /// `name=value name=value`, or nothing when there is no form.
    fn found(page: &str) -> Option<String> {
        let to = url("https://a.example/session");
        let fields = hidden(page, &url(BASE), &to, &["user", "password"])?;
        let pair = |field: &Field| format!("{}={}", field.name, field.value);
        Some(fields.iter().map(pair).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn hidden_fields_are_found_however_they_are_written() {
        for (input, wanted) in [
            (r#"<input type="hidden" name="t" value="a b">"#, "t=a b"),
            ("<INPUT TYPE=Hidden NAME=t VALUE=a/b>", "t=a/b"),
            (
                "<input\n\ttype = 'hidden'\r\nname= 't' value\n='\"'/>",
                "t=\"",
            ),
            ("<input name=t type=hidden/>", ""),
            ("<input name=t type=hidden />", "t="),
            ("<input name=t type=hidden value=\"x\"/>", "t=x"),
            ("<input value=a>b type=hidden name=t>", ""),
            ("<input value='a>b' type=hidden name=t>", "t=a>b"),
            ("<input type=hidden name=t name=u value=1 value=2>", "t=1"),
            ("<input type=hidden data-name=t value=1>", ""),
            ("<input type=hidden name='' value=1>", ""),
            ("<input type=hidden name=t value=1 disabled>", ""),
            ("<input type=text name=t value=1>", ""),
            ("<inputs type=hidden name=t value=1>", ""),
            ("<button type=hidden name=t value=1>", ""),
            ("<!-- <input type=hidden name=t value=1> -->", ""),
            ("<script>'<input type=hidden name=t value=1>'</SCRIPT >", ""),
            (
                "<textarea><input type=hidden name=t value=1></textarea>",
                "",
            ),
            ("a < b <1 </ > <input type=hidden name=t value=1>", "t=1"),
            ("<a b='<input type=hidden name=t value=1>'>", ""),
        ] {
            let page = format!("<p><form>{input}</form>");
            assert_eq!(found(&page).as_deref(), Some(wanted), "{input}");
        }
    }

    #[test]
    fn references_are_decoded() {
        for (value, wanted) in [
            (
                "a&amp;b&lt;&gt;&quot;&apos;&#39;&#x2F;&#X2f;",
                "a&b<>\"''//",
            ),
            ("&#128512;&#x1F600;", "😀😀"),
            ("&amp;amp;", "&amp;"),
            ("&amp", "&amp"),
            (
                "&;&#;&#x;&#xd800;&#+39;&nope;&#99999999999;&",
                "&;&#;&#x;&#xd800;&#+39;&nope;&#99999999999;&",
            ),
        ] {
            assert_eq!(decoded(value), wanted, "{value}");
        }
    }

    #[test]
    fn the_form_that_is_meant_is_taken() {
        let input = |value: &str| format!("<input type=hidden name=t value={value}>");
        let search = format!("<form action=/search>{}</form>", input("search"));
        let ours = format!("<form method=get><input name=user>{}</form>", input("ours"));
        let posted = format!("<form method=POST>{}</form>", input("posted"));
        let to = format!("<form action='../session#x'>{}</form>", input("to"));
        let all = [&search, &posted, &ours, &to].map(String::as_str);
        for (count, wanted) in [(1, "t=search"), (2, "t=posted"), (3, "t=ours"), (4, "t=to")] {
            assert_eq!(found(&all[..count].concat()).as_deref(), Some(wanted));
        }
        assert_eq!(found(&input("outside")), None);
        assert_eq!(found("<!-- <form> -->"), None);
        assert_eq!(found("").as_deref(), None);
        let first = format!("<form>{}</form><form>{}</form>", input("1"), input("2"));
        assert_eq!(found(&first).as_deref(), Some("t=1"));
        let nested = format!("<form>{}<form>{}</form>", input("1"), input("2"));
        assert_eq!(found(&nested).as_deref(), Some("t=1 t=2"));
        let unclosed = format!("<form>{}", input("1"));
        assert_eq!(found(&unclosed).as_deref(), Some("t=1"));
    }

    #[test]
    fn the_time_and_memory_for_a_page_are_bounded() {
        const MANY: usize = 1 << 17;
        for part in [
            "<",
            "<a ",
            "<a=",
            "<!--",
            "<script>",
            "</script",
            "<form>",
            "<input ",
            "&",
            "<a b='",
            "<form></form>",
            "<a / ",
            "'",
            "<textarea></",
        ] {
            let start = std::time::Instant::now();
            found(&part.repeat(MANY));
            let took = start.elapsed();
            assert!(took < std::time::Duration::from_secs(5), "{part} {took:?}");
        }
        let fields = "<input type=hidden name=a value=b>".repeat(MANY);
        let found = found(&format!("<form>{fields}")).expect("a form");
        assert_eq!(found.split(' ').count(), FIELDS);
    }

    fn escaped(text: &str) -> String {
        let escape = |c: char| match c {
            '&' => "&amp;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => format!("&#{};", u32::from(c)),
            '\u{7f}'.. => format!("&#x{:x};", u32::from(c)),
            c => c.to_string(),
        };
        text.chars().map(escape).collect()
    }

    proptest! {
        #[test]
        fn what_was_escaped_comes_back(
            fields in vec(("[a-z]{1,5}", any::<String>()), 0..6), junk in "[ -~&&[^<>]]{0,20}",
        ) {
            let mut page = format!("{junk}<form>{junk}");
            for (name, value) in &fields {
                let value = escaped(value);
                page.push_str(&format!("<input type=hidden value=\"{value}\" name={name}>{junk}"));
            }
            let to = url(BASE);
            let found = hidden(&page, &to, &to, &[]).unwrap_or_default();
            prop_assert_eq!(found.len(), fields.len());
            for (field, (name, value)) in found.iter().zip(&fields) {
                prop_assert_eq!((&*field.name, &*field.value), (name.as_str(), value.as_str()));
            }
        }

        #[test]
        fn no_page_makes_it_panic(
            any in any::<String>(),
            tags in vec(prop::sample::select(&[
                "<", ">", "form", "input", " ", "=", "'", "\"", "type", "hidden", "name", "value",
                "/", "<!--", "-->", "<form>", "</form", "<script>", "</script", "&#x", ";", "ä",
            ][..]), 0..60),
        ) {
            found(&any);
            found(&tags.concat());
            found(&format!("<form><input {any}"));
        }
    }
}
