//! What a condition may say: known names, kinds that can fit, a bounded cost.
//!
//! Going through the expression is recursive; it runs in the stack of the parser, which went as
//! deep. Patterns that are written out are compiled on the way and taken out of the expression.

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, ListExpr, LiteralValue, MapExpr, SelectExpr,
    operators as op,
};
use cel::parser::Expression;

use crate::rules::when::Error;
use crate::rules::when::cost::{self, Bound};
use crate::rules::when::facts::VARIABLES;
use crate::rules::when::functions::{self, Function, MATCHES};
use crate::rules::when::kind::Kind;
use crate::rules::when::pattern::{self, Pattern};

/// The variables that hold many texts: they are asked, but are no value themselves.
const PAIRS: [&str; 2] = ["labels", "annotations"];

/// An expression that may be evaluated.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) expression: Expression,
    pub(super) patterns: Vec<Pattern>,
}

pub(super) fn check(mut expression: Expression) -> Result<Checked, Error> {
    let mut check = Check { scope: Vec::new(), patterns: Vec::new(), depth: 0, macros: 0 };
    let bound = check.expression(&mut expression)?;
    if !bound.kind.may_be(Kind::Bool) {
        return senseless(format!(
            "the condition gives {}, not true or false; compare it with something",
            bound.kind
        ));
    }
    if bound.steps > cost::MAX_STEPS {
        return Err(Error::TooCostly {
            steps: bound.steps,
            most: cost::MAX_STEPS,
            entries: cost::MAX_ENTRIES,
        });
    }
    Ok(Checked { expression, patterns: check.patterns })
}

fn senseless<T>(message: impl Into<String>) -> Result<T, Error> {
    Err(Error::Senseless(message.into()))
}

struct Check {
    /// The variables of the macros around, innermost last.
    scope: Vec<(String, Bound)>,
    patterns: Vec<Pattern>,
    depth: usize,
    macros: usize,
}

