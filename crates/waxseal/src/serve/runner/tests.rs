use super::*;

/// Whoever finds a message that breaks the queue does not leave a gateway behind that takes mail in
/// and sends none.
#[tokio::test]
async fn a_panic_of_the_queue_is_told() {
    let (run, runner) = watched(async { panic!("a defect") });
    assert_eq!(runner.ended(), None);
    run.await;
    assert!(runner.broken().await.contains("a defect"), "{:?}", runner.ended());
}

#[tokio::test]
async fn an_error_of_the_queue_is_told_and_its_ordered_end_is_not() {
    let (run, runner) = watched(async { Err(StoreError::Full) });
    run.await;
    assert!(runner.ended().is_some());
    let (run, runner) = watched(async { Ok(()) });
    run.await;
    assert_eq!(runner.ended(), None);
}
