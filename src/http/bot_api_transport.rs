//! Calls of the Bot API: sends a body and returns a bounded one.

use super::route_failure::EXPLAINED;
use super::{Client, GRACE, TransferError, TransferErrorKind, TransferRequest};
use crate::monitor::site::outcome::{Failure, FailureKind};
use crate::monitor::site::{HttpVersion, IpVersion, Proxy};
use crate::timeout::before;
use futures_lite::AsyncReadExt;
use isahc::http::{HeaderMap, HeaderValue, Method, header};
use std::time::{Duration, Instant};
use url::Url;

/// Options of a call.
pub struct CallOptions {
    pub ip: IpVersion,
    pub proxy: Proxy,
    /// After a failure, spend some seconds on finding out why the server is unreachable.
    pub explained: bool,
}

/// Maximum bytes of a response body.
const MAX_BODY: usize = 1024 * 1024;

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// At most [`MAX_BODY`] bytes.
    pub body: Vec<u8>,
}

/// Why there is no complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The text shows no more of the URL than its host.
    Failed(Failure),
    /// The body exceeds [`MAX_BODY`]; its beginning.
    TooLarge(Vec<u8>),
}

impl Client {
    /// Calls [`Client::post_by`] with the environment's proxy, if any.
    #[cfg(test)]
    pub async fn post(
        &self,
        url: &str,
        content_type: HeaderValue,
        body: &[u8],
        timeout: Duration,
        ip: IpVersion,
    ) -> Result<Answer, CallError> {
        let (proxy, explained) = (Proxy::Environment, false);
        let options = CallOptions {
            ip,
            proxy,
            explained,
        };
        self.post_by(&options, url, content_type, body, timeout)
            .await
    }

    /// POSTs `body` in HTTP/1.1: with HTTP/2 a dead connection would break the long poll and all sends at once.
    /// Needs no permit, as three connections are reserved for these calls.
    pub async fn post_by(
        &self,
        options: &CallOptions,
        url: &str,
        content_type: HeaderValue,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Answer, CallError> {
        let no_url = |_| {
            let detail = "the address of the Bot API is not a URL";
            CallError::Failed(Failure::new(FailureKind::Internal, detail))
        };
        let url = Url::parse(url).map_err(no_url)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let failed = |fault: TransferError| CallError::Failed(fault.failure(&host, timeout));
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        let deadline = Instant::now() + timeout;
        let call = async {
            let ask = TransferRequest {
                method: Method::POST,
                body: Some(body),
                version: HttpVersion::Http11,
                ip: options.ip,
                proxy: &options.proxy,
                ..TransferRequest::get(&url, &headers, deadline)
            };
            let mut response = match self.send(&ask).await {
                Ok(response) => response,
                Err(fault) => {
                    let mut failure = fault.failure(&host, timeout);
                    if options.explained
                        && let Some(why) =
                            self.explain_route(&url, &options.proxy, &fault.what).await
                    {
                        failure.detail = why;
                    }
                    return Err(CallError::Failed(failure));
                }
            };
            let status = response.status().as_u16();
            let mut body = Vec::new();
            let mut bounded = response.body_mut().take(MAX_BODY as u64 + 1);
            let read = bounded.read_to_end(&mut body).await;
            read.map_err(|error| failed(TransferError::of_body(error, url.scheme() == "https")))?;
            if body.len() > MAX_BODY {
                body.truncate(MAX_BODY);
                return Err(CallError::TooLarge(body));
            }
            Ok(Answer { status, body })
        };
        let late = || failed(TransferError::from(TransferErrorKind::EndTimeout));
        let explained = if options.explained {
            EXPLAINED
        } else {
            Duration::ZERO
        };
        before(deadline + GRACE + explained, call)
            .await
            .unwrap_or_else(|| Err(late()))
    }
}
