//! Places are exact, wherever and however something is written.

use crate::config::tests::EXAMPLE;
use crate::config::tests::load;
use crate::config::tests::problems;
use crate::config::yaml::parse;
use crate::tree::Mark;
use crate::tree::Node;
use crate::tree::NodeValue;

/// Returns what stands at a place.
fn at(text: &str, mark: Mark) -> String {
    let line = text.lines().nth(mark.line as usize - 1).unwrap();
    line.chars().skip(mark.column as usize - 1).collect()
}

/// Asserts that every key and scalar stands where its mark says.
fn check(text: &str, node: &Node) {
    match &node.value {
        NodeValue::Map(entries) => {
            for entry in entries {
                let found = at(text, entry.key_mark);
                assert!(found.trim_start_matches(['"', '\'']).starts_with(&entry.key), "{found}");
                check(text, &entry.node);
            }
        }
        NodeValue::Seq(items) => items.iter().for_each(|item| check(text, item)),
        NodeValue::Scalar(scalar) => {
            let found = at(text, node.mark);
            assert!(found.trim_start_matches(['"', '\'']).starts_with(&scalar.text), "{found}");
        }
        NodeValue::StandIn(_) => unreachable!("the parser makes none"),
    }
}

#[test]
fn every_key_and_scalar_knows_its_place() {
    check(EXAMPLE, &parse(EXAMPLE).unwrap().0);
    let odd =
        "\u{e4}: 'x'\n\"b\": [ 1.10, {c:  -7 , \"d\": [[e]]},\n  f ]\n'g g':\n- - h\n  - i: ~\n";
    check(odd, &parse(odd).unwrap().0);
}

#[test]
fn what_is_empty_stands_where_it_is_written_and_what_is_absent_at_its_colon() {
    let text = "a: {}\nb: [c, [], ]\nd:\ne: |\n  f\n";
    let (root, _) = parse(text).unwrap();
    let NodeValue::Seq(items) = &root.entries()[1].node.value else { panic!("{root:?}") };
    let mut marks: Vec<Mark> = root.entries().iter().map(|entry| entry.node.mark).collect();
    marks.push(items[1].mark);
    let places: Vec<(u32, u32)> = marks.iter().map(|mark| (mark.line, mark.column)).collect();
    assert_eq!(places, [(1, 4), (2, 5), (3, 2), (5, 3), (2, 8)]);
}

#[test]
fn the_place_does_not_depend_on_where_the_type_stands() {
    let options = ["type: otlp", "patience: soon", "grpc: { listen: here }"];
    for order in [[0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0]] {
        let lines = order.map(|index| format!("    {}\n", options[index])).concat();
        let text = format!(
            "sources:\n  app:\n{lines}sinks: {{ c: {{ type: console, inputs: [app] }} }}\n"
        );
        let line_of = |index| 3 + order.iter().position(|it| *it == index).unwrap();
        let mut expected = vec![
            format!("{}:15 sources.app.patience: `soon` is not", line_of(1)),
            format!("{}:21 sources.app.grpc.listen: expected an address", line_of(2)),
        ];
        expected.sort();
        let found = problems(&text);
        assert_eq!(found.len(), 2, "{found:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!(found.starts_with(expected), "{found} / {expected}");
        }
    }
}

#[test]
fn problems_that_a_component_finds_itself_have_places_too() {
    let text = "sources:\n  app: { type: otlp, answer_within: 1s, ack: journaled }\ntransforms:\n  e:\n    \
                inputs: [app]\n    resource:\n      host.name: { delete: false }\n    type: enrich\n\
                sinks: { c: { type: console, inputs: [e] } }\n";
    assert_eq!(
        problems(text),
        [
            "2:37 sources.app.answer_within: `answer_within` must be longer than `patience`",
            "2:46 sources.app.ack: `journaled` needs a `pivot`: the vault that stores requests",
            "7:7 transforms.e.resource.\"host.name\": `delete` must be true",
        ]
    );
}

#[test]
fn an_error_carries_its_parts() {
    let text = "sources: { app: { type: otlp, pivto: vault } }\nsinks: { c: { type: console, inputs: [app] } }\n";
    let errors = load(text).map(|_| ()).unwrap_err();
    let error = &errors.as_slice()[0];
    assert_eq!((error.file.as_str(), error.line, error.column), ("gophership.yaml", 1, 31));
    assert_eq!(
        (error.path.as_str(), error.nearest.as_deref()),
        ("sources.app.pivto", Some("pivot"))
    );
    assert_eq!(
        error.to_string(),
        "gophership.yaml:1:31: sources.app.pivto: unknown option `pivto`"
    );
}
