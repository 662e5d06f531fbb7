//! `[[notify]]`: what it means, and every mistake in it; and the recipes of docs/notify.md.

use super::*;
use crate::config::notify::Body;
use crate::monitor::outbox::channels::When;
use crate::monitor::outbox::channels::placeholders::{Placeholder, Values};

const SITE: &str = "[[site]]\nname = 'blog'\nurl = 'https://h/'\ngroup = 'shop'\n";

/// A channel with these lines, from the fifth of the file on.
fn channel(lines: &str) -> String {
    format!("{SITE}[[notify]]\n{lines}\n")
}

fn values() -> Values {
    Values::new(|placeholder| match placeholder {
        Placeholder::Text => "🔴 blog is \"down\"\ncall Bob".to_owned(),
        Placeholder::Number => "12".to_owned(),
        Placeholder::Note => String::new(),
        other => format!("<{}>", other.word()),
    })
}

#[track_caller]
fn wrong_channel(lines: &str, expected: &[&str]) {
    wrong(&channel(lines), expected);
}

#[test]
fn a_header_that_follows_from_the_body_is_named_by_the_keys_that_there_are() {
    wrong_channel(
        "name = 'a'\nurl = 'https://h/'\nheaders = { content-length = '5' }",
        &["8:13: `headers.content-length` cannot be set: it follows from `body` or `json`"],
    );
}

#[test]
fn a_channel_with_everything_is_read() {
    let config = sound(&channel(
        "name = 'ntfy'\nurl = 'https://h/$KEY/{site}?s={state}'\nmethod = 'PUT'\n\
         headers = { Title = '{site} {state}', Authorization = 'Bearer $KEY', Click = '{note}' }\n\
         body = '$$ {text}'\nwhen = 'telegram fails 5m'\nsites = ['blog', 'shop']\n\
         [telegram]\ntoken = '1:a'",
    ));
    let notify = &config.channels[0];
    assert_eq!(
        notify.channel.when,
        When::TelegramFails(Duration::from_secs(300))
    );
    assert_eq!(
        notify.channel.sites,
        Some(vec!["blog".to_owned(), "shop".to_owned()])
    );
    assert_eq!(notify.method, "PUT");
    let url = notify.url.fill(&values());
    assert_eq!(url, "https://h/s3cret/%3Csite%3E?s=%3Cstate%3E");
    let headers: Vec<(&str, String)> = notify
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.fill(&values())))
        .collect();
    assert_eq!(headers[0], ("Title", "<site> <state>".to_owned()));
    assert_eq!(headers[1], ("Authorization", "Bearer s3cret".to_owned()));
    assert_eq!(headers[2], ("Click", String::new()));
    let Body::Text(body) = &notify.body else {
        panic!("{notify:?}")
    };
    assert_eq!(body.fill(&values()), "$ 🔴 blog is \"down\"\ncall Bob");
    let debug = format!("{config:?}");
    assert!(
        !debug.contains("s3cret") && !debug.contains("Bearer"),
        "{debug}"
    );
}

#[test]
fn a_channel_with_the_least_is_for_all_alerts() {
    let config = sound(&channel("name = 'hook'\nurl = 'https://h/{number}'"));
    let notify = &config.channels[0];
    assert_eq!(notify.channel.when, When::Always);
    assert_eq!(
        (notify.method.as_str(), &notify.channel.sites),
        ("POST", &None)
    );
    assert!(matches!(notify.body, Body::None));
}

#[test]
fn json_is_encoded_and_keeps_its_shape() {
    let config = sound(&channel(
        "name = 'hook'\nurl = 'https://h/'\n\
         json = { text = '{text}', \"a\\\"b\" = [1, 2.5, true, { n = 'no {number}' }], k = '$KEY', e = {} }",
    ));
    let Body::Json(json) = &config.channels[0].body else {
        panic!("no JSON")
    };
    assert_eq!(
        json.fill(&values()),
        "{\"text\":\"🔴 blog is \\\"down\\\"\\ncall Bob\",\"a\\\"b\":[1,2.5,true,{\"n\":\"no 12\"}],\
         \"k\":\"s3cret\",\"e\":{}}"
    );
}

