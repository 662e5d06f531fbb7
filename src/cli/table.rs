//! Prints the result of `check` and `status`: a table for users, JSON for programs.

use crate::config::json_string;
use crate::monitor::render::text::count;
use crate::monitor::site::state::State;
use crate::monitor::time::text::response;
use std::io::{self, IsTerminal};
use std::time::Duration;

/// The row of one site.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub url: String,
    pub state: State,
    pub cause: Option<String>,
    pub took: Option<Duration>,
    /// Start of the state in Unix seconds; `None` for `check`.
    pub since: Option<i64>,
    /// Further results: DNS records, days left, packet loss.
    pub detail: Option<String>,
    /// What couldn't be determined, and why.
    pub unknown: Vec<String>,
}

/// The status of the agent; only for `status`.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// When the state was written, in Unix seconds; `None` if there is no state.
    pub written: Option<i64>,
    /// An agent is running and uses the state.
    pub running: bool,
}

/// Returns whether stdout may be coloured (<https://no-color.org>).
pub fn coloured() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none()
        && set("TERM").is_none_or(|term| term != "dumb")
        && io::stdout().is_terminal()
}

/// Formats a header and a row per site with aligned columns. Columns without any value are omitted.
pub fn text(rows: &[Row], coloured: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let names = column("SITE", rows, |r| r.name.clone());
    let mut states = column("STATE", rows, |r| r.state.word().to_owned());
    if coloured {
        for (cell, row) in states.iter_mut().skip(1).zip(rows) {
            *cell = format!("\x1b[{}m{cell}\x1b[0m", colour(row.state));
        }
    }
    let mut columns = vec![names, states];
    if rows.iter().any(|r| r.took.is_some()) {
        let took = column("TIME", rows, |r| {
            r.took.map_or_else(|| "-".to_owned(), response)
        });
        columns.push(right(took));
    }
    columns.push(column("", rows, |row| {
        let cause = row
            .cause
            .iter()
            .chain(row.cause.is_none().then_some(&row.url));
        let rest: Vec<&str> = row
            .detail
            .iter()
            .chain(&row.unknown)
            .map(String::as_str)
            .collect();
        let parts = cause
            .cloned()
            .chain((!rest.is_empty()).then(|| rest.join(", ")));
        parts.collect::<Vec<String>>().join("  ")
    }));
    let mut out = String::new();
    for line in 0..=rows.len() {
        let cells: Vec<&str> = columns.iter().map(|column| column[line].as_str()).collect();
        let text = cells.join("  ");
        match text.trim_end() {
            header if line == 0 && coloured => out.push_str(&format!("\x1b[1m{header}\x1b[0m")),
            text => out.push_str(text),
        }
        out.push('\n');
    }
    out
}

/// Formats the line below the table of `check`, without a line break: `3 sites: 2 up, 1 down (1.2
/// s)`.
pub fn total(rows: &[Row], took: Duration) -> String {
    let states = [
        State::Up,
        State::Degraded,
        State::Down,
        State::Unreachable,
        State::Unknown,
        State::Offline,
        State::Paused,
    ];
    let of = |state| rows.iter().filter(|row| row.state == state).count();
    let counts = states.map(|state| (of(state), state.word()));
    let counts = counts.iter().filter(|(n, _)| *n > 0);
    let counts: Vec<String> = counts.map(|(n, word)| format!("{n} {word}")).collect();
    if counts.is_empty() {
        return "no site to check".to_owned();
    }
    let sites = count(rows.len(), "site");
    format!(
        "{sites}: {} ({:.1} s)",
        counts.join(", "),
        took.as_secs_f64()
    )
}

/// Returns the cells of a column, padded to equal width; the title is the first one.
fn column(title: &str, rows: &[Row], cell: impl Fn(&Row) -> String) -> Vec<String> {
    let mut cells: Vec<String> = rows.iter().map(cell).collect();
    cells.insert(0, title.to_owned());
    let width = cells.iter().map(|c| c.chars().count()).max().unwrap_or(0);
    // `fmt` counts characters, too.
    cells.iter().map(|c| format!("{c:<width$}")).collect()
}

fn right(cells: Vec<String>) -> Vec<String> {
    let width = cells.first().map_or(0, |c| c.chars().count());
    cells
        .iter()
        .map(|c| format!("{:>width$}", c.trim_end()))
        .collect()
}

/// Returns the colour of a state (ECMA-48, SGR). It only repeats the state's word.
fn colour(state: State) -> u8 {
    match state {
        State::Up => 32,
        State::Degraded => 33,
        State::Down => 31,
        State::Unknown | State::Paused | State::Unreachable | State::Offline => 2,
    }
}

/// Formats `{"sites":[…]}`. `status` and each `since` are only for the command `status`; `unknown`
/// is a list of texts that is omitted when it is empty.
pub fn json(rows: &[Row], status: Option<Status>) -> String {
    let sites: Vec<String> = rows.iter().map(|row| site(row, status.is_some())).collect();
    let status = status.map(|Status { written, running }| {
        let written = written.map_or_else(|| "null".to_owned(), |w| w.to_string());
        format!(",\"written\":{written},\"running\":{running}")
    });
    format!(
        "{{\"sites\":[{}]{}}}\n",
        sites.join(","),
        status.unwrap_or_default()
    )
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
            text(&rows(), false),
            "SITE     STATE   TIME\n\
             blog     up     42 ms  https://blog.example/\n\
             webshop  down       -  HTTP 503, wanted 200-299\n"
        );
    }

    #[test]
    fn a_column_without_a_value_is_left_out() {
        let untimed = &rows()[1..];
        assert_eq!(
            text(untimed, false),
            "SITE     STATE\nwebshop  down   HTTP 503, wanted 200-299\n"
        );
        assert_eq!(text(&[], false), "");
    }

    #[test]
    fn the_total_counts_each_state_that_occurs() {
        let mut rows = rows();
        let took = Duration::from_millis(1_200);
        assert_eq!(total(&rows, took), "2 sites: 1 up, 1 down (1.2 s)");
        rows.truncate(1);
        assert_eq!(total(&rows, took), "1 site: 1 up (1.2 s)");
        assert_eq!(total(&[], took), "no site to check");
    }

    #[test]
    fn colour_changes_no_word_and_no_width() {
        let coloured = text(&rows(), true);
        assert!(coloured.contains("\x1b[31mdown "), "{coloured}");
        let mut plain = coloured;
        for code in [0, 1, 31, 32] {
            plain = plain.replace(&format!("\x1b[{code}m"), "");
        }
        assert_eq!(plain, text(&rows(), false));
    }

    #[test]
    fn what_could_not_be_found_out_is_shown() {
        let mut row = rows().remove(0);
        row.detail = Some("certificate expires in 40 days".to_owned());
        row.unknown = vec!["domain unknown: \"a\"".to_owned()];
        assert_eq!(
            text(&[row.clone()], false).lines().last().unwrap(),
            "blog  up     42 ms  https://blog.example/  certificate expires in 40 days, domain unknown: \"a\""
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
            json(
                &rows()[1..],
                Some(Status {
                    written: Some(7),
                    running: true
                })
            ),
            "{\"sites\":[{\"name\":\"webshop\",\"url\":\"https://webshop.example/\",\"state\":\"down\",\"cause\":\"HTTP 503, wanted 200-299\",\"ms\":null,\"since\":5}],\"written\":7,\"running\":true}\n"
        );
    }
}
