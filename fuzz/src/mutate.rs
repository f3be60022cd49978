//! Changes to real input. A case is one input of the corpus and a few changes, and a failing one is made
//! smaller by leaving changes out: what is left is near to what a peer really sends.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};
use serde_json::{Value, json};

/// What breaks out of pages, headers, templates, paths and lines, where it is taken as it is.
pub const HOSTILE: &[&str] = &[
    "<zq x=\"1\" y='2'>",
    "\"zq=\"",
    "'zq='",
    "</script>",
    "&",
    "&lt",
    "\r\nX-Zq: 1\r\n\r\n",
    "\n",
    "\r",
    "\0",
    "\t",
    "\u{1b}[31m",
    "\u{1b}[38;5;",
    "\u{1b}]8;;",
    "\u{feff}",
    "\u{202e}",
    "é",
    "🦀",
    "%(",
    "%(prop:",
    ")s",
    "{{",
    "{%",
    "%}",
    "[[[[[[[[",
    "((((((((",
    "../",
    "%2e%2e%2f",
    "%00",
    "%zz",
    "%",
    "\\",
    ":",
    ";",
    ",",
    "=",
    "@",
    "#",
    "'",
    "\"",
    " ",
    "null",
    "true",
    "-",
];

/// Numbers at which arithmetic ends.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "127",
    "255",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e308",
    "1e999",
    "0.1",
    "007",
    "99999999999999999999999999999999999999999",
];

#[derive(Clone, Debug)]
enum Edit {
    Drop(Index, usize),
    Repeat(Index, usize, usize),
    Word(Index, &'static str),
    Number(Index, &'static str),
    /// From another input.
    Splice(Index, Index, Index, usize),
    Flip(Index, u8),
    Cut(Index),
}

fn edit(words: &'static [&'static str]) -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let length = || prop_oneof![6 => 1..16_usize, 1 => 1..400_usize];
    let times = prop_oneof![6 => 1..4_usize, 1 => 1..300_usize];
    let word = match words {
        [] => select(HOSTILE).boxed(),
        words => prop_oneof![select(HOSTILE), select(words)].boxed(),
    };
    prop_oneof![
        2 => (at(), length()).prop_map(|(at, length)| Edit::Drop(at, length)),
        2 => (at(), length(), times).prop_map(|(at, length, times)| Edit::Repeat(at, length, times)),
        5 => (at(), word).prop_map(|(at, word)| Edit::Word(at, word)),
        2 => (at(), select(NUMBERS)).prop_map(|(at, number)| Edit::Number(at, number)),
        2 => (at(), at(), at(), length()).prop_map(|(at, from, begin, length)| Edit::Splice(at, from, begin, length)),
        1 => (at(), 1..=u8::MAX).prop_map(|(at, bits)| Edit::Flip(at, bits)),
        1 => at().prop_map(Edit::Cut),
    ]
}

/// Inputs of the corpus with up to eight changes, in which `words` and [`HOSTILE`] are put.
///
/// # Panics
/// When the corpus is empty.
pub fn bytes<T: AsRef<[u8]>>(
    corpus: &[T],
    words: &'static [&'static str],
) -> impl Strategy<Value = Vec<u8>> + use<T> {
    let corpus: Vec<Vec<u8>> = corpus.iter().map(|input| input.as_ref().to_vec()).collect();
    assert!(!corpus.is_empty(), "there is no input to change");
    (any::<Index>(), vec(edit(words), 0..8)).prop_map(move |(index, edits)| {
        let mut input = index.get(&corpus).clone();
        edits.iter().for_each(|edit| apply(edit, &mut input, &corpus));
        input
    })
}