#[test]
fn mistakes_have_their_place_and_a_remedy() {
    let known = "there are {text}, {site}, {state}, {cause}, {url}, {number}, {since}, {note}; double \
                 the braces to write the word itself";
    wrong_channel(
        "name = 'a'\nurl = 'https://h/{topic}'\nbody = 'x {txt} y'\njson = { a = '{Site}' }",
        &[
            &format!("7:18: `url` has the placeholder `{{topic}}`, which is not known; {known}"),
            "8:11: `body` has the placeholder `{txt}`, which is not known; did you mean `{text}`?",
            "9:15: `json.a` has the placeholder `{Site}`, which is not known; did you mean `{site}`?",
        ],
    );
    wrong_channel(
        "name = 'a'\nurl = 'https://{site}.h/'\nheaders = { Title = '{sit}' }\nwhen = 'sometimes'",
        &[
            "7:8: `url` has a placeholder in its host; it may stand behind that",
            "8:22: `headers.Title` has the placeholder `{sit}`, which is not known; did you mean `{site}`?",
            "9:9: `when` must be \"always\", \"telegram fails 5m\" or \"unacknowledged 15m\"; `sometimes` \
             is none of them",
        ],
    );
    wrong_channel(
        "url = 'ftp://h/'\nbody = 'a'\njson = { a = 1 }\nwhen = 'unacknowledged'\nsites = ['blgo', 'x', 'shop', 'shop']",
        &[
            "5:1: this [[notify]] has no `name`; give it one, e.g. name = \"ntfy\"",
            "6:8: `url` must begin with http:// or https://, not with ftp://",
            "8:8: `json` and `body` are both given; keep one of them",
            "9:9: `when` must be \"always\", \"telegram fails 5m\" or \"unacknowledged 15m\"; \
             `unacknowledged` wants a time",
            "10:11: `sites` names `blgo`, which is no site and no group; did you mean `blog`?",
            "10:19: `sites` names `x`, which is no site and no group; it wants the `name` or the `group` \
             of a [[site]]",
            "10:32: `sites` has `shop` twice",
        ],
    );
    wrong_channel(
        "name = 'a'\nwhen = 'telegram fails 0s'\nheaders = { Title = \"a\\nb\", Connection = 'x' }\n\
         [[notify]]\nname = 'a'\nurl = 'https://h/$NONE'",
        &[
            "5:1: this [[notify]] has no `url`; say where alerts are sent, e.g. url = \
             \"https://ntfy.sh/TOPIC\"",
            "7:9: `when` has a time, which must be at least 1s, not 0s",
            "8:22: `headers.Title` has a line break or another control character in it",
            "8:29: `headers.Connection` cannot be set: connections are kept or closed by the agent",
            "10:9: `name` is that of another [[notify]]; names are unique",
            "11:18: `url` needs the environment variable NONE, which is not set; `$$` is a dollar sign",
        ],
    );
    wrong_channel(
        "name = 'a'\nurl = 'https://h/'\nbdy = 'x'",
        &["8:1: unknown key `bdy`; did you mean `body`?"],
    );
}

#[test]
fn no_output_shows_where_and_what_a_channel_sends() {
    let text = channel(
        "name = 'hook'\nurl = 'https://h/p4th?k=qu3ry'\nheaders = { X-Key = 'h3ader' }\n\
         json = { pin = 'j5on' }\n[[notify]]\nname = 'b'\nurl = 'https://h/p4th'\nbody = 'b0dy'",
    );
    let config = sound(&text);
    let shown = [
        to_json(&config),
        summary(&config),
        format!("{config:?}"),
        config.warnings.concat(),
        parsed(&format!("{text}\nname = 5\nheaders = 3\nx = 'b0dy'"))
            .unwrap_err()
            .to_string(),
        parsed(&text.replace("b0dy", "b0dy {b0dy}"))
            .unwrap_err()
            .to_string(),
        parsed(&text.replace("j5on", "j5on {j5on}"))
            .unwrap_err()
            .to_string(),
    ]
    .concat();
    for secret in ["p4th", "qu3ry", "h3ader", "j5on", "b0dy"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(
        to_json(&config).contains(
            "\"notify\":[{\"name\":\"hook\",\"when\":\"always\",\"sites\":null,\"url\":\"***\",\"method\":\"POST\",\
             \"headers\":{\"X-Key\":\"***\"},\"body\":null,\"json\":\"***\"}"
        ),
        "{}",
        to_json(&config)
    );
    assert!(
        summary(&config).contains("notify    hook: POST https://h/***, always\n"),
        "{}",
        summary(&config)
    );
}

#[test]
fn a_channel_that_can_have_no_alert_is_warned_about() {
    let warnings = sound(&channel(
        "name = 'a'\nurl = 'http://h.example/'\nwhen = 'telegram fails 5m'",
    ))
    .warnings;
    assert_eq!(
        warnings,
        [
            "`url` of the [[notify]] a begins with http://: alerts and secrets travel unencrypted to \
             h.example; use https://",
            "the [[notify]] a waits for Telegram to fail, but there is no [telegram]",
        ]
    );
}

#[test]
fn the_recipes_of_the_documentation_are_sound() {
    let page = include_str!("../../../docs/notify.md");
    let blocks = page.split("```toml\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    let titles = ["## ntfy", "## Gotify", "## Matrix", "## Home Assistant"];
    assert!(titles.iter().all(|title| page.contains(title)));
    assert_eq!(blocks.len(), 1 + titles.len());
    for block in blocks {
        let text = format!(
            "[telegram]\ntoken = '1:a'\n[[site]]\nname = 'shop'\nurl = 'https://h/'\n{block}"
        );
        let env = |name: &str| Some(format!("{}-1", name.to_lowercase()));
        let config = parsed_in(&text, &env).unwrap_or_else(|mistakes| panic!("{mistakes}"));
        assert_eq!(config.warnings, [""; 0], "{block}");
        let notify = &config.channels[0];
        let url = notify.url.fill(&values());
        assert!(
            url::Url::parse(&url).is_ok() && !url.contains(['{', '$', ' ']),
            "{url}"
        );
        match &notify.body {
            Body::Json(json) => {
                let json = json.fill(&values());
                let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
                assert!(read.to_string().contains("call Bob"), "{json}");
            }
            Body::Text(text) => assert!(text.fill(&values()).contains("call Bob")),
            Body::None => panic!("{block} sends nothing"),
        }
    }
}
