//! Reads `login`: the form that is submitted before a check.

use super::error::MistakeList;
use super::plaintext_secrets::is_secret_url;
use super::site_keys::{Scope, Texts, texts};
use super::toml_table::{Entry, Table};
use super::variables::filled;
use super::{address, value};
use crate::monitor::site::{Login, LoginExpect};
use toml_span::Span;
use toml_span::value::ValueInner;

/// A login with the spans of its URLs.
#[derive(Clone)]
pub struct PlacedLogin {
    login: Login,
    url: Span,
    page: Option<Span>,
}

impl PlacedLogin {
    /// Returns the login of a site with this `url`. If the site is fetched over https, its password must not
    /// be sent unencrypted.
    pub fn for_site(self, url: &str, log: &mut MistakeList) -> Login {
        let secure = |url: &str| url.starts_with("https:");
        let (login, page) = (&self.login, self.login.page.as_deref());
        if secure(url) && !secure(&login.url) {
            log.add(
                self.url,
                "`login.url` must begin with https://, as the `url` of the site does: the form \
                 would be readable on its way",
            );
        }
        if let (Some(page), Some(span)) = (page, self.page)
            && !secure(page)
            && (secure(url) || secure(&login.url))
        {
            log.add(
                span,
                "`login.page` must begin with https://, as the URL it leads to does",
            );
        }
        self.login
    }
}

pub fn read(
    table: &mut Table,
    key: &'static str,
    scope: &Scope,
    log: &mut MistakeList,
) -> Entry<PlacedLogin> {
    let table = table.table(key, log);
    table.then(|table, span| read_keys(table, span, scope, log))
}

fn read_keys(
    mut table: Table,
    span: Span,
    scope: &Scope,
    log: &mut MistakeList,
) -> Option<PlacedLogin> {
    let url = page(&mut table, "url", scope, log);
    let form_page = page(&mut table, "page", scope, log);
    let form = texts(
        &mut table,
        "form",
        &Texts {
            secret: true,
            name: |name| match name {
                "" => Err("is a field without a name".to_owned()),
                _ => Ok(()),
            },
            value: Ok,
        },
        scope,
        log,
    )
    .check("login.form", log, |form| match form.as_slice() {
        [] => Err("must have at least one field".to_owned()),
        _ => Ok(form),
    });
    let expect = table.read("expect", log, |value| match value {
        ValueInner::String(text) => Some(expectation(&text)),
        ValueInner::Integer(code) => Some(value::status_code(code).map(LoginExpect::Status)),
        _ => None,
    });
    table.finish(log);
    if url.is_absent() {
        log.add(span, "`login` has no `url`; say where the form is sent to");
    }
    if form.is_absent() {
        let remedy = "say what is sent, e.g. form = { user = \"me\", password = \"$PASSWORD\" }";
        log.add(span, format!("`login` has no `form`; {remedy}"));
    }
    let sound = !form_page.is_bad() && !expect.is_bad();
    let url = url.given().filter(|_| sound)?;
    Some(PlacedLogin {
        url: url.span,
        page: form_page.span(),
        login: Login {
            url: url.value,
            page: form_page.value(),
            form: form.value()?,
            expect: expect.value(),
        },
    })
}

fn page(
    table: &mut Table,
    key: &'static str,
    scope: &Scope,
    log: &mut MistakeList,
) -> Entry<String> {
    let (written, filled) = filled(table, key, is_secret_url, scope.ctx.env, log);
    let written = written.value().unwrap_or_default();
    filled.check(&table.label(key), log, |filled| {
        address::page(&written, &filled)
    })
}

/// Parses status codes if there are only digits and separators, else a text.
fn expectation(text: &str) -> Result<LoginExpect, String> {
    if text.is_empty() {
        return Err("is empty, which every answer contains".to_owned());
    }
    if text
        .bytes()
        .all(|b| b.is_ascii_digit() || b"-, ".contains(&b))
    {
        return value::status_set(text).map(LoginExpect::Status);
    }
    Ok(LoginExpect::Text(text.to_owned()))
}
