//! Sends alerts to the channels of `[[notify]]`: one request each, by the process's HTTP client.

use super::outgoing_request::OutgoingRequest;
use super::{Agent, Input};
use crate::check::cookie_date;
use crate::clock::Clock;
use crate::config::{Body, Notify};
use crate::http::Client;
use crate::monitor::Event;
use crate::monitor::outbox::channels::ChannelSend;
use crate::monitor::outbox::message::Delivery;
use async_lock::Semaphore;
use isahc::http::header::{HeaderName, RETRY_AFTER};
use isahc::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use url::Url;

/// Timeout of the whole request, once it has its permit.
const WITHIN: Duration = Duration::from_secs(10);
/// A request that failed after more than this is repeated after twice the time that it took: with
/// few permits, most of a permit's time has to remain for checks.
const LONG: Duration = Duration::from_secs(3);
/// Maximum delay that is taken from `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Notifier {
    client: Client,
    clock: Clock,
    channels: RefCell<Vec<Rc<Notify>>>,
    /// One request at a time, so that requests that hang don't take the permits of the checks.
    turn: Semaphore,
}

impl Agent {
    pub(super) fn send_by_channel(&self, send: ChannelSend) {
        let notifier = self.notifier.clone();
        self.report_when(async move {
            let delivery = notifier.send(&send).await;
            let id = send.id;
            Input::Event(Event::DeliveredByChannel { id, delivery })
        });
    }
}

impl Notifier {
    pub(super) fn new(client: Client, clock: Clock, channels: &[Notify]) -> Notifier {
        let notifier = Notifier {
            client,
            clock,
            channels: RefCell::default(),
            turn: Semaphore::new(1),
        };
        notifier.reload(channels);
        notifier
    }

    pub(super) fn reload(&self, channels: &[Notify]) {
        *self.channels.borrow_mut() = channels.iter().cloned().map(Rc::new).collect();
    }

    async fn send(&self, send: &ChannelSend) -> Delivery {
        let channels = self.channels.borrow().clone();
        let mut channels = channels.into_iter();
        let Some(notify) = channels.find(|notify| notify.channel.name == send.channel) else {
            // The channel was removed from the configuration; the monitor has dropped this
            // delivery.
            return later(None, "it is configured no longer");
        };
        let request = match filled(&notify, send) {
            Ok(request) => request,
            Err(reason) => return Delivery::Refused { reason },
        };
        if request.url.scheme() == "https" && !self.clock.is_believed() {
            return later(None, "clock not set");
        }
        let _turn = self.turn.acquire().await;
        self.ask(&request).await
    }

    async fn ask(&self, request: &OutgoingRequest) -> Delivery {
        match request.send(&self.client, WITHIN).await {
            Ok((status, headers)) => self.delivery(status, &headers),
            Err((reason, took)) => later(Some(took * 2).filter(|_| took > LONG), &reason),
        }
    }

    fn delivery(&self, status: StatusCode, headers: &HeaderMap) -> Delivery {
        let reason = format!("HTTP {}", status.as_u16());
        match status.as_u16() {
            200..=299 => Delivery::Sent { message_id: 0 },
            429 | 500..=599 => {
                let after = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok());
                later(after.and_then(|text| self.retry_after(text)), &reason)
            }
            300..=399 => Delivery::Refused {
                reason: format!("{reason}, and redirects are not followed"),
            },
            _ => Delivery::Refused { reason },
        }
    }

    /// Parses seconds or a date (RFC 9110, section 10.2.3); `None` for zero and for past dates.
    fn retry_after(&self, text: &str) -> Option<Duration> {
        let text = text.trim();
        let seconds = match text.bytes().all(|b| b.is_ascii_digit()) {
            // A number that overflows is limited to `LONGEST_WAIT`.
            true if !text.is_empty() => text.parse().unwrap_or(i64::MAX),
            _ => cookie_date::parse(text)? - self.clock.wall(),
        };
        let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0)?;
        Some(Duration::from_secs(seconds).min(LONGEST_WAIT))
    }
}

fn later(after: Option<Duration>, reason: &str) -> Delivery {
    Delivery::Later {
        after,
        everywhere: false,
        reason: reason.to_owned(),
    }
}

/// Builds the request from its templates.
///
/// # Errors
///
/// Returns why these values make no valid request, without any of the values.
fn filled(notify: &Notify, send: &ChannelSend) -> Result<OutgoingRequest, String> {
    let values = &send.values;
    let url = Url::parse(&notify.url.fill(values));
    let url = url.map_err(|_| "its `url` is none with what stands in it".to_owned())?;
    let method = Method::from_bytes(notify.method.as_bytes());
    let method = method.map_err(|_| "its `method` is none".to_owned())?;
    let mut headers = HeaderMap::new();
    let (body, kind) = match &notify.body {
        Body::None => (None, None),
        Body::Text(text) => (Some(text.fill(values)), Some("text/plain; charset=utf-8")),
        Body::Json(json) => (Some(json.fill(values)), Some("application/json")),
    };
    if let Some(kind) = kind {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    for (name, value) in &notify.headers {
        let value = value.fill(values);
        let fields = HeaderName::from_bytes(name.as_bytes()).ok();
        let fields = fields.zip(HeaderValue::from_str(&value).ok());
        if let Some((name, value)) = fields.filter(|(_, value)| !value.is_empty()) {
            headers.insert(name, value);
        }
    }
    Ok(OutgoingRequest {
        method,
        url,
        headers,
        body,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Limits;

    /// 1994-11-06 08:49:37 GMT, the RFC's example.
    const NOW: i64 = 784_111_777;

    fn notifier() -> Notifier {
        let limits = Limits::of_tests();
        let client = Client::new(&limits).expect("a client");
        Notifier::new(client, Clock::showing(|| NOW), &[])
    }

    #[test]
    fn what_a_server_asks_for_is_read_and_bounded() {
        let notifier = notifier();
        let day = Some(LONGEST_WAIT);
        for (text, wanted) in [
            ("120", Some(Duration::from_secs(120))),
            (" 3 ", Some(Duration::from_secs(3))),
            (
                "Sun, 06 Nov 1994 08:50:37 GMT",
                Some(Duration::from_secs(60)),
            ),
            ("Sun, 06 Nov 2094 08:49:37 GMT", day),
            ("99999999999999999999999", day),
            ("0", None),
            ("-5", None),
            ("", None),
            ("Sun, 06 Nov 1994 08:49:30 GMT", None),
            ("soon", None),
        ] {
            assert_eq!(notifier.retry_after(text), wanted, "{text:?}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let notifier = notifier();
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        for status in 100..600 {
            let code = StatusCode::from_u16(status).expect("a status");
            match (status, notifier.delivery(code, &headers)) {
                (200..=299, Delivery::Sent { .. }) => {}
                (429 | 500..=599, Delivery::Later { after, .. }) => {
                    assert_eq!(after, Some(Duration::from_secs(7)));
                }
                (100..=199 | 300..=428 | 430..=499, Delivery::Refused { .. }) => {}
                (_, delivery) => panic!("{status}: {delivery:?}"),
            }
        }
    }
}
