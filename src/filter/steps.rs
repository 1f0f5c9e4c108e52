//! The compact form of a program: its choices as steps that a packet passes in a few nanoseconds.
//!
//! One step reads four bytes and goes on by one comparison. It never selects or refuses by a
//! guess: what it cannot read or express is undecided and left to the interpreter. No index can
//! panic.

use std::collections::HashMap;

use super::decision::{Place, Source, Target};
use super::front::{self, Front};
use super::outline::Outline;
use super::simplify::{Choice, Choices, Piece};

/// A step by its number, or behind all of them one of the ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(u16);

const SELECT: Position = Position(u16::MAX);
const REFUSE: Position = Position(u16::MAX - 1);
const UNDECIDED: Position = Position(u16::MAX - 2);

impl Position {
    /// The step with a number, as far as there are numbers for steps.
    fn step(number: usize) -> Option<Self> {
        u16::try_from(number).ok().map(Self).filter(|position| *position < UNDECIDED)
    }

    /// Whether the packet is selected, if that is known here.
    #[inline]
    pub(super) const fn answer(self) -> Option<bool> {
        match self {
            SELECT => Some(true),
            REFUSE => Some(false),
            Self(_) => None,
        }
    }

    #[inline]
    fn number(self) -> usize {
        usize::from(self.0)
    }
}

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
    /// Leaves in any case.
    Leave,
    /// Looks the value up in the table.
    FixedTable,
    BehindHeaderTable,
    WireLengthTable,
}

/// One step: if the masked value is among the `span` + 1 values from `low` on, which may go round
/// the end of the numbers, the way leaves to `target`; else it goes on with the step behind.
/// For a table `low` and `span` are its place and length instead.
#[derive(Clone, Copy, Debug)]
struct Step {
    mask: u32,
    low: u32,
    span: u32,
    at: u16,
    header: u16,
    target: Position,
    kind: Kind,
}

/// A program in its compact form.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    start: Position,
    front: Option<Box<Front<Position>>>,
    steps: Box<[Step]>,
    /// For each piece of all tables its last value and where it leads.
    lasts: Box<[u32]>,
    targets: Box<[Position]>,
}

/// Where a walk stops.
enum Pause {
    /// Here the way ends.
    Left(Position),
    /// Before a step of another kind.
    Rare(Position),
}

impl Pause {
    fn rare(at: usize) -> Self {
        Position::step(at).map_or(Self::Left(UNDECIDED), Self::Rare)
    }
}

impl Steps {
    pub(super) fn new(choices: &Choices) -> Self {
        let mut builder = Builder::new(choices);
        builder.run();
        builder.finish(choices).unwrap_or_else(|| Self {
            start: UNDECIDED,
            front: None,
            steps: Box::default(),
            lasts: Box::default(),
            targets: Box::default(),
        })
    }

    /// Where a packet begins. Cheap, and for many packets all there is to do.
    #[inline]
    pub(super) fn begin(&self, data: &[u8]) -> Position {
        let Some(front) = &self.front else { return self.start };
        data.first_chunk::<{ front::BYTES }>().map_or(self.start, |packet| front.begin(packet))
    }

    /// Whether a packet is selected that has come to a position; `None` if only the interpreter
    /// can tell.
    #[inline]
    pub(super) fn select(&self, from: Position, data: &[u8], wire_len: u32) -> Option<bool> {
        let end = if from < UNDECIDED {
            match self.walk(from, data) {
                Pause::Left(next) => next,
                Pause::Rare(at) => self.go_on(at, data, wire_len).unwrap_or(UNDECIDED),
            }
        } else {
            from
        };
        end.answer()
    }

