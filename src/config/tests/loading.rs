//! What a good document becomes, and which documents are refused.

use std::path::Path;
use std::time::Duration;

use crate::component::OutputId;
use crate::config::load_file;
use crate::config::tests::EXAMPLE;
use crate::config::tests::load;
use crate::config::tests::problems;
use crate::somatic::Zone;

/// Wraps the options of a `demo` source into the smallest document.
fn demo(options: &str) -> String {
    format!(
        "sources: {{ d: {{ type: demo, {options} }} }}\nsinks: {{ c: {{ type: console, inputs: [d] }} }}\n"
    )
}

#[test]
fn the_example_becomes_what_it_says() {
    let config = load(EXAMPLE).map_err(|errors| errors.to_string()).unwrap();
    assert_eq!(config.sources.len() + config.transforms.len() + config.sinks.len(), 10);
    assert_eq!(config.data_dir, Path::new("./gophership-data"));
    assert_eq!(config.shutdown.grace.get(), Duration::from_secs(30));
    assert_eq!(config.control_socket(), Path::new("./gophership-data/control.sock"));
    let enrich = &config.transforms["enrich"];
    assert_eq!((enrich.kind.as_str(), enrich.shed_in), ("enrich", Some(Zone::Yellow)));
    assert_eq!(enrich.inputs.len(), 3);
    let options = enrich.config.values().unwrap();
    let resource = &options["resource"];
    assert_eq!(resource["deployment.environment"]["set"], "dev");
    assert_eq!(resource["host.name"]["set"], "ship-1");
    let demo = config.sources["demo"].config.values().unwrap();
    assert_eq!(demo["rate"], 250);
    let buffer = &config.sinks["backend"].buffer;
    assert_eq!((buffer.batches.get(), buffer.bytes.bytes()), (512, 16 << 20));
    assert_eq!(config.sinks["errors"].buffer.batches.get(), 1024);
    assert_eq!(config.sources["otlp"].config.pivot(), Some("vault"));
    assert!(config.sinks["vault"].config.is_vault());
}

#[test]
fn everything_but_components_has_a_default() {
    let config = load(&demo("")).unwrap();
    assert_eq!(config.metrics.listen.unwrap().to_string(), "127.0.0.1:9091");
    assert_eq!(config.somatic.watermarks.red.permille(), 850);
    assert_eq!(config.control_socket(), Path::new("./gophership-data/control.sock"));
    let off = load(&format!("{}metrics: {{ listen: off }}\n", demo(""))).unwrap();
    assert_eq!(off.metrics.listen, None);
}

#[test]
fn the_only_vault_that_stands_by_is_the_pivot_of_whoever_names_none() {
    let pivot = |source: &str, vaults: &str| {
        let config = load(&format!(
            "sources: {{ a: {{ type: otlp{source} }} }}
sinks:
  out: {{ type: blackhole, inputs: [a] }}
{vaults}"
        ));
        config.map(|config| config.sources["a"].config.pivot().map(str::to_owned))
    };
    let (one, read) = ("  v: { type: raw_vault }\n", "  w: { type: raw_vault, inputs: [a] }\n");
    let both = format!("{one}{read}");
    assert_eq!(pivot("", "").unwrap(), None);
    assert_eq!(pivot("", one).unwrap().as_deref(), Some("v"));
    assert_eq!(pivot(", ack: journaled", one).unwrap().as_deref(), Some("v"));
    assert_eq!(pivot("", read).unwrap(), None, "it is for what it reads");
    assert_eq!(pivot("", &both).unwrap().as_deref(), Some("v"));
    assert_eq!(pivot(", pivot: w", read).unwrap().as_deref(), Some("w"));
    assert_eq!(pivot(", pivot: off", read).unwrap(), None);
    assert_eq!(pivot(", pivot: false", read).unwrap(), None, "what Helm makes of it");
    assert_eq!(pivot(", pivot: no", read).unwrap(), None, "the same in YAML 1.1");
    assert!(pivot(", pivot: off", one).is_err(), "no component uses the vault");
    let replayed = |inputs: &str| {
        let config = load(&format!(
            "sources: {{ a: {{ type: otlp }}, r: {{ type: vault_replay, vault: v }} }}
sinks:
  x: {{ type: blackhole, inputs: [a, r] }}
  y: {{ type: blackhole, inputs: {inputs} }}
{one}"
        ));
        config.unwrap().sources["a"].config.pivot().map(str::to_owned)
    };
    assert_eq!(replayed("[r, a]").as_deref(), Some("v"));
    assert_eq!(replayed("[a]"), None, "y would miss what the vault took");
    assert_eq!(replayed("[r]"), None, "y would get what is not for it");
    let third = format!("{one}  u: {{ type: raw_vault }}\n");
    assert!(pivot("", &third).is_err(), "which one it is has to be said");
}

