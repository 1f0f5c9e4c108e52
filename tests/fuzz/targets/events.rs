//! A message of any bytes, in the format that the first one names: it is read whole or refused, and
//! rules that use every key judge its events without a panic and the same way twice.

#![no_main]

use std::sync::LazyLock;

use fuzz::clock::WallTime;
use fuzz::rule_files::load_text;
use fuzz::rules::RuleSet;
use fuzz::source::Content;
use fuzz::source::format::{Format, json::Mapping};
use libfuzzer_sys::fuzz_target;

static RULES: LazyLock<RuleSet> = LazyLock::new(|| {
    load_text(include_bytes!("../seeds/rule_files/every-key")).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
});

const FORMATS: [&str; 7] =
    ["auto", "alertmanager", "azure", "cloudevents", "telegraf", "suricata", "json"];

/// A Monday at noon, when the rules are active.
const NOON: WallTime = WallTime::from_nanos(1_763_982_000_000_000_000);

fuzz_target!(|bytes: &[u8]| {
    let Some((format, body)) = bytes.split_first() else { return };
    let name = FORMATS[usize::from(*format) % FORMATS.len()];
    let format = Format::from_name(name, Mapping::default()).unwrap();
    match format.decode("plant", body, NOON) {
        Content::Rejected(rejected) => {
            assert!(!rejected.reason.is_empty());
            assert!(!rejected.head.chars().any(char::is_control), "{:?}", rejected.head);
        }
        Content::Events(events) => {
            for event in events {
                let verdicts = RULES.decide(&event);
                assert_eq!(verdicts, RULES.decide(&event));
                let told = format!("{verdicts:?}");
                assert!(!told.contains('\u{1b}'), "{told}");
            }
        }
    }
});
