//! What a rule captures, with the places that an event fills still open.

use crate::filter::{Addresses, Entry, Filter, Ports, Protocol};
use crate::model::{FileForm, Limits};
use crate::rules::look_back::LookBack;
use crate::rules::placeholder::{Placeholder, Value};

/// A rule's capture.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Absent: all that are recorded.
    pub(super) interfaces: Option<Vec<Name>>,
    pub(super) look_back: LookBack,
    pub(super) entries: Vec<EntryTemplate>,
    /// Never holds a placeholder.
    pub(super) expression: Option<String>,
    pub(super) limits: Limits,
    pub(super) file: FileForm,
}

/// The name of an interface.
#[derive(Clone, Debug)]
pub(super) enum Name {
    Given(String),
    Open(Placeholder),
}

/// An entry of a filter.
#[derive(Clone, Debug, Default)]
pub(super) struct EntryTemplate {
    pub(super) protocol: Option<Protocol>,
    pub(super) local_ip: Field<Addresses>,
    pub(super) remote_ip: Field<Addresses>,
    pub(super) local_port: Field<Ports>,
    pub(super) remote_port: Field<Ports>,
}

/// One field of an entry.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    /// Alternatives; none constrain nothing.
    Given(Vec<T>),
    Open(Placeholder),
}

impl<T> Default for Field<T> {
    fn default() -> Self {
        Self::Given(Vec::new())
    }
}

/// How a placeholder becomes a value: from an event, or the sample of its type.
type Fill<'a> = dyn Fn(&Placeholder) -> Result<Value, String> + 'a;

impl EntryTemplate {
    /// The entry as it is for one event.
    ///
    /// # Errors
    /// The first place that could not be filled.
    pub(super) fn fill(&self, fill: &Fill<'_>) -> Result<Entry, String> {
        Ok(Entry {
            protocol: self.protocol,
            local_ip: fill_addresses(&self.local_ip, fill)?,
            remote_ip: fill_addresses(&self.remote_ip, fill)?,
            local_port: fill_ports(&self.local_port, fill)?,
            remote_port: fill_ports(&self.remote_port, fill)?,
        })
    }
}

impl Template {
    /// The filter as it is for one event.
    ///
    /// # Errors
    /// The first place that could not be filled.
    pub(super) fn filter(&self, fill: &Fill<'_>) -> Result<Filter, String> {
        let entries: Result<Vec<Entry>, String> =
            self.entries.iter().map(|entry| entry.fill(fill)).collect();
        Ok(Filter { entries: entries?, expression: self.expression.clone() })
    }

    /// The interfaces as they are for one event, each once.
    ///
    /// # Errors
    /// The first place that could not be filled.
    pub(super) fn interfaces(
        &self,
        recorded: &[String],
        fill: &Fill<'_>,
    ) -> Result<Vec<String>, String> {
        let Some(names) = &self.interfaces else {
            return Ok(recorded.to_vec());
        };
        let mut interfaces: Vec<String> = Vec::with_capacity(names.len());
        for name in names {
            let interface = match name {
                Name::Given(name) => name.clone(),
                Name::Open(placeholder) => match fill(placeholder)? {
                    Value::Interface(name) => name,
                    _ => return Err(mistyped(placeholder)),
                },
            };
            if !interfaces.contains(&interface) {
                interfaces.push(interface);
            }
        }
        Ok(interfaces)
    }
}

fn fill_addresses(field: &Field<Addresses>, fill: &Fill<'_>) -> Result<Vec<Addresses>, String> {
    match field {
        Field::Given(alternatives) => Ok(alternatives.clone()),
        Field::Open(placeholder) => match fill(placeholder)? {
            Value::Addresses(addresses) => Ok(vec![addresses]),
            _ => Err(mistyped(placeholder)),
        },
    }
}

fn fill_ports(field: &Field<Ports>, fill: &Fill<'_>) -> Result<Vec<Ports>, String> {
    match field {
        Field::Given(alternatives) => Ok(alternatives.clone()),
        Field::Open(placeholder) => match fill(placeholder)? {
            Value::Ports(ports) => Ok(vec![ports]),
            _ => Err(mistyped(placeholder)),
        },
    }
}

/// Cannot happen for what [`Placeholder::parse`] let through: it takes the types that fit a place.
fn mistyped(placeholder: &Placeholder) -> String {
    format!("{placeholder} does not fit its place")
}
