//! The parts of the tests that the benchmark stands on: two joined namespaces and what runs in them.

#[path = "../../tests/support/namespaces.rs"]
pub(crate) mod namespaces;
#[path = "../../tests/support/place.rs"]
pub(crate) mod place;
#[path = "../../tests/support/process.rs"]
pub(crate) mod process;
#[path = "../../tests/support/wait.rs"]
pub(crate) mod wait;
