//! The run loop: one owner of the state.

mod handle;

pub use handle::{Handle, Request, Status, StopAnswer, Unavailable};