impl Check {
    fn expression(&mut self, expression: &mut Expression) -> Result<Bound, Error> {
        if self.depth >= cost::MAX_DEPTH {
            return Err(Error::TooDeep(cost::MAX_DEPTH));
        }
        self.depth += 1;
        let bound = match &mut expression.expr {
            Expr::Literal(literal) => literal_kind(literal).map(Bound::value),
            Expr::Ident(name) if PAIRS.contains(&name.as_str()) && !self.is_bound(name) => {
                senseless(format!("`{name}` are many texts; name one, as in {name}.env"))
            }
            Expr::Ident(name) => self.variable(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => self.list(list),
            Expr::Map(map) => self.map(map),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(_) => senseless("messages such as Type{field: 1} have no meaning here"),
            Expr::Unspecified => Err(Error::Unreadable),
        };
        self.depth -= 1;
        bound
    }

    fn is_bound(&self, name: &str) -> bool {
        self.scope.iter().any(|(bound, _)| bound == name)
    }

    fn variable(&self, name: &str) -> Result<Bound, Error> {
        if let Some((_, bound)) = self.scope.iter().rev().find(|(known, _)| known == name) {
            return Ok(Bound { steps: 1, ..*bound });
        }
        let kind = VARIABLES.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        kind.map(Bound::value).ok_or_else(|| {
            let macros = self.scope.iter().map(|(name, _)| name.as_str());
            let known = macros.chain(VARIABLES.iter().map(|(name, _)| *name));
            let known = known.filter(|name| !name.starts_with('@')).map(str::to_owned).collect();
            Error::UnknownVariable { name: name.chars().take(64).collect(), known }
        })
    }

    /// What a field, an index, `in`, `size()` or a macro asks: here labels and annotations may stand.
    fn asked(&mut self, expression: &mut Expression) -> Result<Bound, Error> {
        if let Expr::Ident(name) = &expression.expr
            && PAIRS.contains(&name.as_str())
            && !self.is_bound(name)
        {
            let len = cost::MAX_ENTRIES;
            return Ok(Bound { item: Kind::Text, len, ..Bound::value(Kind::Map) });
        }
        self.expression(expression)
    }

    fn select(&mut self, select: &mut SelectExpr) -> Result<Bound, Error> {
        let asked = self.asked(&mut select.operand)?;
        if !asked.kind.may_be(Kind::Map) {
            return senseless(format!("{} has no field `{}`", asked.kind, clip(&select.field)));
        }
        if select.test {
            return Ok(Bound::after(Kind::Bool, asked.steps));
        }
        Ok(Bound { size: asked.size, ..Bound::after(asked.item, asked.steps.saturating_add(1)) })
    }

    fn list(&mut self, list: &mut ListExpr) -> Result<Bound, Error> {
        let len = u64::try_from(list.elements.len()).unwrap_or(u64::MAX);
        let mut whole = Bound { len, ..Bound::value(Kind::List) };
        for (position, element) in list.elements.iter_mut().enumerate() {
            let bound = self.expression(element)?;
            whole.item = if position == 0 { bound.kind } else { whole.item.or(bound.kind) };
            whole.steps = sum(&[whole.steps, bound.steps, copying(bound)]);
            whole.size = whole.size.saturating_add(bound.size);
        }
        Ok(whole)
    }

    fn map(&mut self, map: &mut MapExpr) -> Result<Bound, Error> {
        let mut whole = Bound::value(Kind::Map);
        for (position, entry) in map.entries.iter_mut().enumerate() {
            let EntryExpr::MapEntry(entry) = &mut entry.expr else {
                return Err(Error::Unreadable);
            };
            let key = self.expression(&mut entry.key)?;
            let value = self.expression(&mut entry.value)?;
            whole.item = if position == 0 { value.kind } else { whole.item.or(value.kind) };
            whole.steps = sum(&[whole.steps, key.steps, value.steps, copying(key), copying(value)]);
            whole.size = sum(&[whole.size, key.size, value.size]);
        }
        // A macro over a map that is written out would go through it in any order.
        Ok(Bound { len: 0, ..whole })
    }

    fn comprehension(&mut self, comprehension: &mut ComprehensionExpr) -> Result<Bound, Error> {
        let range = self.asked(&mut comprehension.iter_range)?;
        let is_pairs = range.kind == Kind::Map && range.len > 0;
        if !is_pairs && range.kind != Kind::List {
            return senseless(format!(
                "macros such as exists() go through labels, annotations and lists that are \
                 written out, not through {}",
                range.kind
            ));
        }
        if self.macros >= cost::MAX_MACROS {
            return Err(Error::MacrosTooDeep(cost::MAX_MACROS));
        }
        self.macros += 1;
        let before = self.scope.len();
        let start = self.expression(&mut comprehension.accu_init)?;
        // Nothing of it is copied while it grows: what a round adds is counted by itself.
        self.scope.push((comprehension.accu_var.clone(), Bound { size: 0, ..start }));
        let item = Bound { size: range.size, len: range.size, ..Bound::value(range.item) };
        self.scope.push((comprehension.iter_var.clone(), item));
        let condition = self.expression(&mut comprehension.loop_cond)?;
        let round = self.expression(&mut comprehension.loop_step)?;
        let result = self.expression(&mut comprehension.result)?;
        self.scope.truncate(before);
        self.macros -= 1;
        let steps = sum(&[condition.steps, round.steps, copying(item), cost::ROUND]);
        let steps = sum(&[
            range.steps,
            start.steps,
            range.len.saturating_mul(steps),
            condition.steps,
            result.steps,
        ]);
        let (kind, item) = (result.kind, round.item);
        let (len, size) = if kind == Kind::List {
            (range.len, range.len.saturating_mul(round.size).saturating_add(1))
        } else {
            (0, 1)
        };
        Ok(Bound { kind, item, steps, size, len })
    }

    fn call(&mut self, call: &mut CallExpr) -> Result<Bound, Error> {
        let CallExpr { func_name, target, args } = call;
        match (func_name.as_str(), target.as_deref_mut(), args.as_mut_slice()) {
            (op::INDEX, None, [of, index]) => self.index(of, index),
            (op::IN, None, [item, of]) => self.contained(item, of),
            (op::CONDITIONAL, None, [condition, yes, no]) => self.choice(condition, yes, no),
            (op::LOGICAL_NOT | op::NOT_STRICTLY_FALSE, None, [operand]) => {
                let bound = self.truth(operand)?;
                Ok(Bound::after(Kind::Bool, bound.steps))
            }
            (op::LOGICAL_AND | op::LOGICAL_OR, None, [left, right]) => {
                let (left, right) = (self.truth(left)?, self.truth(right)?);
                Ok(Bound::after(Kind::Bool, left.steps.saturating_add(right.steps)))
            }
            (op::NEGATE, None, [operand]) => {
                let bound = self.expression(operand)?;
                let fits = bound.kind.is_number() && bound.kind != Kind::Uint;
                if !fits && !matches!(bound.kind, Kind::Any | Kind::Span) {
                    return senseless(format!("`-` has no meaning for {}", bound.kind));
                }
                Ok(Bound::after(bound.kind, bound.steps))
            }
            (operator, None, [left, right]) if is_binary(operator) => {
                let (left, right) = (self.expression(left)?, self.expression(right)?);
                binary(operator, left, right)
            }
            (MATCHES, Some(text), [pattern]) => self.matches(text, pattern),
            (name, target, args) => {
                let name = name.to_owned();
                self.function(&name, target, args)
            }
        }
    }

    fn truth(&mut self, expression: &mut Expression) -> Result<Bound, Error> {
        let bound = self.expression(expression)?;
        if bound.kind.may_be(Kind::Bool) {
            return Ok(bound);
        }
        senseless(format!("`!`, `&&`, `||` and `?` ask for true or false, not for {}", bound.kind))
    }

    fn index(&mut self, of: &mut Expression, index: &mut Expression) -> Result<Bound, Error> {
        let (of, index) = (self.asked(of)?, self.expression(index)?);
        if !matches!(of.kind, Kind::Any | Kind::Map | Kind::List) {
            return senseless(format!("{} has no elements", of.kind));
        }
        let steps = sum(&[of.steps, index.steps, cost::READ * index.size, copying(of)]);
        Ok(Bound { size: of.size, len: of.size, ..Bound::after(of.item, steps) })
    }

    fn contained(&mut self, item: &mut Expression, of: &mut Expression) -> Result<Bound, Error> {
        let (item, of) = (self.expression(item)?, self.asked(of)?);
        if !matches!(of.kind, Kind::Any | Kind::Map | Kind::List) {
            return senseless(format!("`in` looks into lists and maps, not into {}", of.kind));
        }
        let steps = sum(&[item.steps, of.steps, reading(item), reading(of)]);
        Ok(Bound::after(Kind::Bool, steps))
    }

    fn choice(
        &mut self,
        condition: &mut Expression,
        yes: &mut Expression,
        no: &mut Expression,
    ) -> Result<Bound, Error> {
        let condition = self.truth(condition)?;
        let (yes, no) = (self.expression(yes)?, self.expression(no)?);
        Ok(Bound {
            kind: yes.kind.or(no.kind),
            // The side that only hands a list on knows nothing of what is in it.
            item: if yes.item == Kind::Any { no.item } else { yes.item },
            steps: sum(&[condition.steps, yes.steps.max(no.steps), 1]),
            size: yes.size.max(no.size),
            len: yes.len.max(no.len),
        })
    }

    fn matches(&mut self, text: &mut Expression, regex: &mut Expression) -> Result<Bound, Error> {
        let text = self.expression(text)?;
        if !text.kind.may_be(Kind::Text) {
            return senseless(format!("matches() is asked of a text, not of {}", text.kind));
        }
        let Expr::Literal(LiteralValue::String(pattern)) = &regex.expr else {
            return senseless("the regular expression of matches() has to be written out");
        };
        let compiled = Pattern::new(pattern.inner())?;
        regex.expr = Expr::Ident(pattern::variable(self.patterns.len()));
        self.patterns.push(compiled);
        let steps = text.steps.saturating_add(cost::MATCH.saturating_mul(text.size));
        Ok(Bound::after(Kind::Bool, steps))
    }

    fn function(
        &mut self,
        name: &str,
        target: Option<&mut Expression>,
        args: &mut [Expression],
    ) -> Result<Bound, Error> {
        let is_method = target.is_some();
        if functions::named(name, is_method).next().is_none() {
            let name = clip(name);
            return Err(Error::UnknownFunction { name, known: functions::names(is_method) });
        }
        let mut bounds = Vec::with_capacity(args.len() + 1);
        for operand in target.into_iter().chain(args) {
            let bound =
                if name == "size" { self.asked(operand)? } else { self.expression(operand)? };
            bounds.push(bound);
        }
        let fits = |function: &&Function| {
            let wanted: Vec<Kind> = function.on.iter().chain(function.takes).copied().collect();
            wanted.len() == bounds.len()
                && wanted.iter().zip(&bounds).all(|(want, bound)| bound.kind.may_be(*want))
        };
        let Some(function) = functions::named(name, is_method).find(fits) else {
            let kinds: Vec<String> = bounds.iter().map(|bound| bound.kind.to_string()).collect();
            let with = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(" and ") };
            return senseless(format!("{name}() has no meaning for {with}"));
        };
        let weight = if matches!(name, "contains") { cost::FIND } else { cost::COPY };
        let mut steps = 2;
        let mut size = 1_u64;
        for bound in &bounds {
            steps = sum(&[steps, bound.steps, weight.saturating_mul(bound.size)]);
            size = size.max(bound.size);
        }
        Ok(Bound { size, ..Bound::after(function.gives, steps) })
    }
}

