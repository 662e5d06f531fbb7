//! `login` of a site.

use super::kinds::{http, site};
use super::{rendered, sound, wrong_site};
use crate::config::{summary, to_json};
use crate::monitor::site::LoginExpect;

#[test]
fn a_login_is_a_form_and_where_it_goes() {
    let login = http(
        "[site.login]\nurl = 'https://$HOST/login#x'\npage = 'https://h/form'\n\
         form = { user = 'me', password = '$KEY' }\nexpect = '200-299,302'",
    )
    .login
    .unwrap();
    assert_eq!(login.url, "https://example.org/login");
    assert_eq!(login.page.as_deref(), Some("https://h/form"));
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        login.form,
        [field("user", "me"), field("password", "s3cret")]
    );
    let Some(LoginExpect::Status(codes)) = login.expect else {
        panic!("codes")
    };
    assert_eq!(codes.to_string(), "200-299,302");
    let of = |expect: &str| {
        let line = format!("login = {{ url = 'https://h', form = {{ a = 'b' }}, {expect} }}");
        http(&line).login.unwrap().expect
    };
    assert_eq!(
        of("expect = 'Welcome'"),
        Some(LoginExpect::Text("Welcome".to_owned()))
    );
    assert!(matches!(of("expect = 302"), Some(LoginExpect::Status(_))));
}

#[test]
fn every_key_of_a_login_is_checked() {
    let form = "form = { a = 'b' }";
    let start = "login = { url = 'https://h/', ";
    for (line, expected) in [
        (
            "login = 'me:pw'".to_owned(),
            "4:10: `login` must be a table, found a text in quotes",
        ),
        (
            format!("login = {{ {form} }}"),
            "4:9: `login` has no `url`; say where the form is sent to",
        ),
        (
            "login = { url = 'https://h/' }".to_owned(),
            "4:9: `login` has no `form`; say what is sent, e.g. form = { user = \"me\", \
             password = \"$PASSWORD\" }",
        ),
        (
            format!("{start}form = {{}} }}"),
            "4:38: `login.form` must have at least one field",
        ),
        (
            format!("{start}form = 'a=b' }}"),
            "4:39: `login.form` must be a table such as { user = \"me\", password = \"$PASSWORD\" }, \
             found a text in quotes",
        ),
        (
            format!("{start}form = {{ a = 5 }} }}"),
            "4:44: `login.form.a` must be a text in quotes, found an integer",
        ),
        (
            format!("{start}form = {{ a = '$NOPE' }} }}"),
            "4:45: `login.form.a` needs the environment variable NOPE, which is not set; `$$` is a \
             dollar sign",
        ),
        (
            format!("{start}form = {{ '' = 'x' }} }}"),
            "4:40: `login.form.` is a field without a name",
        ),
        (
            format!("login = {{ url = '/login', {form} }}"),
            "4:18: `login.url` must begin with http:// or https://",
        ),
        (
            format!("login = {{ url = 'https://u:p@h', {form} }}"),
            "4:18: `login.url` cannot hold a user and a password",
        ),
        (
            format!("login = {{ url = 'http://h', {form} }}"),
            "4:18: `login.url` must begin with https://, as the `url` of the site does: the form \
             would be readable on its way",
        ),
        (
            format!("{start}{form}, page = 'http://h' }}"),
            "4:59: `login.page` must begin with https://, as the URL it leads to does",
        ),
        (
            format!("{start}{form}, expect = '' }}"),
            "4:60: `login.expect` is empty, which every answer contains",
        ),
        (
            format!("{start}{form}, expect = '20' }}"),
            "4:61: `login.expect` must be codes from 100 to 999 and ranges of them such as \
             \"200-299,401\"; `20` is none",
        ),
        (
            format!("{start}{form}, expect = true }}"),
            "4:60: `login.expect` must be codes such as \"200-299,302\", or a text, in quotes, found \
             true or false without quotes",
        ),
        (
            format!("{start}{form}, frm = 5 }}"),
            "4:51: unknown key `frm`; did you mean `form`?",
        ),
    ] {
        wrong_site(&line, &[expected]);
    }
    // A site in the clear may log in anyhow.
    site(
        "http://h",
        &format!("login = {{ url = 'http://h/', {form} }}"),
    );
    site(
        "http://h",
        &format!("login = {{ url = 'https://h/', {form} }}"),
    );
}

#[test]
fn a_login_is_never_shown() {
    let text = "[[site]]\nname = 'a'\nurl = 'https://h'\n\
                login = { url = 'http://h/$KEY', form = { user = 'me', pw = 'hunter2' } }";
    rendered(
        text,
        "sitemon.conf:4:18: `login.url` must begin with https://, as the `url` of the site does: the \
         form would be readable on its way\n\
        \x20   4 | login = { url = '*************', form = { user = '**', pw = '*******' } }\n\
        \x20     |                  ^^^^^^^^^^^^^",
    );
    let config = sound(&text.replace("http:", "https:"));
    let shown = format!("{config:?}{}{}", summary(&config), to_json(&config));
    assert!(
        !shown.contains("hunter2") && !shown.contains("s3cret"),
        "{shown}"
    );
}