    /// Follows the way from a step over steps of the usual kinds. Calls nothing, so that it needs
    /// no more registers than a function may use without saving them.
    #[inline(never)]
    fn walk(&self, mut next: Position, data: &[u8]) -> Pause {
        'way: while let Some(steps) = self.steps.get(next.number()..) {
            for (behind, step) in steps.iter().enumerate() {
                // The usual kind stands first; a match would jump through a table.
                let value = if step.kind == Kind::Fixed {
                    word(data, step.at.into())
                } else if step.kind == Kind::BehindHeader {
                    behind_header(data, step)
                } else if step.kind == Kind::Leave {
                    next = step.target;
                    continue 'way;
                } else {
                    return Pause::rare(next.number() + behind);
                };
                let Some(value) = value else { return Pause::Left(UNDECIDED) };
                if (value & step.mask).wrapping_sub(step.low) <= step.span {
                    next = step.target;
                    continue 'way;
                }
            }
            // The last step leaves in any case.
            return Pause::Left(UNDECIDED);
        }
        Pause::Left(next)
    }

    /// The rest of a way on which there is a step of another kind.
    #[inline(never)]
    fn go_on(&self, mut at: Position, data: &[u8], wire_len: u32) -> Option<Position> {
        loop {
            let next = self.rare(at, data, wire_len)?;
            match self.walk(next, data) {
                Pause::Left(next) => return Some(next),
                Pause::Rare(next) => at = next,
            }
        }
    }

    /// One step of another kind, and the next.
    fn rare(&self, at: Position, data: &[u8], wire_len: u32) -> Option<Position> {
        let step = self.steps.get(at.number())?;
        match step.kind {
            Kind::Fixed | Kind::FixedTable => self.look_up(step, word(data, step.at.into())?),
            Kind::BehindHeader | Kind::BehindHeaderTable => {
                self.look_up(step, behind_header(data, step)?)
            }
            Kind::WireLengthTable => self.look_up(step, wire_len),
            Kind::WireLength => {
                let among = (wire_len & step.mask).wrapping_sub(step.low) <= step.span;
                if among { Some(step.target) } else { Position::step(at.number() + 1) }
            }
            Kind::Leave => Some(step.target),
        }
    }

    /// Whether packets with this outline are selected; `None` if the way that they take asks for
    /// more than the outline has, or only the interpreter can tell.
    pub(super) fn decide(&self, outline: &Outline) -> Option<bool> {
        let mut at = self.begin(outline.data());
        // Each step is passed at most once.
        for _ in 0..=self.steps.len() {
            if at.answer().is_some() {
                return at.answer();
            }
            let step = self.steps.get(at.number())?;
            at = if step.kind == Kind::Leave {
                step.target
            } else {
                self.pass(at, step, covered(outline, step)?)?
            };
        }
        None
    }

    /// Where a step leads, with the value that it reads.
    fn pass(&self, at: Position, step: &Step, value: u32) -> Option<Position> {
        if matches!(step.kind, Kind::FixedTable | Kind::BehindHeaderTable) {
            return self.look_up(step, value);
        }
        let among = (value & step.mask).wrapping_sub(step.low) <= step.span;
        if among { Some(step.target) } else { Position::step(at.number() + 1) }
    }

    fn look_up(&self, step: &Step, value: u32) -> Option<Position> {
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

/// What a step reads, if the outline covers all of it.
fn covered(outline: &Outline, step: &Step) -> Option<u32> {
    let at = match step.kind {
        Kind::BehindHeader | Kind::BehindHeaderTable => {
            // The four bits are the last of a word that ends with their byte.
            let place = usize::from(step.header);
            let header = outline.data().get(place)? & 0x0f;
            if !outline.covers(place.checked_sub(3)?, 0x0f) {
                return None;
            }
            usize::from(step.at) + 4 * usize::from(header)
        }
        Kind::Fixed | Kind::FixedTable => usize::from(step.at),
        Kind::WireLength | Kind::WireLengthTable | Kind::Leave => return None,
    };
    outline.covers(at, step.mask).then(|| word(outline.data(), at))?
}

/// Values from `low` to `high`, both inclusive, and where they lead.
#[derive(Clone, Copy)]
struct Values {
    low: u32,
    high: u32,
    target: Target,
    told_by: usize,
}

impl Values {
    /// All other values; these must not be all there are.
    const fn others(self, target: Target) -> Self {
        Self { low: self.high.wrapping_add(1), high: self.low.wrapping_sub(1), target, ..self }
    }
}

/// Puts the steps of choices one behind another.
struct Builder<'c> {
    choices: HashMap<usize, &'c Choice>,
    /// The targets are numbers only at the end.
    steps: Vec<(Step, Target)>,
    lasts: Vec<u32>,
    targets: Vec<Target>,
    /// The first step of each choice, by the place of the choice.
    firsts: HashMap<usize, usize>,
    /// Where ways leave to.
    open: Vec<Target>,
}

impl<'c> Builder<'c> {
    fn new(choices: &'c Choices) -> Self {
        Self {
            choices: choices.choices.iter().map(|(place, choice)| (*place, choice)).collect(),
            steps: Vec::new(),
            lasts: Vec::new(),
            targets: Vec::new(),
            firsts: HashMap::new(),
            open: choices
                .front
                .iter()
                .flat_map(|front| front.targets())
                .chain([choices.start])
                .collect(),
        }
    }

