//! One witness who sees it is enough; one who is silent takes the agreement away.

use proptest::prelude::*;

use super::*;

fn any_testimony() -> impl Strategy<Value = Testimony> {
    prop_oneof![
        Just(Testimony::Agrees),
        Just(Testimony::Contradicts),
        Just(Testimony::Failed("timed out".to_owned())),
    ]
}

fn said(all: Vec<Testimony>) -> Vec<Witnessed> {
    let one = |said| Witnessed { missing: Missing::StsRecord, witness: "w".to_owned(), said };
    all.into_iter().map(one).collect()
}

const fn doubt(weighed: Weighed) -> u8 {
    match weighed {
        Weighed::Agreed => 0,
        Weighed::Unconfirmed => 1,
        Weighed::Contradicted => 2,
    }
}

proptest! {
    /// On the path: whatever is done to one witness, the others are heard; a failure never makes
    /// an absence surer (promise P1), and no testimony takes a contradiction away (promise P3).
    #[test]
    fn more_or_broken_witnesses_never_make_an_absence_surer(
        all in prop::collection::vec(any_testimony(), 1..6),
        broken in 0_usize..6,
        more in any_testimony(),
    ) {
        let weighed = doubt(weigh(&said(all.clone())));
        let mut longer = all.clone();
        longer.push(more);
        prop_assert!(doubt(weigh(&said(longer))) >= weighed);
        let mut failed = all.clone();
        if let Some(one) = failed.get_mut(broken) && *one == Testimony::Agrees {
            *one = Testimony::Failed("blocked".to_owned());
            prop_assert!(doubt(weigh(&said(failed))) >= 1.max(weighed));
        }
        let mut turned = all;
        turned.reverse();
        prop_assert_eq!(doubt(weigh(&said(turned))), weighed);
    }
}

#[test]
fn nobody_asked_is_nobody_agreed() {
    assert_eq!(weigh(&[]), Weighed::Unconfirmed);
    assert_eq!(weigh(&said(vec![Testimony::Agrees; 2])), Weighed::Agreed);
}
