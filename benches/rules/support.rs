//! The parts of the tests that the benchmark stands on.

#[path = "../../tests/support/http.rs"]
pub(crate) mod http;
#[path = "../../tests/support/place.rs"]
pub(crate) mod place;
#[path = "../../tests/support/process.rs"]
pub(crate) mod process;
#[path = "../../tests/support/rule_defaults.rs"]
pub(crate) mod rule_defaults;
#[path = "../../tests/support/wait.rs"]
pub(crate) mod wait;
