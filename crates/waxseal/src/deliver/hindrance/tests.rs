use super::*;

fn dead() -> Outcome {
    Outcome::Deferred { cause: Cause::Connection("refused".into()) }
}

fn busy() -> Outcome {
    Outcome::Deferred { cause: Cause::Busy("our other messages".into()) }
}

fn weak() -> Outcome {
    Outcome::Deferred { cause: Cause::Channel("no STARTTLS".into()) }
}

fn lacking() -> Outcome {
    Outcome::Rejected { cause: Cause::Capability("REQUIRETLS".into()) }
}

fn cut() -> Outcome {
    Outcome::Disconnected { detail: "at MAIL".into() }
}

/// What the addresses of some hosts come to.
fn after(hosts: &[&[Outcome]]) -> Option<Outcome> {
    let mut hindrance = Hindrance::default();
    for host in hosts {
        host.iter().for_each(|outcome| hindrance.meet((outcome.clone(), None)));
        hindrance.leave_host();
    }
    hindrance.most().map(|(outcome, _)| outcome)
}

/// Attacker on the path, who keeps us from the primary host for a moment: a weak or old backup does
/// not decide for it, in whatever order.
#[test]
fn a_host_that_could_not_be_asked_keeps_the_matter_open() {
    for (hosts, most) in [
        ([[dead()], [weak()]], dead()),
        ([[weak()], [dead()]], dead()),
        ([[cut()], [weak()]], cut()),
        ([[dead()], [lacking()]], dead()),
        ([[lacking()], [weak()]], weak()),
        ([[weak()], [busy()]], busy()),
        ([[busy()], [lacking()]], busy()),
        ([[busy()], [dead()]], busy()),
        ([[cut()], [busy()]], cut()),
        ([[weak()], [lacking()]], weak()),
    ] {
        let hosts: Vec<&[Outcome]> = hosts.iter().map(<[Outcome; 1]>::as_slice).collect();
        assert_eq!(after(&hosts), Some(most), "{hosts:?}");
    }
    assert_eq!(after(&[&[lacking()], &[lacking()]]), Some(lacking()));
    assert_eq!(after(&[]), None);
}

/// A dead address beside one that answers says nothing of the host: held or returned in time, not
/// after five days.
#[test]
fn an_address_that_answered_speaks_for_its_host() {
    assert_eq!(after(&[&[weak(), dead()]]), Some(weak()));
    assert_eq!(after(&[&[dead(), weak()]]), Some(weak()));
    assert_eq!(after(&[&[lacking(), dead()]]), Some(lacking()));
    assert_eq!(after(&[&[weak(), cut()]]), Some(cut()));
    assert_eq!(after(&[&[weak(), dead()], &[dead()]]), Some(dead()));
}
