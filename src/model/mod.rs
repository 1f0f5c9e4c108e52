//! The nouns that all rooms share: what passes between them, and nothing that does anything.
//!
//! Every noun that the journal keeps derives serde and changes only by adding optional fields;
//! `journal::schema` counts versions.

mod audit;
mod capture;
mod change;
mod event;
mod explanation;
mod health;
mod ids;
mod notice;
mod outcome;
mod plan;
mod report;
mod rule_state;
mod saved;
mod segment;
mod shown;
mod verdict;

pub use audit::Audit;
pub use capture::{Capture, State, StopReason, Totals, Window};
pub use change::Change;
pub use event::{Event, MAX_PAYLOAD_BYTES, Rejected, Status};
pub use explanation::{Explanation, Step};
pub use health::Health;
pub use ids::{CaptureId, EventId, GroupKey, IncidentId, NoticeId};
pub use notice::{AboutCapture, Body, Counted, Delivery, File, Kind, Notice, Summary, Unsaid};
pub use outcome::{Decision, Hold, Outcome, Suppression, Tally};
pub use plan::{
    CapturePlan, Compression, FileForm, FileFormat, Limits, OnResolved, Placing, SegmentLimits,
};
pub use report::{InterfaceTotals, RecorderStatus, Report};
pub use rule_state::{LastDecision, QuotaUse, RuleState};
pub use saved::Saved;
pub use segment::{Receipt, SealedFile, Segment, SegmentState, StoredFile, Transfer};
pub use verdict::{
    Begun, Group, Policy, Proposal, Quota, Refusal, Times, Verdict, Wait, Waiting, WhileRunning,
};
