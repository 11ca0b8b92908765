//! `waxseal check` as people and scripts meet it: the real program, with a configuration that a
//! customer could write, in the lab's little Internet.

mod document;
mod forms;
mod many;
mod ourselves;
mod own_keys;
mod refused;
mod terminal;

use waxseal_lab::site::{Attack, Protection};

use crate::operator::World;

type Cell = (Protection, Attack);

const BEST: Cell = (Protection::DaneAndSts, Attack::Nobody);
const POLICY: Cell = (Protection::StsCold, Attack::Nobody);
const SELF_SIGNED: Cell = (Protection::Opportunistic, Attack::Nobody);
const PLAINTEXT: Cell = (Protection::None, Attack::Nobody);
const UNANSWERED: Cell = (Protection::Dane, Attack::TlsaServfail);

impl World {
    /// What is broken, and what attacks, in all of these.
    async fn broken(cells: &[Cell]) -> Self {
        let world = Self::new(cells).await;
        world.lab.begin(|_| true);
        world
    }

    /// How often the lab was asked for the MX records of a domain.
    fn asked(&self, domain: &str) -> usize {
        const MX: u16 = 15;
        let all = self.lab.dns().questions();
        all.iter().filter(|one| one.rtype == MX && one.name.trim_end_matches('.') == domain).count()
    }

    fn output(&self, name: &str) -> String {
        self.folder.path().join(name).to_string_lossy().into_owned()
    }

    fn read(&self, name: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    }
}

/// The lines of a text, none of which is wider than a terminal that nobody has made wider. Records
/// have to be copied in one piece: they and names may be longer.
#[track_caller]
fn assert_narrow(text: &str) {
    for line in text.lines() {
        let wide = line.chars().count();
        assert!(wide <= 80 || line.trim_start().starts_with('"'), "{wide} columns: {line}");
    }
}
