//! `/push/NAME?token=…[&status=…][&message=…]`: a report of a job.

use super::request::Request;
use crate::monitor::site::report::ReportKind;
use percent_encoding::percent_decode_str;
use url::form_urlencoded;

/// A report as it was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Name of a site, which need not exist.
    pub site: String,
    /// Empty if none was given; valid for no site if several were.
    pub token: String,
    /// `None` if the status is unknown.
    pub kind: Option<ReportKind>,
    pub message: String,
}

/// Parses a report. Returns `None` if the path isn't that of a report.
pub fn read(request: &Request, body: &[u8]) -> Option<Push> {
    let name = request.path.strip_prefix("/push/")?;
    if name.is_empty() || name.contains('/') {
        return None;
    }
    let site = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    let mut given: [Option<String>; 3] = [None, None, None];
    for (name, value) in form_urlencoded::parse(request.query.as_bytes()) {
        let names = ["token", "status", "message"];
        if let Some(at) = names.iter().position(|known| *known == name) {
            // A token or status that is given twice is ambiguous, and gets an invalid value; of
            // messages the last counts.
            let ambiguous = given[at].is_some() && name != "message";
            given[at] = Some(match ambiguous {
                true => "\0".to_owned(),
                false => value.into_owned(),
            });
        }
    }
    let [token, status, message] = given;
    let kind = match status.as_deref() {
        None | Some("up") => Some(ReportKind::Good),
        Some("start") => Some(ReportKind::Start),
        Some("down") => Some(ReportKind::Bad),
        Some(_) => None,
    };
    let message = match body {
        [] => message.unwrap_or_default(),
        body => String::from_utf8_lossy(body).into_owned(),
    };
    Some(Push {
        site,
        token: token.or(request.bearer.clone()).unwrap_or_default(),
        kind,
        message,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listen::request;

    fn of(target: &str, headers: &str, body: &str) -> Option<Push> {
        let head = format!("POST {target} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        let request = request::read(head.as_bytes()).expect("a request");
        read(&request, body.as_bytes())
    }

    fn push(site: &str, token: &str, kind: Option<ReportKind>, message: &str) -> Option<Push> {
        Some(Push {
            site: site.to_owned(),
            token: token.to_owned(),
            kind,
            message: message.to_owned(),
        })
    }

    #[test]
    fn name_and_parameters_are_decoded() {
        let good = Some(ReportKind::Good);
        assert_eq!(
            of("/push/nightly?token=abc", "", ""),
            push("nightly", "abc", good, "")
        );
        assert_eq!(
            of(
                "/push/db%20%2F%C3%A4+?message=a+b%0Ac&status=down&x=y&token=%26",
                "",
                ""
            ),
            push("db /ä+", "&", Some(ReportKind::Bad), "a b\nc")
        );
        assert_eq!(
            of(
                "/push/a?status=start&message=m",
                "Authorization: Bearer t\r\n",
                "the body"
            ),
            push("a", "t", Some(ReportKind::Start), "the body")
        );
        assert_eq!(
            of("/push/a?status=&token=t", "", ""),
            push("a", "t", None, "")
        );
        assert_eq!(of("/push/a", "", ""), push("a", "", good, ""));
        assert_eq!(
            of("/push/a?message=m&message=n&token=t", "", ""),
            push("a", "t", good, "n")
        );
    }

    #[test]
    fn other_paths_are_no_reports_and_a_token_or_status_given_twice_counts_for_nothing() {
        for path in [
            "/push",
            "/push/",
            "/push/a/",
            "/push/a/b",
            "/push//a",
            "//push/a",
            "/push/../metrics",
            "/Push/a",
            "/push/%ff",
        ] {
            assert_eq!(of(path, "", ""), None, "{path}");
        }
        let two = of(
            "/push/a?token=t&token=t&status=up&status=up",
            "Authorization: Bearer t\r\n",
            "",
        );
        assert_eq!(two, push("a", "\0", None, ""));
        let dots = of("/push/..%2f", "", "");
        assert_eq!(dots.map(|p| p.site), Some("../".to_owned()));
    }
}
