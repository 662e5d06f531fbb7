//! Explains why Telegram gave no valid response, and what the user can do about it.

use crate::agent;
use crate::chat::telegram::ApiError;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::Client;
use crate::monitor::time::text::day_of;
use crate::monitor::uplink::route::Route;

/// Returns an explanation for the user.
pub async fn explain(error: &ApiError, client: &Client, config: &Config) -> String {
    let cause = Cause::of(error);
    // Only probed when it matters, because that takes seconds.
    let up = match cause {
        Cause::NotReached => agent::uplink_is_up(client, &config.agent).await,
        _ => true,
    };
    let now = Clock::system().now();
    let routes = config.telegram.as_ref().map_or(&[][..], |t| &t.route);
    let way = way(routes);
    cause.sentence(
        &error.to_string(),
        up,
        &day_of(now.wall, now),
        way.as_deref(),
    )
}

/// Returns the routes as text for the user, or `None` if there is only the direct one.
fn way(routes: &[Route]) -> Option<String> {
    let names: Vec<String> = routes.iter().map(Route::to_string).collect();
    let direct = routes.iter().all(|route| *route == Route::Direct);
    (!direct).then(|| names.join(", "))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Token,
    Clock,
    Certificate,
    /// A connection was established and then closed.
    Cut,
    /// No connection was established, or no response came.
    NotReached,
    /// Another server responded.
    NotTelegram,
    /// Nothing is known beyond the error's text.
    Other,
}

impl Cause {
    /// Derives the cause from the text of [`crate::http::TransferError::failure`], since the error
    /// isn't kept.
    fn of(error: &ApiError) -> Cause {
        let text = match error {
            error if error.is_unauthorised() => return Cause::Token,
            ApiError::Unreachable { text } => text.as_str(),
            ApiError::Refused(_) => return Cause::Other,
            ApiError::Unreadable(_) => return Cause::NotTelegram,
        };
        let has = |parts: &[&str]| parts.iter().any(|part| text.contains(part));
        if has(&["clock not set"]) {
            Cause::Clock
        } else if has(&["certificate not trusted"]) {
            Cause::Certificate
        } else if has(&[
            "connection reset",
            "handshake failed",
            "closed the connection",
            "broken off",
        ]) {
            Cause::Cut
        } else if has(&[
            "cannot resolve",
            "cannot connect",
            "no connection within",
            "no answer within",
            "no end of the answer",
        ]) {
            Cause::NotReached
        } else if has(&["not the Bot API's", "is not HTTP"]) {
            Cause::NotTelegram
        } else {
            Cause::Other
        }
    }

    /// Returns the explanation. `up`: the uplink works. `today`: the date that the clock shows.
    /// `routes`: the routes that were tried, if they aren't only the direct one.
    fn sentence(self, error: &str, up: bool, today: &str, routes: Option<&str>) -> String {
        const WAY: &str = "a way around it is given by `sitemon init --route direct,socks5h://HOST:PORT`, or a relay of \
                           your own (https://…)";
        if let Some(routes) = routes
            && (matches!(self, Cause::Certificate | Cause::Cut | Cause::NotTelegram)
                || (self == Cause::NotReached && up))
        {
            return format!(
                "Telegram is not reached by {routes}: {error}. See that the proxy or relay runs and may be used from \
                 here, or give another one with --route."
            );
        }
        match self {
            Cause::Token => "Telegram refuses this token. @BotFather shows the right one: /mybots, the bot, API Token."
                .to_owned(),
            Cause::Clock => format!(
                "The clock of this machine is not set: it shows {today}, and no certificate can be checked by it. Wait \
                 until it is set by the network, or set it: date -s \"YYYY-MM-DD hh:mm\"."
            ),
            Cause::Certificate => format!(
                "The certificate that was shown is not Telegram's, or the date is wrong: this machine shows {today}. \
                 If that is right, something on this network intercepts it, or wants a login first; {WAY}."
            ),
            Cause::Cut => format!("Telegram looks blocked here: {error}. {}.", capital(WAY)),
            Cause::NotReached if up => format!(
                "Telegram looks blocked here: {error}, though the network works. {}.",
                capital(WAY)
            ),
            Cause::NotReached => {
                format!("There is no network: {error}, and nothing else answers. Check the cable, the Wi-Fi and the router.")
            }
            Cause::NotTelegram => format!(
                "Something answers in the place of Telegram ({error}): a network that wants a login first, or a wrong \
                 --api. Log in there; or {WAY}."
            ),
            Cause::Other => format!("Telegram could not be asked: {error}."),
        }
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::telegram::Refusal;
    use crate::http::{TransferError, TransferErrorKind as Kind};
    use std::time::Duration;

    fn cause(text: &str) -> Cause {
        let text = text.to_owned();
        Cause::of(&ApiError::Unreachable { text })
    }

    #[test]
    fn every_failed_transfer_has_its_cause() {
        for (kind, wanted) in [
            (Kind::Resolve, Cause::NotReached),
            (Kind::Connect, Cause::NotReached),
            (Kind::ConnectTimeout, Cause::NotReached),
            (Kind::AnswerTimeout, Cause::NotReached),
            (Kind::EndTimeout, Cause::NotReached),
            (Kind::Certificate, Cause::Certificate),
            (Kind::Handshake, Cause::Cut),
            (Kind::Reset, Cause::Cut),
            (Kind::Unreadable, Cause::Cut),
            (Kind::Empty, Cause::Cut),
            (Kind::BrokenOff, Cause::Cut),
            (Kind::NotHttp, Cause::NotTelegram),
            (Kind::Roots("no trusted roots".to_owned()), Cause::Other),
        ] {
            let failure = TransferError::from(kind).failure("api.example", Duration::from_secs(20));
            assert_eq!(cause(&failure.detail), wanted, "{}", failure.detail);
        }
        assert_eq!(cause("clock not set"), Cause::Clock);
        let portal = "HTTP 200 with an answer that is not the Bot API's";
        assert_eq!(cause(portal), Cause::NotTelegram);
        let refused = |code| {
            Cause::of(&ApiError::Refused(Refusal {
                code,
                description: String::new(),
                retry_after: None,
                migrate_to: None,
            }))
        };
        assert_eq!((refused(401), refused(404)), (Cause::Token, Cause::Token));
        assert_eq!(refused(429), Cause::Other);
    }

    #[test]
    fn what_is_not_reached_is_blocked_only_where_the_network_works() {
        let said = |up| Cause::NotReached.sentence("no connection within 20s", up, "", None);
        assert!(
            said(true).starts_with("Telegram looks blocked here: no connection within 20s, though")
        );
        assert!(said(false).starts_with("There is no network: "));
        assert!(
            Cause::Clock
                .sentence("", true, "Jan 1 1970", None)
                .contains("it shows Jan 1 1970")
        );
    }

    #[test]
    fn a_proxy_that_fails_is_not_told_as_a_block() {
        let said = |cause: Cause, up| cause.sentence("why", up, "", Some("socks5h://***@h:1"));
        for cause in [
            Cause::Certificate,
            Cause::Cut,
            Cause::NotReached,
            Cause::NotTelegram,
        ] {
            let text = said(cause, true);
            assert!(
                text.starts_with("Telegram is not reached by socks5h://***@h:1: why. "),
                "{text}"
            );
        }
        assert!(said(Cause::NotReached, false).starts_with("There is no network: "));
        assert!(said(Cause::Token, true).starts_with("Telegram refuses this token."));
        assert_eq!(way(&[Route::Direct]), None);
    }
}
