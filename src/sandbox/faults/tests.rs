use super::*;

const EVERYTHING: &str = "20004=2%,60007=0.5%,lost-before=1%,lost-after=1%,lost-late=1%,silent-before=0.1%,silent-after=0.1%,\
                          http-502=1%,http-429=1%,garbage=0.0001%,edit.91000=3%,read.91000=4%,\
                          latency=20ms..80ms,unknown=1%,history=older-names+one-sided";

#[test]
fn faults_are_displayed_as_they_were_written() {
    for text in [
        EVERYTHING,
        "none",
        "latency=40ms",
        "latency=1.5s",
        "http-599=100%",
        "http-408-after=0.5%",
        "unknown=100%",
        "1=12.34%",
        "read.60010=100%",
        "edit.http-502=60%,read.20004=60%",
        "history=one-sided",
        "history=newer-names",
    ] {
        assert_eq!(text.parse::<Faults>().unwrap().to_string(), text);
    }
    assert_eq!("".parse(), Ok(Faults::none()));
    assert_eq!(
        "history=one-sided + newer-names".parse::<Faults>().unwrap().to_string(),
        "history=newer-names+one-sided"
    );
    assert_eq!(" 20004=2% , garbage=1.50% ".parse::<Faults>().unwrap().to_string(), "20004=2%,garbage=1.5%");
}

#[test]
fn an_invalid_part_is_named_with_what_is_allowed() {
    for (text, says) in [
        ("20004", "\"20004\": not understood"),
        ("lost=1%", "\"lost=1%\": not understood"),
        ("0=1%", "\"0=1%\": not understood"),
        ("http-200=1%", "http-300 to http-599"),
        ("garbage=1%,", "\"\": not understood"),
        ("20004=2", "\"20004=2\": the share must be"),
        ("20004=101%", "the share must be"),
        ("20004=-1%", "the share must be"),
        ("20004=1.00001%", "the share must be"),
        ("20004=.5%", "the share must be"),
        ("20004=99999999999%", "the share must be"),
        ("20004=429496.9999%", "the share must be"),
        ("unknown=x", "\"unknown=x\": the share must be"),
        ("latency=fast", "\"latency=fast\": the latency must be"),
        ("latency=80ms..20ms", "the latency must be"),
        ("latency=61s", "the latency must be"),
        ("latency=-1s", "the latency must be"),
        ("garbage=1%,garbage=2%", "\"garbage=2%\": given twice"),
        ("latency=1s,latency=1s", "given twice"),
        ("unknown=0%,unknown=1%", "given twice"),
        ("1=60%,2=40.5%", "the shares of the requests to edit add up to 100.5%"),
        ("read.1=60%,2=40.5%", "the shares of the requests to read add up to 100.5%"),
        ("edit.unknown=1%", "\"edit.unknown=1%\": not understood"),
        ("read.latency=1s", "\"read.latency=1s\": not understood"),
        ("edit.=1%", "with edit. or read. before it"),
        ("edit.edit.1=1%", "\"edit.edit.1=1%\": not understood"),
        ("editlost-after=1%", "not understood"),
        ("edit.1=1%,edit.1=1%", "\"edit.1=1%\": given twice"),
        ("edit.1=1%,1=1%", "\"1=1%\": given twice"),
        ("1=1%,read.1=1%", "\"read.1=1%\": given twice"),
        ("history=stale", "\"history=stale\": the history must be"),
        ("history=", "the history must be"),
        ("history=older-names+newer-names", "the history must be"),
        ("history=one-sided+one-sided", "the history must be"),
        ("history=one-sided,history=older-names", "given twice"),
    ] {
        let message = text.parse::<Faults>().unwrap_err().to_string();
        assert!(message.contains(says), "{text}: {message}");
    }
}

#[test]
fn faults_come_in_their_shares_and_the_seed_decides_which() {
    let faults: Faults = "20004=10%,lost-after=30%".parse().unwrap();
    let draws = |seed| {
        let mut rng = fastrand::Rng::with_seed(seed);
        (0..10_000).map(|_| faults.draw(ApiMethod::ModifyC2cMsg, &mut rng)).collect::<Vec<_>>()
    };
    let of = |wanted| draws(1).iter().filter(|drawn| **drawn == wanted).count();
    assert!((850..1150).contains(&of(Some(Fault::Code(20004)))));
    assert!((2800..3200).contains(&of(Some(Fault::LostAfter))));
    assert_eq!(draws(1), draws(1));
    assert_ne!(draws(1), draws(2));
    let always: Faults = "garbage=100%".parse().unwrap();
    assert!(
        (0..1000).all(|_| always.draw(ApiMethod::AdminGetRoamMsg, &mut fastrand::Rng::new()) == Some(Fault::Garbage))
    );
}

#[test]
fn a_fault_for_one_call_does_not_affect_the_other() {
    let faults: Faults = "edit.lost-after=100%,read.20004=50%,read.garbage=50%".parse().unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..100 {
        assert_eq!(faults.draw(ApiMethod::ModifyC2cMsg, &mut rng), Some(Fault::LostAfter));
        assert!(matches!(faults.draw(ApiMethod::AdminGetRoamMsg, &mut rng), Some(Fault::Code(20004) | Fault::Garbage)));
    }
    let faults: Faults = "read.60010=100%".parse().unwrap();
    assert_eq!(faults.draw(ApiMethod::ModifyC2cMsg, &mut rng), None);
}

#[test]
fn late_edits_take_effect_within_the_longest_processing_time() {
    let mut rng = fastrand::Rng::with_seed(1);
    let late: Vec<_> = std::iter::repeat_with(|| Faults::draw_late(&mut rng)).take(1_000).collect();
    assert!(late.iter().all(|after| *after <= LATE_MAX));
    assert!(late.iter().any(|after| *after < LATE_MAX / 10) && late.iter().any(|after| *after > LATE_MAX * 9 / 10));
}

#[test]
fn latency_stays_in_its_range() {
    let faults: Faults = "latency=20ms..80ms".parse().unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    for _ in 0..1000 {
        let latency = faults.draw_latency(&mut rng);
        assert!((Duration::from_millis(20)..=Duration::from_millis(80)).contains(&latency));
    }
    assert_eq!(Faults::none().draw_latency(&mut rng), Duration::ZERO);
}

#[test]
fn the_share_of_unknown_messages_is_stable() {
    let faults: Faults = "unknown=10%".parse().unwrap();
    let mut rng = fastrand::Rng::with_seed(1);
    let hashes: Vec<u64> = std::iter::repeat_with(|| rng.u64(..)).take(10_000).collect();
    let unknown = |seed| hashes.iter().map(|hash| faults.is_unknown(seed, *hash)).collect::<Vec<_>>();
    assert!((850..1150).contains(&unknown(1).iter().filter(|is| **is).count()));
    assert_eq!(unknown(1), unknown(1));
    assert_ne!(unknown(1), unknown(2));
    assert!(!Faults::none().is_unknown(1, 1));
}
