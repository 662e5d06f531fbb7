//! One request over the client, and the resources that live as long as its transfer.

use super::quirks::wire_bytes;
use super::{Client, IdleBook, Permit, TransferError, TransferErrorKind, authority};
use crate::lock::lock;
use crate::monitor::site::{HttpVersion, IpVersion, Proxy};
use futures_lite::AsyncRead;
use isahc::auth::{Authentication, Credentials};
use isahc::config::{Configurable, VersionNegotiation};
use isahc::http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use isahc::net::Dialer;
use isahc::prelude::*;
use isahc::tls::{Identity, TlsConfig, TrustStore};
use isahc::{AsyncBody, Request, Response};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use url::Url;

/// Time after a transfer's own timeout before it is given up, in case libcurl does not end it.
pub const GRACE: Duration = Duration::from_millis(500);
/// This file does not exist.
const NO_ROOTS: &str = "/nonexistent";

/// One request. Redirects are not followed.
pub struct TransferRequest<'a> {
    pub url: &'a Url,
    pub method: Method,
    /// Values must be visible ASCII.
    pub headers: &'a HeaderMap,
    pub body: Option<&'a [u8]>,
    /// User and password for Basic authentication.
    pub basic: Option<(&'a str, &'a str)>,
    pub version: HttpVersion,
    pub ip: IpVersion,
    /// Verify trust and host name of a TLS server.
    pub verify: bool,
    /// Replaces the client's roots.
    pub ca_file: Option<&'a Path>,
    /// Connect to this address instead of resolving the host. Not for requests through a proxy.
    pub dial: Option<SocketAddr>,
    pub proxy: &'a Proxy,
    /// Time limit for the connection; `None`: the deadline.
    pub connect_within: Option<Duration>,
    /// Do not reuse an open connection.
    pub fresh: bool,
    /// Close the connection afterwards (HTTP/1; an HTTP/2 connection stays open).
    pub close: bool,
    /// The complete response must have arrived by then.
    pub deadline: Instant,
    /// Held until libcurl has ended the transfer, even if the caller is gone.
    pub permit: Option<&'a Permit>,
}

impl<'a> TransferRequest<'a> {
    /// A GET with any HTTP version over any connection, verified, without a permit.
    pub fn get(url: &'a Url, headers: &'a HeaderMap, deadline: Instant) -> TransferRequest<'a> {
        TransferRequest {
            url,
            method: Method::GET,
            headers,
            body: None,
            basic: None,
            version: HttpVersion::Any,
            ip: IpVersion::Any,
            verify: true,
            ca_file: None,
            dial: None,
            proxy: &Proxy::Environment,
            connect_within: None,
            fresh: false,
            close: false,
            deadline,
            permit: None,
        }
    }
}

impl Client {
    /// Sends the request and waits for the head of the response. The caller reads the body, with a limit;
    /// dropping it ends the transfer at libcurl's next callback, or at the deadline.
    pub async fn send(
        &self,
        ask: &TransferRequest<'_>,
    ) -> Result<Response<AsyncBody>, TransferError> {
        let https = ask.url.scheme() == "https";
        if !https || !ask.verify {
            return self.attempt(ask, None).await;
        }
        let roots = &self.shared.roots;
        let bundle = roots.bundle(ask.ca_file).map_err(roots_fault)?;
        let name = authority(ask.url);
        // An unreadable bundle fails once there is a connection, as in libcurl.
        let known = roots.refresh(&bundle).await.is_ok();
        if let Some(root) = roots.learnt(&bundle, &name).filter(|_| known) {
            match self.attempt(ask, Some(root.store.clone())).await {
                Err(fault) if matches!(fault.what, TransferErrorKind::Certificate) => {
                    // The chain may have changed: verify it with the whole bundle.
                    roots.learn(&bundle, &name, None);
                }
                result => return result,
            }
        }
        // libcurl opens the file on its only thread, which must not block on a FIFO.
        let seen = roots.refresh_now(&bundle).await;
        let whole = match &seen {
            Ok(()) => roots.whole(&bundle),
            Err(_) => TrustStore::from_file(NO_ROOTS),
        };
        match self.attempt(ask, Some(whole)).await {
            Err(fault) if matches!(fault.what, TransferErrorKind::Roots(_)) => {
                let why = seen.err().unwrap_or_else(|| roots.defect(&bundle, None));
                let what = TransferErrorKind::Roots(why);
                Err(TransferError { what, ..fault })
            }
            result => result,
        }
    }

