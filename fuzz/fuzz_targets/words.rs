#![no_main]
//! The small languages: faults, times, limits, formats, message keys.
use libfuzzer_sys::fuzz_target;
use runner::cli;
use runner::input::Format;
use runner::ledger::Note;
use runner::run::FailureLimit;
use runner::sandbox::Faults;
use runner::sandbox::KeyParts;
use runner_fuzz::can_be_shown;

fuzz_target!(|text: &str| {
    match text.parse::<Faults>() {
        Ok(faults) => assert_eq!(faults.to_string().parse::<Faults>(), Ok(faults)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match text.parse::<FailureLimit>() {
        Ok(limit) => assert_eq!(limit.to_string().parse::<FailureLimit>(), Ok(limit)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    match cli::time(text) {
        Ok(time) => assert!(!time.is_zero()),
        Err(error) => can_be_shown(&error),
    }
    let _ = text.parse::<Format>();
    let _ = KeyParts::of(text);
    if let Some(note) = Note::from_word(text) {
        assert_eq!(Note::from_word(&note.word()), Some(note));
    }
});
