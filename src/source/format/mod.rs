//! Event formats: one file each, bytes to [`Event`](crate::model::Event)s.

pub mod alertmanager;
pub mod json;

/// How a message's bytes are read.
#[derive(Clone, Debug, PartialEq)]
pub enum Format {
    /// Alertmanager's webhook payload, version 4.
    Alertmanager,
    /// Any JSON object, with a mapping of its fields.
    Json(json::Mapping),
}
