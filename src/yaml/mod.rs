//! YAML as users write it, read into typed values with every mistake placed.
//!
//! The one door to the YAML crate, which parses; the typing is done here, because serde stops at
//! the first mistake and people want all of them: [`File::read`] takes a mistake out of the tree,
//! notes it and reads on. What a plain scalar is follows from the field it is for: `yes` is never a
//! boolean and `0755` never a number. Unknown and duplicate keys, tags and keys without a value are
//! mistakes. Names of the project never appear here.
//!
//! Enums are written in serde's external form (`mqtt: {...}`): the internal and untagged forms and
//! `flatten` buffer their content and lose its place.

mod decode;
mod fault;
mod file;
mod placed;
mod problem;
mod schema;
#[cfg(test)]
mod tests;
mod tree;

pub use crate::nearest::did_you_mean;
pub use file::File;
pub use placed::{List, Named, Placed, Version};
pub use problem::{Place, Problem};
pub use schema::schema_of;
