use proptest::prelude::*;
use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Root {
    version: Version<1>,
    #[serde(default)]
    items: Vec<Placed<Item>>,
    #[serde(default = "no_names")]
    named: Named<Kind>,
}

fn no_names() -> Named<Kind> {
    Named(Vec::new())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    name: Placed<String>,
    cooldown: Option<Even>,
    size: Option<String>,
    on: Option<bool>,
    port: Option<u16>,
    source: Option<List<Placed<String>>>,
}

/// A type that reads itself from text, and says itself what is wrong.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Even(u32);

impl TryFrom<String> for Even {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| number % 2 == 0);
        number.map(Self).ok_or_else(|| format!("'{text}' is not even"))
    }
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Plain,
    Mqtt(Url),
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Url {
    url: String,
}

fn read(text: &str) -> (Option<Root>, Vec<String>) {
    let (root, problems) = File::new("a.yaml", text).read();
    (root, problems.iter().map(|problem| problem.to_string()).collect())
}

/// The first lines of the problems: place, message and hint.
fn problems(text: &str) -> Vec<String> {
    let first_line = |problem: String| problem.lines().next().unwrap().to_owned();
    read(text).1.into_iter().map(first_line).collect()
}

fn item(line: &str) -> String {
    format!("version: 1\nitems:\n  - name: a\n    {line}\n")
}

#[test]
fn a_good_file_is_read_with_the_places_of_its_values() {
    let text = "version: 1\nitems:\n  - name: a\n    cooldown: 54\n    size: 4096\n    \
                on: true\n    port: 80\n    source: x\n  - { name: \"b\", source: [x, 'y'] }\n\
                named:\n  p: plain\n  q: { mqtt: { url: u } }\n";
    let (root, problems) = read(text);
    assert_eq!(problems, [""; 0]);
    let root = root.unwrap();
    assert_eq!(root.version, Version);
    let first = &root.items[0].value;
    assert_eq!(first.cooldown.as_ref().unwrap().0, 54);
    assert_eq!(first.size.as_deref(), Some("4096"));
    assert_eq!((first.on, first.port), (Some(true), Some(80)));
    assert_eq!(first.name.place, Place { line: 3, column: 11 });
    assert_eq!(first.source.as_ref().unwrap().0.len(), 1);
    let second = &root.items[1].value;
    assert_eq!(second.source.as_ref().unwrap().0[1].value, "y");
    assert_eq!(second.source.as_ref().unwrap().0[1].place, Place { line: 9, column: 30 });
    assert_eq!(root.named.0[0].0.value, "p");
    assert_eq!(root.named.0[1].1, Kind::Mqtt(Url { url: "u".to_owned() }));
}

#[test]
fn every_kind_of_mistake_has_its_place_and_its_remedy() {
    for (line, expected) in [
        ("cooldwon: 15m", "a.yaml:4:5: unknown key `cooldwon`; did you mean `cooldown`?"),
        (
            "frequency: 1",
            "a.yaml:4:5: unknown key `frequency`; \
             known here: name, cooldown, size, on, port, source",
        ),
        ("cooldown: 15", "a.yaml:4:15: '15' is not even"),
        ("on: yes", "a.yaml:4:9: expected true or false, found `yes`"),
        ("on: \"true\"", "a.yaml:4:9: expected true or false, found `true`"),
        (
            "port: 0755",
            "a.yaml:4:11: expected a whole number from 0 to 65535, found `0755`; \
             leave the leading zero out",
        ),
        ("port: 65536", "a.yaml:4:11: expected a whole number from 0 to 65535, found `65536`"),
        ("port: 0x50", "a.yaml:4:11: expected a whole number from 0 to 65535, found `0x50`"),
        ("port: -1", "a.yaml:4:11: expected a whole number from 0 to 65535, found `-1`"),
        ("name: b", "a.yaml:4:5: the key `name` is given twice; it was first given on line 3"),
        ("cooldown:", "a.yaml:4:13: no value is given here; write one, or remove the key"),
        (
            "cooldown:\n    on: true",
            "a.yaml:4:13: no value is given here; write one, or remove the key",
        ),
        ("cooldown: ~", "a.yaml:4:15: no value is given here; write one, or remove the key"),
        ("source: { a: b }", "a.yaml:4:13: expected text, found a mapping"),
        ("port: !!int 5", "a.yaml:4:17: tags such as !name have no meaning here; remove it"),
        (
            "<<: { on: true }",
            "a.yaml:4:5: unknown key `<<`; known here: name, cooldown, size, on, port, source",
        ),
    ] {
        assert_eq!(problems(&item(line)), [expected], "{line}");
    }
}

