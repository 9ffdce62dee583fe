//! What a reload would change.

use crate::config::Config;
use crate::config::ConfigDiff;
use crate::config::SectionDiff;
use crate::config::tests::EXAMPLE;
use crate::config::tests::load;

/// Compares the example with the example in which some texts are replaced.
fn diff(replacements: &[(&str, &str)]) -> ConfigDiff {
    let mut text = EXAMPLE.to_owned();
    for (old, new) in replacements {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let new = load(&text).map_err(|errors| errors.to_string()).unwrap();
    ConfigDiff::between(&load(EXAMPLE).unwrap(), &new)
}

/// Returns the ids of a section that do not stay, each with what happens to it.
fn changes(section: &SectionDiff) -> Vec<String> {
    let sets = [
        ("+", &section.added),
        ("-", &section.removed),
        ("~", &section.changed),
        ("@", &section.rewired),
    ];
    sets.iter().flat_map(|(sign, set)| set.iter().map(move |id| format!("{sign}{id}"))).collect()
}

#[test]
fn the_same_text_in_another_order_or_notation_changes_nothing() {
    assert!(diff(&[]).is_empty());
    assert!(diff(&[("patience: 1s", "patience: 1000ms"), ("16MiB", "16384KiB")]).is_empty());
    assert!(
        diff(&[(
            "    type: otlp\n    inputs: [enrich]\n",
            "    inputs: [enrich]\n    type: otlp\n"
        )])
        .is_empty()
    );
}

#[test]
fn each_kind_of_change_is_told_apart() {
    let all = diff(&[
        ("patience: 1s", "patience: 2s"),
        ("shed_in: yellow", "shed_in: red"),
        ("batches: 512", "batches: 256"),
        (
            "screen: { type: console, inputs: [errors_only] }",
            "screen: { type: console, inputs: [demo] }",
        ),
        ("nowhere: {", "elsewhere: {"),
        ("grace: 30s", "grace: 31s"),
    ]);
    assert_eq!(changes(&all.sources), ["~otlp"]);
    assert_eq!(changes(&all.transforms), ["@enrich"]);
    assert_eq!(changes(&all.sinks), ["+elsewhere", "-nowhere", "~backend", "@screen"]);
    assert_eq!(all.settings.into_iter().collect::<Vec<_>>(), ["shutdown"]);
    assert_eq!(all.sources.unchanged.len(), 2);
}

#[test]
fn another_type_under_the_same_id_is_a_change() {
    let diff = diff(&[("nowhere: { type: blackhole", "nowhere: { type: console")]);
    assert_eq!(changes(&diff.sinks), ["~nowhere"]);
}

#[test]
fn the_first_start_adds_everything() {
    let diff = ConfigDiff::between(&Config::default(), &load(EXAMPLE).unwrap());
    assert_eq!(diff.sources.added.len(), 3);
    assert_eq!(diff.sinks.added.len(), 5);
    assert!(diff.sinks.removed.is_empty() && diff.sinks.unchanged.is_empty());
}

#[test]
fn another_file_under_the_same_path_changes_what_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let (document, table) = (dir.path().join("gophership.yaml"), dir.path().join("table.csv"));
    let text = format!(
        "sources: {{ a: {{ type: demo }} }}
transforms:
  e: {{ type: enrich, inputs: [a], record: {{ team: {{ lookup: {{ table: {}, key: id }} }} }} }}
  f: {{ type: enrich, inputs: [e], record: {{ team: {{ delete: true }} }} }}
sinks: {{ o: {{ type: blackhole, inputs: [f] }} }}",
        table.display()
    );
    std::fs::write(&document, text).unwrap();
    let load = || crate::config::load_file(&document, &|_| None).unwrap();
    let missing = load();
    let unreadable = missing.unreadable_files();
    let options = unreadable.iter().map(|file| file.option.as_str()).collect::<Vec<_>>();
    assert_eq!(options, ["transforms.e.record.team.lookup"]);

    std::fs::write(&table, "key,value\n").unwrap();
    let (old, same) = (load(), load());
    assert!(ConfigDiff::between(&old, &same).is_empty());
    assert!(old.changed_files().files.is_empty() && old.unreadable_files().is_empty());
    std::fs::write(&table, "key,value\n7,shop\n").unwrap();
    let new = load();
    for before in [&missing, &old] {
        assert_eq!(changes(&ConfigDiff::between(before, &new).transforms), ["~e"]);
    }
    let changed = old.changed_files();
    assert_eq!(changed.files.keys().collect::<Vec<_>>(), [&table]);
    assert!(changed.is_same_document);
}
