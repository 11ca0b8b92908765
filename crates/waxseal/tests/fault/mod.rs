//! Promise P4 under violence: kill -9, power cuts, a full disk. The gateway's queue runs in a child
//! process that is this test binary itself; what it accepted and what its peer took is written to
//! us line by line, so it survives whatever happens to the child.

mod child;

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

/// What the child tells us.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Line {
    /// The client heard 250: message, number of its groups.
    Accepted(String, usize),
    /// A peer took it after the final dot: message, destination.
    Taken(String, String),
    /// The sender heard that it was refused: message, destination, the letter.
    Told(String, String, String),
    /// On record as perhaps delivered: message, destination.
    Unknown(String, String),
    /// 452.
    Full,
    /// 250 again after 452.
    Recovered,
    /// Nothing is left.
    Empty,
}

fn parse(line: &str) -> Option<Line> {
    // The first line stands behind what the test harness says.
    let mut words = line.split_once("fault: ")?.1.split(' ');
    let (kind, mut word) = (words.next()?, || words.next().map(str::to_owned));
    match kind {
        "A" => Some(Line::Accepted(word()?, word()?.parse().ok()?)),
        "D" => Some(Line::Taken(word()?, word()?)),
        "L" => Some(Line::Told(word()?, word()?, word()?)),
        "U" => Some(Line::Unknown(word()?, word()?)),
        "F" => Some(Line::Full),
        "R" => Some(Line::Recovered),
        "E" => Some(Line::Empty),
        _ => None,
    }
}

/// A small generator: the same seed gives the same run, as far as the scheduler lets it.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// The place of one run.
struct Scene {
    home: tempfile::TempDir,
    shim: Option<PathBuf>,
    round: u64,
    seen: Vec<Line>,
}

struct Running {
    process: Child,
    lines: Receiver<Line>,
}

