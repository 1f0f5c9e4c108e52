//! `when`: a condition in CEL over the main fields of an event.
use crate::model::Event;
use cel::{Context, Program, Value};
use std::sync::Arc;

#[derive(Clone, Debug)]
pub(super) struct Condition(Arc<Program>);

pub(super) struct Facts<'e>(&'e Event);

impl<'e> Facts<'e> {
    pub(super) fn of(event: &'e Event) -> Self {
        Self(event)
    }
}

impl Condition {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Program::compile(text)
            .map(|p| Self(Arc::new(p)))
            .map_err(|e| format!("this is no condition: {e}"))
    }

    pub(super) fn holds(&self, facts: &Facts<'_>) -> Result<bool, String> {
        let event = facts.0;
        let mut context = Context::default();
        context.add_variable_from_value("name", event.name.clone());
        context.add_variable_from_value("source", event.source.clone());
        context.add_variable_from_value("value", event.value.map_or(Value::Null, Value::Float));
        context.add_variable_from_value(
            "labels",
            std::collections::HashMap::<String, String>::from_iter(event.labels.clone()),
        );
        match self.0.execute(&context) {
            Ok(Value::Bool(held)) => Ok(held),
            Ok(_) => Err("`when` gives no boolean".to_owned()),
            Err(error) => Err(format!("`when` cannot be evaluated: {error}")),
        }
    }
}
