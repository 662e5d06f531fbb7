//! Parsers of single values: durations, status sets, `$NAME`, tokens, names.
//!
//! Their errors continue the key's name:
//! ``must be a duration such as "60s"; `60` has no unit``.

use crate::monitor::site::StatusSet;
use crate::monitor::site::printable;
use std::ops::Range;
use std::time::Duration;

/// Maximum duration, 10,000 days: sums of a few are far from an overflow.
pub const LONGEST_DURATION: Duration = Duration::from_secs(10_000 * 86_400);

/// Units in milliseconds, in the order in which they are written.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Parses `500ms`, `10s`, `5m`, `1h30m`, `14d`: whole numbers, larger units first, each at most once.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |why: String| format!("must be a duration such as \"60s\" or \"1h30m\"; {why}");
    if text.is_empty() {
        return Err(wrong("it is empty".to_owned()));
    }
    if text.starts_with('-') {
        return Err(wrong(format!("`{}` is negative", brief(text))));
    }
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = leading(rest, |c| c.is_ascii_digit());
        let unit = leading(&rest[digits.len()..], |c| c.is_ascii_alphabetic());
        rest = &rest[digits.len() + unit.len()..];
        if digits.is_empty() || unit.is_empty() {
            return Err(wrong(match rest.is_empty() && !digits.is_empty() {
                true => format!("`{}` has no unit (ms, s, m, h or d)", brief(text)),
                false => not_a_duration(text),
            }));
        }
        // The iterator does not go back, so a repeated or misplaced unit is not found.
        let Some((_, size)) = units.find(|(name, _)| *name == unit) else {
            let known = UNITS.iter().any(|(name, _)| *name == unit);
            return Err(wrong(match (known, meant(text)) {
                (true, _) => format!("in `{}` larger units come first, each once", brief(text)),
                (false, Some(_)) => not_a_duration(text),
                (false, None) => format!("`{}` is no unit (ms, s, m, h or d)", brief(unit)),
            }));
        };
        total = digits
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(*size))
            .and_then(|part| total.checked_add(part))
            .filter(|&sum| Duration::from_millis(sum) <= LONGEST_DURATION)
            .ok_or_else(|| format!("must be at most {}", format_duration(LONGEST_DURATION)))?;
    }
    Ok(Duration::from_millis(total))
}

fn not_a_duration(text: &str) -> String {
    let write = meant(text).map(|duration| format!("; write {}", format_duration(duration)));
    format!(
        "`{}` is not a duration{}",
        brief(text),
        write.unwrap_or_default()
    )
}

/// Guesses what one number with an unknown unit means: `10 sec`, `1.5h`, `5 minutes`.
fn meant(text: &str) -> Option<Duration> {
    let digits = leading(text, |c| c.is_ascii_digit() || c == '.');
    let count: f64 = digits.parse().ok()?;
    let size = match text[digits.len()..].trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1,
        "s" | "sec" | "secs" | "second" | "seconds" => 1_000,
        "m" | "min" | "mins" | "minute" | "minutes" => 60_000,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 7 * 86_400_000,
        _ => return None,
    };
    let millis = count * f64::from(size);
    let longest = LONGEST_DURATION.as_millis() as f64;
    // Only if it is exact.
    let exact = millis.fract() == 0.0 && (1.0..=longest).contains(&millis);
    exact.then(|| Duration::from_millis(millis as u64))
}

/// Parses a duration from `min` to `max`.
pub fn duration_within(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let value = duration(text)?;
    if value < min {
        let (min, value) = (format_duration(min), format_duration(value));
        return Err(format!("must be at least {min}, not {value}"));
    }
    if value > max {
        let (max, value) = (format_duration(max), format_duration(value));
        return Err(format!("must be at most {max}, not {value}"));
    }
    Ok(value)
}

/// Parses a duration of whole seconds from `min` to `max`.
pub fn whole_seconds(text: &str, min: Duration, max: Duration) -> Result<Duration, String> {
    let value = duration_within(text, min, max)?;
    if value.subsec_nanos() != 0 {
        return Err(format!(
            "must be whole seconds, not {}",
            format_duration(value)
        ));
    }
    Ok(value)
}

/// Formats the shortest text that [`duration`] parses, to the millisecond: `1m30s`, `1s500ms`, `0s`.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    let mut text = String::new();
    for (unit, size) in UNITS {
        let count = rest / u128::from(size);
        rest %= u128::from(size);
        if count > 0 {
            text.push_str(&format!("{count}{unit}"));
        }
    }
    if text.is_empty() {
        text.push_str("0s");
    }
    text
}

