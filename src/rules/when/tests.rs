use super::*;
use crate::clock::WallTime;
use crate::model::{Event, Status};
use crate::rules::decide::tests::event;
use proptest::prelude::*;

fn holds(condition: &str, event: &Event) -> Result<bool, String> {
    Condition::parse(condition)
        .unwrap_or_else(|error| panic!("{condition}: {error}"))
        .holds(&Facts::of(event))
}

/// The error's message and its hint.
fn refused(condition: &str) -> String {
    let error = Condition::parse(condition).expect_err(condition);
    let hint = error.hint().map_or(String::new(), |hint| format!("; {hint}"));
    format!("{error}{hint}")
}

fn alert() -> Event {
    let labels = [("env", "prod"), ("instance", "edge-7:9100"), ("peer", "10.0.0.7")];
    let mut event = event(&labels);
    event.severity = Some("critical".to_owned());
    event.value = Some(0.07);
    event.annotations = [("summary".to_owned(), "Retransmits are high".to_owned())].into();
    event.received_at = "2026-11-22T17:30:05Z".parse().unwrap();
    event.starts_at = Some("2026-11-22T17:29:05Z".parse().unwrap());
    event
}

#[test]
fn every_variable_says_what_the_event_says() {
    for condition in [
        "value > 0.05 && labels.env == 'prod'",
        "value > 0",
        "name == 'Named' && source == 'plant' && fingerprint == 'f00d'",
        "status == 'firing'",
        "severity in ['critical', 'page']",
        "has(labels.peer) && !has(labels.team)",
        "'peer' in labels && !('team' in labels)",
        "labels['peer'].startsWith('10.')",
        "size(labels) == 3 && annotations.size() == 1",
        "annotations.summary.matches('(?i)^retrans.*HIGH$')",
        "labels.instance.matches('edge-[0-9]+')",
        "labels.exists(name, name == 'peer')",
        "labels.all(name, size(name) < 10)",
        "labels.map(name, labels[name])[0] == 'prod'",
        "labels.filter(name, name.startsWith('p')) == ['peer']",
        "labels.exists_one(name, labels[name] == 'prod')",
        "['10.0.0.', '10.1.0.'].exists(prefix, labels.peer.startsWith(prefix))",
        "received_at - starts_at == duration('60s')",
        "received_at.getHours() == 17 && received_at.getHours('Europe/Berlin') == 18",
        "received_at > timestamp('2026-11-22T00:00:00Z')",
        "received_at.getDayOfWeek() == 0",
        "(has(labels.env) ? labels.env : 'none') == 'prod'",
        "{'prod': 0.05, 'test': 0.5}[labels.env] < value",
        "value * 100.0 > 5.0",
        "double(string(value)) == value && int('3') == 3",
        "(labels.env + '-' + severity).endsWith('-critical')",
    ] {
        assert_eq!(holds(condition, &alert()), Ok(true), "{condition}");
    }
}

#[test]
fn what_the_event_does_not_have_is_null_or_empty() {
    let mut bare = event(&[]);
    bare.starts_at = None;
    bare.status = Status::Resolved;
    for condition in [
        "value == null && starts_at == null && severity == ''",
        "status == 'resolved'",
        "value != null && value > 0.5 || size(labels) == 0",
    ] {
        assert_eq!(holds(condition, &bare), Ok(true), "{condition}");
    }
}

#[test]
fn what_has_no_truth_value_is_a_sentence() {
    let mut bare = alert();
    bare.value = None;
    bare.labels.insert("wild".to_owned(), "a\u{1b}[2J\nb".repeat(100));
    for (condition, sentence) in [
        ("labels.team == 'net'", "there is no `team`; ask with has() or `in` before using it"),
        (
            "labels[labels.wild] == 'net'",
            "there is no `a\\u{1b}[2J\\nba\\u{1b}[2J\\nba\\u{1b}[2J\\nba\\u{1b}[2J\\nba\\u{1b}[2J\\nba\\u{1b}[2J\\nba\\u{1b}[2J\\nba\\u{1b}[2J\\nba\\u{1b}[2J\\nba...`; ask with has() or `in` before using it",
        ),
        (
            "value > 0.05",
            "`>` has no meaning for null and a number; what an event does not have is null",
        ),
        (
            "value + 1.0 > 0.05",
            "`+` has no meaning for null and a number; what an event does not have is null",
        ),
        ("[true, 1][size(labels) - 3]", "it gives a whole number, not true or false"),
        ("[true, false][5]", "a list has no element at that position"),
        ("1 / size(labels.filter(l, l == 'none')) > 0", "it divides by zero"),
        ("9223372036854775807 + size(labels) > 0", "a result is out of range"),
    ] {
        assert_eq!(holds(condition, &bare), Err(sentence.to_owned()), "{condition}");
    }
    let sentence = holds("int(labels.wild) > 5", &bare).unwrap_err();
    assert!(sentence.starts_with("int(): "), "{sentence}");
    assert!(sentence.len() < 300 && sentence.bytes().all(|b| (b' '..=b'~').contains(&b)));
}

#[test]
fn a_missing_label_does_not_hide_an_answer_that_is_known() {
    for (condition, expected) in [
        ("labels.team == 'net' || labels.env == 'prod'", true),
        ("labels.team == 'net' && labels.env == 'test'", false),
    ] {
        assert_eq!(holds(condition, &alert()), Ok(expected), "{condition}");
    }
}

