//! Splits a page into tags and text (the relevant part of HTML 13.2.5), without a tree.
//!
//! A tolerant scanner in a single pass over arbitrary input. The crate `html5gum` 0.9 covers the whole
//! specification and takes 370 KB.

use std::borrow::Cow;

/// A token of a page. Comments and the content of scripts and the like are omitted.
pub(super) enum Token<'p> {
    Tag(Tag<'p>),
    /// With its character references.
    Text(&'p str),
}

/// A start or end tag.
pub(super) struct Tag<'p> {
    /// Includes the slash of an end tag.
    name: &'p str,
    /// The text between the name and the closing `>`.
    attributes: &'p str,
    /// The whole content of an element that contains no tags, such as `<textarea>`.
    pub(super) inside: &'p str,
}

impl<'p> Tag<'p> {
    pub(super) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// Returns the decoded value of the first attribute with this name; empty if it has none.
    pub(super) fn attribute(&self, wanted: &str) -> Option<Cow<'p, str>> {
        let mut rest = self.attributes;
        while let Some((name, value, after)) = attribute(rest) {
            if name.eq_ignore_ascii_case(wanted) {
                return Some(decoded(value, true));
            }
            rest = after;
        }
        None
    }

    pub(super) fn has(&self, attribute: &str) -> bool {
        self.attribute(attribute).is_some()
    }
}

/// Returns the next attribute of `text`: name, raw value and the rest. `None` if only the end of the tag
/// is left.
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

/// The unread part of a page.
pub(super) struct Tokens<'p>(pub(super) &'p str);

impl<'p> Iterator for Tokens<'p> {
    type Item = Token<'p>;

    fn next(&mut self) -> Option<Token<'p>> {
        loop {
            let Some(markup) = self.0.strip_prefix('<') else {
                if self.0.is_empty() {
                    return None;
                }
                let (text, rest) = self.0.split_at(self.0.find('<').unwrap_or(self.0.len()));
                self.0 = rest;
                return Some(Token::Text(text));
            };
            let is_end = markup.starts_with('/');
            let named = markup.get(usize::from(is_end)..)?;
            if named.starts_with(|c: char| c.is_ascii_alphabetic()) {
                return self.tag(markup);
            }
            if let Some(comment) = markup.strip_prefix("!--") {
                self.0 = after_comment(comment);
            } else if is_end || markup.starts_with(['!', '?']) {
                // A document type, a processing instruction or invalid markup.
                self.0 = markup.split_once('>').map_or("", |(_, rest)| rest);
            } else {
                self.0 = markup;
                return Some(Token::Text("<"));
            }
        }
    }
}

impl<'p> Tokens<'p> {
    /// `markup` begins with the name or its slash. `None` if the page ends within the tag.
    fn tag(&mut self, markup: &'p str) -> Option<Token<'p>> {
        let ends = |c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>');
        let slash = usize::from(markup.starts_with('/'));
        let length = slash + markup.get(slash..)?.find(ends)?;
        let (name, attributes) = markup.split_at(length);
        let mut after = attributes;
        while let Some((_, _, next)) = attribute(after) {
            after = next;
        }
        let attributes = attributes.get(..attributes.len() - after.len())?;
        let behind = after.split_once('>')?.1;
        let is = |raw: &&str| name.eq_ignore_ascii_case(raw);
        // Scripting is off: `noscript` is parsed.
        const RAW: [&str; 8] = [
            "style", "textarea", "title", "template", "iframe", "xmp", "noembed", "noframes",
        ];
        let inside = if is(&"script") {
            end_of_script(behind)
        } else if is(&"plaintext") {
            behind.len()
        } else if RAW.iter().any(is) {
            let mut ends = behind.match_indices("</");
            let end = ends.find(|(at, _)| is_tag(&behind[*at + 2..], name));
            end.map_or(behind.len(), |(at, _)| at)
        } else {
            0
        };
        let (inside, rest) = behind.split_at(inside);
        self.0 = rest;
        Some(Token::Tag(Tag {
            name,
            attributes,
            inside,
        }))
    }
}

/// Skips a comment, given the text after its `<!--`.
fn after_comment(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('>').or_else(|| text.strip_prefix("->")) {
        return rest;
    }
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("--")) {
        let rest = text.get(from + at + 2..).unwrap_or_default();
        if let Some(rest) = rest.strip_prefix('>').or_else(|| rest.strip_prefix("!>")) {
            return rest;
        }
        // `--->` ends a comment, too.
        from += at + 1;
    }
    ""
}