/// As [`bytes`], as text.
pub fn text<T: AsRef<[u8]>>(
    corpus: &[T],
    words: &'static [&'static str],
) -> impl Strategy<Value = String> + use<T> {
    bytes(corpus, words).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

fn apply(edit: &Edit, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let place = |index: &Index, of: &[u8]| index.index(of.len() + 1);
    let end = |at: usize, length: usize, of: &[u8]| (at + length).min(of.len());
    match edit {
        Edit::Drop(at, length) => {
            let at = place(at, input);
            input.drain(at..end(at, *length, input));
        }
        Edit::Repeat(at, length, times) => {
            let at = place(at, input);
            let piece = input[at..end(at, *length, input)].repeat(*times);
            input.splice(at..at, piece);
        }
        Edit::Word(at, word) => {
            let at = place(at, input);
            input.splice(at..at, word.bytes());
        }
        Edit::Number(which, number) => {
            let begins = |at: &usize| {
                input[*at].is_ascii_digit() && (*at == 0 || !input[*at - 1].is_ascii_digit())
            };
            let numbers: Vec<usize> = (0..input.len()).filter(begins).collect();
            if !numbers.is_empty() {
                let at = *which.get(&numbers);
                let length = input[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                input.splice(at..at + length, number.bytes());
            }
        }
        Edit::Splice(at, from, begin, length) => {
            let (at, other) = (place(at, input), from.get(corpus));
            let begin = place(begin, other);
            input.splice(at..at, other[begin..end(begin, *length, other)].iter().copied());
        }
        Edit::Flip(at, bits) if !input.is_empty() => {
            let at = at.index(input.len());
            input[at] ^= bits;
        }
        Edit::Flip(..) => {}
        Edit::Cut(at) => input.truncate(place(at, input)),
    }
}

#[derive(Clone, Debug)]
enum Change {
    Set(Index, Value),
    Remove(Index, Index),
    Copy(Index, Index, Index),
    Add(Index, &'static str),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let values: Vec<Value> = [
        json!(null),
        json!(true),
        json!(-1),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(u32::MAX),
        json!(1e308),
        json!(0.5),
        json!(""),
        json!([]),
        json!({}),
        json!([null]),
        json!("x".repeat(100_000)),
        json!({"": {"": [[], {}]}}),
    ]
    .into_iter()
    .chain(HOSTILE.iter().map(|word| json!(word)))
    .collect();
    prop_oneof![
        4 => (at(), select(values)).prop_map(|(at, value)| Change::Set(at, value)),
        2 => (at(), at()).prop_map(|(at, member)| Change::Remove(at, member)),
        2 => (at(), at(), at()).prop_map(|(at, from, begin)| Change::Copy(at, from, begin)),
        2 => (at(), select(HOSTILE)).prop_map(|(at, word)| Change::Add(at, word)),
    ]
}

/// Values of the corpus with up to six changes: another value somewhere, a member that is missing, a piece
/// of another place, a text with something hostile in it.
///
/// # Panics
/// When the corpus is empty.
pub fn json(corpus: Vec<Value>) -> impl Strategy<Value = Value> {
    assert!(!corpus.is_empty(), "there is no input to change");
    (any::<Index>(), vec(change(), 0..6)).prop_map(move |(index, changes)| {
        let mut value = index.get(&corpus).clone();
        for change in changes {
            alter(change, &mut value, &corpus);
        }
        value
    })
}

fn alter(change: Change, value: &mut Value, corpus: &[Value]) {
    match change {
        Change::Set(at, new) => {
            if let Some(node) = find(value, at) {
                *node = new;
            }
        }
        Change::Remove(at, member) => match find(value, at) {
            Some(Value::Array(list)) if !list.is_empty() => {
                list.remove(member.index(list.len()));
            }
            Some(Value::Object(map)) if !map.is_empty() => {
                let key = map.keys().nth(member.index(map.len())).cloned().unwrap_or_default();
                map.remove(&key);
            }
            _ => {}
        },
        Change::Copy(at, from, begin) => {
            let mut other = from.get(corpus).clone();
            if let (Some(node), Some(new)) = (find(value, at), find(&mut other, begin)) {
                *node = new.take();
            }
        }
        Change::Add(at, word) => match find(value, at) {
            Some(Value::String(text)) => text.push_str(word),
            Some(Value::Array(list)) => list.push(word.into()),
            Some(Value::Object(map)) => {
                map.insert(word.to_owned(), Value::Null);
            }
            _ => {}
        },
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

fn find(value: &mut Value, at: Index) -> Option<&mut Value> {
    let among = count(value);
    nth(value, &mut at.index(among))
}

/// The node of this number, in the order of the text.
fn nth<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(list) => list.iter_mut().find_map(|member| nth(member, number)),
        Value::Object(map) => map.values_mut().find_map(|member| nth(member, number)),
        _ => None,
    }
}
