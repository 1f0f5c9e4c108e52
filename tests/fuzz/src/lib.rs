//! The real sources of the rooms that read bytes from outside, and of what these import: built alone,
//! they are instrumented in seconds.

#[path = "../../../src/clock.rs"]
pub mod clock;
#[path = "../../../src/filter/mod.rs"]
pub mod filter;
#[path = "../../../src/libpcap/mod.rs"]
pub mod libpcap;
#[path = "../../../src/pcapng/mod.rs"]
pub mod pcapng;
#[path = "../../../src/ring/mod.rs"]
pub mod ring;
#[path = "../../../src/spawn.rs"]
pub mod spawn;