/// Parses a set of HTTP status codes such as `200-299,401`, each within 100 to 999.
pub fn status_set(text: &str) -> Result<StatusSet, String> {
    let ranges = text
        .split(',')
        .map(|part| status_range(part.trim()))
        .collect::<Result<_, _>>()?;
    Ok(StatusSet { ranges })
}

/// Returns a set of one code.
pub fn status_code(code: i64) -> Result<StatusSet, String> {
    status_set(&code.to_string())
}

fn status_range(part: &str) -> Result<(u16, u16), String> {
    let (from, to) = part.split_once('-').unwrap_or((part, part));
    let code = |text: &str| {
        let text = text.trim();
        text.parse::<u16>()
            .ok()
            .filter(|code| (100..=999).contains(code) && text.len() == 3)
            .ok_or_else(|| {
                format!(
                    "must be codes from 100 to 999 and ranges of them such as \"200-299,401\"; \
                     `{}` is none",
                    brief(part)
                )
            })
    };
    let (from, to) = (code(from)?, code(to)?);
    if from > to {
        return Err(format!(
            "has the range {from}-{to}, which is empty; write {to}-{from}"
        ));
    }
    Ok((from, to))
}

/// A `$` that cannot be replaced.
#[derive(Debug, PartialEq, Eq)]
pub struct BadDollar {
    /// Range of the `$` and its name in bytes.
    pub range: Range<usize>,
    /// The unset variable; `None` if no name follows the `$`.
    pub name: Option<String>,
}

/// Replaces each `$NAME` by the variable of the environment, and each `$$` by a dollar sign.
pub fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, Vec<BadDollar>> {
    let mut filled = String::with_capacity(text.len());
    let mut bad = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find('$') {
        let dollar = at + offset;
        filled.push_str(&text[at..dollar]);
        let rest = &text[dollar + 1..];
        if rest.starts_with('$') {
            filled.push('$');
            at = dollar + 2;
            continue;
        }
        let name = if rest.starts_with(|c: char| c.is_ascii_digit()) {
            ""
        } else {
            leading(rest, |c| c.is_ascii_alphanumeric() || c == '_')
        };
        at = dollar + 1 + name.len();
        if name.is_empty() {
            bad.push(BadDollar {
                range: dollar..at,
                name: None,
            });
        } else if let Some(value) = env(name) {
            filled.push_str(&value);
        } else {
            bad.push(BadDollar {
                range: dollar..at,
                name: Some(name.to_owned()),
            });
        }
    }
    filled.push_str(&text[at..]);
    if bad.is_empty() { Ok(filled) } else { Err(bad) }
}

/// `text` has the form of a bot token, `123456:ABC-DEF`, which is safe in the path of a URL.
pub fn is_token(text: &str) -> bool {
    text.split_once(':').is_some_and(|(id, key)| {
        !id.is_empty()
            && !key.is_empty()
            && id.bytes().all(|b| b.is_ascii_digit())
            && key
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    })
}

/// Parses the name of a site or a group: 1 to 64 characters on one line.
pub fn label(text: &str) -> Result<String, String> {
    one_line(text, 64)
}

/// Parses a note under alerts: 1 to 200 characters on one line.
pub fn note(text: &str) -> Result<String, String> {
    one_line(text, 200)
}

fn one_line(text: &str, most: usize) -> Result<String, String> {
    let length = text.chars().count();
    if !(1..=most).contains(&length) {
        return Err(format!("must have 1 to {most} characters, not {length}"));
    }
    if text.chars().any(char::is_control) {
        return Err("must not have control characters in it".to_owned());
    }
    if printable::line(text, length) != text {
        return Err(
            "must not have characters in it that cannot be seen or that turn text round".to_owned(),
        );
    }
    if text.trim() != text {
        return Err("must not begin or end with a blank".to_owned());
    }
    Ok(text.to_owned())
}

/// Parses an HTTP method, which must be in capital letters.
pub fn method(text: &str) -> Result<String, String> {
    if text == "CONNECT" {
        return Err(
            "cannot be CONNECT: that opens a tunnel and gets no answer to judge".to_owned(),
        );
    }
    if !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b == b'-' || b == b'_')
    {
        return Ok(text.to_owned());
    }
    let upper = text.to_ascii_uppercase();
    let form = "must be a method in capital letters such as \"GET\"";
    Err(if upper != text && method(&upper).is_ok() {
        format!("{form}; did you mean \"{}\"?", brief(&upper))
    } else {
        form.to_owned()
    })
}

