//! Logging in before a check: the page with the form, the form, and its redirects. The cookies
//! that come of it are the check's own.

use super::body::Search;
use super::form;
use super::http::{Arrival, Run, drain, unsendable, unwanted};
use super::redirect::{Hop, userinfo};
use crate::monitor::outcome::{Failure, FailureKind, Outcome};
use crate::monitor::site::{HttpCheck, Login, LoginExpect};
use isahc::http::{HeaderValue, Method, header};
use url::{Url, form_urlencoded};

/// Redirects followed at most, of the page and of the answer to the form.
const REDIRECTS: u32 = 10;

impl Run<'_> {
    /// Done when the site's own request may be sent; the causes don't say yet that they are of
    /// the login.
    pub(super) async fn log_in(&mut self, login: &Login) -> Result<(), Box<Outcome>> {
        self.logging_in = true;
        let to = parsed(&login.url, "the address of the form is not a URL")?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        let mut from = to.clone();
        if let Some(page) = &login.page {
            let page = parsed(page, "the address of the page is not a URL")?;
            let hop = hop(self.check, page)?;
            let arrival = self.follow(hop, REDIRECTS).await?;
            from = arrival.url.clone();
            self.tokens(arrival, login, &to, &mut form).await?;
        }
        form.extend_pairs(&login.form);
        let hop = posting(hop(self.check, to)?, &from, form.finish())?;
        let arrival = self.follow(hop, REDIRECTS).await?;
        self.judge_login(arrival, login).await?;
        self.logging_in = false;
        Ok(())
    }

    /// Adds what the page's form has in its fields to `form`, those that the configuration gives
    /// excepted.
    async fn tokens(
        &self,
        mut arrival: Arrival,
        login: &Login,
        to: &Url,
        form: &mut form_urlencoded::Serializer<'_, String>,
    ) -> Result<(), Box<Outcome>> {
        let status = arrival.response.status().as_u16();
        if !(200..400).contains(&status) {
            drain(arrival.response.body_mut()).await;
            let detail = format!("the page with the form is HTTP {status}");
            let failure = Failure::new(unwanted(&arrival, None).kind, detail);
            return Err(self.judged(&arrival, Err(failure)));
        }
        let mut page = Vec::new();
        let cut = self.read(&mut arrival, |chunk| page.extend_from_slice(chunk));
        let cut = cut.await?;
        let page = String::from_utf8_lossy(&page);
        let ours: Vec<&str> = login.form.iter().map(|(name, _)| name.as_str()).collect();
        let Some(fields) = form::fields(&page, &arrival.url, to, &ours) else {
            let detail = match cut {
                true => "the page has no form in its first 1 MiB",
                false => "the page has no form",
            };
            let failure = Failure::new(FailureKind::Body, detail);
            return Err(self.judged(&arrival, Err(failure)));
        };
        for field in fields {
            if !ours.contains(&&*field.name) {
                form.append_pair(&field.name, &field.value);
            }
        }
        Ok(())
    }

    async fn judge_login(&self, mut arrival: Arrival, login: &Login) -> Result<(), Box<Outcome>> {
        let status = arrival.response.status().as_u16();
        let failure = match &login.expect {
            // A redirect may be what tells a good login from a bad one.
            Some(LoginExpect::Status(wanted)) => {
                let is_good = wanted.contains(arrival.first) || wanted.contains(status);
                (!is_good).then(|| unwanted(&arrival, Some(wanted)))
            }
            _ => (!(200..400).contains(&status)).then(|| unwanted(&arrival, None)),
        };
        let failure = match (failure, &login.expect) {
            (None, Some(LoginExpect::Text(text))) => {
                let mut search = Search::new(text);
                self.read(&mut arrival, |chunk| search.feed(chunk)).await?;
                let lacking =
                    || Failure::new(FailureKind::Body, format!("answer lacks \"{text}\""));
                (!search.found).then(lacking)
            }
            (failure, _) => {
                drain(arrival.response.body_mut()).await;
                failure
            }
        };
        match failure {
            Some(failure) => Err(self.judged(&arrival, Err(failure))),
            None => Ok(()),
        }
    }
}

fn parsed(url: &str, otherwise: &str) -> Result<Url, Box<Outcome>> {
    Url::parse(url).map_err(|_| unsendable(otherwise.to_owned()))
}

/// A GET of `url` as if the site's own address had led there: with its headers, and with what is
/// secret in them only on the same host and port.
fn hop(check: &HttpCheck, url: Url) -> Result<Hop, Box<Outcome>> {
    let mut hop = Hop::first(check).map_err(unsendable)?;
    let own = userinfo(&url);
    hop.follow(303, url);
    hop.method = Method::GET;
    hop.basic = own.or(hop.basic);
    Ok(hop)
}

/// The form, sent as a browser would that has the page `from` open. Guards against forged requests
/// look at `Origin`, or at `Referer`: it is given without the path, which may hold secrets.
fn posting(mut hop: Hop, from: &Url, form: String) -> Result<Hop, Box<Outcome>> {
    let origin = from.origin().ascii_serialization();
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| unsendable("the page has no origin".to_owned()))
    };
    let kind = "application/x-www-form-urlencoded";
    hop.headers.insert(header::CONTENT_TYPE, value(kind)?);
    for (name, text) in [
        (header::REFERER, value(&format!("{origin}/"))?),
        (header::ORIGIN, value(&origin)?),
    ] {
        hop.headers.entry(name).or_insert(text);
    }
    hop.method = Method::POST;
    hop.body = Some(form);
    hop.private = true;
    Ok(hop)
}