fn is_binary(operator: &str) -> bool {
    is_arithmetic(operator)
        || matches!(
            operator,
            op::EQUALS
                | op::NOT_EQUALS
                | op::LESS
                | op::LESS_EQUALS
                | op::GREATER
                | op::GREATER_EQUALS
        )
}

fn is_arithmetic(operator: &str) -> bool {
    matches!(operator, op::ADD | op::SUBSTRACT | op::MULTIPLY | op::DIVIDE | op::MODULO)
}

fn binary(operator: &str, left: Bound, right: Bound) -> Result<Bound, Error> {
    let steps = sum(&[left.steps, right.steps, reading(left), reading(right)]);
    if is_arithmetic(operator) {
        let kind = arithmetic(operator, left.kind, right.kind)?;
        let item = match (left.len, right.len) {
            (_, 0) => left.item,
            (0, _) => right.item,
            _ => left.item.or(right.item),
        };
        return Ok(Bound {
            kind,
            item,
            steps: sum(&[steps, copying(left), copying(right), 1]),
            size: left.size.saturating_add(right.size),
            len: left.len.saturating_add(right.len),
        });
    }
    let is_equality = matches!(operator, op::EQUALS | op::NOT_EQUALS);
    let fits = if is_equality {
        left.kind.may_equal(right.kind)
    } else {
        left.kind.may_compare(right.kind)
    };
    if !fits {
        let sign = operator.trim_matches('_');
        return senseless(format!("{} {sign} {} can never work", left.kind, right.kind));
    }
    Ok(Bound::after(Kind::Bool, steps))
}

