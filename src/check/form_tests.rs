//! Forms in pages, and the fields that browsers send of them.

use super::*;
use crate::clock::thread_cpu;
use proptest::collection::vec;
use proptest::prelude::*;

const BASE: &str = "https://a.example/app/login?next=1";

fn url(text: &str) -> Url {
    Url::parse(text).expect("a URL")
}

/// Returns `name=value name=value`, or `None` without a form.
fn found(page: &str) -> Option<String> {
    let to = url("https://a.example/session");
    let fields = fields(page, &url(BASE), &to, &["user", "password"]).ok()?;
    let pair = |field: &Field| format!("{}={}", field.name, field.value);
    Some(fields.iter().map(pair).collect::<Vec<_>>().join(" "))
}

#[test]
fn hidden_fields_are_found_however_they_are_written() {
    for (input, wanted) in [
        (r#"<input type="hidden" name="t" value="a b">"#, "t=a b"),
        ("<INPUT TYPE=Hidden NAME=t VALUE=a/b>", "t=a/b"),
        (
            "<input\n\ttype = 'hidden'\r\nname= 't' value\n='\"'/>",
            "t=\"",
        ),
        ("<input name=t type=hidden/>", "t="),
        ("<input name=t type=hidden />", "t="),
        ("<input name=t type=hidden value=\"x\"/>", "t=x"),
        ("<input value=a>b type=hidden name=t>", ""),
        ("<input value='a>b' type=hidden name=t>", "t=a>b"),
        ("<input type=hidden name=t name=u value=1 value=2>", "t=1"),
        ("<input type=hidden data-name=t value=1>", ""),
        ("<input type=hidden name='' value=1>", ""),
        ("<input type=hidden name=t value=1 disabled>", ""),
        ("<input type=text name=t value=1>", "t=1"),
        ("<input name=t>", "t="),
        ("<input type=checkbox name=t><input type=radio name=u>", ""),
        (
            "<input type=checkbox name=t checked><input type=radio name=u value=2 checked>",
            "t=on u=2",
        ),
        (
            "<input type=file name=t value=x><input type=reset name=u value=1>",
            "t=",
        ),
        (
            "<input type=hidden name=_charset_ value=x>",
            "_charset_=UTF-8",
        ),
        (
            "<input type=hidden name=t value='a\nb\r\nc'>",
            "t=a\r\nb\r\nc",
        ),
        ("<textarea name=t>\n a&lt;<b>\n</textarea>", "t= a<<b>\r\n"),
        (
            "<fieldset disabled><input name=t></fieldset><input name=u>",
            "u=",
        ),
        (
            "<input name=t disabled><fieldset><input name=u></fieldset>",
            "u=",
        ),
        ("<inputs type=hidden name=t value=1>", ""),
        ("<button type=hidden name=t value=1>", "t=1"),
        ("<button type=button name=t value=1></button>", ""),
        (
            "<button disabled name=s>a</button><button name=t>b</button>",
            "t=",
        ),
        (
            "<input type=submit name=t value=1><button name=u value=2>x</button>",
            "t=1",
        ),
        ("<button>x</button><input type=submit name=t value=1>", ""),
        ("<button name=t>x</button><button name=user>y</button>", ""),
        (
            "<input type=image name=t value=1><input type=submit name=u>",
            "t.x=0 t.y=0",
        ),
        ("<!--><input type=hidden name=t value=1> -->", "t=1"),
        ("<!---><input type=hidden name=t value=1>", "t=1"),
        ("<!-- a --!><input type=hidden name=t value=1>", "t=1"),
        ("<!-- <input type=hidden name=t value=1> -->", ""),
        ("<script>'<input type=hidden name=t value=1>'</SCRIPT >", ""),
        (
            "<textarea><input type=hidden name=t value=1></textarea>",
            "",
        ),
        ("a < b <1 </ > <input type=hidden name=t value=1>", "t=1"),
        ("<a b='<input type=hidden name=t value=1>'>", ""),
    ] {
        let page = format!("<p><form>{input}</form>");
        assert_eq!(found(&page).as_deref(), Some(wanted), "{input}");
    }
}

#[test]
fn a_choice_is_made_as_browsers_make_it() {
    for (select, wanted) in [
        ("<option value=1>a<option value=2>b", "t=1"),
        ("<option value=1>a<option value=2 selected>b", "t=2"),
        (
            "<option value=1 selected>a<option value=2 selected>b",
            "t=2",
        ),
        (
            "<option>  My\n <b>Company</b> &amp; Co<!-- x --> </option>x",
            "t=My Company & Co",
        ),
        ("<option value>none</option><option>b", "t="),
        ("<option disabled value=0>pick<option value=1>a", "t=1"),
        (
            "<option disabled selected value=0>pick<option value=1>a",
            "",
        ),
        (
            "<optgroup disabled><option>a</optgroup><optgroup><option>b</optgroup>",
            "t=b",
        ),
        ("", ""),
    ] {
        let page = format!("<form><select name=t>{select}</select><input name=u></form>");
        let both = [wanted, "u="].map(str::to_owned);
        let both: Vec<_> = both.into_iter().filter(|part| !part.is_empty()).collect();
        assert_eq!(found(&page), Some(both.join(" ")), "{select}");
    }
    let options = "<option>a<option selected>b<option selected>c";
    let of = |attributes: &str| {
        found(&format!(
            "<form><select name=t {attributes}>{options}</form>"
        ))
        .expect("a form")
    };
    assert_eq!(of("multiple"), "t=b t=c");
    assert_eq!(of("disabled"), "");
    assert_eq!(of("size=5"), "t=c");
    let page = |size| format!("<form><select name=t {size}><option>a</select></form>");
    assert_eq!(found(&page("size=5")).as_deref(), Some(""));
    assert_eq!(found(&page("multiple")).as_deref(), Some(""));
    assert_eq!(found(&page("size=1")).as_deref(), Some("t=a"));
}

#[test]
fn a_control_may_stand_outside_of_its_form() {
    let form = "<form id=login action=/session><input name=user></form>";
    let token = "<input type=hidden name=t value=1 form=login>";
    for page in [
        format!("{form}{token}"),
        format!("{token}{form}"),
        format!("{form}<form id=other>{token}<input name=u></form>"),
        format!("<form>{token}</form>{form}<form id=login><input name=v></form>"),
    ] {
        let found = found(&page).expect("a form");
        let mut found: Vec<&str> = found.split(' ').collect();
        found.sort_unstable();
        assert_eq!(found, ["t=1", "user="], "{page}");
    }
    let select = "<select form=login name=t><option>1</select>";
    assert_eq!(
        found(&format!("{select}{form}")).as_deref(),
        Some("t=1 user=")
    );
    let button = "<button form=login name=t value=1>go</button>";
    assert_eq!(
        found(&format!("{form}{button}")).as_deref(),
        Some("user= t=1")
    );
    // A field of the configuration may be outside of its form, too.
    let page = "<form id=a><input name=x></form><form id=b></form><input form=b name=user>";
    assert_eq!(found(page).as_deref(), Some("user="));
    // No form has this id, so the field belongs to none.
    let page = format!("<form action=/session><input name=user>{token}</form>");
    assert_eq!(found(&page).as_deref(), Some("user="));
}

#[test]
fn where_a_form_is_sent_is_told_by_the_page_s_base() {
    let form = |action: &str| format!("<form action={action}><input name=t value={action}></form>");
    let page = format!(
        "<base href='/x/'>{}{}",
        form("/app/session"),
        form("../session")
    );
    assert_eq!(found(&page).as_deref(), Some("t=../session"));
}

#[test]
fn the_form_that_is_meant_is_taken() {
    let input = |value: &str| format!("<input type=hidden name=t value={value}>");
    let search = format!("<form action=/search>{}</form>", input("search"));
    let ours = format!("<form method=get><input name=user>{}</form>", input("ours"));
    let posted = format!("<form method=POST>{}</form>", input("posted"));
    let to = format!("<form action='../session#x'>{}</form>", input("to"));
    let all = [&search, &posted, &ours, &to].map(String::as_str);
    for (count, wanted) in [
        (1, "t=search"),
        (2, "t=posted"),
        (3, "user= t=ours"),
        (4, "t=to"),
    ] {
        assert_eq!(found(&all[..count].concat()).as_deref(), Some(wanted));
    }
    assert_eq!(found(&input("outside")), None);
    assert_eq!(found("<!-- <form> -->"), None);
    assert_eq!(found("").as_deref(), None);
    let first = format!("<form>{}</form><form>{}</form>", input("1"), input("2"));
    assert_eq!(found(&first).as_deref(), Some("t=1"));
    let nested = format!("<form>{}<form>{}</form>", input("1"), input("2"));
    assert_eq!(found(&nested).as_deref(), Some("t=1 t=2"));
    let unclosed = format!("<form>{}", input("1"));
    assert_eq!(found(&unclosed).as_deref(), Some("t=1"));
}

#[test]
fn the_time_and_memory_for_a_page_are_bounded() {
    const MANY: usize = 1 << 17;
    for part in [
        "<",
        "<a ",
        "<a=",
        "<!--",
        "<script>",
        "</script",
        "<form>",
        "<input ",
        "&",
        "<a b='",
        "<form></form>",
        "<a / ",
        "'",
        "<textarea></",
        "<script><!--<script></script>",
        "<!--->",
        "--",
        "<fieldset><input name=a>",
        "<select name=a><option>x",
        "<option selected>x",
        "<form id=a><input form=b name=user></form>",
    ] {
        let start = thread_cpu();
        found(&part.repeat(MANY));
        let took = thread_cpu() - start;
        assert!(took < std::time::Duration::from_secs(5), "{part} {took:?}");
    }
    let fields = "<input type=hidden name=a value=b>".repeat(MANY);
    assert_eq!(found(&format!("<form>{fields}")), None);
}

#[test]
fn a_form_has_no_field_left_out() {
    let to = url("https://a.example/session");
    let fields = |page: &str| {
        let fields = super::fields(page, &url(BASE), &to, &["user"]);
        fields.map(|fields| fields.len())
    };
    let (field, too_many) = (
        "<input type=hidden name=a value=b>",
        Err(FormError::TooManyFields),
    );
    let form = |count: usize| format!("<form method=post>{}</form>", field.repeat(count));
    assert_eq!(fields(&form(FIELDS)), Ok(FIELDS));
    assert_eq!(fields(&form(FIELDS + 1)), too_many);
    let options = "<option selected>x".repeat(FIELDS + 5);
    assert_eq!(
        fields(&format!("<form><select multiple name=a>{options}</select>")),
        too_many
    );
    // Fields of other forms don't count, unless there are very many before the form.
    let others = "<form>".to_owned() + &field.repeat(ALL_FIELDS) + "</form>";
    assert_eq!(fields(&(form(5) + &others + field)), Ok(5));
    assert_eq!(fields(&(others + &form(5))), too_many);
    assert_eq!(fields(field), Err(FormError::NoForm));
}

fn escaped(text: &str) -> String {
    let escape = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '"' => "&quot;".to_owned(),
        '\'' => format!("&#{};", u32::from(c)),
        '\u{7f}'.. => format!("&#x{:x};", u32::from(c)),
        c => c.to_string(),
    };
    text.chars().map(escape).collect()
}

proptest! {
    #[test]
    fn what_was_escaped_comes_back(
        fields in vec(("[a-z]{1,5}", any::<String>()), 0..6), junk in "[ -~&&[^<>]]{0,20}",
    ) {
        let mut page = format!("{junk}<form>{junk}");
        for (name, value) in &fields {
            let value = escaped(value);
            page.push_str(&format!("<input type=hidden value=\"{value}\" name={name}>{junk}"));
        }
        let to = url(BASE);
        let found = super::fields(&page, &to, &to, &[]).unwrap_or_default();
        prop_assert_eq!(found.len(), fields.len());
        for (field, (name, value)) in found.iter().zip(&fields) {
            prop_assert_eq!((&*field.name, &*field.value), (name.as_str(), value.as_str()));
        }
    }

    #[test]
    fn no_page_makes_it_panic(
        any in any::<String>(),
        tags in vec(prop::sample::select(&[
            "<", ">", "form", "input", " ", "=", "'", "\"", "type", "hidden", "name", "value",
            "/", "<!--", "-->", "<form>", "</form", "<script>", "</script", "&#x", ";", "ä",
        ][..]), 0..60),
    ) {
        found(&any);
        found(&tags.concat());
        found(&format!("<form><input {any}"));
    }
}
