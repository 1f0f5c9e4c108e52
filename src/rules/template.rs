//! What a rule captures, with the places that an event fills still open.

use std::fmt;

use crate::filter::{Addresses, Entry, Filter, Mac, Ports, Protocol};
use crate::model::{FileForm, FileFormat, Limits};
use crate::rules::filling::{Fill, Filling, Length, OnMissing};
use crate::rules::look_back::LookBack;
use crate::rules::placeholder::{Placeholder, Typed};

/// A rule's capture.
#[derive(Clone, Debug)]
pub(super) struct Template {
    /// Absent: all that are recorded.
    pub(super) interfaces: Option<Vec<Name>>,
    pub(super) look_back: LookBack,
    pub(super) entries: Vec<EntryTemplate>,
    /// Never holds a placeholder.
    pub(super) expression: Option<String>,
    /// Stands for the duration of `limits`.
    pub(super) duration: Length,
    pub(super) limits: Limits,
    pub(super) file: FileForm,
    pub(super) on_missing: OnMissing,
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
    pub(super) mac: Field<Mac>,
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

impl EntryTemplate {
    /// The entry as it is for one event; none where all that it had was left open.
    ///
    /// # Errors
    /// The first place that could not be filled.
    fn fill(&self, number: usize, filling: &mut Filling<'_>) -> Result<Option<Entry>, String> {
        let open = filling.count();
        let at = |field: &'static str| At { number, field };
        let entry = Entry {
            protocol: self.protocol,
            local_ip: self.local_ip.fill(at("local_ip"), filling)?,
            remote_ip: self.remote_ip.fill(at("remote_ip"), filling)?,
            local_port: self.local_port.fill(at("local_port"), filling)?,
            remote_port: self.remote_port.fill(at("remote_port"), filling)?,
            mac: self.mac.fill(at("mac"), filling)?,
        };
        // It would select everything, and so would the filter, whatever the other entries say.
        let is_void = filling.count() > open && entry == Entry::default();
        Ok((!is_void).then_some(entry))
    }

    /// The entry with a sample in each open place.
    ///
    /// # Errors
    /// A place takes no value of its placeholder's type, which cannot be.
    pub(super) fn sample(&self, fill: &Fill<'_>) -> Result<Entry, String> {
        let entry = self.fill(0, &mut Filling::new(fill, OnMissing::Refuse))?;
        Ok(entry.unwrap_or_default())
    }
}

/// A field of an entry, as in `filters[0].remote_ip`.
#[derive(Clone, Copy)]
struct At {
    /// Of the entry, counted from 0.
    number: usize,
    field: &'static str,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "filters[{}].{}", self.number, self.field)
    }
}

impl<T: Typed + Clone> Field<T> {
    fn fill(&self, at: At, filling: &mut Filling<'_>) -> Result<Vec<T>, String> {
        match self {
            Self::Given(alternatives) => Ok(alternatives.clone()),
            Self::Open(placeholder) => Ok(filling.take(at, placeholder)?.into_iter().collect()),
        }
    }
}

impl Template {
    /// The filter as it is for one event.
    ///
    /// # Errors
    /// The first place that could not be filled.
    pub(super) fn filter(&self, filling: &mut Filling<'_>) -> Result<Filter, String> {
        let mut entries = Vec::with_capacity(self.entries.len());
        for (number, entry) in self.entries.iter().enumerate() {
            entries.extend(entry.fill(number, filling)?);
        }
        Ok(Filter { entries, expression: self.expression.clone() })
    }

    /// The interfaces as they are for one event, each once: those that are recorded where the rule
    /// names none, or none that the event could fill in.
    ///
    /// # Errors
    /// The first place that could not be filled, or there are more than the format has room for.
    pub(super) fn interfaces(
        &self,
        recorded: &[String],
        filling: &mut Filling<'_>,
    ) -> Result<Vec<String>, String> {
        let mut interfaces: Vec<String> = Vec::new();
        for name in self.interfaces.iter().flatten() {
            let interface = match name {
                Name::Given(name) => Some(name.clone()),
                Name::Open(placeholder) => filling.take("interfaces", placeholder)?,
            };
            interfaces.extend(interface.filter(|interface| !interfaces.contains(interface)));
        }
        if interfaces.is_empty() {
            interfaces = recorded.to_vec();
        }
        if interfaces.len() > 1 && self.file.format == FileFormat::Pcap {
            let count = interfaces.len();
            return Err(format!("the format pcap holds one interface only, and there are {count}"));
        }
        Ok(interfaces)
    }

    /// The limits as they are for one event.
    ///
    /// # Errors
    /// The duration could not be filled in.
    pub(super) fn limits(&self, filling: &mut Filling<'_>) -> Result<Limits, String> {
        Ok(Limits { duration: self.duration.fill(filling)?, ..self.limits })
    }
}
