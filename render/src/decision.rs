//! Decisions that users write in CEL.

use crate::BuildContext;
use cel::{
    Context, ExecutionError, ParseError, ParseErrors, Program, Value,
    common::ast::{EntryExpr, Expr, IdedEntryExpr, IdedExpr},
    objects::Map,
};
use serde::Serialize;
use std::sync::Arc;

/// A compiled expression that is true or false for a build, or a whole number.
#[derive(Debug)]
pub struct Decision {
    source: String,
    program: Program,
}

/// Why an expression was not accepted, or gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecisionError {
    /// It is no CEL, or too long.
    #[error("not an expression: {0}")]
    Parse(String),
    /// It could take too long: loops within loops.
    #[error("could need {cost} steps for one build, {limit} are allowed; take out a loop")]
    TooCostly {
        /// An upper bound of the steps.
        cost: u64,
        /// The bound.
        limit: u64,
    },
    /// It names a variable that the context does not have.
    #[error("there is no variable `{0}`; the documentation of the build context lists them")]
    UnknownVariable(String),
    /// It is neither true nor false.
    #[error("gives {0}, and must give true or false")]
    NotBool(&'static str),
    /// It is no whole number.
    #[error("gives {0}, and must give a whole number")]
    NotNumber(&'static str),
    /// Its types don't fit, whatever the build.
    #[error("types don't fit: {0}")]
    Types(String),
    /// It failed on this build.
    #[error("failed: {0}")]
    Evaluate(String),
}

impl DecisionError {
    /// What an evaluation failed at.
    fn of(error: &ExecutionError) -> Self {
        use ExecutionError as E;
        let text = shorten(&error.to_string());
        match error {
            E::UndeclaredReference(name) => Self::UnknownVariable(name.to_string()),
            E::InvalidArgumentCount { .. }
            | E::MissingArgumentOrTarget
            | E::NoSuchOverload(_)
            | E::NotSupportedAsMethod { .. }
            | E::UnexpectedType { .. }
            | E::UnsupportedBinaryOperator(..)
            | E::UnsupportedIndex(..)
            | E::UnsupportedKeyType(_)
            | E::UnsupportedTargetType { .. }
            | E::ValuesNotComparable(..) => Self::Types(text),
            _ => Self::Evaluate(text),
        }
    }
}

/// Runs on a large stack: the parser takes some 100 KiB of it for each bracket in an
/// unoptimised build, and its own limit is 96 of them.
fn parse(source: &str) -> Result<Program, DecisionError> {
    let program = Program::compile(source)
        .map_err(|errors| DecisionError::Parse(shorten(&places(&errors))))?;
    if depth(program.expression()) > DEPTH {
        return Err(DecisionError::Parse(format!("nested more than {DEPTH} deep")));
    }
    let (cost, _) = estimate(program.expression());
    if cost > COST {
        return Err(DecisionError::TooCostly { cost, limit: COST });
    }
    Ok(program)
}

/// The parser's complaints in one line; its own words show the source below each.
fn places(errors: &ParseErrors) -> String {
    let one = |error: &ParseError| {
        let (line, column) = error.pos;
        format!("line {line}, character {column}: {}", error.msg)
    };
    errors.errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Bytes of stack for the parser.
const STACK: usize = 64 << 20;
/// Deepest expression, so that evaluation fits on any thread's stack.
const DEPTH: usize = 32;
/// Longest source.
const SOURCE: usize = 4096;
/// Most steps, by the estimate.
const COST: u64 = 10_000_000;
/// Items that a list of the context is taken to have in the estimate; longer ones are cut,
/// wherever they stand: a property may be a list too.
const ITEMS: u64 = 1000;

impl Decision {
    /// Compiles an expression. `extra` lists variables that [`Self::decide`] gives beside the
    /// build's.
    ///
    /// # Errors
    /// [`DecisionError`] for what can be found without a build.
    pub fn compile(source: &str, extra: &[&str]) -> Result<Self, DecisionError> {
        if source.len() > SOURCE {
            return Err(DecisionError::Parse(format!("longer than {SOURCE} bytes")));
        }
        let text = source.to_owned();
        let program = std::thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || parse(&text))
            .map_err(|error| DecisionError::Parse(error.to_string()))?
            .join()
            .map_err(|_| DecisionError::Parse("the parser failed".to_owned()))??;
        let decision = Self { source: source.to_owned(), program };
        // The empty build tells unknown names from known ones; other failures depend on the build.
        let empty = BuildContext::new(&model::Build::default(), &crate::Site::default());
        let known = match serde_json::to_value(&empty) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => return Ok(decision),
        };
        let references = decision.program.references();
        let mut unknown: Vec<String> = references
            .variables()
            .into_iter()
            .filter(|name| !name.starts_with('@') && !bound(decision.program.expression(), name))
            .filter(|name| !known.contains_key(*name) && !extra.contains(name))
            .map(str::to_owned)
            .collect();
        unknown.sort_unstable();
        match unknown.into_iter().next() {
            Some(name) => Err(DecisionError::UnknownVariable(name)),
            None => Ok(decision),
        }
    }

    /// The expression as it was written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The answer for a build. `extra` is an object with the names given to [`Self::compile`].
    ///
    /// # Errors
    /// [`DecisionError`] if it fails on this build, or is no bool.
    pub fn decide<E: Serialize>(
        &self,
        build: &BuildContext,
        extra: &E,
    ) -> Result<bool, DecisionError> {
        match self.value(build, extra)? {
            Value::Bool(answer) => Ok(answer),
            other => Err(DecisionError::NotBool(kind(&other))),
        }
    }

    /// The whole number that the expression gives for a build, such as a vote. `extra` as in
    /// [`Self::decide`].
    ///
    /// # Errors
    /// [`DecisionError`] if it fails on this build, or is no whole number.
    pub fn number<E: Serialize>(
        &self,
        build: &BuildContext,
        extra: &E,
    ) -> Result<i64, DecisionError> {
        match self.value(build, extra)? {
            Value::Int(number) => Ok(number),
            Value::UInt(number) => {
                i64::try_from(number).map_err(|_| DecisionError::NotNumber("too large a number"))
            }
            Value::Float(_) => Err(DecisionError::NotNumber("a fraction")),
            Value::Bool(_) => Err(DecisionError::NotNumber("true or false")),
            other => Err(DecisionError::NotNumber(kind(&other))),
        }
    }

    fn value<E: Serialize>(&self, build: &BuildContext, extra: &E) -> Result<Value, DecisionError> {
        let mut context = Context::default();
        add(&mut context, build)?;
        add(&mut context, extra)?;
        self.program.execute(&context).map_err(|error| DecisionError::of(&error))
    }

    /// Tries [`Self::decide`] on builds that have everything, one of each outcome.
    ///
    /// # Errors
    /// [`DecisionError`] for what no build mends. What a build may lack, such as a property, is none.
    pub fn try_decide<E: Serialize>(self, extra: &E) -> Result<Self, DecisionError> {
        self.tried(|build| self.decide(build, extra).map(drop))?;
        Ok(self)
    }

    /// The same of [`Self::number`].
    ///
    /// # Errors
    /// As there.
    pub fn try_number<E: Serialize>(self, extra: &E) -> Result<Self, DecisionError> {
        self.tried(|build| self.number(build, extra).map(drop))?;
        Ok(self)
    }

    fn tried(
        &self,
        answer: impl Fn(&BuildContext) -> Result<(), DecisionError>,
    ) -> Result<(), DecisionError> {
        for outcome in model::Outcome::ALL {
            match answer(&BuildContext::sample(outcome)) {
                Ok(()) | Err(DecisionError::Evaluate(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn add<T: Serialize>(context: &mut Context<'_, '_>, fields: &T) -> Result<(), DecisionError> {
    let fields = cel::to_value(fields).map_err(|e| DecisionError::Evaluate(e.to_string()))?;
    if let Value::Map(map) = fields {
        for (name, value) in map.map.iter() {
            context.add_variable_from_value(name.to_string(), cut(value));
        }
    }
    Ok(())
}

/// A value whose lists have at most [`ITEMS`] items.
fn cut(value: &Value) -> Value {
    match value {
        Value::List(list) => {
            Value::List(Arc::new(list.iter().take(ITEMS as usize).map(cut).collect()))
        }
        Value::Map(Map { map }) => {
            let entries = map.iter().map(|(key, value)| (key.clone(), cut(value)));
            Value::Map(Map { map: Arc::new(entries.collect()) })
        }
        other => other.clone(),
    }
}

/// Peers' errors show values at length.
fn shorten(text: &str) -> String {
    text.chars().take(400).collect()
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "a number",
        Value::String(_) => "a text",
        Value::Null => "null",
        _ => "a value of another type",
    }
}

/// The parts that an expression is made of.
fn children(expression: &IdedExpr) -> Vec<&IdedExpr> {
    match &expression.expr {
        Expr::Comprehension(c) => {
            vec![&c.iter_range, &c.accu_init, &c.loop_cond, &c.loop_step, &c.result]
        }
        Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
        Expr::List(list) => list.elements.iter().collect(),
        Expr::Map(map) => entries(&map.entries).collect(),
        Expr::Struct(fields) => entries(&fields.entries).collect(),
        Expr::Select(select) => vec![&select.operand],
        Expr::Unspecified | Expr::Ident(_) | Expr::Literal(_) => Vec::new(),
    }
}

fn depth(expression: &IdedExpr) -> usize {
    1 + children(expression).into_iter().map(depth).max().unwrap_or(0)
}

/// Whether a loop of the expression binds `name`.
fn bound(expression: &IdedExpr, name: &str) -> bool {
    let here = match &expression.expr {
        Expr::Comprehension(c) => {
            c.iter_var == name || c.iter_var2.as_deref() == Some(name) || c.accu_var == name
        }
        _ => false,
    };
    here || children(expression).into_iter().any(|child| bound(child, name))
}

/// Keys and values of a literal map or struct.
fn entries(entries: &[IdedEntryExpr]) -> impl Iterator<Item = &IdedExpr> {
    entries
        .iter()
        .flat_map(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => [Some(&entry.key), Some(&entry.value)],
            EntryExpr::StructField(field) => [None, Some(&field.value)],
        })
        .flatten()
}

/// An upper bound of the steps an expression takes, and of the items in what it gives.
fn estimate(expression: &IdedExpr) -> (u64, u64) {
    let sum = |all: Vec<&IdedExpr>| {
        all.into_iter().map(estimate).fold((1u64, 0u64), |(cost, size), (c, s)| {
            (cost.saturating_add(c), size.saturating_add(s))
        })
    };
    match &expression.expr {
        Expr::Comprehension(c) => {
            let (range_cost, range) = estimate(&c.iter_range);
            let (turn, _) = sum(vec![&c.loop_cond, &c.loop_step]);
            let (rest, _) = sum(vec![&c.accu_init, &c.result]);
            let range = range.max(1);
            (range_cost.saturating_add(range.saturating_mul(turn)).saturating_add(rest), range)
        }
        Expr::Select(_) | Expr::Ident(_) => (sum(children(expression)).0, ITEMS),
        Expr::List(list) => (sum(children(expression)).0, list.elements.len() as u64),
        _ => {
            let (cost, size) = sum(children(expression));
            (cost, size.max(1))
        }
    }
}
