//! Rules tried out against events, without a worker: what `hindsight rules test` does.
//!
//! A fixture file tells a story: at these instants these events come, and this is what has to become
//! of them. The rules and the session machine that judge them are the worker's own; only the clock
//! and the engine are pretended. The clock stands where the story says, so that a day of cooldowns
//! takes no time, and a pretended capture ends when its plan's time is over.
//!
//! It must not know how a result is shown, and it touches no network, no interface and no journal:
//! what it reads are the fixture, the rules and the payloads that the fixture names.
//!
//! Invariant: a step says all that happens. A decision that no expectation names is a difference, and
//! so is a capture that begins by itself.

mod compare;
mod engine;
mod event;
mod fixture;
mod happening;
mod moment;
mod payload;
mod raw;
mod reader;
mod report;
mod story;
mod wanted;
mod world;

pub use fixture::{Fixture, load};
pub use report::{Decided, Difference, Report, TestReport};