/// What an operation gives. The language never turns one kind of number into another by itself.
fn arithmetic(operator: &str, left: Kind, right: Kind) -> Result<Kind, Error> {
    use Kind::{Any, Double, Int, List, Span, Text, Time, Uint};
    let sign = operator.trim_matches('_');
    match (operator, left, right) {
        (op::MODULO, Int, Int) | (op::MODULO, Uint, Uint) => Ok(left),
        (op::ADD, Text, Text) | (op::ADD, List, List) => Ok(left),
        (op::ADD, Time, Span) | (op::ADD, Span, Time) | (op::SUBSTRACT, Time, Span) => Ok(Time),
        (op::ADD | op::SUBSTRACT, Span, Span) | (op::SUBSTRACT, Time, Time) => Ok(Span),
        (_, Any, _) | (_, _, Any) => Ok(Any),
        (op::MODULO, _, _) => senseless(format!("{left} {sign} {right} can never work")),
        (_, Int, Int) | (_, Uint, Uint) | (_, Double, Double) => Ok(left),
        (_, left, right) if left.is_number() && right.is_number() => senseless(format!(
            "{left} {sign} {right} can never work; write both with a fraction, as in 100.0, or \
             use double()"
        )),
        _ => senseless(format!("{left} {sign} {right} can never work")),
    }
}

fn literal_kind(literal: &LiteralValue) -> Result<Kind, Error> {
    match literal {
        LiteralValue::Boolean(_) => Ok(Kind::Bool),
        LiteralValue::Double(_) => Ok(Kind::Double),
        LiteralValue::Int(_) => Ok(Kind::Int),
        LiteralValue::Null => Ok(Kind::Null),
        LiteralValue::String(_) => Ok(Kind::Text),
        LiteralValue::UInt(_) => Ok(Kind::Uint),
        LiteralValue::Bytes(_) => senseless("bytes such as b'a' have no meaning here"),
    }
}

fn reading(bound: Bound) -> u64 {
    cost::READ.saturating_mul(bound.size)
}

fn copying(bound: Bound) -> u64 {
    cost::COPY.saturating_mul(bound.size)
}

fn sum(steps: &[u64]) -> u64 {
    steps.iter().fold(0, |sum, steps| sum.saturating_add(*steps))
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}