    /// Adds all choices that something leads to.
    fn run(&mut self) {
        while let Some(target) = self.open.pop() {
            let mut next = self.missing(target);
            while let Some((place, choice)) = next {
                self.firsts.insert(place, self.steps.len());
                next = self.add(choice).and_then(|behind| {
                    let choice = self.missing(behind);
                    if choice.is_none() {
                        self.leave(behind);
                    }
                    choice
                });
            }
        }
    }

    /// The choice that a target is, if it has no steps yet.
    fn missing(&self, target: Target) -> Option<(usize, &'c Choice)> {
        let Target::Decision(place) = target else { return None };
        let choice = self.choices.get(&place).filter(|_| !self.firsts.contains_key(&place));
        choice.map(|choice| (place, *choice))
    }

    /// Adds the steps of a choice; where its way goes on behind them, if it does.
    fn add(&mut self, choice: &Choice) -> Option<Target> {
        let source = choice.source;
        let (other, mut special) = special(&choice.pieces);
        special.sort_by_key(|values| values.told_by);
        let Some((last, ahead)) = special.split_last() else {
            // Whatever the four bytes are, they have to be there.
            let all = Values { low: 0, high: u32::MAX, target: other, told_by: 0 };
            self.compare(source, all);
            return None;
        };
        let low = special.iter().map(|values| values.low).min().unwrap_or(0);
        let high = special.iter().map(|values| values.high).max().unwrap_or(u32::MAX);
        if special.len() >= WORTH_A_HULL && high - low < source.mask / 8 {
            self.compare(source, Values { low, high, ..*last }.others(other));
        }
        if special.len() > MAX_IN_A_ROW {
            self.table(source, &choice.pieces);
            return None;
        }
        for values in ahead {
            self.compare(source, *values);
        }
        if self.missing(other).is_some() {
            self.compare(source, *last);
            return Some(other);
        }
        self.compare(source, last.others(other));
        Some(last.target)
    }

    fn compare(&mut self, source: Source, values: Values) {
        let (kind, header, at) = match source.place {
            Place::Fixed(at) => (Kind::Fixed, 0, at),
            Place::BehindHeader { header, at } => (Kind::BehindHeader, header, at),
            Place::WireLength => (Kind::WireLength, 0, 0),
        };
        let Values { low, high, target, .. } = values;
        let (mask, span) = (source.mask, high.wrapping_sub(low));
        self.steps.push((Step { mask, low, span, at, header, target: UNDECIDED, kind }, target));
        self.open.push(target);
    }

    fn leave(&mut self, target: Target) {
        let (kind, mask) = (Kind::Leave, 0);
        let step = Step { mask, low: 0, span: 0, at: 0, header: 0, target: UNDECIDED, kind };
        self.steps.push((step, target));
        self.open.push(target);
    }

    fn table(&mut self, source: Source, pieces: &[Piece]) {
        let undecided = Values { low: 0, high: 0, target: Target::Undecided, told_by: 0 };
        self.compare(source, undecided);
        let place = (u32::try_from(self.lasts.len()), u32::try_from(pieces.len()));
        if let (Some((step, _)), (Ok(start), Ok(length))) = (self.steps.last_mut(), place) {
            (step.low, step.span) = (start, length);
            step.kind = match source.place {
                Place::Fixed(_) => Kind::FixedTable,
                Place::BehindHeader { .. } => Kind::BehindHeaderTable,
                Place::WireLength => Kind::WireLengthTable,
            };
        }
        self.lasts.extend(pieces.iter().map(|piece| piece.last));
        self.targets.extend(pieces.iter().map(|piece| piece.target));
        self.open.extend(pieces.iter().map(|piece| piece.target));
    }

    /// The number for a target; `None` if there are too many steps to have numbers.
    fn position(&self, target: Target) -> Option<Position> {
        match target {
            Target::Select => Some(SELECT),
            Target::Refuse => Some(REFUSE),
            Target::Undecided => Some(UNDECIDED),
            Target::Decision(place) => Position::step(*self.firsts.get(&place)?),
        }
    }

    fn finish(self, choices: &Choices) -> Option<Steps> {
        let start = self.position(choices.start)?;
        let front = match &choices.front {
            Some(front) => Some(Box::new(front.named(|target| self.position(target))?)),
            None => None,
        };
        let steps = self
            .steps
            .iter()
            .map(|(step, target)| self.position(*target).map(|target| Step { target, ..*step }));
        let steps = steps.collect::<Option<_>>()?;
        let targets = self.targets.iter().map(|target| self.position(*target));
        let targets = targets.collect::<Option<_>>()?;
        Some(Steps { start, front, steps, lasts: self.lasts.into(), targets })
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
