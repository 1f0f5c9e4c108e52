//! What the captures of the benchmark are asked for, and what all its parts agree on.

use std::time::Duration;

use hindsight::clock;
use hindsight::filter::Filter;
use hindsight::model::{CapturePlan, EventId, FileForm, IncidentId, Limits};

use crate::support::namespaces::INTERFACE;

/// Size of the ring of one that captures alone.
pub(crate) const RING_MIB: u32 = 64;

/// The port that the packets go to; they come from [`SOURCE_PORT`].
pub(crate) const PORT: u16 = 4242;
pub(crate) const SOURCE_PORT: u16 = 4660;

/// An hour and a terabyte: nothing here comes near them.
pub(crate) const UNTIL_STOPPED: Limits = Limits {
    duration: Duration::from_secs(3600),
    bytes: 1 << 40,
    packets: None,
    bytes_per_packet: 0,
    segments: None,
};

/// Everything that matches the expression, from now on and until it is stopped.
pub(crate) fn whole(expression: &str) -> CapturePlan {
    looking_back(Duration::ZERO, expression, UNTIL_STOPPED)
}

/// Everything that matches, from so long before this moment on.
pub(crate) fn looking_back(look_back: Duration, expression: &str, limits: Limits) -> CapturePlan {
    let expression = (!expression.is_empty()).then(|| expression.to_owned());
    CapturePlan {
        rule: "peers".to_owned(),
        incident: IncidentId::from_text("0123456789abcdef"),
        event: EventId::from_text("event-1"),
        event_name: "Benchmark".to_owned(),
        event_json: r#"{"name":"Benchmark"}"#.to_owned(),
        host: "bench".to_owned(),
        interfaces: vec![INTERFACE.to_owned()],
        trigger_at: clock::wall_time(),
        look_back,
        filter: Filter { entries: Vec::new(), expression },
        limits,
        file: FileForm::default(),
        storage: "local".to_owned(),
        notify: Vec::new(),
        placing: Default::default(),
        on_resolved: Default::default(),
        left_out: Vec::new(),
    }
}
