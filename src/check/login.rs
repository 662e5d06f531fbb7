//! Logs in before a check: the page with the form, the form, and their redirects. The session's cookies
//! belong to this check.

use super::body::{BufferedBody, Search, text};
use super::charset::Charset;
use super::form::{self, Field, FormError};
use super::http::{FinalResponse, Run, drain, unsendable, unwanted};
use super::redirect_request::{Body, Hop};
use crate::http::BodyPermit;
use crate::monitor::site::outcome::{Failure, FailureKind, Outcome};
use crate::monitor::site::{Login, LoginExpect};
use isahc::http::{HeaderValue, Method};
use url::{Url, form_urlencoded};

/// Maximum number of redirects, each for the page and for the form.
const REDIRECTS: u32 = 10;
/// Maximum bytes of a form's hidden fields; some frameworks keep the state of a page in one.
const FIELDS: usize = 256 * 1024;

impl Run<'_> {
    /// Returns once the site's own request may be sent. The causes do not mention the login yet.
    pub(super) async fn log_in(&mut self, login: &Login) -> Result<(), Box<Outcome>> {
        self.logging_in = true;
        let to = parsed(&login.url, "the address of the form is not a URL")?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        let mut from = to.clone();
        let mut permit = None;
        if let Some(page) = &login.page {
            let page = parsed(page, "the address of the page is not a URL")?;
            let hop = Hop::page(self.check, page).map_err(unsendable)?;
            let final_response = self.follow(hop, REDIRECTS).await?;
            from = final_response.url.clone();
            permit = self.tokens(final_response, login, &to, &mut form).await?;
        }
        form.extend_pairs(&login.form);
        let hop = Hop::page(self.check, to).map_err(unsendable)?;
        let hop = posting(hop, &from, form.finish())?;
        let final_response = self.follow(hop, REDIRECTS).await?;
        drop(permit);
        self.judge_login(final_response, login).await?;
        self.logging_in = false;
        Ok(())
    }

    /// Adds the fields of the page's form to `form`, except those that the configuration sets. The permit of
    /// a large page is held until the form is sent.
    async fn tokens(
        &self,
        mut final_response: FinalResponse,
        login: &Login,
        to: &Url,
        form: &mut form_urlencoded::Serializer<'_, String>,
    ) -> Result<Option<BodyPermit>, Box<Outcome>> {
        let status = final_response.response.status().as_u16();
        if !(200..400).contains(&status) {
            drain(final_response.response.body_mut()).await;
            let detail =
                final_response.explained(format!("the page with the form is HTTP {status}"));
            let failure = Failure::new(unwanted(&final_response, None).kind, detail);
            return Err(self.judged(&final_response, Err(failure)));
        }
        let mut page = BufferedBody::new(self.client, &self.site.name);
        let cut = self
            .read(&mut final_response, &mut [], Some(&mut page))
            .await?;
        let BufferedBody { bytes, permit, .. } = page;
        let page = text(bytes);
        let ours: Vec<&str> = login.form.iter().map(|(name, _)| name.as_str()).collect();
        let fields = form::fields(&page, &final_response.url, to, &ours).map_err(|unusable| {
            let failure = match unusable {
                FormError::NoForm => {
                    let detail = match cut {
                        true => "the page has no form in its first 1 MiB",
                        false => "the page has no form",
                    };
                    Failure::new(FailureKind::Body, detail)
                }
                FormError::TooManyFields => {
                    let detail = format!("the form has more than {} fields", form::FIELDS);
                    Failure::new(FailureKind::TooLarge, detail)
                }
            };
            self.judged(&final_response, Err(failure))
        })?;
        let size = |field: &Field<'_>| field.name.len() + field.value.len();
        if fields.iter().map(size).sum::<usize>() > FIELDS {
            let failure = Failure::new(FailureKind::TooLarge, "the form is over 256 KiB");
            return Err(self.judged(&final_response, Err(failure)));
        }
        for field in fields {
            if !ours.contains(&&*field.name) {
                form.append_pair(&field.name, &field.value);
            }
        }
        Ok(permit)
    }

    async fn judge_login(
        &self,
        mut final_response: FinalResponse,
        login: &Login,
    ) -> Result<(), Box<Outcome>> {
        let status = final_response.response.status().as_u16();
        let failure = match &login.expect {
            // The status of a redirect may tell whether the login succeeded.
            Some(LoginExpect::Status(wanted)) => {
                let is_good = wanted.contains(final_response.first) || wanted.contains(status);
                (!is_good).then(|| unwanted(&final_response, Some(wanted)))
            }
            _ => (!(200..400).contains(&status)).then(|| unwanted(&final_response, None)),
        };
        let failure = match (failure, &login.expect) {
            (None, Some(LoginExpect::Text(text))) => {
                let charset = Charset::of_headers(final_response.response.headers());
                let mut search = [Some(Search::in_page(text, charset))];
                self.read(&mut final_response, &mut search, None).await?;
                let lacking =
                    || Failure::new(FailureKind::Body, format!("answer lacks \"{text}\""));
                search.into_iter().flatten().any(|s| !s.found).then(lacking)
            }
            (failure, _) => {
                drain(final_response.response.body_mut()).await;
                failure
            }
        };
        match failure {
            Some(failure) => Err(self.judged(&final_response, Err(failure))),
            None => Ok(()),
        }
    }
}

fn parsed(url: &str, otherwise: &str) -> Result<Url, Box<Outcome>> {
    Url::parse(url).map_err(|_| unsendable(otherwise.to_owned()))
}

/// Builds the request that a browser sends for a form on the page `from`. Protections against CSRF look
/// at `Origin` or `Referer`, which is sent without the path, as that may hold secrets.
fn posting(mut hop: Hop, from: &Url, text: String) -> Result<Hop, Box<Outcome>> {
    let origin = from.origin().ascii_serialization();
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| unsendable("the page has no origin".to_owned()))
    };
    hop.method = Method::POST;
    hop.body = Some(Body::Form {
        text,
        origin: value(&origin)?,
        referer: value(&format!("{origin}/"))?,
    });
    Ok(hop)
}
