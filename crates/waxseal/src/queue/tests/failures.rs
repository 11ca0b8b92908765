//! The store fails for a moment, or for some; peers keep us waiting: what else waits goes on
//! (promises P4 and P8).

use super::*;

/// A runner in our hands, over a store whose tables can be taken away.
struct Bench {
    data: tempfile::TempDir,
    world: Arc<World>,
    queue: Queue<Fake>,
    runner: Runner<Fake>,
    inbox: Inbox,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        let data = tempfile::tempdir().unwrap();
        let store = open(&data, StoreKeys::random().unwrap().file().as_ref());
        let world = Arc::new(World::new());
        let time = Arc::clone(&world);
        let clock: Clock = Arc::new(move || UnixTime(time.time.load(Ordering::SeqCst)));
        let (queue, inbox) = Queue::new(store, Fake(Arc::clone(&world)), settings, clock);
        let runner = Runner::new(queue.clone(), false);
        Self { data, world, queue, runner, inbox }
    }

    fn sql(&self, text: &str) {
        let connection = rusqlite::Connection::open(self.data.path().join("waxseal.db")).unwrap();
        connection.execute_batch(text).unwrap();
    }

    async fn accept(&mut self, to: &str, content: &str) {
        self.queue.accept(message(&[to], content)).await.unwrap();
        self.runner.catch_up(&mut self.inbox);
    }

    /// Looks around until so many deliveries were made.
    async fn deliveries(&mut self, count: usize) {
        let delivered = async {
            while self.world.delivered.lock().unwrap().len() < count {
                self.runner.advance().await;
                tokio::task::yield_now().await;
                self.runner.catch_up(&mut self.inbox);
            }
        };
        let limit = Duration::from_secs(60);
        tokio::time::timeout(limit, delivered).await.expect("it is delivered");
    }
}

/// One error of the store while a destination has all its slots in use: its other mail is not
/// forgotten until the next start.
#[tokio::test]
async fn a_destination_without_a_free_slot_outlives_an_error_of_the_store() {
    let mut bench = Bench::new(Settings { per_destination: 1, ..Settings::default() });
    let large = "x".repeat(100 * 1024);
    bench.accept("a@slow.example", "hello").await;
    // Too large to wait in memory.
    bench.accept("b@slow.example", &large).await;
    bench.accept("c@other.example", "hello").await;
    bench.deliveries(1).await;
    bench.world.time.fetch_add(1, Ordering::SeqCst);
    let third = Domain::parse("third.example").unwrap();
    let third = bench.queue.0.store.destination(&third);
    let now = bench.queue.0.now();
    bench.runner.times.set(third, now);
    bench.sql("ALTER TABLE work RENAME TO gone");
    assert!(bench.runner.take_due().await.is_err());
    bench.sql("ALTER TABLE gone RENAME TO work");
    bench.world.gate.add_permits(2);
    bench.deliveries(3).await;
}

/// Messages without a verdict cannot be read, by damage: those with one go on.
#[tokio::test]
async fn what_has_a_verdict_goes_on_while_what_has_none_cannot_be_read() {
    let mut bench = Bench::new(Settings { per_destination: 1, ..Settings::default() });
    let large = "x".repeat(100 * 1024);
    bench.accept("a@slow.example", "hello").await;
    bench.accept("b@slow.example", &large).await;
    bench.accept("c@other.example", "unreadable").await;
    bench.sql(
        "UPDATE message SET head = x'00' WHERE id = (SELECT message FROM work WHERE state = 0)",
    );
    bench.runner.fresh = true;
    bench.world.gate.add_permits(2);
    bench.deliveries(2).await;
}

