//! The tree of a document: scalars as they are written, each node with its place and a number.
//!
//! Aliases are copies of what they name; the budgets count the copies, so that a small file cannot
//! unfold into a large tree.

use std::collections::HashMap;

use serde_yaml::granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::fault::Fault;
use super::problem::Place;

/// The most nodes of one document, copies included: a rule set of a thousand rules has 50,000.
const MAX_NODES: u32 = 200_000;

/// The most text of one document, copies included, in bytes.
const MAX_TEXT_BYTES: usize = 8 << 20;

/// The most repeated keys that are told of one document: who has more mends these first.
const MAX_REPEATED: usize = 50;

/// How deep nodes may nest; the deepest form that is known to anybody has 8.
const MAX_DEPTH: usize = 32;

/// One node.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Counts from 0 in the order of the text; a node's descendants follow it without a gap.
    pub(super) id: u32,
    /// The number of its last descendant, or its own.
    pub(super) last_id: u32,
    pub(super) place: Place,
    pub(super) content: Content,
}

#[derive(Clone, Debug)]
pub(super) enum Content {
    /// `plain` is what stands without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// Keys are scalars, each once.
    Mapping(Vec<(Node, Node)>),
}

impl Node {
    /// Ties a fault to this node, unless an inner one was named already.
    pub(super) fn tie(&self, mut fault: Fault) -> Fault {
        fault.at.get_or_insert((self.place, self.id));
        fault
    }

    /// Whether it is written as nothing: an empty value (the parser gives `~`), `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.content, Content::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// How much text it and its descendants hold.
    fn text_bytes(&self) -> usize {
        match &self.content {
            Content::Scalar { text, .. } => text.len(),
            Content::List(items) => items.iter().map(Self::text_bytes).sum(),
            Content::Mapping(entries) => {
                entries.iter().map(|(key, value)| key.text_bytes() + value.text_bytes()).sum()
            }
        }
    }

    /// What it is, for "expected a list, found ...".
    pub(super) fn describe(&self) -> String {
        match &self.content {
            _ if self.is_null() => "nothing".to_owned(),
            Content::Scalar { text, .. } => {
                format!("`{}`", text.chars().take(64).collect::<String>())
            }
            Content::List(_) => "a list".to_owned(),
            Content::Mapping(_) => "a mapping".to_owned(),
        }
    }
}

/// Reads a document. Repeated keys are left out and noted in `faults`; what makes the text
/// unreadable is the error, with its place.
pub(super) fn build(
    text: &str,
    faults: &mut Vec<(Place, Fault)>,
) -> Result<Option<Node>, (Place, Fault)> {
    let options = serde_yaml::granit_parser::options! { emit_comments: false };
    let events = Parser::new_from_str_with_options(text, options);
    let anchors = HashMap::new();
    let mut builder = Builder {
        events,
        anchors,
        anchored: 0,
        anchored_bytes: 0,
        next_id: 0,
        text_bytes: 0,
        faults,
    };
    builder.document()
}

type Failed = (Place, Fault);
type Events<'t> = Parser<'t, StrInput<'t>>;

struct Builder<'t, 'f> {
    events: Events<'t>,
    /// Nodes with an anchor, by the parser's number for it.
    anchors: HashMap<usize, Node>,
    /// How many nodes these hold, those of anchors within anchors as often as they are held.
    anchored: u32,
    /// How much text these hold, in bytes.
    anchored_bytes: usize,
    next_id: u32,
    text_bytes: usize,
    faults: &'f mut Vec<Failed>,
}

