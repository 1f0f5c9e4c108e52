//! The run loop: one owner of the state.
//!
//! Every source of news becomes one [`Input`](crate::session::Input); the loop applies a batch of
//! them to the session machine, makes the changes durable in one transaction, then carries
//! out the other effects and answers the senders. So there is one place to persist and one to act, and
//! nothing is acknowledged that the journal does not have. Packets and upload bytes never pass
//! through it.
//!
//! Invariant: a batch's changes are committed before anything of the batch can be seen; its captures
//! only get ready meanwhile. A commit that fails ends the worker: what the disk holds is then unknown,
//! and only a restart finds out.

mod act;
mod answer;
mod by_hand;
mod calendar;
mod count;
mod explain;
mod handle;
mod lifecycle;
mod reload;
mod request;
mod retention;
mod revival;
mod rules;
mod run_loop;
mod settle;
mod sources;
mod spool;
mod standing;
mod state;
mod stored;
mod upkeep;
mod watch;

pub use explain::{
    BY_HAND, EventView, Expected, ExplainAnswer, ExplainRequest, ExplainedEvent, ExplainedRule,
    NotExplained, explain, format_named,
};
pub use handle::{Handle, Unavailable};
pub use lifecycle::{Error, Started, Worker, start};
pub use request::{
    ConfigurationStatus, CreateRequest, Defaulted, DeleteAnswer, NotCreated, RedriveAnswer,
    ReloadAnswer, Request, SpoolStatus, Status, StopAnswer, StorageCheck,
};
pub use standing::{LastView, QuotaView, RuleMode, RuleView};
pub use stored::{Pieces, StoredFile};
