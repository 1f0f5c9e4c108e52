//! Identities that are computed, so that every host comes to the same without asking another.

use sha2::{Digest, Sha256};

use crate::model::{Event, GroupKey, IncidentId};
use crate::rules::Rule;

/// Hexadecimal digits of an incident's identity: 64 bits, short enough for a path.
const INCIDENT_DIGITS: usize = 16;

/// Hexadecimal digits of a group's key: 128 bits, as it is never checked against what it stands for.
const GROUP_DIGITS: usize = 32;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// What is hashed, gathered first: one long text is hashed faster than many short ones.
type Hashed = Vec<u8>;

/// One rule's view of the events that belong together: the rule's name and the values it groups by.
pub(super) fn group_key(rule: &Rule, event: &Event) -> GroupKey {
    let mut hash = Hashed::with_capacity(256);
    add(&mut hash, "group");
    add(&mut hash, &rule.name);
    add_identity(&mut hash, rule, event);
    GroupKey::from_text(digits(&hash, GROUP_DIGITS))
}

/// What the event is about: the values that the rule groups by and when it began. Every host that
/// saw the alert computes the same. An event that does not say when it began counts from its
/// arrival: its incident is one that only this host knows.
pub(super) fn incident(rule: &Rule, event: &Event) -> IncidentId {
    let mut hash = Hashed::with_capacity(256);
    add(&mut hash, "incident");
    add_identity(&mut hash, rule, event);
    add(&mut hash, &event.starts_at.unwrap_or(event.received_at).to_string());
    IncidentId::from_text(digits(&hash, INCIDENT_DIGITS))
}

fn add_identity(hash: &mut Hashed, rule: &Rule, event: &Event) {
    if rule.group_by.is_empty() {
        add(hash, "fingerprint");
        add(hash, &event.fingerprint);
        return;
    }
    add(hash, "group_by");
    for label in &rule.group_by {
        add(hash, label);
        add(hash, event.label(label));
    }
}

/// Length first, so that no two lists of texts run together to the same bytes.
fn add(hash: &mut Hashed, text: &str) {
    hash.extend(u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.extend(text.as_bytes());
}

fn digits(hash: &Hashed, count: usize) -> String {
    let digest = Sha256::digest(hash);
    let halves = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves.take(count).map(|half| char::from(DIGITS[usize::from(half)])).collect()
}