#[test]
fn names_that_do_not_exist_are_refused_with_the_nearest() {
    for (condition, message) in [
        ("lables.env == 'x'", "there is no variable `lables`; did you mean `labels`?"),
        (
            "labels.exists(n, m == 'x')",
            "there is no variable `m`; known here: n, name, source, status, severity, value, labels, annotations, starts_at, received_at, fingerprint",
        ),
        ("name.startswith('x')", "there is no function `startswith`; did you mean `startsWith`?"),
        ("sizes(name) > 3", "there is no function `sizes`; did you mean `size`?"),
        ("string == 'x'", "there is no variable `string`"),
        (
            "type(name) == string",
            "there is no function `type`; known here: size, string, int, double, timestamp, duration, has",
        ),
    ] {
        let got = refused(condition);
        assert!(got.starts_with(message.split("; known").next().unwrap()), "{condition}: {got}");
    }
}

#[test]
fn what_can_never_work_is_refused() {
    for (condition, message) in [
        (
            "value",
            "the condition gives a number with a fraction, not true or false; compare it with something",
        ),
        ("'yes'", "the condition gives a text, not true or false; compare it with something"),
        ("value == '0.05'", "a number with a fraction == a text can never work"),
        ("name > 5", "a text > a whole number can never work"),
        (
            "value * 100 > 5.0",
            "a number with a fraction * a whole number can never work; write both with a fraction, as in 100.0, or use double()",
        ),
        (
            "value && true",
            "`!`, `&&`, `||` and `?` ask for true or false, not for a number with a fraction",
        ),
        ("labels == annotations", "`labels` are many texts; name one, as in labels.env"),
        ("name.first == 'a'", "a text has no field `first`"),
        (
            "name.exists(c, c == 'a')",
            "macros such as exists() go through labels, annotations and lists that are written out, not through a text",
        ),
        ("name.matches(severity)", "the regular expression of matches() has to be written out"),
        ("name.matches('a(')", "the regular expression \"a(\" is not valid: unclosed group"),
        (
            "name.matches('(a{500}){500}')",
            "the regular expression \"(a{500}){500}\" is not valid: compiled, it takes more than 65536 bytes",
        ),
        ("b'a' == b'a'", "bytes such as b'a' have no meaning here"),
        ("Foo{a: 1} == 1", "messages such as Type{field: 1} have no meaning here"),
    ] {
        assert_eq!(refused(condition), message, "{condition}");
    }
}

#[test]
fn what_is_no_condition_is_placed() {
    for (condition, message) in [
        ("", "the condition is empty; write one, or remove the key"),
        ("value >", "this is no condition: column 8: it ends too early"),
        ("value > 5 5", "this is no condition: column 11: extraneous input '5'"),
        ("a ? b", "this is no condition: column 6: it ends too early"),
    ] {
        assert_eq!(refused(condition), message, "{condition}");
    }
    for condition in [
        "'",
        "\"a",
        "a.",
        "has(name)",
        "a.exists(1, true)",
        "[1, 2",
        "99999999999999999999 > 1",
        "'\\u{1}' == name",
        "name.?a",
        "`a` == 1",
    ] {
        assert!(Condition::parse(condition).is_err(), "{condition}");
    }
}

#[test]
fn what_could_take_long_is_refused() {
    assert!(matches!(
        Condition::parse(&"a".repeat(MAX_TEXT_BYTES + 1)),
        Err(Error::TooLong(2_001))
    ));
    assert!(matches!(Condition::parse(&"+1".repeat(MAX_WORDS)), Err(Error::TooManyWords)));
    let deep = format!("1{} > 0", "+1".repeat(cost::MAX_DEPTH));
    assert!(matches!(Condition::parse(&deep), Err(Error::TooDeep(_))));
    let thrice = "labels.all(a, ['x'].all(b, ['y'].all(c, a + b + c != 'z')))";
    assert!(matches!(Condition::parse(thrice), Err(Error::MacrosTooDeep(2))));
    let square = "labels.all(a, annotations.all(b, labels[a] != annotations[b]))";
    assert!(matches!(Condition::parse(square), Err(Error::TooCostly { .. })));
    let growing = "size(labels.map(a, labels.map(b, a + b))) > 0";
    assert!(matches!(Condition::parse(growing), Err(Error::TooCostly { .. })));
}

#[test]
fn an_event_larger_than_any_source_takes_is_not_judged() {
    let mut large = alert();
    large.labels.extend((0..200).map(|n| (format!("l{n}"), String::new())));
    assert!(holds("true", &large).unwrap_err().starts_with("the event is too large"));
    let mut long = alert();
    long.annotations.insert("a".to_owned(), "x".repeat(5_000));
    assert!(holds("true", &long).is_err());
}

#[test]
fn two_conditions_are_equal_where_their_texts_are() {
    let parse = |text| Condition::parse(text).unwrap();
    assert_eq!(parse("value > 0.5"), parse(" value > 0.5 "));
    assert_ne!(parse("value > 0.5"), parse("value > 0.6"));
    assert_eq!(format!("{:?}", parse("value > 0.5")), "Condition(\"value > 0.5\")");
}