#[test]
fn a_vault_is_replayed_to_those_who_read_the_sources_that_pivot_to_it() {
    let inputs = |vault: &str, more: &str| {
        let config = load(&format!(
            "sources: {{ a: {{ type: otlp }}, b: {{ type: demo, pivot: off }}{more} }}
transforms: {{ t: {{ type: enrich, inputs: [a, b] }} }}
sinks:
  x: {{ type: blackhole, inputs: [t] }}
  y: {{ type: blackhole, inputs: [b, a] }}
  z: {{ type: blackhole, inputs: [b] }}
  v: {{ type: raw_vault{vault} }}
"
        ))
        .unwrap();
        let names = |inputs: &[OutputId]| {
            inputs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        let sinks = ["x", "y", "z", "v"].map(|id| names(&config.sinks[id].inputs));
        let replay = config.sources.get("v_replay");
        assert_eq!(replay.is_some_and(|it| it.config.replays() == Some("v")), replay.is_some());
        (replay.is_some(), names(&config.transforms["t"].inputs), sinks.join(", "))
    };
    let told = |is_there, t: &str, sinks: &str| (is_there, t.to_owned(), sinks.to_owned());
    let none = told(false, "a b", "t, b a, b, ");
    assert_eq!(inputs("", ""), told(true, "a b v_replay", "t, b a v_replay, b, "));
    assert_eq!(inputs(", replay: off", ""), none);
    assert_eq!(inputs(", replay: false", ""), none, "what Helm makes of it");
    let apart = "sources: { a: { type: demo, pivot: v }, b: { type: demo, pivot: v } }
sinks: { x: { type: blackhole, inputs: [a] }, y: { type: blackhole, inputs: [b] }, v: { type: raw_vault } }";
    assert_eq!(load(apart).unwrap().sources.len(), 2, "to each of them comes only a part");
    assert!(load(&apart.replace(", pivot: v", "")).is_err(), "no component uses the vault");
    let named = "sources: { a: { type: otlp }, r: { type: vault_replay, vault: v } }
sinks: { x: { type: blackhole, inputs: [a, r] }, v: { type: raw_vault } }";
    assert_eq!(load(named).unwrap().sources.len(), 2, "somebody replays it");
    let taken = "sources: { v_replay: { type: demo } }
sinks: { x: { type: blackhole, inputs: [v_replay] }, v: { type: raw_vault } }";
    assert_eq!(load(taken).unwrap().sources.len(), 1);
}

#[test]
fn switches_of_yaml_1_1_are_taken_where_an_option_is_one() {
    let config = load(
        "metrics: { listen: false, page: false }
control: { listen: off }
sources: { a: { type: demo } }
transforms: { r: { type: filter, inputs: [a], keep: [{ attribute: answer, equals: no }] } }
sinks:
  o: { type: otlp, inputs: [r], endpoint: 'http://127.0.0.1:1', allow_credentials_in_plain_text: Yes }",
    )
    .unwrap();
    assert_eq!((config.metrics.listen, config.control.listen), (None, None));
    assert!(!config.metrics.page.is_on());
    let shown = config.shown().to_string();
    assert!(shown.contains(r#""allow_credentials_in_plain_text":true"#), "{shown}");
    assert!(shown.contains(r#""no""#), "a text stays one: {shown}");
}

#[test]
fn interpolated_texts_become_what_the_option_wants_and_nothing_else_does() {
    for options in ["rate: \"${RATE}\"", "seed: \"${NO:-7}\", pivot: \"${NO:-v}\""] {
        let text =
            demo(options).replace("sinks: {", "sinks: { v: { type: raw_vault, inputs: [d] },");
        assert!(load(&text).is_ok(), "{options}");
    }
    assert!(load("sources:\n  d:\n    type: demo\n    rate: ${RATE}\nsinks: { c: { type: console, inputs: [d] } }\n").is_ok());
    assert!(problems(&demo("rate: ${RATE}"))[0].ends_with("inside brackets `${...}` needs quotes"));
    assert!(load(&demo("rate: \"250\"")).is_err());
    assert_eq!(
        problems(&demo("rate: \"${SECRET}\"")),
        ["1:35 sources.d.rate: expected a whole number, found the text `${SECRET}`"]
    );
    // The content of a variable is a value, whatever it looks like; and keys are not interpolated.
    let text = demo("").replace("[d]", "[\"${LIST:-d, d}\"]");
    assert_eq!(
        problems(&text)[1..],
        ["2:39 sinks.c.inputs[0]: there is no source or transform `${LIST:-d, d}`"]
    );
    assert_eq!(
        problems(&demo("\"${RATE}\": 1"))[0],
        "1:29 sources.d.\"${RATE}\": unknown option `${RATE}`"
    );
}

#[test]
fn texts_keep_the_form_they_were_written_in() {
    let text = "sources: { d: { type: demo } }\nsinks: { c: { type: otlp, inputs: [d], \
                endpoint: \"http://localhost:4317\", \
                headers: { a: 1.10, b: 007, c: no, d: 0x1F, e: 1e3, f: true } } }\n";
    let config = load(text).map_err(|errors| errors.to_string()).unwrap();
    let options = config.sinks["c"].config.values().unwrap();
    let values = options["headers"].as_object().unwrap().values();
    let values: Vec<&str> = values.filter_map(|value| value.as_str()).collect();
    assert_eq!(values, ["1.10", "007", "no", "0x1F", "1e3", "true"]);
}

#[test]
fn an_attribute_takes_the_type_it_is_written_in() {
    let text = "sources: { d: { type: demo } }\ntransforms: { e: { type: enrich, inputs: [d], \
                resource: { a: 1.5, b: 7, c: no, d: \"8\", e: true, f: \"${RATE}\", \
                g: { set_if_absent: 9 } } } }\nsinks: { c: { type: console, inputs: [e] } }\n";
    let config = load(text).map_err(|errors| errors.to_string()).unwrap();
    let options = config.transforms["e"].config.values().unwrap();
    let expected = serde_json::json!({
        "a": { "set": 1.5 }, "b": { "set": 7 }, "c": { "set": "no" }, "d": { "set": "8" },
        "e": { "set": true }, "f": { "set": "250" }, "g": { "set_if_absent": 9 },
    });
    assert_eq!(options["resource"], expected);
}

#[test]
fn anchors_and_merge_keys_work() {
    let text = "sources:\n  a: &base { type: demo, rate: 5, seed: 8 }\n  b: { <<: *base, rate: 6 }\n\
                sinks: { c: { type: console, inputs: [a, b] } }\n";
    let config = load(text).unwrap();
    let b = config.sources["b"].config.values().unwrap();
    assert_eq!((&b["rate"], &b["seed"]), (&6.into(), &8.into()));
}

#[test]
fn a_journaled_source_needs_no_reader_and_a_vault_no_input() {
    let text = "sources: { app: { type: otlp, ack: journaled, pivot: vault }, \
                replay: { type: vault_replay, vault: vault } }\n\
                sinks: { vault: { type: raw_vault }, c: { type: console, inputs: [replay] } }\n";
    assert!(load(text).is_ok());
    let text = text.replace("journaled", "delivered");
    assert_eq!(problems(&text), ["1:12 sources.app: no component reads the source `app`"]);
    let text = text.replace("type: raw_vault", "type: raw_vault, inputs: [replay]");
    assert!(problems(&text)[1].ends_with("in an endless loop: replay -> vault -> replay"));
}

#[test]
fn what_yaml_allows_and_makes_no_sense_here_is_refused() {
    for (text, message) in [
        ("- a\n- b\n", "1:3 : expected a mapping with `sources` and `sinks`, found a list"),
        ("a: !tag b\n", "1:4 : YAML tags (`!name`) are not supported"),
        (
            "a: 1\n---\nb: 2\n",
            "2:1 : a second document begins here (`---`); the file must contain only one",
        ),
        ("[a]: 1\n", "1:1 : invalid type: sequence, expected a name as the key"),
        ("a: *b\n", "1:4 : unknown anchor"),
        ("<<: 5\n", "1:1 : `<<` can merge only mappings"),
        ("a: \"b\n", "1:4 : the text ends inside quotes"),
        ("a: [!b,c]\n", "1:5 : YAML tags (`!name`) are not supported"),
        ("a: &b [*b]\n", "1:8 : this alias is inside its own value"),
        ("a: b\nc: \u{1}\n", "2:4 : control characters are not allowed"),
        ("a: @b\n", "1:4 : a value that begins with this character needs quotes"),
        ("a: 'b' c\n", "1:8 : unexpected text after a closing quote"),
        ("a: [ - b ]\n", "1:6 : a list in brackets separates its items with `,`, not with `-`"),
        ("a:\n\tb: 1\n", "2:1 : this line is indented with a tab; YAML allows spaces only"),
        (
            "  a: 1\nb: 2\n",
            "2:1 : the indentation of this line is less than that of the first line",
        ),
        (
            "a: [\n  b\nc: 1\n",
            "3:2 : a bracket above is not closed, or this line inside it is not indented",
        ),
        (
            "sources: 5\n",
            "1:10 sources: expected a mapping from ids to sources, found the number 5",
        ),
    ] {
        let found = problems(text);
        assert!(found.iter().any(|problem| problem == message), "{text:?}: {found:?}");
    }
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let many = |range: std::ops::Range<usize>, line: &dyn Fn(usize) -> String| -> String {
        range.map(line).collect::<Vec<_>>().concat()
    };
    let laugh =
        |level| format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(10));
    let link = |id| format!(" t{id}: {{ type: enrich, inputs: [t{}] }}\n", id + 1);
    let (laughs, chain) = (many(1..20, &laugh), many(0..15_000, &link));
    let many = |line: &str| many(0..20_000, &|id| line.replace('#', &id.to_string()));
    let sinks = "sinks: { c: { type: console, inputs: [x] } }\n";
    for text in [
        "[".repeat(1 << 20),
        "{a: ".repeat(1 << 18),
        format!("a: &a0 x\n{laughs}"),
        format!("{}x: 1\n", "- ".repeat(1 << 19)),
        format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 19), "*a,".repeat(1 << 17)),
        many("%TAG !a#! b\n"),
        format!("? {}\n: 1\n", "k".repeat(1 << 19)),
        format!("a: {}\n", "x".repeat(2 << 20)),
        many("key#: value\n"),
        format!("sources:\n{}{sinks}", many(" s#: {type: otpl}\n")),
        format!("sources:\n{}{sinks}", many(" s#: {type: otlp}\n")),
        format!("sources:\n{}{sinks}", many(" s#: {type: demo, x: 1}\n")),
        format!("transforms:\n{chain} t15000: {{ type: enrich, inputs: [t0] }}\n{sinks}"),
        format!("sinks:\n{}", many(" s#: {type: console, inputs: [n#]}\n")),
        format!("sources: {{ d: {{ type: demo, {} }} }}\n", many("o#: 1, ")),
    ] {
        let begin = std::time::Instant::now();
        let errors = load(&text).map(|_| ()).unwrap_err();
        let start: String = text.chars().take(40).collect();
        assert!(begin.elapsed() < Duration::from_secs(10), "{start}: {:?}", begin.elapsed());
        assert!(!errors.as_slice().is_empty() && errors.as_slice().len() <= 100, "{start}");
        assert!(errors.to_string().len() < 200_000, "{start}");
    }
}

#[test]
fn files_are_read_and_their_troubles_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gophership.yaml");
    let load = || load_file(&path, &|_| Some("1".to_owned())).map(|_| ());
    let missing = load().unwrap_err().to_string();
    assert!(missing.contains("cannot read the file: No such file"), "{missing}");
    std::fs::write(&path, EXAMPLE).unwrap();
    assert!(load().is_ok());
    std::fs::write(&path, b"a: 1\nb: caf\xe9\n").unwrap();
    let errors = load().unwrap_err();
    let error = &errors.as_slice()[0];
    assert_eq!((error.line, error.column), (2, 7));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(load().unwrap_err().to_string().contains("the limit is 1048576"));
}
