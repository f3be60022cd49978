//! YAML (and JSON, which is YAML too) as a tree in which every node knows its place.
//!
//! Built from granit-parser's events, the parser below serde-saphyr: a serde front end gives
//! places only to fields of types made for it, and stops at the first mistake. Plain scalars are
//! read as kubectl reads them (`yes` is true, `0x10` is 16). What a small file may grow to by
//! aliases is bounded, and so is its depth.

use super::error::{Mark, Mistake};
use super::node::{Content, Member, Node};
use super::scalar::scalar;
use granit_parser::{Event, Options, Parser, ScalarStyle, Span, StrInput, Tag};
use std::collections::HashMap;

/// Nesting of collections, by aliases too.
const MAX_DEPTH: usize = 64;
/// What one file's nodes may weigh once its aliases are replaced by what they stand for.
const MAX_WEIGHT: usize = 8 << 20;

/// The documents of a file, and every mistake in its YAML. After a syntax error the next
/// document is tried.
pub(crate) fn documents(text: &str) -> (Vec<Node>, Vec<Mistake>) {
    let options = granit_parser::options! {
        emit_comments: false,
        disallow_directives: true,
        block_nesting_limit: MAX_DEPTH,
        flow_nesting_limit: MAX_DEPTH,
    };
    Reader::new(text, options).read()
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    anchors: HashMap<usize, Node>,
    mistakes: Vec<Mistake>,
    weight: usize,
}

type Token<'a> = (Event<'a>, Span);

impl<'a> Reader<'a> {
    fn new(text: &'a str, options: Options) -> Self {
        Self {
            parser: Parser::new_from_str_with_options(text, options),
            anchors: HashMap::new(),
            mistakes: Vec::new(),
            weight: 0,
        }
    }

    fn read(mut self) -> (Vec<Node>, Vec<Mistake>) {
        let mut documents = Vec::new();
        loop {
            match self.document() {
                Ok(Some(node)) => documents.push(node),
                Ok(None) => break,
                Err(mistake) => {
                    self.mistakes.push(mistake);
                    match self.parser.proceed_next_document() {
                        Ok(true) => {}
                        _ => break,
                    }
                }
            }
        }
        (documents, self.mistakes)
    }