#[test]
fn enums_say_what_they_know() {
    let named = |line: &str| problems(&format!("version: 1\nnamed:\n  n: {line}\n"));
    assert_eq!(
        named("{ mqt: { url: u } }"),
        ["a.yaml:3:8: unknown value `mqt`; did you mean `mqtt`?"]
    );
    assert_eq!(named("mqtt"), ["a.yaml:3:6: `mqtt` stands alone; write its settings below"]);
    assert_eq!(named("{ mqtt: { } }"), ["a.yaml:3:14: the key `url` is missing"]);
    assert_eq!(
        named("{ mqtt: { url: u }, plain: x }"),
        ["a.yaml:3:26: `plain` cannot stand beside another; write exactly one of plain, mqtt"]
    );
    assert_eq!(named("[a]"), ["a.yaml:3:6: expected one of plain, mqtt, found a list"]);
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_text() {
    let text = "version: 1\nitems:\n  - name: [a]\n    cooldwon: 2\n    on: yes\n  - port: x\n\
                other: 1\n";
    assert_eq!(
        problems(text),
        [
            "a.yaml:3:11: expected text, found a list",
            "a.yaml:4:5: unknown key `cooldwon`; did you mean `cooldown`?",
            "a.yaml:5:9: expected true or false, found `yes`",
            "a.yaml:6:5: the key `name` is missing",
            "a.yaml:6:11: expected a whole number from 0 to 65535, found `x`",
            "a.yaml:7:1: unknown key `other`; known here: version, items, named",
        ]
    );
}

#[test]
fn a_value_with_a_mistake_inside_is_not_whole() {
    let (root, problems) =
        read("version: 1\nitems:\n  - name: a\n    on: yes\n  - name: b\n    on: true\n");
    assert_eq!(problems.len(), 1);
    let whole: Vec<bool> = root.unwrap().items.iter().map(|item| item.whole).collect();
    assert_eq!(whole, [false, true]);
}

#[test]
fn an_alias_is_a_copy_and_a_mistake_in_it_is_shown_where_it_is_written() {
    let text =
        "version: 1\nitems:\n  - &a { name: a, source: &s [x, y] }\n  - { name: b, source: *s }\n";
    let (root, problems) = read(text);
    assert_eq!(problems, [""; 0]);
    assert_eq!(root.unwrap().items[1].value.source.as_ref().unwrap().0.len(), 2);
}

#[test]
fn bombs_run_into_budgets() {
    let mut laughs = "version: 1\na: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (name, inner) in ["b", "c", "d", "e", "f", "g"].iter().zip(["a", "b", "c", "d", "e", "f"]) {
        laughs
            .push_str(&format!("{name}: &{name} [{}]\n", vec![format!("*{inner}"); 10].join(", ")));
    }
    let told = problems(&laughs);
    assert!(told[0].contains("more than 200000 values, aliases unfolded"), "{told:?}");

    let long =
        format!("version: 1\na: &a {}\nb: [{}]\n", "x".repeat(100_000), vec!["*a"; 100].join(", "));
    let told = problems(&long);
    assert!(told[0].contains("bytes, aliases unfolded"), "{told:?}");

    let deep = format!("version: 1\nitems: {}{}\n", "[".repeat(40), "]".repeat(40));
    let told = problems(&deep);
    assert!(told[0].contains("nested deeper than 32 levels"), "{told:?}");

    assert!(problems("a: &a [*a]\n")[0].contains("an alias cannot stand within what it names"));
}

#[test]
fn another_version_is_refused() {
    assert_eq!(
        problems("version: 2\n"),
        ["a.yaml:1:10: version 2 is not known here; this release reads version 1"]
    );
}

#[test]
fn what_is_not_yaml_is_placed_too() {
    let told = problems("version: 1\nitems: [a, b\n");
    assert!(told[0].starts_with("a.yaml:"), "{told:?}");
    assert!(told[0].contains("this is not YAML: "), "{told:?}");
    assert_eq!(problems(""), ["a.yaml: holds nothing"]);
    assert_eq!(problems("# only a comment\n"), ["a.yaml: holds nothing"]);
    assert_eq!(
        problems("version: 1\n---\nversion: 1\n"),
        ["a.yaml:2:1: a second document begins here; write one document in each file"]
    );
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let missing = File::open(&folder.path().join("missing.yaml")).unwrap_err();
    assert!(
        missing.to_string().contains("missing.yaml: cannot be read: No such file"),
        "{missing}"
    );
    let path = folder.path().join("latin1.yaml");
    std::fs::write(&path, b"version: \xe4\n").unwrap();
    let latin1 = File::open(&path).unwrap_err();
    assert!(latin1.to_string().contains("is no UTF-8 text: byte 9"), "{latin1}");
    std::fs::write(&path, vec![b'#'; (4 << 20) + 1]).unwrap();
    let large = File::open(&path).unwrap_err();
    assert!(large.to_string().contains("is larger than 4194304 bytes"), "{large}");
}

