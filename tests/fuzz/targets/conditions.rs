//! A condition of any text: it is refused with a message, or it judges events within its bounds, and
//! says in plain words where it cannot. Time out and stack are libFuzzer's and the kernel's to tell.

#![no_main]

use std::sync::LazyLock;

use fuzz::clock::WallTime;
use fuzz::model::Event;
use fuzz::rules::when::{Condition, Facts};
use fuzz::source::Content;
use fuzz::source::format::Format;
use libfuzzer_sys::fuzz_target;

static EVENTS: LazyLock<Vec<Event>> = LazyLock::new(|| {
    let body = br#"[{"labels": {"alertname": "A", "env": "prod", "peer": "10.0.0.7", "a": "b"},
        "annotations": {"summary": "x\u001b y"}, "startsAt": "2026-11-22T17:30:00Z"},
        {"labels": {"alertname": "B"}}]"#;
    let body: Vec<serde_json::Value> = serde_json::from_slice(body).unwrap();
    let events = body.iter().flat_map(|alert| {
        let alert = alert.to_string();
        match Format::Alertmanager.decode("plant", alert.as_bytes(), WallTime::from_nanos(1)) {
            Content::Events(events) => events,
            Content::Rejected(rejected) => panic!("{}", rejected.reason),
        }
    });
    let mut events: Vec<Event> = events.collect();
    events[0].value = Some(0.07);
    events
});

fuzz_target!(|text: &str| {
    match Condition::parse(text) {
        Err(error) => drop((error.to_string(), error.hint())),
        Ok(condition) => {
            for event in &*EVENTS {
                let facts = Facts::of(event);
                let truth = condition.holds(&facts);
                assert_eq!(truth, condition.holds(&facts));
                if let Err(sentence) = truth {
                    assert!(sentence.bytes().all(|b| (b' '..=b'~').contains(&b)), "{sentence}");
                }
            }
        }
    }
});
