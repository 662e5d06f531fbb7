//! Documents, paths, and what is neither.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn wrong(text: &str) -> Option<usize> {
    Document::parse(text.as_bytes()).err()
}

#[test]
fn json_is_told_from_what_is_not_and_where_it_stops_to_be() {
    for good in [
        "0",
        "-0.5e+10",
        "1E9",
        "\"\"",
        "\"\\u00e4\\n\\/\"",
        " [ ] ",
        "{}",
        "[1,[2,{\"a\":{}}],null]\n",
        "{\"a\" : [true , false] , \"\" : {}}",
        "\u{feff}{}",
    ] {
        assert_eq!(wrong(good), None, "{good}");
    }
    for (bad, at) in [
        ("", 0),
        ("  ", 2),
        ("<html>", 0),
        ("[", 1),
        ("[1", 2),
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("[1}", 2),
        ("{]", 1),
        ("{1:2}", 1),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("{} {}", 3),
        ("01", 1),
        ("1.", 2),
        (".5", 0),
        ("+1", 0),
        ("-", 1),
        ("1e", 2),
        ("tru", 3),
        ("truth", 3),
        ("NaN", 0),
        ("\"", 1),
        ("\"\\x\"", 2),
        ("\"\\u12g4\"", 5),
        ("\"a\nb\"", 2),
        ("'a'", 0),
    ] {
        assert_eq!(wrong(bad), Some(at), "{bad}");
    }
}

fn get<'a>(json: &'a str, path: &str) -> Option<Value<'a>> {
    Document::parse(json.as_bytes()).expect("JSON").get(path)
}

fn text(json: &str, path: &str) -> String {
    match get(json, path) {
        Some(Value::Text(text)) => text.decoded(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_path_leads_to_members_elements_and_lengths() {
    let json = r##" { "skip" : "}]\"," , "a" : { "b" : [ 10 , {"c":"d"} , [] ] ,
        "0" : true, "#": null, "x.y" : false , "z\u0061": 1e2 }, "a": 0 } "##;
    let number = |path: &str| get(json, path) == Some(Value::Number("10".into()));
    assert!(number("a.b.0"));
    assert_eq!(text(json, "a.b.1.c"), "d");
    assert_eq!(get(json, "a.b.#"), Some(Value::Number("3".into())));
    assert_eq!(get(json, "a.b.2.#"), Some(Value::Number("0".into())));
    assert_eq!(get(json, "a.0"), Some(Value::Bool(true)));
    assert_eq!(get(json, "a.#"), Some(Value::Null), "a name of an object");
    assert_eq!(get(json, "a.x\\.y"), Some(Value::Bool(false)));
    assert_eq!(get(json, "a.za"), Some(Value::Number("1e2".into())));
    for missing in [
        "",
        "b",
        "a.b.3",
        "a.b.x",
        "a.b.-1",
        "a.b.+1",
        "a.b.",
        "a.b.#.c",
        "a.0.x",
        "skip.#",
        "a.b.99999999999999999999",
        "a.x.y",
    ] {
        assert_eq!(get(json, missing), None, "{missing}");
    }
    assert_eq!(get("[[1,2]]", "#"), Some(Value::Number("1".into())));
    assert_eq!(get("[[1,2]]", "0.1"), Some(Value::Number("2".into())));
    assert_eq!(get("7", "#"), None);
}

#[test]
fn strings_are_read_without_their_escapes() {
    let json = r#"["\"\\\/\b\f\n\r\t\u00e4\ud83d\ude00|\ud83d|\ude00\u0041"]"#;
    assert_eq!(
        text(json, "0"),
        "\"\\/\u{8}\u{c}\n\r\tä😀|\u{fffd}|\u{fffd}A"
    );
}

fn root(json: &str) -> Value<'_> {
    let document = Document::lenient(json.as_bytes()).expect("JSON");
    document.root().expect("a value")
}