    async fn attempt(
        &self,
        ask: &TransferRequest<'_>,
        trust: Option<TrustStore>,
    ) -> Result<Response<AsyncBody>, TransferError> {
        let https = ask.url.scheme() == "https";
        let request = self.request(ask, trust)?;
        self.shared.idle.started();
        let response = self
            .shared
            .isahc
            .get()
            .send_async(request)
            .await
            .map_err(|error| TransferError::new(&error, https, false))?;
        let stays_open = !ask.close || response.version() == Version::HTTP_2;
        if let Some(address) = response.remote_addr()
            && !https
            && stays_open
        {
            self.note_open(ask.url, address);
        }
        let ends = response.local_addr().zip(response.remote_addr());
        Ok(response.map(|body| match ends {
            Some(ends) => AsyncBody::from_reader(Counted {
                body,
                ends,
                excused: EXCUSED,
            }),
            None => body,
        }))
    }

    fn request(
        &self,
        ask: &TransferRequest<'_>,
        trust: Option<TrustStore>,
    ) -> Result<Request<AsyncBody>, TransferError> {
        let https = ask.url.scheme() == "https";
        // libcurl counts milliseconds, and takes 0 for no timeout.
        let left = ask.deadline.saturating_duration_since(Instant::now());
        let left = left.max(Duration::from_millis(1));

        let mut url = ask.url.clone();
        // Sent as credentials, which errors do not show.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_fragment(None);
        let apart = self.apart(ask);
        if apart.is_some() {
            let _ = url.set_host(Some(&format!("retry-{}.invalid", unique())));
        }
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(url.as_str())
            .timeout(left)
            .metrics(true)
            .version_negotiation(match ask.version {
                HttpVersion::Http11 => VersionNegotiation::http11(),
                _ if !cfg!(feature = "http2") => VersionNegotiation::http11(),
                HttpVersion::Http2 if !https => VersionNegotiation::http2(),
                HttpVersion::Any | HttpVersion::Http2 => VersionNegotiation::latest_compatible(),
            })
            .tls_config(self.tls(ask, trust));
        // What is the default takes time to set.
        request = match ask.ip {
            IpVersion::Any => request,
            IpVersion::V4 => request.ip_version(isahc::net::IpVersion::V4),
            IpVersion::V6 => request.ip_version(isahc::net::IpVersion::V6),
        };
        // libcurl does not reuse connections that were dialled for those it resolves, nor the reverse.
        if let Some(address) = ask.dial.or(apart) {
            request = request.dial(Dialer::ip_socket(address));
        }
        request = match ask.proxy {
            Proxy::Environment if self.shared.proxies.name_one_for(ask.url) => request,
            Proxy::Environment | Proxy::None => request.proxy(None),
            Proxy::Server(url) => {
                let url: Uri = url.expose().parse().map_err(|_| bad_address())?;
                // Without this libcurl applies the environment's `no_proxy`.
                request.proxy(url).proxy_blacklist::<[String; 0], _>([])
            }
        };
        if let Some(within) = ask.connect_within {
            // 0 means no timeout, as above.
            request = request.connect_timeout(within.max(Duration::from_millis(1)));
        }
        if let Some((user, password)) = ask.basic {
            request = request
                .authentication(Authentication::basic())
                .credentials(Credentials::new(user, password));
        }
        if let Some(headers) = request.headers_mut() {
            for (name, value) in ask.headers {
                if value.to_str().is_err() {
                    return Err(unsendable(format!(
                        "header {name} has characters beyond ASCII"
                    )));
                }
                headers.append(name.clone(), value.clone());
            }
            if apart.is_some() && !headers.contains_key(header::HOST) {
                let host = HeaderValue::from_str(&host_header(ask.url));
                headers.insert(header::HOST, host.map_err(|_| bad_address())?);
            }
            if !headers.contains_key(header::USER_AGENT) {
                let own = HeaderValue::from_str(&lock(&self.shared.user_agent));
                headers.insert(header::USER_AGENT, own.map_err(|_| bad_address())?);
            }
            if ask.close && !headers.contains_key(header::CONNECTION) {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
        }
        // Methods that usually have a body send Content-Length: 0 without one.
        let wants_body = [Method::POST, Method::PUT, Method::PATCH].contains(&ask.method);
        let body = match ask.body {
            Some(body) => AsyncBody::from(body),
            None if wants_body => AsyncBody::from(""),
            None => AsyncBody::empty(),
        };
        if ask.body.is_some() {
            // libcurl asks for it with a body alone.
            request = request.expect_continue(false);
        }
        request.body(body).map_err(|_| bad_address())
    }

    /// Returns an address to dial so that the request does not reuse an open connection. With TLS another
    /// client "certificate" suffices (see [`Hold`]). Plain HTTP connections are matched by host name and port:
    /// the request gets a unique name and is sent to the origin of the last response. Without a recent
    /// response no connection is open.
    fn apart(&self, ask: &TransferRequest<'_>) -> Option<SocketAddr> {
        if !ask.fresh || ask.url.scheme() == "https" || self.is_proxied(ask.url, ask.proxy) {
            return None;
        }
        self.open_at(ask.url)
    }

    fn tls(&self, ask: &TransferRequest<'_>, trust: Option<TrustStore>) -> TlsConfig {
        // Only plain HTTP and `verify = false` have no roots; this file is never opened.
        let trust = trust.unwrap_or_else(|| TrustStore::from_file(NO_ROOTS));
        TlsConfig::builder()
            .trust_store(trust)
            .identity(Identity::from_pem(self.hold(ask), None))
            .danger_accept_invalid_certs(!ask.verify)
            .danger_accept_invalid_hosts(!ask.verify)
            .build()
    }

    fn hold(&self, ask: &TransferRequest<'_>) -> Hold {
        Hold {
            name: match ask.fresh {
                true => format!("retry {}", unique()).into_bytes(),
                false => b"sitemon".to_vec(),
            },
            _permit: ask.permit.cloned(),
            idle: self.shared.idle.clone(),
        }
    }
}

/// Travels with a transfer as its client certificate: isahc keeps that blob in the easy handle until
/// libcurl has removed the transfer, which may be long after our future was dropped. libcurl's rustls
/// backend reads client certificates from files only (`clientcert` in vtls/rustls.c) and ignores the
/// blob, but compares it before it reuses a connection: one with other bytes does not match.
struct Hold {
    name: Vec<u8>,
    _permit: Option<Permit>,
    idle: Arc<IdleBook>,
}

impl AsRef<[u8]> for Hold {
    fn as_ref(&self) -> &[u8] {
        &self.name
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.idle.ended();
    }
}

/// Bytes of a body that do not count as overhead: more is read only if it decompresses to nothing.
const EXCUSED: usize = 1 << 20;

/// A body whose bytes are counted separately from the other bytes on its connection.
struct Counted {
    body: AsyncBody,
    ends: wire_bytes::Ends,
    /// Rest of [`EXCUSED`].
    excused: usize,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let got = ready!(Pin::new(&mut self.body).poll_read(cx, buffer))?;
        let excused = got.min(self.excused);
        self.excused -= excused;
        wire_bytes::read(self.ends, excused);
        Poll::Ready(Ok(got))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        wire_bytes::ended(self.ends);
    }
}

/// Unique for billions of requests. (32-bit MIPS has no 64-bit atomics.)
fn unique() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    COUNT.fetch_add(1, Ordering::Relaxed)
}

/// Returns `host` or `host:port` for the `Host` header of `url`.
fn host_header(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn bad_address() -> TransferError {
    unsendable("a request cannot be made of this address".to_owned())
}

fn unsendable(why: String) -> TransferError {
    TransferErrorKind::Request(why).into()
}

fn roots_fault(why: String) -> TransferError {
    TransferErrorKind::Roots(why).into()
}
