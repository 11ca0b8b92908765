use super::*;

#[test]
fn a_missed_budget_is_said_and_fails() {
    let mut report = Report::default();
    report.add("plan", (1.5, "us"), Budget::AtMost(2.0));
    assert_eq!(report.finish(Format::Text).unwrap(), ExitCode::SUCCESS);
    assert!(!report.table().contains("MISSED"));
    report.add_memory("idle", 61_000_000, Budget::AtMost(60.0));
    assert_eq!(report.finish(Format::Json).unwrap(), ExitCode::FAILURE);
    let table = report.table();
    let idle = table.lines().find(|line| line.starts_with("idle")).unwrap();
    assert!(idle.contains("61.0 MB") && idle.contains("<= 60.0"), "{idle}");
    assert!(idle.ends_with("1.02  MISSED"), "{idle}");
}

#[test]
fn at_least_is_the_other_way_round() {
    assert!(Budget::AtLeast(6.0).holds(6.1));
    assert!(!Budget::AtLeast(6.0).holds(5.9));
    assert!(Budget::None.holds(f64::INFINITY));
}

#[test]
fn numbers_are_easy_to_read() {
    for (value, text) in
        [(0.344, "0.34"), (17.26, "17.3"), (999.6, "1,000"), (1_073_742.0, "1,073,742")]
    {
        assert_eq!(number(value), text);
    }
    assert!((median(vec![9.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
}