/// After a restore very much is due, and each ends as soon as it begins: the queue looks around in
/// between, for a stop, for operators and for the turns that have ended, and takes up everything.
#[tokio::test]
async fn a_long_list_of_what_is_due_is_taken_up_in_bursts() {
    let mut bench = Bench::new(Settings::default());
    bench.runner = Runner::new(bench.queue.clone(), true);
    for number in 0..150 {
        bench.accept(&format!("a@n{number}.example"), "hello").await;
    }
    bench.queue.0.tell(News::Unpaused);
    bench.runner.catch_up(&mut bench.inbox);
    assert_eq!(bench.runner.advance().await, Duration::ZERO, "more is due");
    assert!(bench.world.delivered.lock().unwrap().len() <= 64);
    bench.deliveries(150).await;
}

/// The disk does not give the file of a message back for a moment: it is read as soon as it does,
/// and not only after the next start.
#[tokio::test]
async fn a_message_without_a_verdict_outlives_a_moment_without_its_file() {
    let mut bench = Bench::new(Settings::default());
    let store = bench.queue.0.store.clone();
    let large = "x".repeat(100 * 1024);
    let (id, lease) = store.accept(message(&["a@one.example"], &large)).await.unwrap();
    drop(lease);
    let shards = std::fs::read_dir(bench.data.path().join("spool")).unwrap();
    let mut files = shards.flat_map(|shard| std::fs::read_dir(shard.unwrap().path()).unwrap());
    let (file, away) = (files.next().unwrap().unwrap().path(), bench.data.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    std::fs::create_dir(&file).unwrap();
    bench.runner.advance().await;
    while store.claim_message(id).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&away, &file).unwrap();
    bench.deliveries(1).await;
}

/// Hostile recipient domains, many of them, that keep every session open and say nothing: once they
/// are known as slow, an honest one gets its mail while they go on.
#[tokio::test]
async fn many_tarpits_do_not_keep_an_honest_destination_waiting() {
    let settings = Settings { per_destination: 20, total: 5, ..Settings::default() };
    let running = Running::start(settings);
    for number in 0..12 {
        running.accept(&[&format!("a@n{number}.tarpit.example")], "hello").await;
    }
    running.accept(&["a@honest.example"], "hello").await;
    let limit = Duration::from_secs(60);
    let honest = running.world.deliveries(1);
    tokio::time::timeout(limit, honest).await.expect("the honest one is served");
    assert_eq!(running.world.delivered.lock().unwrap()[0].1, ["a@honest.example"]);
    let most = running.world.most.load(Ordering::SeqCst);
    assert!(most <= 10, "{most} in hand");
}

/// Hostile recipient domains that take large messages octet by octet: they take no more of the memory
/// for contents than what stands aside may have, and small mail goes on.
#[tokio::test]
async fn large_messages_to_tarpits_leave_room_for_other_mail() {
    let running = Running::start(Settings { content: 1 << 20, ..Settings::default() });
    let large = "x".repeat(600 << 10);
    for number in 0..3 {
        running.accept(&[&format!("a@n{number}.tarpit.example")], &large).await;
    }
    running.accept(&["a@honest.example"], "hello").await;
    running.accept(&["b@honest.example"], &large).await;
    let limit = Duration::from_secs(60);
    let honest = running.world.deliveries(2);
    tokio::time::timeout(limit, honest).await.expect("the honest ones are served");
    assert_eq!(running.world.in_hand.load(Ordering::SeqCst), 1, "the others were put off");
}

/// A host that is busy with our other mail: that is no attempt, and the next look is a minute away,
/// however old the message is.
#[tokio::test]
async fn waiting_for_a_turn_is_no_attempt() {
    let running = Running::start(Settings::default());
    let busy = Outcome::Deferred { cause: Cause::Busy("our other messages".to_owned()) };
    running.world.answer("untried.example", busy);
    let id = running.accept(&["a@untried.example"], "hello").await;
    running.world.deliveries(1).await;
    let group = loop {
        let (page, _) = running.store.list(None, 10).await.unwrap();
        if page[0].due > NOW {
            assert_eq!(page[0].due, NOW + Duration::from_mins(1));
            break page[0].group.clone().unwrap();
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((group.history.attempts, group.short_since), (0, None));
    let query = EventQuery { message: Some(id), limit: 10, ..Default::default() };
    assert!(running.store.events(query).await.unwrap().is_empty());
}
