//! The result of `check` and `status`: a table for people, JSON for programs.

use crate::config::json_string;
use crate::monitor::judge::State;
use crate::monitor::render::text::response;
use std::time::Duration;

/// One site's line.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub url: String,
    pub state: State,
    pub cause: Option<String>,
    pub took: Option<Duration>,
    /// Unix seconds; only `status` knows it.
    pub since: Option<i64>,
    /// What else is worth showing: records, days left, loss.
    pub detail: Option<String>,
    /// What could not be found out, and why.
    pub unknown: Vec<String>,
}

/// A line a site, columns aligned.
pub fn text(rows: &[Row]) -> String {
    let name_width = rows
        .iter()
        .map(|r| r.name.chars().count())
        .max()
        .unwrap_or(0);
    let took = |r: &Row| r.took.map_or_else(|| "-".to_owned(), response);
    let took_width = rows.iter().map(|r| took(r).len()).max().unwrap_or(0);
    let state_width = rows.iter().map(|r| r.state.word().len()).max();
    let state_width = state_width.unwrap_or(0).max(8);
    let mut out = String::new();
    for row in rows {
        let pad = " ".repeat(name_width - row.name.chars().count());
        let line = format!(
            "{}{pad}  {:<state_width$}  {:>took_width$}  {}",
            row.name,
            row.state.word(),
            took(row),
            row.cause.as_deref().unwrap_or(&row.url)
        );
        let rest: Vec<&str> = row
            .detail
            .iter()
            .chain(&row.unknown)
            .map(String::as_str)
            .collect();
        let line = format!("{line}  {}", rest.join(", "));
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// `{"sites":[…]}`; `written` (Unix seconds) and each `since` for `status` only; `unknown`, a list
/// of texts, where something could not be found out.
pub fn json(rows: &[Row], written: Option<i64>) -> String {
    let sites: Vec<String> = rows
        .iter()
        .map(|row| site(row, written.is_some()))
        .collect();
    let written = written
        .map(|w| format!(",\"written\":{w}"))
        .unwrap_or_default();
    format!("{{\"sites\":[{}]{written}}}\n", sites.join(","))
}

fn site(row: &Row, with_since: bool) -> String {
    let null = || "null".to_owned();
    let since = if with_since {
        format!(
            ",\"since\":{}",
            row.since.map_or_else(null, |s| s.to_string())
        )
    } else {
        String::new()
    };
    let unknown: Vec<String> = row.unknown.iter().map(|text| json_string(text)).collect();
    let unknown = match unknown.is_empty() {
        true => String::new(),
        false => format!(",\"unknown\":[{}]", unknown.join(",")),
    };
    format!(
        "{{\"name\":{},\"url\":{},\"state\":\"{}\",\"cause\":{},\"ms\":{}{since}{unknown}}}",
        json_string(&row.name),
        json_string(&row.url),
        row.state.word(),
        row.cause.as_deref().map_or_else(null, json_string),
        row.took.map_or_else(null, |t| t.as_millis().to_string())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |name: &str, state, cause: Option<&str>, ms: Option<u64>| Row {
            name: name.into(),
            url: format!("https://{name}.example/"),
            state,
            cause: cause.map(Into::into),
            took: ms.map(Duration::from_millis),
            since: Some(5),
            detail: None,
            unknown: Vec::new(),
        };
        vec![
            row("blog", State::Up, None, Some(42)),
            row(
                "webshop",
                State::Down,
                Some("HTTP 503, wanted 200-299"),
                None,
            ),
        ]
    }

    #[test]
    fn the_table_is_aligned_and_shows_the_cause_instead_of_the_address() {
        assert_eq!(
            text(&rows()),
            "blog     up        42 ms  https://blog.example/\n\
             webshop  down          -  HTTP 503, wanted 200-299\n"
        );
    }

    #[test]
    fn what_could_not_be_found_out_is_shown() {
        let mut row = rows().remove(0);
        row.detail = Some("certificate expires in 40 days".to_owned());
        row.unknown = vec!["domain unknown: \"a\"".to_owned()];
        assert_eq!(
            text(&[row.clone()]),
            "blog  up        42 ms  https://blog.example/  certificate expires in 40 days, domain unknown: \"a\"\n"
        );
        let json = json(&[row], None);
        let end = ",\"cause\":null,\"ms\":42,\"unknown\":[\"domain unknown: \\\"a\\\"\"]}]}\n";
        assert!(json.ends_with(end), "{json}");
    }

    #[test]
    fn the_json_has_the_keys_of_the_contract() {
        assert_eq!(
            json(&rows()[..1], None),
            "{\"sites\":[{\"name\":\"blog\",\"url\":\"https://blog.example/\",\"state\":\"up\",\"cause\":null,\"ms\":42}]}\n"
        );
        assert_eq!(
            json(&rows()[1..], Some(7)),
            "{\"sites\":[{\"name\":\"webshop\",\"url\":\"https://webshop.example/\",\"state\":\"down\",\"cause\":\"HTTP 503, wanted 200-299\",\"ms\":null,\"since\":5}],\"written\":7}\n"
        );
    }
}