#[test]
fn many_mistakes_are_cut() {
    let text = format!("version: 1\nitems:\n{}", "  - { name: a, on: yes }\n".repeat(300));
    assert_eq!(problems(&text).len(), 50);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[-:?{}\\[\\],&*!|>'\"%@#a-c1~<\n\t ]{0,80}") {
        for problem in problems(&text) {
            prop_assert!(problem.starts_with("a.yaml"), "{problem}");
        }
    }

    #[test]
    fn a_damaged_file_is_told_within_its_lines(cut in 0usize..90, junk in "[\\PC\n]{0,6}") {
        let text = "version: 1\nitems:\n  - name: a\n    source: [x, 'y']\nnamed:\n  p: { mqtt: { url: u } }\n";
        let cut = cut.min(text.len());
        let damaged = format!("{}{junk}{}", &text[..cut], &text[cut..]);
        let (_, problems) = File::new("a.yaml", damaged.clone()).read::<Root>();
        let last = damaged.lines().count() + 1;
        for place in problems.iter().filter_map(|problem| problem.place) {
            prop_assert!((1..=last).contains(&usize::try_from(place.line).unwrap()), "{place:?}");
        }
    }
}

#[test]
fn a_line_ends_where_yaml_ends_it() {
    for ending in ["\n", "\r\n", "\r"] {
        let text = ["version: 1", "", "items: []", "itmes: 1", ""].join(ending);
        let (_, problems) = File::new("a.yaml", text).read::<Root>();
        assert_eq!(problems[0].place, Some(Place { line: 4, column: 1 }), "{ending:?}");
        assert_eq!(problems[0].source_line, "itmes: 1", "{ending:?}");
    }
}

/// The most that a document may take to be refused or read, unoptimised on a busy machine.
const SOON: std::time::Duration = std::time::Duration::from_secs(20);

/// Reads a document and says how long it took and what the problems are.
fn bomb(what: &str, text: &str) -> Vec<Problem> {
    let begin = crate::clock::boot_time();
    let (_, problems) = File::new("a.yaml", text).read::<Root>();
    let took = crate::clock::boot_time().since(begin);
    println!("{took:>10.1?} {what}: {}", problems.first().map_or("", |problem| &problem.message));
    assert!(took < SOON, "{what}: {took:?}");
    assert!(!problems.is_empty() && problems.len() <= 100, "{what}: {} problems", problems.len());
    let lines = u32::try_from(text.lines().count().max(1)).unwrap();
    for problem in &problems {
        let place = problem.place.unwrap_or_else(|| panic!("{what}: {problem}"));
        assert!(place.line <= lines + 1, "{what}: {problem}");
        assert!(problem.to_string().len() < 10_000, "{what}");
    }
    problems
}

/// 4 MiB, the most that is read of a file.
fn filled(with: &str) -> String {
    with.repeat((4 << 20) / with.len())
}

#[test]
fn bombs_end_soon_with_a_place() {
    let laughs: String = (1..30)
        .map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", ")))
        .collect();
    let held = format!(
        "a: {}{}{}",
        (0..30).map(|n| format!("&a{n} [")).collect::<String>(),
        "1, ".repeat(190_000),
        "]".repeat(30)
    );
    let texts_held = format!(
        "a: {}'{}'{}",
        (0..30).map(|n| format!("&a{n} [")).collect::<String>(),
        "x".repeat(1 << 20),
        "]".repeat(30)
    );
    for (what, text) in [
        ("laughs", format!("a0: &a0 [lol]\n{laughs}")),
        ("many anchors that hold much", held),
        ("many anchors that hold much text", texts_held),
        ("itself", "a: &a [*a]".to_owned()),
        ("text unfolded", format!("a: &a '{}'\nb: [{}]", "x".repeat(1 << 20), "*a, ".repeat(100))),
        ("flow lists", filled("[")),
        ("flow mappings", filled("{")),
        ("flow pairs", filled("[a: ")),
        ("block lists", filled("- ")),
        ("complex keys", filled("? ")),
        (
            "mappings below each other",
            (0..2_000).map(|n| format!("{}a:\n", " ".repeat(n))).collect(),
        ),
        ("one text", filled("x")),
        ("one text that does not end", format!("a: '{}", filled("x"))),
        ("one block of text", format!("a: |\n{}", filled("  x\n"))),
        ("one key", format!("{}: 1", filled("x"))),
        ("many keys", (0..300_000).map(|n| format!("k{n}: 1\n")).collect()),
        ("one key many times", filled("a: 1\n")),
        ("one key many times in a line", format!("{{{}}}", "a: 1, ".repeat(90_000))),
        ("many mistakes in a line", format!("{{items: [{}]}}", "{x: 1}, ".repeat(40_000))),
        ("values", format!("[{}]", filled("1,"))),
        ("anchors", filled("&a ")),
        ("aliases", filled("*a ")),
        ("tags", filled("!a ")),
        ("directives", filled("%a b\n")),
        ("documents", filled("---\n")),
        ("quotes", filled("\"")),
        ("escapes", format!("a: \"{}", filled("\\x41"))),
        ("tabs", filled("\t") + "x"),
        ("colons", filled(":")),
        ("dashes", filled("-")),
        ("brackets closed", filled("]")),
        ("lines of text", filled("x\n")),
        ("comments", filled("# x\n") + "a: 1"),
        ("zeros", filled("\0")),
    ] {
        bomb(what, &text);
    }
}
