//! What somebody has to be told is told though the disk is full, the queue fails, or the power does.

use std::io;

use waxseal::watch::Seen;

use super::*;

/// All that is logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Lines {
    /// How many of them tell of an attack.
    fn told(&self) -> usize {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        let told = text.lines().filter(|line| line.contains("state=\"raised\""));
        told.filter(|line| line.contains("likely-attack")).count()
    }
}

/// A queue that takes nothing: its disk is full, or the power fails just then.
struct Broken;

impl Post for Broken {
    fn post(&self, _: NewMessage) -> Soon<'_, Result<(), StoreError>> {
        Box::pin(std::future::ready(Err(StoreError::Closed)))
    }
}

/// A world with one watcher.
struct Bench {
    world: World,
    watcher: Watcher,
}

impl Bench {
    /// With a queue of its own, or the one of the world.
    async fn start(post: Option<Arc<dyn Post>>) -> Self {
        let world = World::start(&identity(&ServerKey::generate().unwrap())).await;
        let watcher = Watcher::new(Tools {
            live: Live::new(Arc::new(world.parts())),
            store: world.store.clone(),
            clock: world.clock.clone(),
            partners: Partners::default(),
            post: post.unwrap_or_else(|| Arc::new(world.letters.clone())),
            board: Board::default(),
        });
        Self { world, watcher }
    }

    async fn look(&self, later: u64) -> Seen {
        self.world.clock.set(UnixTime(self.world.clock.now().0 + later));
        self.watcher.look(&domain(), Whose::Own).await
    }

    fn letters(&self) -> Vec<String> {
        let letters = self.world.letters.0.lock().unwrap();
        let text = |letter: &NewMessage| String::from_utf8_lossy(&letter.content).into_owned();
        letters.iter().map(text).collect()
    }
}

/// Attacker on the path to one address, while the disk is full: looks in a row count as ever, the log has
/// it once, and the letter goes as soon as there is room, though it is over by then.
#[tokio::test]
async fn an_attack_while_the_disk_is_full_is_logged_at_once_and_told_later() {
    let lines = Lines::default();
    // Two of them: where there is one, a test on another thread that has none decides whether a line is
    // worth writing.
    let written = || {
        let lines = lines.clone();
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || lines.clone()).finish()
    };
    let _other = tracing::Dispatch::new(written());
    let _here = tracing::subscriber::set_default(written());
    tracing::callsite::rebuild_interest_cache();
    let bench = Bench::start(None).await;
    bench.look(0).await.unwrap();
    let database = bench.world.folder.path().join("data/waxseal.db");
    let database = rusqlite::Connection::open(database).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON state \
                BEGIN SELECT RAISE(ABORT, 'the disk is full'); END";
    database.execute_batch(full).unwrap();
    bench.world.attacker.begin(Method::StripStartTls);
    for later in [HOUR, 60, 600, 600] {
        assert!(bench.look(later).await.is_err());
    }
    assert_eq!(lines.told(), 1);
    assert_eq!(bench.letters(), Vec::<String>::new());
    bench.world.attacker.begin(Method::Absent);
    database.execute_batch("DROP TRIGGER full").unwrap();
    let (history, _) = bench.look(600).await.unwrap();
    assert_eq!(history.looks.len(), 6, "none is lost");
    let letters = bench.letters();
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert!(letters[0].contains("Subject: Likely attack: partner.example\r\n"), "{letters:?}");
    bench.look(HOUR).await.unwrap();
    assert_eq!(lines.told(), 1);
}

/// Accident: the power fails, or the queue does, after a look was kept and before its letter was. The
/// letter goes after the next start.
#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_could_not_be_queued_goes_after_the_next_start() {
    let bench = Bench::start(Some(Arc::new(Broken))).await;
    bench.look(0).await.unwrap();
    bench.world.attacker.begin(Method::StripStartTls);
    bench.look(HOUR).await.unwrap();
    let (_, alert) = bench.look(60).await.unwrap();
    assert_eq!(alert.and_then(|alert| alert.class()), Some(Class::LikelyAttack));
    assert_eq!(bench.letters(), Vec::<String>::new());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(bench.world.watcher().run(stopped));
    let came = async {
        while bench.letters().iter().all(|text| !text.contains("Subject: Likely attack: ")) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), came).await.expect("it is told");
    stop.send(true).unwrap();
    running.await.unwrap();
    let told = bench.letters().into_iter().filter(|text| text.contains("Subject: Likely attack: "));
    assert_eq!(told.count(), 1);
}
