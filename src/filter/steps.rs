//! The compact form of a program: its choices as steps that a packet passes in a few nanoseconds.
//!
//! One step reads four bytes and goes on by one comparison. It never selects or refuses by a
//! guess: what it cannot read or express is undecided and left to the interpreter. No index can
//! panic.

use std::collections::HashMap;
use std::hint::cold_path;

use super::decision::{Place, Source, Target};
use super::front::{self, Front};
use super::simplify::{Choice, Choices, Piece};

/// Where a step leads that ends the way; smaller numbers are steps.
const SELECT: u16 = u16::MAX;
const REFUSE: u16 = u16::MAX - 1;
const UNDECIDED: u16 = u16::MAX - 2;

/// Beyond so many special values a table is faster than a step for each.
const MAX_IN_A_ROW: usize = 6;

/// From so many special values on, one step first tells those that lie outside all of them.
const WORTH_A_HULL: usize = 3;

/// What a step does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Compares four bytes at a fixed offset, behind an IPv4 header, or the length.
    Fixed,
    BehindHeader,
    WireLength,
    /// Looks the value up in the table.
    FixedTable,
    BehindHeaderTable,
    WireLengthTable,
}

/// One step: if the masked value is among the `span` + 1 values from `low` on, to `yes`, else to
/// `no`. For a table `low` and `span` are its place and length instead.
#[derive(Clone, Copy, Debug)]
struct Step {
    mask: u32,
    low: u32,
    span: u32,
    at: u16,
    header: u16,
    yes: u16,
    no: u16,
    kind: Kind,
}

/// A program in its compact form.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    start: u16,
    front: Option<Box<Front<u16>>>,
    steps: Box<[Step]>,
    /// For each piece of all tables its last value and where it leads.
    lasts: Box<[u32]>,
    targets: Box<[u16]>,
}

impl Steps {
    pub(super) fn new(choices: &Choices) -> Self {
        let mut builder = Builder::default();
        for (place, choice) in &choices.choices {
            builder.add(*place, choice);
        }
        builder.finish(choices).unwrap_or_else(|| Self {
            start: UNDECIDED,
            front: None,
            steps: Box::default(),
            lasts: Box::default(),
            targets: Box::default(),
        })
    }

    /// Whether a packet is selected; `None` if only the interpreter can tell.
    #[inline]
    pub(super) fn select(&self, data: &[u8], wire_len: u32) -> Option<bool> {
        let mut next = self.begin(data);
        while let Some(step) = self.steps.get(usize::from(next)) {
            let value = if step.kind == Kind::Fixed {
                word(data, step.at.into())?
            } else if step.kind == Kind::BehindHeader {
                behind_header(data, step)?
            } else {
                next = self.rare(step, data, wire_len)?;
                continue;
            };
            next = if (value & step.mask).wrapping_sub(step.low) <= step.span {
                cold_path();
                step.yes
            } else {
                step.no
            };
        }
        match next {
            SELECT => Some(true),
            REFUSE => Some(false),
            _ => None,
        }
    }

    #[inline]
    fn begin(&self, data: &[u8]) -> u16 {
        let Some(front) = &self.front else { return self.start };
        let known = data.first_chunk::<{ front::BYTES }>().and_then(|packet| front.begin(packet));
        known.unwrap_or(self.start)
    }

    /// Where a step leads that is none of the usual ones.
    fn rare(&self, step: &Step, data: &[u8], wire_len: u32) -> Option<u16> {
        match step.kind {
            Kind::Fixed | Kind::FixedTable => self.look_up(step, word(data, step.at.into())?),
            Kind::BehindHeader | Kind::BehindHeaderTable => {
                self.look_up(step, behind_header(data, step)?)
            }
            Kind::WireLength => {
                let among = (wire_len & step.mask).wrapping_sub(step.low) <= step.span;
                Some(if among { step.yes } else { step.no })
            }
            Kind::WireLengthTable => self.look_up(step, wire_len),
        }
    }

    fn look_up(&self, step: &Step, value: u32) -> Option<u16> {
        let start = usize::try_from(step.low).ok()?;
        let lasts = self.lasts.get(start..)?.get(..usize::try_from(step.span).ok()?)?;
        let value = value & step.mask;
        let piece = lasts.partition_point(|last| *last < value);
        self.targets.get(start + piece).copied()
    }
}

#[inline]
fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4)?.first_chunk().copied().map(u32::from_be_bytes)
}

#[inline]
fn behind_header(data: &[u8], step: &Step) -> Option<u32> {
    let header = data.get(usize::from(step.header))? & 0x0f;
    word(data, usize::from(step.at) + 4 * usize::from(header))
}

/// Where a step leads while the steps are put together.
#[derive(Clone, Copy)]
enum Link {
    To(Target),
    /// To the step behind it.
    Next,
}

/// Values from `low` to `high`, both inclusive, and where they lead.
#[derive(Clone, Copy)]
struct Values {
    low: u32,
    high: u32,
    target: Target,
    told_by: usize,
}

