//! Hindsight: alert in, packets from before and after it out.
//!
//! A worker that records the last seconds of traffic in memory, waits for alerts, and turns those
//! that match a rule into capture files, uploads and notices. The rooms below stand in the order
//! in which data flows; each imports only rooms above it, and the rooms from `source` to `notify`
//! never import each other. `docs/ARCHITECTURE.md` holds the table, `tests/tidy.rs` holds us to it.

// Leaves: they know nothing of this project.
pub mod backoff;
pub mod broker;
pub mod clock;
pub mod durable;
pub mod filter;
pub mod libpcap;
pub mod nearest;
pub mod pcapng;
pub mod random;
pub mod ring;
pub mod service;
pub mod spawn;
pub mod telemetry;
pub mod units;
pub mod yaml;

// The nouns that all rooms share.
pub mod model;

// The rooms, in the order the data goes.
pub mod capture;
pub mod journal;
pub mod notify;
pub mod rules;
pub mod session;
pub mod source;
pub mod upload;

// The house.
pub mod cli;
pub mod config;
pub mod control;
pub mod trial;
pub mod worker;