    fn next(&mut self) -> Result<Option<Token<'a>>, Mistake> {
        self.parser.next_event().transpose().map_err(|error| {
            // The place stands before the message already.
            let said = error.to_string();
            let said = said.rfind(" at char ").map_or(said.as_str(), |end| &said[..end]);
            Mistake::new(Mark::of(error.marker()), "", format!("this is no YAML: {said}"))
        })
    }

    fn document(&mut self) -> Result<Option<Node>, Mistake> {
        while let Some((event, span)) = self.next()? {
            match event {
                Event::StreamEnd => return Ok(None),
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                event => return self.node(event, span, 0).map(Some),
            }
        }
        Ok(None)
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Mistake> {
        let mark = Mark::of(&span.start);
        let tag = event.tag().cloned();
        let (anchor, content) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                (anchor, scalar(text, style, tag.as_deref()))
            }
            Event::SequenceStart(_, anchor, _) => (anchor, self.list(depth)?),
            Event::MappingStart(_, anchor, _) => (anchor, self.map(depth)?),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or_else(|| {
                    Mistake::new(mark, "", "this alias stands within what it names".to_owned())
                })?;
                if node.height + depth > MAX_DEPTH {
                    return Err(Mistake::new(mark, "", "nested too deeply by aliases".to_owned()));
                }
                self.weigh(mark, node.weight)?;
                return Ok(Node { mark, ..node });
            }
            _ => return Err(Mistake::new(mark, "", "unexpected end of the document".to_owned())),
        };
        if let Some(message) = tag.and_then(|tag| unfit(&tag, &content)) {
            self.mistakes.push(Mistake::new(mark, "", message));
        }
        let node = Node::new(mark, content);
        if !matches!(node.content, Content::List(_) | Content::Map(_)) {
            self.weigh(mark, node.weight)?;
        }
        if anchor != 0 {
            // The copy counts: anchors within anchors would multiply it.
            self.weigh(mark, node.weight)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn weigh(&mut self, mark: Mark, weight: usize) -> Result<(), Mistake> {
        self.weight += weight;
        if self.weight > MAX_WEIGHT {
            return Err(Mistake::new(
                mark,
                "",
                "the file is too large once its aliases are replaced by what they stand for"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Content, Mistake> {
        let mut items = Vec::new();
        while let Some((event, span)) = self.next()? {
            match event {
                Event::SequenceEnd => break,
                event => items.push(self.node(event, span, depth + 1)?),
            }
        }
        Ok(Content::List(items))
    }

    fn map(&mut self, depth: usize) -> Result<Content, Mistake> {
        let mut members: Vec<Member> = Vec::new();
        let mut known: HashMap<String, Mark> = HashMap::new();
        let mut merged = Vec::new();
        while let Some((event, span)) = self.next()? {
            if event == Event::MappingEnd {
                break;
            }
            let merge =
                matches!(&event, Event::Scalar(text, ScalarStyle::Plain, ..) if text == "<<");
            let literal = match &event {
                Event::Scalar(text, ..) => Some(text.to_string()),
                _ => None,
            };
            let key = self.node(event, span, depth + 1)?;
            let Some((event, span)) = self.next()? else { break };
            let value = self.node(event, span, depth + 1)?;
            if merge {
                merged.push(value);
                continue;
            }
            // A number or a word as a key is its text: in JSON every key is one.
            let name = match (key.content, literal) {
                (Content::Text(text), _) => text,
                (Content::List(_) | Content::Map(_), _) | (_, None) => {
                    let message = "a key must be a text".to_owned();
                    self.mistakes.push(Mistake::new(key.mark, "", message));
                    continue;
                }
                (_, Some(literal)) => literal,
            };
            if let Some(first) = known.get(&name) {
                let message = format!(
                    "{} is here twice: first in line {}; remove one of them",
                    super::error::quote(&name),
                    first.line
                );
                self.mistakes.push(Mistake::new(key.mark, "", message));
                continue;
            }
            known.insert(name.clone(), key.mark);
            members.push(Member { key: name, mark: key.mark, value });
        }
        for source in merged {
            self.merge(&mut members, &mut known, source);
        }
        Ok(Content::Map(members))
    }

    /// `<<: *base`: the base's members, where the map has none of that name.
    fn merge(&mut self, into: &mut Vec<Member>, known: &mut HashMap<String, Mark>, source: Node) {
        match source.content {
            Content::Map(members) => {
                for member in members {
                    if !known.contains_key(&member.key) {
                        known.insert(member.key.clone(), member.mark);
                        into.push(member);
                    }
                }
            }
            Content::List(sources) => {
                for source in sources {
                    self.merge(into, known, source);
                }
            }
            _ => {
                let message = "<< merges maps: name one with *NAME".to_owned();
                self.mistakes.push(Mistake::new(source.mark, "", message));
            }
        }
    }
}

/// Why a value can't have this tag.
fn unfit(tag: &Tag, content: &Content) -> Option<String> {
    let fits = match (tag.core_suffix(), content) {
        (None, _) => {
            let tag = super::error::quote(&tag.original());
            return Some(format!("the tag {tag} means nothing here; take it out"));
        }
        (Some("float"), Content::Int(_)) => true,
        (Some(suffix), Content::Null) => suffix == "null",
        (Some(suffix), Content::Bool(_)) => suffix == "bool",
        (Some(suffix), Content::Int(_)) => suffix == "int",
        (Some(suffix), Content::Float(_)) => suffix == "float",
        (Some(suffix), Content::Text(_)) => suffix == "str",
        (Some(suffix), Content::List(_)) => suffix == "seq",
        (Some(suffix), Content::Map(_)) => suffix == "map",
    };
    (!fits).then(|| format!("the value is none of the tag {}; take it out", tag.original()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::documents;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn read(text: &str) -> Vec<Value> {
        let (documents, mistakes) = documents(text);
        assert!(mistakes.is_empty(), "{mistakes:?}");
        documents.iter().map(super::Node::to_json).collect()
    }

    fn mistakes(text: &str) -> Vec<String> {
        documents(text)
            .1
            .into_iter()
            .map(|m| format!("{}:{}: {}", m.mark.line, m.mark.column, m.message))
            .collect()
    }

    #[test]
    fn several_documents_and_json_are_read() {
        assert_eq!(
            read("a: 1\n---\n{\"b\": [true, \"\\u00e9\"]}\n"),
            [json!({"a": 1}), json!({"b": [true, "é"]})]
        );
        assert_eq!(read(""), Vec::<Value>::new());
    }

    #[test]
    fn aliases_and_merges_stand_for_what_they_name() {
        assert_eq!(
            read("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}\nlist: [*b]\n"),
            [
                json!({"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 3}, "list": [{"x": 1, "y": 2}]})
            ]
        );
    }

    #[test]
    fn a_tag_that_is_not_known_or_does_not_fit_is_a_mistake() {
        let known = "[!!str 5, !!int 5, !!float 5, !!bool yes, !!null ~, !!seq [1], !!map {a: 1}]";
        assert_eq!(read(known)[0], json!(["5", 5, 5, true, null, [1], {"a": 1}]));
        for (text, message) in [
            ("a: !secret x", "1:12: the tag \"!secret\" means nothing here; take it out"),
            (
                "!<tag:x.org,2000:y> {}",
                "1:21: the tag \"!<tag:x.org,2000:y>\" means nothing here; take it out",
            ),
            ("- !!int '5'", "1:9: the value is none of the tag !!int; take it out"),
            ("- !!binary aGk=", "1:12: the tag \"!!binary\" means nothing here; take it out"),
        ] {
            assert_eq!(mistakes(text), [message], "{text}");
        }
    }

    #[test]
    fn every_duplicate_key_and_every_broken_document_is_reported() {
        let found = mistakes("a: 1\na: 2\nb: {c: 1, c: 2}\n---\n[1, 2\n---\nd: 1\nd: 2\n");
        assert_eq!(found.len(), 4, "{found:?}");
        assert_eq!(found[0], "2:1: \"a\" is here twice: first in line 1; remove one of them");
        assert!(found[2].starts_with("5:") || found[2].starts_with("6:"), "{found:?}");
        assert!(found[3].starts_with("8:1: "), "{found:?}");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused_before_it_grows() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let item = format!("*a{}", level - 1);
            bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![item; 10].join(", ")));
        }
        let found = mistakes(&bomb);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("too large once its aliases"), "{found:?}");
    }

    #[test]
    fn anchors_within_anchors_are_refused_before_they_grow() {
        let items = vec!["x"; 20_000].join(",");
        let bomb: String = (0..40).map(|n| format!("&a{n} [")).collect();
        let found = mistakes(&format!("{bomb}{items}{}", "]".repeat(40)));
        assert!(found[0].contains("too large once its aliases"), "{found:?}");
    }

    #[test]
    fn depth_is_bounded_with_aliases_and_without() {
        assert_eq!(mistakes(&"[".repeat(100_000)).len(), 1);
        let mut deep = format!("a0: &a0 {}x{}\n", "[".repeat(40), "]".repeat(40));
        deep.push_str(&format!("a1: {}*a0{}\n", "[".repeat(40), "]".repeat(40)));
        assert!(mistakes(&deep)[0].contains("nested too deeply"), "{:?}", mistakes(&deep));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in r##"([a-c&*:\[\]{},|>'"#!%<~0-9 é\n-]|\n---\n|: ){0,80}"##) {
            let (nodes, mistakes) = documents(&text);
            prop_assert!(nodes.len() + mistakes.len() <= text.len() + 1);
        }
    }
}
