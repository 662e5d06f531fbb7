//! Texts about the runs of actions, as plain text.

use crate::monitor::incident::remediation::RunRequest;
use crate::monitor::site::printable::{CAUSE, lines};

/// Returns ` for wan (#5)`; empty for an action without a site.
fn about(request: &RunRequest) -> String {
    let number = request.incident.map(|number| format!(" (#{number})"));
    match request.site.as_str() {
        "" => String::new(),
        site => format!(" for {site}{}", number.unwrap_or_default()),
    }
}

/// Returns the log line for the start of a run.
pub fn begins(request: &RunRequest) -> String {
    let by = match &request.asked {
        None => "by itself".to_owned(),
        Some(asked) => match asked.user {
            Some(id) => format!("as user {id} asked"),
            None => "as was asked".to_owned(),
        },
    };
    format!("{} runs {by}{}", request.action, about(request))
}

/// Returns the text about the end of a run. `site`: whether it names the site.
pub fn result(request: &RunRequest, result: &str, site: bool) -> String {
    let by = match &request.asked {
        None => " by itself".to_owned(),
        Some(asked) if asked.name.is_empty() => String::new(),
        Some(asked) => format!(" by {}", lines(&asked.name, 32).replace('\n', " ")),
    };
    let about = if site { about(request) } else { String::new() };
    let result = lines(result, 2 * CAUSE);
    format!("{}{by}{about}: {result}", request.action)
}