#[test]
fn members_and_elements_are_found_wherever_they_stand() {
    let all = root(r#" {"a" : [1, "x]", {"b":"}"} , [] , true ], "b":{ "c" : null},"a":2} "#);
    let a: Vec<Value> = all.get("a").expect("a").elements().collect();
    assert_eq!(a.len(), 5);
    assert_eq!(a[0], Value::Number("1".into()));
    assert_eq!(a[1].text().as_deref(), Some("x]"));
    assert_eq!(a[2].get("b").and_then(|b| b.text()).as_deref(), Some("}"));
    assert!(matches!(a[3], Value::Array(items) if items.values().count() == 0));
    assert_eq!(a[4], Value::Bool(true));
    let inner = all.get("b").and_then(|b| b.get("c"));
    assert_eq!(inner, Some(Value::Null));
    assert_eq!(all.get("c"), None);
    assert_eq!(root("{}").get("a"), None);
    assert_eq!(root("[]").elements().count(), 0);
    assert_eq!(root("[ [1,2] ]").elements().count(), 1);
    assert_eq!(root("7").elements().count(), 0);
}

#[test]
fn a_text_is_read_with_its_escapes() {
    let text = |text: &str| Document::lenient(text.as_bytes()).ok()?.root()?.text();
    assert_eq!(
        text(r#""a\"\\\/\n\u00e9\ud83d\ude00b""#).as_deref(),
        Some("a\"\\/\né😀b")
    );
    assert_eq!(
        text(r#""\ud83dx\ude00""#).as_deref(),
        Some("\u{fffd}x\u{fffd}")
    );
    assert_eq!(text(r#""\ud83d\u0041""#).as_deref(), Some("\u{fffd}A"));
    assert_eq!(text("\"a\nb\0\"").as_deref(), Some("a\nb\0"));
    assert_eq!(text(r#""\x""#), None);
    assert_eq!(text(r#""\u12""#), None);
    assert_eq!(text("\"\\é\""), None);
    assert_eq!(text("1"), None);
}

#[test]
fn depth_and_huge_numbers_are_no_trouble() {
    const DEEP: usize = 1 << 19;
    assert_eq!(wrong(&"[".repeat(2 * DEEP)), Some(2 * DEEP));
    assert_eq!(wrong(&"{\"a\":".repeat(DEEP)), Some(5 * DEEP));
    let deep = "[".repeat(DEEP) + &"]".repeat(DEEP);
    assert!(matches!(get(&deep, "0.0.0"), Some(Value::Array(_))));
    assert!(get(&deep, &format!("{}0", "0.".repeat(DEEP - 2))).is_some());
    let long = "9".repeat(1 << 20);
    assert_eq!(get(&long, "x"), None);
    assert_eq!(
        get("[1e99999,-1e99999]", "0"),
        Some(Value::Number("1e99999".into()))
    );
}

#[derive(Clone, Debug)]
enum Tree {
    Leaf(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        "[ -~]{0,8}".prop_map(|text| quoted(&text)),
    ];
    leaf.prop_map(Tree::Leaf).prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Tree::Array),
            vec(("[ -~ä]{0,4}", inner), 0..5).prop_map(Tree::Object),
        ]
    })
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn written(tree: &Tree, space: &str) -> String {
    let joined = |all: Vec<String>| all.join(&format!("{space},{space}"));
    match tree {
        Tree::Leaf(text) => text.clone(),
        Tree::Array(all) => {
            let all = all.iter().map(|tree| written(tree, space)).collect();
            format!("[{space}{}{space}]", joined(all))
        }
        Tree::Object(all) => {
            let member = |(name, tree): &(String, Tree)| {
                format!("{}{space}:{space}{}", quoted(name), written(tree, space))
            };
            let all = all.iter().map(member).collect();
            format!("{{{space}{}{space}}}", joined(all))
        }
    }
}

/// Collects every leaf with its path.
fn leaves(tree: &Tree, path: &str, found: &mut Vec<(String, String)>) {
    let deeper = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    match tree {
        Tree::Leaf(text) => found.push((path.to_owned(), text.clone())),
        Tree::Array(all) => {
            found.push((deeper("#"), all.len().to_string()));
            for (i, tree) in all.iter().enumerate() {
                leaves(tree, &deeper(&i.to_string()), found);
            }
        }
        Tree::Object(all) => {
            for (i, (name, tree)) in all.iter().enumerate() {
                if all[..i].iter().any(|(other, _)| other == name) {
                    continue;
                }
                let escaped = name.replace('\\', "\\\\").replace('.', "\\.");
                leaves(tree, &deeper(&escaped), found);
            }
        }
    }
}

proptest! {
    #[test]
    fn every_leaf_of_any_document_is_found(
        tree in vec(tree(), 0..4).prop_map(Tree::Array), space in "[ \n\t\r]{0,2}",
    ) {
        let json = written(&tree, &space);
        let document = Document::parse(json.as_bytes());
        prop_assert!(document.is_ok(), "{}", json);
        let mut found = Vec::new();
        leaves(&tree, "", &mut found);
        for (path, leaf) in found {
            let value = document.as_ref().ok().and_then(|document| document.get(&path));
            let wanted = Document::parse(leaf.as_bytes()).ok().map(|leaf| Value::read(leaf.0));
            let same = match (value, wanted.flatten()) {
                (Some(Value::Text(a)), Some(Value::Text(b))) => a.decoded() == b.decoded(),
                (a, b) => a == b,
            };
            prop_assert!(same, "{} in {}", path, json);
        }
    }

    #[test]
    fn cut_off_anywhere_it_is_no_document(tree in vec(tree(), 0..4), at in any::<prop::sample::Index>()) {
        let json = written(&Tree::Array(tree), "");
        let cut = at.index(json.len());
        prop_assert_eq!(Document::parse(&json.as_bytes()[..cut]).err(), Some(cut));
    }

    #[test]
    fn no_bytes_and_no_path_make_it_panic(
        bytes in vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\u0 tn"[..])], 0..80),
        path in "[a-c0-2#.\\\\]{0,8}",
    ) {
        if let Ok(document) = Document::parse(&bytes)
            && let Some(Value::Text(text)) = document.get(&path)
        {
            text.decoded();
        }
        // Also for invalid JSON.
        if let Some(Value::Array(items) | Value::Object(items)) = Document(&bytes).get(&path) {
            items.values().for_each(drop);
        }
    }

    #[test]
    fn every_member_is_found_and_every_text_comes_back(
        members in prop::collection::btree_map("[a-z]{1,3}", "[ -~é😀]{0,9}", 0..8), nested: bool,
    ) {
        let written: Vec<String> = members
            .iter()
            .map(|(key, text)| match nested {
                true => format!("\"{key}\": [{{}},{}]", quoted(text)),
                false => format!("\"{key}\":{}", quoted(text)),
            })
            .collect();
        let whole = format!("{{{}}}", written.join(" ,"));
        let root = root(&whole);
        for (key, text) in &members {
            let found = root.get(key).expect("a member");
            let found = match nested {
                true => found.elements().nth(1).expect("an element"),
                false => found,
            };
            let found = found.text();
            prop_assert_eq!(found.as_ref(), Some(text));
        }
        prop_assert_eq!(root.get("none"), None);
    }

    #[test]
    fn whatever_is_a_document_can_be_looked_into(
        text in r#"(\[|\]|\{|\}|:|,|"a":|"a"|"\\"é"|1e|-|true|null|"\\u[0-9d8c]{0,4}"| )*"#,
    ) {
        if let Ok(document) = Document::lenient(text.as_bytes()) {
            let root = document.root().expect("a value");
            let _ = root.get("a").map(|a| a.elements().count());
            let _ = root.text();
            for element in root.elements() {
                let _ = (element.get("a"), element.text());
            }
        }
    }
}
