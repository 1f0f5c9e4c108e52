//! The real sources of the ring and of what it imports, and nothing else.

// By links, so that its own modules are found beside it.
pub mod clock;
#[path = "../../../src/nearest.rs"]
pub mod nearest;
#[path = "../../../src/ring/mod.rs"]
pub mod ring;
