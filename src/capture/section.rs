//! What a capture's file says about itself: the comment of the section, of the packet at the
//! trigger, and of a file that a crash has cut.

use serde_json::{Map, Value, json};

use crate::capture::Origin;
use crate::clock::WallTime;
use crate::model::{CaptureId, CapturePlan};
use crate::telemetry::escape;

/// The most that the comment of a section takes, in bytes; an option of pcapng holds 65,532.
const MAX_COMMENT_BYTES: usize = 65_000;

/// The most of an event's name that stands at the packet after the trigger, in characters.
const MAX_NAME_CHARS: usize = 128;

/// Says that a file was cut. People read it in the statistics of each interface.
pub(super) const CUT: &str = "partial: the capture was cut short, and this file was closed \
    afterwards; packets of its last second or so may be missing, and losses were not counted";

/// The comment of the section: one JSON object with all that tells where the packets come from.
pub(super) fn comment(
    capture: &CaptureId,
    name: &str,
    (plan, origin): (&CapturePlan, &Origin),
    held_from: WallTime,
) -> String {
    let event = serde_json::from_str(&plan.event_json)
        .unwrap_or_else(|_not_json| Value::String(plan.event_json.clone()));
    let comment = object(capture, name, (plan, origin), held_from, event);
    if comment.len() <= MAX_COMMENT_BYTES {
        return comment;
    }
    let event = json!({ "id": plan.event, "name": shortened(&plan.event_name), "cut": true });
    object(capture, name, (plan, origin), held_from, event)
}

fn object(
    capture: &CaptureId,
    name: &str,
    (plan, origin): (&CapturePlan, &Origin),
    held_from: WallTime,
    event: Value,
) -> String {
    let from = match origin {
        Origin::Interfaces => ("window", json!({ "from": plan.from(), "until": plan.until() })),
        Origin::File(path) => ("file", json!(path.to_string_lossy())),
    };
    let around = [
        ("capture", json!(name)),
        ("capture_id", json!(capture)),
        ("host", json!(plan.host)),
        ("trigger_at", json!(plan.trigger_at)),
        from,
        ("held_from", json!(held_from)),
    ];
    let cause = [("rule", json!(plan.rule)), ("incident", json!(plan.incident)), ("event", event)];
    let cause = cause.into_iter().filter(|_field| !plan.is_by_hand());
    let left_out = [("left_out", json!(plan.left_out))];
    let left_out = left_out.into_iter().filter(|_field| !plan.left_out.is_empty());
    let fields =
        around.into_iter().chain(cause).chain(left_out).map(|(key, value)| (key.to_owned(), value));
    // Tools print comments as they are. Escaped, the JSON says the same.
    escape(&Value::Object(fields.collect::<Map<_, _>>()).to_string()).into_owned()
}

/// The comment of the first packet at or after the trigger; none where the trigger is but the start.
pub(super) fn trigger_comment(plan: &CapturePlan) -> Option<String> {
    let (name, rule, at) = (shortened(&plan.event_name), &plan.rule, plan.trigger_at);
    match (plan.is_by_hand(), plan.look_back.is_zero()) {
        (true, true) => None,
        (true, false) => Some(format!("trigger: by hand at {at}")),
        (false, _) => {
            Some(format!("trigger: {name} (event {}, rule {rule}) arrived at {at}", plan.event))
        }
    }
}

