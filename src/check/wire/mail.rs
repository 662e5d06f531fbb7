//! Lines of mail servers before TLS: SMTP (RFC 5321), IMAP (RFC 9051), POP3 (RFC 1939).

/// Removes the first line from `received` and returns it without its end.
pub fn take_line(received: &mut Vec<u8>) -> Option<Vec<u8>> {
    let end = received.iter().position(|&byte| byte == b'\n')?;
    let mut line: Vec<u8> = received.drain(..=end).collect();
    line.pop();
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Some(line)
}

/// A line of an SMTP reply: `250-text` or, for the last one, `250 text` (RFC 5321 section 4.2).
#[derive(Debug, PartialEq)]
pub struct SmtpLine<'a> {
    pub code: u16,
    pub last: bool,
    pub text: &'a [u8],
}

impl SmtpLine<'_> {
    pub fn parse(line: &[u8]) -> Option<SmtpLine<'_>> {
        let (code, rest) = line.split_at_checked(3)?;
        if !code.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let code = code.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0'));
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return None,
        };
        Some(SmtpLine { code, last, text })
    }
}

/// Returns the words of `[CAPABILITY …]` in an IMAP greeting or response, or of `* CAPABILITY …`
/// (RFC 9051 sections 7.1 and 7.2.2); `None` if there is neither.
pub fn capabilities(line: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    const LINE: &[u8] = b"* CAPABILITY ";
    const CODE: &[u8] = b"[CAPABILITY ";
    let is_line = line
        .get(..LINE.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(LINE));
    let at = match is_line {
        true => LINE.len(),
        false => {
            let is_code = |part: &[u8]| part.eq_ignore_ascii_case(CODE);
            line.windows(CODE.len()).position(is_code)? + CODE.len()
        }
    };
    let all = line[at..].split(|&byte| byte == b']').next()?;
    Some(all.split(|&byte| byte == b' '))
}

pub fn is_starttls(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"STARTTLS")
}

/// `line` begins with the words of `beginning`.
pub fn starts(line: &[u8], beginning: &[u8]) -> bool {
    match line.split_at_checked(beginning.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(beginning) && matches!(rest.first(), None | Some(b' '))
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_smtp_line_has_a_code_and_says_whether_it_is_the_last() {
        let parsed = |line: &'static str| {
            SmtpLine::parse(line.as_bytes()).map(|it| (it.code, it.last, it.text))
        };
        assert_eq!(parsed("250-SIZE 10"), Some((250, false, &b"SIZE 10"[..])));
        assert_eq!(parsed("220 hi"), Some((220, true, &b"hi"[..])));
        assert_eq!(parsed("220"), Some((220, true, &b""[..])));
        for line in ["", "22", "2x0 hi", "2200 hi", "220=hi", " 220"] {
            assert_eq!(parsed(line), None, "{line}");
        }
    }

    #[test]
    fn the_capabilities_are_those_in_the_brackets() {
        let has = |line: &[u8]| capabilities(line).map(|mut all| all.any(is_starttls));
        assert_eq!(has(b"* OK [CAPABILITY IMAP4rev1 STARTTLS] hi"), Some(true));
        assert_eq!(has(b"* OK [capability a] STARTTLS"), Some(false));
        assert_eq!(has(b"* OK STARTTLS"), None);
        assert_eq!(has(b"* CAPABILITY IMAP4rev1 STARTTLS"), Some(true));
        assert_eq!(has(b"* capability IMAP4rev1 AUTH=PLAIN"), Some(false));
        assert_eq!(has(b"a001 OK [CAPABILITY STARTTLS] done"), Some(true));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_makes_it_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let _ = SmtpLine::parse(&bytes);
            if let Some(all) = capabilities(&bytes) {
                all.for_each(drop);
            }
            let _ = starts(&bytes, b"a001 OK");
        }

        #[test]
        fn lines_are_what_stands_between_their_ends(
            lines in proptest::collection::vec("[ab]{0,5}", 0..6), crlf: bool, rest in "[ab]{0,5}",
        ) {
            let end = if crlf { "\r\n" } else { "\n" };
            let all: String = lines.iter().map(|line| format!("{line}{end}")).collect();
            let mut received = format!("{all}{rest}").into_bytes();
            for line in &lines {
                prop_assert_eq!(take_line(&mut received), Some(line.clone().into_bytes()));
            }
            prop_assert_eq!(take_line(&mut received), None);
            prop_assert_eq!(received, rest.into_bytes());
        }
    }
}
