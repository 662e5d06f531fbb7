//! A request other than a check, by the process's only HTTP client. Its time is bounded, and the
//! body of the answer is read only for the sake of the connection.

use crate::http::{Client, GRACE, TransferError, TransferErrorKind, TransferRequest};
use crate::monitor::site::HttpVersion;
use crate::timeout::{at_most, before};
use futures_lite::AsyncReadExt;
use isahc::http::{HeaderMap, Method, StatusCode};
use std::time::{Duration, Instant};
use url::Url;

/// Maximum number of bytes that are read of an answer's body.
const MOST: u64 = 16 * 1024;
const BODY_WITHIN: Duration = Duration::from_secs(1);

/// A complete request. It contains secrets.
pub(super) struct OutgoingRequest {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Option<String>,
}

/// The answer's status and headers, without its body.
pub(super) type Answer = (StatusCode, HeaderMap);

impl OutgoingRequest {
    /// Sends the request. `within` bounds the whole exchange, once the request has its permit.
    ///
    /// # Errors
    ///
    /// Returns why there was no answer, without secrets, and how long the attempt took.
    pub async fn send(
        &self,
        client: &Client,
        within: Duration,
    ) -> Result<Answer, (String, Duration)> {
        let permit = client.check_permit().await;
        let begun = Instant::now();
        let deadline = begun + within;
        let host = self.url.host_str().unwrap_or_default();
        let failed = |fault: TransferError| (fault.failure(host, within).detail, begun.elapsed());
        let call = async {
            let transfer = TransferRequest {
                method: self.method.clone(),
                body: self.body.as_deref().map(str::as_bytes),
                version: HttpVersion::Http11,
                permit: Some(&permit),
                ..TransferRequest::get(&self.url, &self.headers, deadline)
            };
            let mut response = client.send(&transfer).await.map_err(failed)?;
            let answer = (response.status(), std::mem::take(response.headers_mut()));
            let mut rest = Vec::new();
            let mut body = response.body_mut().take(MOST);
            let _ = at_most(BODY_WITHIN, body.read_to_end(&mut rest)).await;
            Ok(answer)
        };
        let late = || Err(failed(TransferErrorKind::AnswerTimeout.into()));
        before(deadline + GRACE, call).await.unwrap_or_else(late)
    }
}
