//! YAML as users write it, read into typed values with every mistake placed.
//!
//! The one door to the YAML crate. Bare `yes`, `0755` and the like stay what the field's type says;
//! unknown and duplicate keys are problems with a near-miss hint; bombs run into budgets.