/// Text of an event, for a place that people read: short, and on one line.
fn shortened(text: &str) -> String {
    let short: String = text.chars().take(MAX_NAME_CHARS).collect();
    escape(&short).into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::filter::Filter;
    use crate::model::{EventId, FileForm, IncidentId, Limits};

    /// A plan as a rule makes it.
    pub(in crate::capture) fn plan() -> CapturePlan {
        let seconds = Duration::from_secs;
        CapturePlan {
            rule: "retransmits".to_owned(),
            incident: IncidentId::from_text("0123456789abcdef"),
            event: EventId::from_text("e1"),
            event_name: "TcpRetransmits".to_owned(),
            event_json: r#"{"labels":{"instance":"a\nb"}}"#.to_owned(),
            host: "edge-7".to_owned(),
            interfaces: vec!["lo".to_owned()],
            trigger_at: WallTime::from_nanos(1_000_000_000_000),
            look_back: seconds(10),
            filter: Filter::default(),
            limits: Limits {
                duration: seconds(60),
                bytes: 1 << 20,
                packets: None,
                bytes_per_packet: 0,
                segments: None,
            },
            file: FileForm::default(),
            storage: "local".to_owned(),
            notify: Vec::new(),
            placing: Default::default(),
            on_resolved: Default::default(),
            left_out: Vec::new(),
        }
    }

    #[test]
    fn the_section_names_event_rule_incident_capture_and_host() {
        let id = CaptureId::from_text("c1");
        let text =
            comment(&id, "retransmits-1", (&plan(), &Origin::Interfaces), WallTime::from_nanos(0));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["event"]["labels"]["instance"], "a\nb");
        assert_eq!(value["incident"], "0123456789abcdef");
        assert_eq!(value["capture"], "retransmits-1");
        assert_eq!((&value["rule"], &value["host"]), (&json!("retransmits"), &json!("edge-7")));
    }

    #[test]
    fn what_the_capture_goes_without_is_named() {
        let named = |plan: &CapturePlan| -> Value {
            let id = CaptureId::from_text("c1");
            let origin = (plan, &Origin::Interfaces);
            let text = comment(&id, "retransmits-1", origin, WallTime::from_nanos(0));
            serde_json::from_str(&text).unwrap()
        };
        assert_eq!(named(&plan()).get("left_out"), None);
        let without = "filters[0].remote_ip: the event has no label `peer`".to_owned();
        let plan = CapturePlan { left_out: vec![without.clone()], ..plan() };
        assert_eq!(named(&plan)["left_out"], json!([without]));
    }

    #[test]
    fn an_event_that_is_too_long_is_replaced_and_the_comment_stays_json() {
        let plan = CapturePlan { event_json: format!("\"{}\"", "x".repeat(70_000)), ..plan() };
        let text = comment(
            &CaptureId::from_text("c1"),
            "n",
            (&plan, &Origin::Interfaces),
            WallTime::from_nanos(0),
        );
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["event"]["cut"], true);
        assert!(text.len() <= MAX_COMMENT_BYTES);
    }

    #[test]
    fn a_capture_by_hand_names_no_rule_and_marks_its_trigger_only_where_it_looks_back() {
        let by_hand = CapturePlan { event_json: String::new(), ..plan() };
        let id = CaptureId::from_text("c1");
        let origin = Origin::Interfaces;
        let text = comment(&id, "dump-1", (&by_hand, &origin), WallTime::from_nanos(0));
        let value: Value = serde_json::from_str(&text).unwrap();
        assert!(["rule", "incident", "event"].iter().all(|field| value.get(field).is_none()));
        assert!(trigger_comment(&by_hand).unwrap().starts_with("trigger: by hand at "));
        let from_now = CapturePlan { look_back: Duration::ZERO, ..by_hand };
        assert_eq!(trigger_comment(&from_now), None);
    }

    #[test]
    fn a_name_with_line_breaks_stays_on_one_line() {
        let plan = CapturePlan { event_name: "a\nb\x1b[31m\u{202e}".to_owned(), ..plan() };
        let text = trigger_comment(&plan).unwrap();
        assert!(text.starts_with("trigger: a\\nb\\u001b[31m\\u202e (event "), "{text:?}");
    }

    #[test]
    fn the_comment_of_the_section_steers_no_terminal_and_says_the_same() {
        let text = "a\nb\u{9b}31m\u{7f}\u{2028}\u{202e}";
        let event_json = json!({ "labels": { "instance": text } }).to_string();
        let plan = CapturePlan { event_json, ..plan() };
        let id = CaptureId::from_text("c1");
        let at = WallTime::from_nanos(0);
        let comment = comment(&id, "retransmits-1", (&plan, &Origin::Interfaces), at);
        assert!(!comment.contains(|c: char| c.is_control() || "\u{2028}\u{202e}".contains(c)));
        let value: Value = serde_json::from_str(&comment).unwrap();
        assert_eq!(value["event"]["labels"]["instance"], text);
    }
}
