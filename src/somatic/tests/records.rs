//! Gauges and the flight recorder.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use super::PressureKind;
use super::Zone;
use super::readings;
use crate::somatic::Gauges;
use crate::somatic::Readings;
use crate::somatic::Recorder;
use crate::somatic::Sensor as _;

#[test]
fn a_gauge_is_read_from_its_first_value_until_it_is_dropped() {
    let gauges = Arc::new(Gauges::default());
    let mut sensor = gauges.sensor();
    let mut read = || {
        let mut readings = Readings::default();
        sensor.read(Instant::now(), &mut readings);
        readings.iter().map(|pressure| pressure.permille).collect::<Vec<u32>>()
    };
    let gauge = gauges.register(PressureKind::SinkErrors, "backend");
    assert!(read().is_empty());
    gauge.set(250);
    assert_eq!(read(), [250]);
    gauge.forget();
    assert!(read().is_empty());
    gauge.set(u32::MAX);
    assert_eq!(read(), [u32::MAX - 1]);
    drop(gauge);
    assert!(read().is_empty());
}

#[test]
fn the_recorder_keeps_the_last_two_minutes_and_the_moment_itself() {
    let mut recorder = Recorder::default();
    let start = Instant::now();
    for tick in 0..20_000 {
        let now = start + Duration::from_millis(10 * tick);
        let numbers = readings(&[
            (PressureKind::Edge, 5),
            (PressureKind::Edge, 17),
            (PressureKind::Lag, 70_000),
        ]);
        recorder.note(now, 10 * tick, Zone::Green, &numbers);
    }
    recorder.note_now(start, 200_001, Zone::Red, &readings(&[]));
    let text = recorder.render();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 1200);
    let kept = r#","sensed":"green","edge":1.7,"lag":6553.4}"#;
    assert!(lines[0].starts_with(r#"{"unix_ms":80"#) && lines[0].ends_with(kept), "{}", lines[0]);
    assert_eq!(lines[1199], r#"{"unix_ms":200001,"sensed":"red"}"#);
    for line in lines {
        let _entry: serde_json::Value = serde_json::from_str(line).unwrap();
    }
}
