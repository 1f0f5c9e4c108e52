//! Senders who want harm: a corpus of texts through every placeholder and every field of an event,
//! and what comes out of plans, files, storages, notices, the log, the commands and the metrics.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "hostile/corpus.rs"]
mod corpus;
#[path = "hostile/running.rs"]
mod running;
#[cfg(test)]
#[expect(dead_code, reason = "each test program uses some of the parts")]
mod support;
#[path = "hostile/values.rs"]
mod values;