impl Drop for Running {
    /// A test that fails leaves no process behind.
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home, shim: None, round: 0, seen: Vec::new() }
    }

    /// With the disk of `shim/powercut.c`.
    fn with_shim() -> Self {
        let mut scene = Self::new();
        let library = scene.path("powercut.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shim/powercut.c");
        let built = Command::new("cc")
            .args(["-O1", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .status()
            .expect("a C compiler (build-essential) is needed to emulate a power cut");
        assert!(built.success(), "the shim does not compile");
        scene.shim = Some(library);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().canonicalize().unwrap().join(name)
    }

    fn start(&mut self, mode: &str, seed: u64) -> Running {
        self.round += 1;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "fault::child::entry", "--nocapture", "--test-threads=1"])
            .env("WAXSEAL_FAULT", mode)
            .env("FAULT_DATA", self.path("data"))
            .env("FAULT_KEY", self.path("store.key"))
            .env("FAULT_ROUND", self.round.to_string())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        if let Some(shim) = &self.shim {
            let _ = fs::remove_dir_all(self.path("shadow"));
            fs::create_dir(self.path("shadow")).unwrap();
            fs::create_dir_all(self.path("data")).unwrap();
            command
                .env("LD_PRELOAD", shim)
                .env("POWERCUT_DIR", self.path("data"))
                .env("POWERCUT_SHADOW", self.path("shadow"))
                .env("POWERCUT_SEED", seed.to_string())
                .env("POWERCUT_QUOTA", self.path("quota"));
        }
        let mut process = command.spawn().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let (tell, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if let Some(line) = parse(&line) {
                    let _ = tell.send(line);
                }
            }
        });
        Running { process, lines }
    }

    /// Lets it work for a while, then ends it between two instructions.
    fn kill(&mut self, mut running: Running, dice: &mut Dice) {
        for _ in 0..20 + dice.roll(300) {
            let line = running.lines.recv_timeout(Duration::from_secs(60));
            self.seen.push(line.expect("the child works until it is killed"));
        }
        // The next line is as good a moment as any, and so is any moment before it.
        let pause = Duration::from_micros(dice.roll(3_000));
        self.seen.extend(running.lines.recv_timeout(pause));
        running.process.kill().unwrap();
        running.process.wait().unwrap();
        self.seen.extend(running.lines.iter());
    }

    /// After the power cut: only what the disk had.
    fn forget_unsynced(&self) {
        fs::remove_dir_all(self.path("data")).unwrap();
        fs::rename(self.path("shadow/root"), self.path("data")).unwrap();
    }

    /// Runs without new mail until nothing is left.
    fn drain(&mut self) {
        let mut running = self.start("drain", 0);
        loop {
            let line = running.lines.recv_timeout(Duration::from_secs(60));
            let line = line.expect("the queue drains");
            if line == Line::Empty {
                break;
            }
            self.seen.push(line);
        }
        assert!(running.process.wait().unwrap().success());
    }

    /// Every message that was answered with 250 was taken by each of its destinations, and twice
    /// only where the record says that it may have been.
    fn judge(&self) {
        let mut taken: HashMap<(&str, &str), usize> = HashMap::new();
        let mut unknown: HashMap<(&str, &str), usize> = HashMap::new();
        let mut accepted = HashMap::new();
        let mut told: HashMap<(&str, &str), HashSet<&str>> = HashMap::new();
        for line in &self.seen {
            match line {
                Line::Accepted(id, groups) => {
                    accepted.insert(id.as_str(), *groups);
                }
                Line::Taken(id, to) => *taken.entry((id, to)).or_default() += 1,
                Line::Unknown(id, to) => *unknown.entry((id, to)).or_default() += 1,
                Line::Told(id, to, letter) => {
                    told.entry((id, to)).or_default().insert(letter);
                }
                Line::Full | Line::Recovered | Line::Empty => {}
            }
        }
        assert!(accepted.len() > 100, "only {} messages were accepted", accepted.len());
        for (id, groups) in &accepted {
            let reached = taken.keys().filter(|(taken, _)| taken == id).count();
            assert_eq!(reached, *groups, "{id} was accepted and not delivered everywhere");
        }
        for ((id, to), letters) in &told {
            assert_eq!(letters.len(), 1, "the sender of {id} heard more than once about {to}");
        }
        for (id, to) in taken.keys().filter(|(_, to)| child::refuses(to)) {
            assert!(told.contains_key(&(*id, *to)), "nobody heard that {to} refused {id}");
        }
        assert!(told.len() > 20, "only {} messages were refused", told.len());
        let mut twice = 0;
        for (which, times) in &taken {
            let recorded = unknown.get(which).copied().unwrap_or(0);
            assert!(
                *times <= 1 + recorded,
                "{which:?} went out {times} times, {recorded} on record"
            );
            twice += usize::from(*times > 1);
        }
        let groups: usize = accepted.values().sum();
        println!("{} messages, {groups} groups, {twice} sent twice, all on record", accepted.len());
    }
}

#[test]
fn kill_9_at_any_moment_loses_nothing_and_hides_no_duplicate() {
    let (mut scene, mut dice) = (Scene::new(), Dice(0x5eed_0001));
    for _ in 0..20 {
        let running = scene.start("load", 0);
        scene.kill(running, &mut dice);
    }
    scene.drain();
    scene.judge();
}

#[test]
fn a_power_cut_at_any_moment_loses_nothing_and_hides_no_duplicate() {
    let (mut scene, mut dice) = (Scene::with_shim(), Dice(0x5eed_0002));
    for round in 0..20 {
        // Every other disk wrote back some sectors that nobody asked it to.
        let seed = if round % 2 == 0 { 0 } else { 1 + dice.roll(1 << 40) };
        let running = scene.start("load", seed);
        scene.kill(running, &mut dice);
        scene.forget_unsynced();
    }
    scene.drain();
    scene.judge();
}

#[test]
fn a_full_disk_refuses_with_452_settles_what_is_there_and_recovers_by_itself() {
    let mut scene = Scene::with_shim();
    fs::write(scene.path("quota"), (24 << 20).to_string()).unwrap();
    let mut running = scene.start("full", 0);
    loop {
        match running.lines.recv_timeout(Duration::from_secs(120)) {
            Ok(line) => scene.seen.push(line),
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                running.process.kill().unwrap();
                panic!("nothing has happened for two minutes: the queue does not recover");
            }
        }
    }
    assert!(running.process.wait().unwrap().success());
    let at = |wanted: &Line| scene.seen.iter().position(|line| line == wanted).unwrap();
    assert!(at(&Line::Full) < at(&Line::Recovered));
    scene.drain();
    scene.judge();
}
