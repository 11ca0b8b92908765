//! The status page of a gateway that runs, as its administrator opens it.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use waxseal_lab::site::{Attack, Protection};

use super::{chromium::Browser, look_everywhere};
use crate::operator::{World, send};

const PATIENCE: Duration = Duration::from_secs(60);
const DANE: (Protection, Attack) = (Protection::Dane, Attack::Nobody);
const NOTHING: (Protection, Attack) = (Protection::None, Attack::Nobody);

/// `waxseal serve`, and what it says.
struct Serving {
    process: Child,
    log: Receiver<String>,
}

impl Serving {
    fn start(world: &World) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_waxseal"))
            .args(["serve", "-c"])
            .arg(world.file())
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (tell, log) = channel();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        std::thread::spawn(move || {
            lines.map_while(Result::ok).try_for_each(|line| tell.send(line))
        });
        Self { process, log }
    }

    /// What follows these words in the next line that has them.
    fn says(&self, words: &str) -> String {
        loop {
            let line = self.log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("it never said {words:?}"));
            if let Some((_, rest)) = line.split_once(words) {
                return rest.trim().to_owned();
            }
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

/// A world whose gateway has a status page, at a port that nobody has chosen.
async fn world() -> World {
    let world = World::new(&[DANE, NOTHING]).await;
    let text = std::fs::read_to_string(world.file()).unwrap();
    let page = "\n[web.admin]\naddress = \"127.0.0.1:0\"\n";
    std::fs::write(world.file(), text + page).unwrap();
    world
}

/// Whoever starts it is told where its pages are, also where the port is any; and the page can be
/// read with a telephone, in the dark and with a screen reader, before and after there was mail.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_has_no_barriers_and_the_log_says_where_it_is() {
    let world = world().await;
    let serving = Serving::start(&world);
    let metrics = serving.says("metrics and health are at ");
    assert!(metrics.starts_with("http://127.0.0.1:") && !metrics.contains(":0/"), "{metrics}");
    let page = serving.says("the status page is at ");
    assert!(page.starts_with("http://127.0.0.1:") && !page.contains(":0/"), "{page}");
    let door: SocketAddr = serving.says("mail comes in at ").parse().unwrap();
    let looking = page.clone();
    let wrong = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        (look_everywhere(&mut browser, &looking, "status-fresh"), browser)
    });
    let (mut wrong, mut browser) = wrong.await.unwrap();
    for cell in [DANE, NOTHING] {
        send(door, &format!("bob@{}", world.domain(cell))).await;
    }
    let looked = tokio::task::spawn_blocking(move || {
        let begun = std::time::Instant::now();
        loop {
            browser.open(&page);
            let text = browser.ask("document.body.innerText");
            if text.as_str().unwrap().contains("DANE") {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "{text}");
        }
        let mut wrong = look_everywhere(&mut browser, &page, "status-busy");
        // The longest words.
        browser.prefers("de");
        wrong.push_str(&look_everywhere(&mut browser, &page, "status-german"));
        browser.open(&page);
        assert_eq!(browser.ask("document.documentElement.lang"), "de");
        wrong
    });
    wrong.push_str(&looked.await.unwrap());
    assert!(wrong.is_empty(), "\n{wrong}");
    drop(serving);
}

/// Something is broken: that is the moment in which the page has to be understood at once.
#[tokio::test(flavor = "multi_thread")]
async fn the_status_page_of_a_gateway_that_cannot_validate_has_no_barriers() {
    let world = world().await;
    let anchors = world.folder.path().join("root.ds");
    let good = std::fs::read_to_string(&anchors).unwrap();
    let (start, digest) = good.trim_end().rsplit_once(' ').unwrap();
    std::fs::write(&anchors, format!("{start} {}\n", "0".repeat(digest.len()))).unwrap();
    let serving = Serving::start(&world);
    let page = serving.says("the status page is at ");
    serving.says("mail comes in at ");
    let looked = tokio::task::spawn_blocking(move || {
        let mut browser = Browser::start();
        let begun = std::time::Instant::now();
        loop {
            browser.open(&page);
            let alert = browser.ask("document.querySelector('[role=alert]')?.innerText ?? ''");
            if alert.as_str().unwrap().contains("needs attention") {
                break;
            }
            assert!(begun.elapsed() < PATIENCE, "it shows no alert");
        }
        look_everywhere(&mut browser, &page, "status-failing")
    });
    let wrong = looked.await.unwrap();
    assert!(wrong.is_empty(), "\n{wrong}");
    drop(serving);
}
