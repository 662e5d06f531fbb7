//! Calls of the Bot API: a body out, a bounded body back.

use super::{Ask, Client, Fault};
use crate::monitor::site::outcome::Failure;
use crate::monitor::site::{HttpVersion, IpVersion};
use futures_lite::{AsyncReadExt, FutureExt};
use isahc::http::{HeaderMap, HeaderValue, Method, header};
use std::io;
use std::time::{Duration, Instant};
use url::Url;

/// Bodies over this are cut.
const MOST: usize = 1024 * 1024;
/// Over the transfer's own timeout, for the case that libcurl doesn't keep it.
const GRACE: Duration = Duration::from_millis(250);

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    /// At most 1 MiB.
    pub body: Vec<u8>,
}

/// Why there is no whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The text holds no more of the URL than its host.
    Failed(Failure),
    /// The body is over 1 MiB; its beginning.
    TooLarge(Vec<u8>),
}

impl Client {
    /// POSTs `body` in HTTP/1.1 (one HTTP/2 connection for the poll and the sends would be one
    /// dead connection for both). Takes no permit: three connections are kept for these calls.
    pub async fn post(
        &self,
        url: &str,
        content_type: HeaderValue,
        body: &[u8],
        timeout: Duration,
        ip: IpVersion,
    ) -> Result<Answer, CallError> {
        let fail = |what| {
            CallError::Failed(Failure::new(
                crate::monitor::site::outcome::FailureKind::Internal,
                what,
            ))
        };
        let url = Url::parse(url).map_err(|_| fail("the address of the Bot API is not a URL"))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let failed = |fault: Fault| CallError::Failed(fault.failure(&host, timeout));
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        let deadline = Instant::now() + timeout;
        let call = async {
            let ask = Ask {
                url: &url,
                method: Method::POST,
                headers: &headers,
                body: Some(body),
                basic: None,
                version: HttpVersion::Http11,
                ip,
                verify: true,
                ca_file: None,
                dial: None,
                connect_within: None,
                fresh: false,
                close: false,
                deadline,
                permit: None,
            };
            let mut response = self.send(&ask).await.map_err(failed)?;
            let status = response.status().as_u16();
            let mut body = Vec::new();
            let mut bounded = response.body_mut().take(MOST as u64 + 1);
            let read = bounded.read_to_end(&mut body).await;
            read.map_err(|error| failed(Fault::of_body(error, url.scheme() == "https")))?;
            if body.len() > MOST {
                body.truncate(MOST);
                return Err(CallError::TooLarge(body));
            }
            Ok(Answer { status, body })
        };
        let late = async {
            async_io::Timer::at(deadline + GRACE).await;
            let error = io::Error::from(io::ErrorKind::TimedOut);
            Err(failed(Fault::of_body(error, false)))
        };
        call.or(late).await
    }
}