/// Puts the steps of choices one behind another.
#[derive(Default)]
struct Builder {
    steps: Vec<(Step, [Link; 2])>,
    lasts: Vec<u32>,
    targets: Vec<Target>,
    /// The first step of each choice, by the place of the choice.
    firsts: HashMap<usize, usize>,
}

impl Builder {
    fn add(&mut self, place: usize, choice: &Choice) {
        self.firsts.insert(place, self.steps.len());
        let source = choice.source;
        let (other, mut special) = special(&choice.pieces);
        special.sort_by_key(|values| values.told_by);
        let low = special.iter().map(|values| values.low).min().unwrap_or(0);
        let high = special.iter().map(|values| values.high).max().unwrap_or(u32::MAX);
        if special.len() >= WORTH_A_HULL && high - low < source.mask / 8 {
            self.compare(source, (low, high), [Link::Next, Link::To(other)]);
        }
        if special.len() > MAX_IN_A_ROW {
            return self.table(source, &choice.pieces);
        }
        let Some((last, ahead)) = special.split_last() else {
            // Whatever the four bytes are, they have to be there.
            return self.compare(source, (0, u32::MAX), [Link::To(other); 2]);
        };
        for values in ahead {
            self.compare(source, (values.low, values.high), [Link::To(values.target), Link::Next]);
        }
        self.compare(source, (last.low, last.high), [Link::To(last.target), Link::To(other)]);
    }

    fn compare(&mut self, source: Source, (low, high): (u32, u32), links: [Link; 2]) {
        let (kind, header, at) = match source.place {
            Place::Fixed(at) => (Kind::Fixed, 0, at),
            Place::BehindHeader { header, at } => (Kind::BehindHeader, header, at),
            Place::WireLength => (Kind::WireLength, 0, 0),
        };
        let mask = source.mask;
        let step =
            Step { mask, low, span: high - low, at, header, yes: UNDECIDED, no: UNDECIDED, kind };
        self.steps.push((step, links));
    }

    fn table(&mut self, source: Source, pieces: &[Piece]) {
        self.compare(source, (0, 0), [Link::To(Target::Undecided); 2]);
        let place = (u32::try_from(self.lasts.len()), u32::try_from(pieces.len()));
        if let (Some((step, _)), (Ok(start), Ok(length))) = (self.steps.last_mut(), place) {
            (step.low, step.span) = (start, length);
            step.kind = match step.kind {
                Kind::Fixed | Kind::FixedTable => Kind::FixedTable,
                Kind::BehindHeader | Kind::BehindHeaderTable => Kind::BehindHeaderTable,
                Kind::WireLength | Kind::WireLengthTable => Kind::WireLengthTable,
            };
        }
        self.lasts.extend(pieces.iter().map(|piece| piece.last));
        self.targets.extend(pieces.iter().map(|piece| piece.target));
    }

    /// The number for a target; `None` if there are too many steps to have numbers.
    fn number(&self, target: Target) -> Option<u16> {
        match target {
            Target::Select => Some(SELECT),
            Target::Refuse => Some(REFUSE),
            Target::Undecided => Some(UNDECIDED),
            Target::Decision(place) => {
                u16::try_from(*self.firsts.get(&place)?).ok().filter(|step| *step < UNDECIDED)
            }
        }
    }

    fn finish(self, choices: &Choices) -> Option<Steps> {
        let start = self.number(choices.start)?;
        let front = match &choices.front {
            Some(front) => Some(Box::new(front.named(|target| self.number(target))?)),
            None => None,
        };
        let mut steps = Vec::with_capacity(self.steps.len());
        for (at, (step, links)) in self.steps.iter().enumerate() {
            let next = || u16::try_from(at + 1).ok().filter(|step| *step < UNDECIDED);
            let number = |link: Link| match link {
                Link::To(target) => self.number(target),
                Link::Next => next(),
            };
            let [yes, no] = *links;
            steps.push(Step { yes: number(yes)?, no: number(no)?, ..*step });
        }
        let targets =
            self.targets.iter().map(|target| self.number(*target)).collect::<Option<_>>()?;
        Some(Steps { start, front, steps: steps.into(), lasts: self.lasts.into(), targets })
    }
}

/// Where most pieces lead, and the values that lead elsewhere.
fn special(pieces: &[Piece]) -> (Target, Vec<Values>) {
    let mut all = Vec::with_capacity(pieces.len());
    let mut weights: HashMap<Target, (usize, u64)> = HashMap::new();
    let mut low = 0;
    for &Piece { last, target, told_by } in pieces {
        let (count, width) = weights.entry(target).or_default();
        *count += 1;
        *width += u64::from(last - low);
        all.push(Values { low, high: last, target, told_by });
        low = last.saturating_add(1);
    }
    let most = all.iter().map(|values| values.target).max_by_key(|target| weights.get(target));
    let other = most.unwrap_or(Target::Undecided);
    all.retain(|values| values.target != other);
    (other, all)
}