/// Checks the name of a request header: an HTTP token (RFC 9110, section 5.6.2) that the HTTP library does
/// not set itself.
pub fn header_name(name: &str) -> Result<(), String> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(token) {
        return Err("is no header name: letters, digits and `-` only".to_owned());
    }
    for (refused, why) in [
        ("Content-Length", "it follows from `send`"),
        ("Transfer-Encoding", "it follows from `send`"),
        ("Connection", "connections are kept or closed by the agent"),
    ] {
        if name.eq_ignore_ascii_case(refused) {
            return Err(format!("cannot be set: {why}"));
        }
    }
    Ok(())
}

/// Checks the value of a request header: RFC 9110 section 5.5 allows ASCII only.
pub fn header_value(text: &str) -> Result<(), String> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err("has a line break or another control character in it".to_owned());
    }
    if !text.is_ascii() {
        let remedy = "cannot hold characters beyond ASCII: write them as the server expects them, \
                      e.g. percent-encoded";
        return Err(remedy.to_owned());
    }
    Ok(())
}

/// Truncates `text` to 40 characters for a message.
pub fn brief(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// A character of a bare key in TOML.
pub fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// Splits `text` at the first `sign`.
pub fn cut(text: &str, sign: impl Fn(char) -> bool) -> (&str, Option<&str>) {
    match text.split_once(sign) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

/// Returns the longest prefix of `text` whose characters are all `wanted`.
pub fn leading(text: &str, wanted: impl Fn(char) -> bool) -> &str {
    let end = text.find(|c| !wanted(c)).unwrap_or(text.len());
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn refused(text: &str, why: &str) {
        assert_eq!(duration(text).unwrap_err(), why);
    }

    #[test]
    fn durations_are_read_and_written_in_their_shortest_form() {
        for (text, millis, short) in [
            ("500ms", 500, "500ms"),
            ("10s", 10_000, "10s"),
            ("5m", 300_000, "5m"),
            ("1h30m", 5_400_000, "1h30m"),
            ("14d", 1_209_600_000, "14d"),
            ("90s", 90_000, "1m30s"),
            ("1500ms", 1_500, "1s500ms"),
            ("0s", 0, "0s"),
            ("10000d", 864_000_000_000, "10000d"),
        ] {
            let value = duration(text).unwrap();
            assert_eq!(value, Duration::from_millis(millis), "{text}");
            assert_eq!(format_duration(value), short);
        }
    }

    #[test]
    fn a_bad_duration_says_what_is_wrong_with_it() {
        let form = "must be a duration such as \"60s\" or \"1h30m\"; ";
        refused("", &format!("{form}it is empty"));
        refused("60", &format!("{form}`60` has no unit (ms, s, m, h or d)"));
        refused(
            "1h30",
            &format!("{form}`1h30` has no unit (ms, s, m, h or d)"),
        );
        refused("-5s", &format!("{form}`-5s` is negative"));
        refused(
            "1.5h",
            &format!("{form}`1.5h` is not a duration; write 1h30m"),
        );
        refused(
            "10 s",
            &format!("{form}`10 s` is not a duration; write 10s"),
        );
        refused(
            "10 sec",
            &format!("{form}`10 sec` is not a duration; write 10s"),
        );
        refused(
            "90 Minutes",
            &format!("{form}`90 Minutes` is not a duration; write 1h30m"),
        );
        refused("2w", &format!("{form}`2w` is not a duration; write 14d"));
        refused("0 s", &format!("{form}`0 s` is not a duration"));
        refused(
            "99999 days",
            &format!("{form}`99999 days` is not a duration"),
        );
        refused("soon", &format!("{form}`soon` is not a duration"));
        refused("5min", &format!("{form}`5min` is not a duration; write 5m"));
        refused("5x", &format!("{form}`x` is no unit (ms, s, m, h or d)"));
        refused(
            "30m1h",
            &format!("{form}in `30m1h` larger units come first, each once"),
        );
        refused(
            "1s1s",
            &format!("{form}in `1s1s` larger units come first, each once"),
        );
        refused("10001d", "must be at most 10000d");
        refused("99999999999999999999s", "must be at most 10000d");
        refused("18446744073709551615d", "must be at most 10000d");
        refused("é", &format!("{form}`é` is not a duration"));
        refused("5é", &format!("{form}`5é` is not a duration"));
    }

    #[test]
    fn a_note_is_one_line_of_at_most_200_characters() {
        let longest = "é".repeat(200);
        assert_eq!(note(&longest), Ok(longest.clone()));
        for (text, why) in [
            (longest + "é", "must have 1 to 200 characters, not 201"),
            (String::new(), "must have 1 to 200 characters, not 0"),
            ("a\nb".to_owned(), "must not have control characters in it"),
        ] {
            assert_eq!(note(&text), Err(why.to_owned()));
        }
    }

    #[test]
    fn bounds_of_a_duration_are_named() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let within = |text| duration_within(text, second, minute);
        assert_eq!(within("1s"), Ok(second));
        assert_eq!(within("1m"), Ok(minute));
        assert_eq!(
            within("999ms").unwrap_err(),
            "must be at least 1s, not 999ms"
        );
        assert_eq!(within("61s").unwrap_err(), "must be at most 1m, not 1m1s");
        assert_eq!(
            whole_seconds("1500ms", second, minute).unwrap_err(),
            "must be whole seconds, not 1s500ms"
        );
    }

    #[test]
    fn status_sets_are_codes_and_ranges() {
        let set = status_set("200-299, 401").unwrap();
        assert_eq!(set.ranges, [(200, 299), (401, 401)]);
        assert!(set.contains(204) && set.contains(401) && !set.contains(400));
        assert_eq!(status_code(200).unwrap().to_string(), "200");
        let form = "must be codes from 100 to 999 and ranges of them such as \"200-299,401\"; ";
        for (text, named) in [
            ("", ""),
            ("99", "99"),
            ("1000", "1000"),
            ("2xx", "2xx"),
            ("200,", ""),
            ("+200", "+200"),
        ] {
            assert_eq!(
                status_set(text).unwrap_err(),
                format!("{form}`{named}` is none")
            );
        }
        assert_eq!(
            status_code(-200).unwrap_err(),
            format!("{form}`-200` is none")
        );
        assert_eq!(
            status_set("299-200").unwrap_err(),
            "has the range 299-200, which is empty; write 200-299"
        );
    }

    #[test]
    fn dollar_names_come_from_the_environment() {
        let env = |name: &str| (name == "A_1").then(|| "x$y".to_owned());
        assert_eq!(expand("", &env).unwrap(), "");
        assert_eq!(expand("a$A_1-$$A_1$$", &env).unwrap(), "ax$y-$A_1$");
        assert_eq!(
            expand("ä$B,$,$1$A_1", &env).unwrap_err(),
            [
                BadDollar {
                    range: 2..4,
                    name: Some("B".to_owned())
                },
                BadDollar {
                    range: 5..6,
                    name: None
                },
                BadDollar {
                    range: 7..8,
                    name: None
                },
            ]
        );
    }

    #[test]
    fn tokens_have_the_form_that_botfather_gives() {
        assert!(is_token("123456:ABC-DEF_9"));
        for bad in [
            "", ":", "123456:", ":ABC", "abc:ABC", "1:a:b", "1:a b", "1:a/b", " 1:a",
        ] {
            assert!(!is_token(bad), "{bad}");
        }
    }

    #[test]
    fn methods_are_written_in_capitals() {
        assert_eq!(method("GET").unwrap(), "GET");
        assert_eq!(method("M-SEARCH").unwrap(), "M-SEARCH");
        let form = "must be a method in capital letters such as \"GET\"";
        assert_eq!(
            method("post").unwrap_err(),
            format!("{form}; did you mean \"POST\"?")
        );
        assert_eq!(method("").unwrap_err(), form);
        assert_eq!(method("GET /").unwrap_err(), form);
        assert!(
            method("CONNECT")
                .unwrap_err()
                .starts_with("cannot be CONNECT")
        );
    }

    proptest! {
        #[test]
        fn a_duration_survives_being_written_and_read(millis in 0u64..=864_000_000_000) {
            let value = Duration::from_millis(millis);
            prop_assert_eq!(duration(&format_duration(value)), Ok(value));
        }

        #[test]
        fn no_text_breaks_a_parser(text in any::<String>()) {
            let _ = (duration(&text), status_set(&text), expand(&text, &|_| None));
            let _ = (is_token(&text), label(&text), method(&text), header_name(&text), brief(&text));
        }
    }
}