impl<'t> Builder<'t, '_> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what the grammar has not here is one error"
    )]
    fn document(&mut self) -> Result<Option<Node>, Failed> {
        let mut root = None;
        loop {
            let (event, place) = self.next_event()?;
            match event {
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    let fault = Fault::new("a second document begins here")
                        .hint("write one document in each file");
                    return Err((place, fault));
                }
                Event::DocumentStart(..) => root = Some(self.node(0)?),
                Event::StreamEnd => return Ok(root),
                event => return Err((place, unexpected(&event))),
            }
        }
    }

    fn next_event(&mut self) -> Result<(Event<'t>, Place), Failed> {
        match self.events.next() {
            Some(Ok((event, span))) => Ok((event, place_of(&span.start))),
            Some(Err(error)) => Err(unreadable(&error)),
            None => Err((Place { line: 1, column: 1 }, Fault::new("the text ends too early"))),
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node, Failed> {
        let (event, place) = self.next_event()?;
        self.node_from(event, place, depth)
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what the grammar has not here is one error"
    )]
    fn node_from(&mut self, event: Event<'t>, place: Place, depth: usize) -> Result<Node, Failed> {
        if depth > MAX_DEPTH {
            return Err((place, Fault::new(format!("nested deeper than {MAX_DEPTH} levels"))));
        }
        let id = self.number(place)?;
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, None) => {
                let plain = style == ScalarStyle::Plain;
                self.count_text(&text, place)?;
                (Content::Scalar { text: text.into_owned(), plain }, anchor)
            }
            Event::SequenceStart(_, anchor, None) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, None) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => return self.copy_of(anchor, place),
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) => {
                let fault = Fault::new("tags such as !name have no meaning here");
                return Err((place, fault.hint("remove it")));
            }
            event => return Err((place, unexpected(&event))),
        };
        let node = Node { id, last_id: self.next_id - 1, place, content };
        // The parser counts anchors from 1.
        if anchor > 0 {
            self.keep(anchor, &node)?;
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Content, Failed> {
        let mut items = Vec::new();
        loop {
            let (event, place) = self.next_event()?;
            if event == Event::SequenceEnd {
                return Ok(Content::List(items));
            }
            items.push(self.node_from(event, place, depth + 1)?);
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<Content, Failed> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut seen: HashMap<String, Place> = HashMap::new();
        loop {
            let (event, place) = self.next_event()?;
            if event == Event::MappingEnd {
                return Ok(Content::Mapping(entries));
            }
            let key = self.node_from(event, place, depth + 1)?;
            let value = self.node(depth + 1)?;
            let Content::Scalar { text, .. } = &key.content else {
                return Err((key.place, Fault::new("a key is a word, not a list or a mapping")));
            };
            if let Some(first) = seen.get(text) {
                let fault = Fault::new(format!("the key `{text}` is given twice"))
                    .hint(format!("it was first given on line {}", first.line));
                if self.faults.len() < MAX_REPEATED {
                    self.faults.push((key.place, fault));
                }
                continue;
            }
            seen.insert(text.clone(), key.place);
            entries.push((key, value));
        }
    }

    /// Keeps a copy of a node for its aliases, within the same bounds as what is unfolded.
    fn keep(&mut self, anchor: usize, node: &Node) -> Result<(), Failed> {
        self.anchored = self.anchored.saturating_add(node.last_id - node.id + 1);
        self.anchored_bytes = self.anchored_bytes.saturating_add(node.text_bytes());
        if self.anchored > MAX_NODES || self.anchored_bytes > MAX_TEXT_BYTES {
            let fault = Fault::new(format!(
                "more than {MAX_NODES} values or {MAX_TEXT_BYTES} bytes have an anchor"
            ));
            return Err((node.place, fault.hint("remove anchors that no alias names")));
        }
        self.anchors.insert(anchor, node.clone());
        Ok(())
    }

    /// A copy of an anchored node. Its places stay where it is written: that is where one mends it.
    fn copy_of(&mut self, anchor: usize, place: Place) -> Result<Node, Failed> {
        let Some(mut node) = self.anchors.get(&anchor).cloned() else {
            return Err((place, Fault::new("an alias cannot stand within what it names")));
        };
        // `number` gave the alias itself a number, which becomes the copy's first.
        self.next_id -= 1;
        self.renumber(&mut node, place)?;
        Ok(node)
    }

    fn renumber(&mut self, node: &mut Node, place: Place) -> Result<(), Failed> {
        node.id = self.number(place)?;
        match &mut node.content {
            Content::Scalar { text, .. } => self.count_text(text, place)?,
            Content::List(items) => {
                for item in items {
                    self.renumber(item, place)?;
                }
            }
            Content::Mapping(entries) => {
                for (key, value) in entries {
                    self.renumber(key, place)?;
                    self.renumber(value, place)?;
                }
            }
        }
        node.last_id = self.next_id - 1;
        Ok(())
    }

    fn number(&mut self, place: Place) -> Result<u32, Failed> {
        if self.next_id >= MAX_NODES {
            let fault = Fault::new(format!("more than {MAX_NODES} values, aliases unfolded"));
            return Err((place, fault.hint("split the file")));
        }
        self.next_id += 1;
        Ok(self.next_id - 1)
    }

    fn count_text(&mut self, text: &str, place: Place) -> Result<(), Failed> {
        self.text_bytes = self.text_bytes.saturating_add(text.len());
        if self.text_bytes > MAX_TEXT_BYTES {
            let fault = Fault::new(format!("more than {MAX_TEXT_BYTES} bytes, aliases unfolded"));
            return Err((place, fault.hint("split the file")));
        }
        Ok(())
    }
}

fn place_of(marker: &Marker) -> Place {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    // The parser counts lines from 1 and columns from 0.
    Place { line: count(marker.line()).max(1), column: count(marker.col()).saturating_add(1) }
}

fn unreadable(error: &ScanError) -> Failed {
    let fault = Fault::new(format!("this is not YAML: {}", error.kind()));
    (place_of(error.marker()), fault)
}

fn unexpected(event: &Event<'_>) -> Fault {
    debug_assert!(false, "the parser's grammar has no {event:?} here");
    Fault::new("this is not YAML")
}
