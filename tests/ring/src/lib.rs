//! The real sources of the ring and of what it imports, and nothing else.

#[path = "../../../src/clock.rs"]
pub mod clock;
#[path = "../../../src/ring/mod.rs"]
pub mod ring;
