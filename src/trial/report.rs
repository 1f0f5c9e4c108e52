//! What came of a fixture.

use std::path::PathBuf;

use serde::Serialize;

/// What came of the tests of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    pub file: PathBuf,
    pub tests: Vec<TestReport>,
}

impl Report {
    /// How many of its tests failed.
    pub fn failed(&self) -> usize {
        self.tests.iter().filter(|test| !test.passed).count()
    }
}

/// What came of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TestReport {
    pub name: String,
    /// Where it begins in its file; counts from 1.
    pub line: u32,
    pub passed: bool,
    /// All that was decided, in the order in which it was.
    pub decisions: Vec<Decided>,
    pub differences: Vec<Difference>,
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Since the start of the test, as in `1m30s`.
    pub at: String,
    /// Absent where no rule is concerned.
    pub rule: Option<String>,
    /// [`Decision::word`](crate::model::Decision::word).
    pub decision: &'static str,
    /// Empty where the word says it all.
    pub reason: String,
    /// On an event; otherwise it came by itself.
    pub on_event: bool,
}

/// One thing that is not as expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where the expectation stands in its file, or the step where there is none; count from 1.
    pub line: u32,
    pub column: u32,
    /// The step's time since the start of the test, as in `1m30s`.
    pub at: String,
    pub wanted: String,
    pub got: String,
}
