//! The real sources of the rooms that read bytes from outside, and of what these import: built alone,
//! they are instrumented in a minute. `clock` is a link, so that it finds its parts beside it.

pub mod clock;
#[path = "../../../src/filter/mod.rs"]
pub mod filter;
#[path = "../../../src/libpcap/mod.rs"]
pub mod libpcap;
#[path = "../../../src/model/mod.rs"]
pub mod model;
#[path = "../../../src/nearest.rs"]
pub mod nearest;
#[path = "../../../src/pcapng/mod.rs"]
pub mod pcapng;
#[path = "../../../src/random.rs"]
pub mod random;
#[path = "../../../src/ring/mod.rs"]
pub mod ring;
pub mod rule_files;
#[path = "../../../src/rules/mod.rs"]
pub mod rules;
pub mod source;
#[path = "../../../src/spawn.rs"]
pub mod spawn;
#[path = "../../../src/units.rs"]
pub mod units;
#[path = "../../../src/yaml/mod.rs"]
pub mod yaml;
