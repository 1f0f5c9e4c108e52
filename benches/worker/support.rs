//! The parts of the tests that the benchmark stands on.

#[path = "../../tests/support/broker.rs"]
pub(crate) mod broker;
#[path = "../../tests/support/http.rs"]
pub(crate) mod http;
#[path = "../../tests/support/namespaces.rs"]
pub(crate) mod namespaces;
#[path = "../../tests/support/place.rs"]
pub(crate) mod place;
#[path = "../../tests/support/process.rs"]
pub(crate) mod process;
#[path = "../../tests/support/publisher.rs"]
pub(crate) mod publisher;
#[path = "../../tests/support/traffic.rs"]
pub(crate) mod traffic;
#[path = "../../tests/support/wait.rs"]
pub(crate) mod wait;
#[path = "../../tests/support/worker.rs"]
pub(crate) mod worker;