/// `text` begins with this name, and the name ends there.
fn is_tag(text: &str, name: &str) -> bool {
    let Some((start, rest)) = text.as_bytes().split_at_checked(name.len()) else {
        return false;
    };
    let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>');
    start.eq_ignore_ascii_case(name.as_bytes()) && rest.first().is_some_and(ends)
}

/// Finds the end of a script: its end tag, unless that belongs to a script within `<!--` and `-->`.
fn end_of_script(text: &str) -> usize {
    let (mut in_comment, mut in_second) = (false, false);
    for (at, sign) in text.match_indices(['<', '-']) {
        let here = text.get(at..).unwrap_or_default();
        if sign == "-" {
            if here.starts_with("-->") {
                (in_comment, in_second) = (false, false);
            }
        } else if here.starts_with("<!--") {
            in_comment = true;
        } else if is_tag(&here[1..], "script") {
            in_second = in_comment;
        } else if is_tag(&here[1..], "/script") {
            if !in_second {
                return at;
            }
            in_second = false;
        }
    }
    text.len()
}

/// Decodes character references (HTML 13.2.5.72 to 80): numeric ones, and the names of ASCII and Latin-1
/// characters. `in_value`: in the value of an attribute, where `&copy=1` is no reference.
pub(super) fn decoded(text: &str, in_value: bool) -> Cow<'_, str> {
    if !text.contains('&') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        plain.push_str(before);
        let reference = match after.strip_prefix('#') {
            Some(number) => numbered(number),
            None => named(after, in_value),
        };
        match reference {
            Some((c, after)) => {
                plain.push(c);
                rest = after;
            }
            None => {
                plain.push('&');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// Decodes a numeric reference, given the text after its `&#`; returns the character and the rest.
fn numbered(text: &str) -> Option<(char, &str)> {
    /// Characters for the numbers 128 to 159, as in windows-1252.
    const WINDOWS: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
    let (digits, radix) = match text.strip_prefix(['x', 'X']) {
        Some(digits) => (digits, 16),
        None => (text, 10),
    };
    let rest = digits.trim_start_matches(|c: char| c.is_digit(radix));
    let (digits, _) = digits.split_at(digits.len() - rest.len());
    if digits.is_empty() {
        return None;
    }
    let c = match u32::from_str_radix(digits, radix) {
        Ok(code @ 0x80..=0x9f) => WINDOWS.chars().nth(code as usize - 0x80),
        Ok(code @ 1..) => char::from_u32(code),
        _ => None,
    };
    let rest = rest.strip_prefix(';').unwrap_or(rest);
    Some((c.unwrap_or(char::REPLACEMENT_CHARACTER), rest))
}

/// Decodes a named reference, given the text after its `&`.
fn named(text: &str, in_value: bool) -> Option<(char, &str)> {
    let after = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    let (word, _) = text.split_at(text.len() - after.len());
    if let Some(rest) = after.strip_prefix(';')
        && let Some(c) = legacy(word).or_else(|| ascii(word))
    {
        return Some((c, rest));
    }
    // Legacy names need no semicolon; the longest match counts.
    (2..=6).rev().find_map(|length| {
        let c = legacy(word.get(..length)?)?;
        let rest = text.get(length..)?;
        let goes_on = |c: char| c == '=' || c.is_ascii_alphanumeric();
        (!(in_value && rest.starts_with(goes_on))).then_some((c, rest))
    })
}

fn legacy(name: &str) -> Option<char> {
    /// Names of the characters 160 to 255.
    const LATIN_1: &str = "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy \
        reg macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 \
        frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml \
        Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave \
        Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil \
        egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde \
        ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";
    Some(match name {
        "amp" | "AMP" => '&',
        "quot" | "QUOT" => '"',
        "lt" | "LT" => '<',
        "gt" | "GT" => '>',
        _ => {
            let at = LATIN_1.split(' ').position(|known| known == name)?;
            char::from(160 + u8::try_from(at).ok()?)
        }
    })
}

fn ascii(name: &str) -> Option<char> {
    const NAMES: &str = "'apos !excl #num $dollar %percnt (lpar )rpar *ast +plus ,comma .period /sol \
        :colon ;semi =equals ?quest @commat [lsqb [lbrack \\bsol ]rsqb ]rbrack ^Hat _lowbar `grave \
        {lcub {lbrace |verbar |vert }rcub }rbrace \tTab \nNewLine";
    let known = |known: &&str| known.get(1..) == Some(name);
    NAMES.split(' ').find(known)?.chars().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_decoded() {
        for (value, wanted) in [
            (
                "a&amp;b&lt;&gt;&quot;&apos;&#39;&#x2F;&#X2f;",
                "a&b<>\"''//",
            ),
            ("&#128512;&#x1F600;&#128;&#150;", "😀😀€–"),
            ("&amp;amp;&AMP;", "&amp;&"),
            ("&amp &lt&gt;&#43&#x3d/", "& <>+=/"),
            ("&plus;&sol;&equals;&Tab;&lowbar;&bsol;", "+/=\t_\\"),
            (
                "&nbsp;&eacute;&Uuml;&szlig;&yuml;&frac14;&copy",
                "\u{a0}éÜßÿ¼©",
            ),
            (
                "&#xd800;&#0;&#99999999999;&#x110000;",
                "\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
            ),
            (
                "&;&#;&#x;&#+39;&nope;&apos&plus&é;&",
                "&;&#;&#x;&#+39;&nope;&apos&plus&é;&",
            ),
        ] {
            assert_eq!(decoded(value, true), wanted, "{value}");
            assert_eq!(decoded(value, false), wanted, "{value}");
        }
        let link = "a=1&copy=2&lt3&notit;&amplifier";
        assert_eq!(decoded(link, true), link);
        assert_eq!(decoded(link, false), "a=1©=2<3¬it;&lifier");
    }

    /// Prints texts as `[text]` and tags as `<name>`.
    fn tokens(page: &str) -> String {
        let token = |token| match token {
            Token::Text(text) => format!("[{text}]"),
            Token::Tag(tag) => format!("<{}>{}", tag.name, tag.inside),
        };
        Tokens(page).map(token).collect()
    }

    #[test]
    fn comments_and_scripts_end_where_browsers_end_them() {
        for (page, wanted) in [
            ("a<!-->b", "[a][b]"),
            ("a<!--->b", "[a][b]"),
            ("a<!---->b", "[a][b]"),
            ("a<!--x--!>b", "[a][b]"),
            ("a<!--x--->b", "[a][b]"),
            ("a<!--x-- >b-->c", "[a][c]"),
            ("a<!--x", "[a]"),
            (
                "a<!doctype html>b<?php ?>c<![CDATA[d]]>e</ f>g</>h",
                "[a][b][c][e][g][h]",
            ),
            ("a < b <1", "[a ][<][ b ][<][1]"),
            ("<p>a</p >", "<p>[a]</p>"),
            ("<p x='>'>a<p", "<p>[a]"),
            ("<title><p></title>", "<title><p></title>"),
            ("<style></stylex></style x>", "<style></stylex></style>"),
            ("<noscript><p></noscript>", "<noscript><p></noscript>"),
            ("<iframe><p></iframe>", "<iframe><p></iframe>"),
            ("<script></p></SCRIPT >b", "<script></p></SCRIPT>[b]"),
            ("<script><!--</script>b", "<script><!--</script>[b]"),
            (
                "<script><!--<script></script>--></script>b",
                "<script><!--<script></script>--></script>[b]",
            ),
            (
                "<script><!--><script></script>b",
                "<script><!--><script></script>[b]",
            ),
            ("<script><script></script>b", "<script><script></script>[b]"),
            ("<plaintext><p></plaintext>", "<plaintext><p></plaintext>"),
        ] {
            assert_eq!(tokens(page), wanted, "{page}");
        }
    }
}
